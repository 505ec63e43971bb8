// @ts-check
/**
 * The clinic as the desk sees it: what can be booked there, and every calendar live for the day on show and the one after it. A
 * visit that takes a practitioner's and a room's time is on both calendars, and here it is one.
 *
 * @typedef {import("./columns.js").Visit} Visit
 * @typedef {{id: string, name: string, kind: string, zone: string, states: string[], location: string | null}} Calendar
 * @typedef {{id: string, name: string, duration_minutes: number | null, modalities: string[], needs: string[], calendars: string[],
 *   before_minutes?: number, after_minutes?: number}} VisitType
 * @typedef {{id: string, name: string, state: string}} Location
 * @typedef {{start: number, end: number}} Span  instants
 */

import { get, serverNow } from "../api.js";
import { CalendarState, Live } from "../live.js";
import { Snapshots } from "../snapshots.js";
import { addDays, dayOf, startOfDay } from "../time.js";

const MINUTE_MS = 60_000;

export class Clinic {
  /** @type {Map<string, Calendar>} */ calendars = new Map();
  /** @type {Map<string, VisitType>} */ types = new Map();
  /** @type {Map<string, Location>} */ locations = new Map();
  zone = "UTC";
  day = "";
  /** @type {Map<string, CalendarState>} */ #states = new Map();
  /** What events do not say of a visit: video room, patient, state. @type {Map<string, Visit>} */ #details = new Map();
  #onChange;
  #onVisit;
  #live;

  /**
   * @param {string} slug
   * @param {{onChange: () => void, onVisit: (visit: Visit) => void}} told  `onVisit`: an event told of it; once for each calendar
   */
  constructor(slug, { onChange, onVisit }) {
    this.slug = slug;
    this.#onChange = onChange;
    this.#onVisit = onVisit;
    this.#live = new Live(`${location.origin.replace("http", "ws")}/ws/v1/live`, {
      ask: (id, since, waitS, signal) =>
        get(`/calendars/${id}/changes?since=${since}${waitS ? `&wait=${waitS}` : ""}`, { signal, waitS }),
      onState: onChange,
    });
  }

  /** Reads the profile. Rejects with `Refused`. */
  async open() {
    const profile = await get(`/clinics/${this.slug}`);
    this.zone = profile.zone;
    this.calendars = new Map(profile.calendars.map((/** @type {Calendar} */ one) => [one.id, one]));
    this.types = new Map(profile.visit_types.map((/** @type {VisitType} */ one) => [one.id, one]));
    this.locations = new Map(profile.locations.map((/** @type {Location} */ one) => [one.id, one]));
  }

  /** Shows this day, and has the next one at hand. @param {string} day */
  look(day) {
    for (const state of this.#states.values()) state.close();
    this.#states.clear();
    this.#details.clear();
    this.day = day;
    const snapshots = new Snapshots(this.slug, { from: this.#startOf(0), to: this.#startOf(2) });
    for (const id of this.calendars.keys()) {
      const read = {
        snapshot: async () => this.#noted(await snapshots.of(id)),
        changes: (/** @type {number} */ since) => get(`/calendars/${id}/changes?since=${since}`),
      };
      const state = new CalendarState(id, read, (visit) => {
        if (visit && visit.status !== "held") this.#onVisit(this.#whole(visit));
        this.#onChange();
      });
      this.#states.set(id, state);
      this.#live.follow(id, state);
    }
    this.#onChange();
  }

  // --- how it stands -------------------------------------------------------------------------------------------------------

  /** What `tell` of connection.js says. */
  get state() {
    if (this.#live.state !== "open") return this.#live.state;
    const all = [...this.#states.values()];
    const refusal = all.find((state) => state.refusal)?.refusal;
    if (refusal || !all.length) return refusal ?? "connecting";
    return all.every((state) => state.current) ? "live" : "behind";
  }

  get heardAt() {
    return this.#live.heardAt;
  }

  get loaded() {
    return this.#states.size > 0 && [...this.#states.values()].every((state) => state.loaded);
  }

  /** Nothing can be changed while nobody can be asked. */
  get reachable() {
    return this.state === "live" || this.state === "behind";
  }

  get today() {
    return dayOf(serverNow(), this.zone);
  }

  // --- visits --------------------------------------------------------------------------------------------------------------

  /** The visits of the day on show, each once, by time. @returns {Visit[]} */
  get visits() {
    return [...this.#all().values()]
      .filter((visit) => visit.status !== "held" && this.isOnShow(visit))
      .sort((a, b) => Date.parse(a.start) - Date.parse(b.start) || a.id.localeCompare(b.id));
  }

  /** Whether it begins on the day on show. @param {Visit} visit */
  isOnShow({ start }) {
    return this.#startOf(0) <= Date.parse(start) && Date.parse(start) < this.#startOf(1);
  }

  /** As far as it is known here. @param {string} id */
  visit(id) {
    return this.#all().get(id);
  }

  /** @param {Visit} visit */
  typeOf(visit) {
    return this.types.get(visit.visit_type);
  }

  /** The calendar people chose: of the kind that the visit type needs first. @param {Visit} visit */
  calendarOf(visit) {
    const kind = this.typeOf(visit)?.needs[0];
    const all = this.#calendarsOf(visit);
    return all.find((calendar) => calendar.kind === kind) ?? all[0];
  }

  /** @param {Visit} visit */
  roomOf(visit) {
    return this.#calendarsOf(visit).find((calendar) => calendar.kind === "room");
  }

  /** What was read of a visit, and events do not say. @param {Visit} visit */
  note(visit) {
    this.#details.set(visit.id, { ...this.#details.get(visit.id), ...visit });
  }

  /** The answer to a write of our own says what its event will. @param {Visit & {calendar: string, version: number}} answer */
  acknowledge(answer) {
    this.note(answer);
    this.#states.get(answer.calendar)?.acknowledge(answer);
  }

  // --- free times ----------------------------------------------------------------------------------------------------------

  /** The calendars of a visit type that people choose from, by name. @param {VisitType} type */
  choices(type) {
    const all = type.calendars.map((id) => this.calendars.get(id)).filter((calendar) => calendar?.kind === type.needs[0]);
    return /** @type {Calendar[]} */ (all);
  }

  /** Whether nobody has any of this time, as far as it is known here. @param {string} calendar @param {Span} span */
  isFree(calendar, span) {
    return this.#busy(calendar).every((taken) => taken.end <= span.start || span.end <= taken.start);
  }

  /** When a calendar is open and nobody has it, from now to the end of the day after the one on show. @param {string} calendar */
  freeTimes(calendar) {
    const busy = this.#busy(calendar).sort((a, b) => a.start - b.start);
    /** @type {Span[]} */ const free = [];
    for (const open of this.#states.get(calendar)?.open ?? []) {
      let start = Math.max(Date.parse(open.start), Math.ceil(serverNow() / MINUTE_MS) * MINUTE_MS);
      const end = Date.parse(open.end);
      for (const taken of busy) {
        if (taken.end <= start || end <= taken.start) continue;
        if (start < taken.start) free.push({ start, end: taken.start });
        start = taken.end;
      }
      if (start < end) free.push({ start, end });
    }
    return free;
  }

  // --- inside --------------------------------------------------------------------------------------------------------------

  /** @param {number} days */
  #startOf(days) {
    return startOfDay(addDays(this.day, days), this.zone);
  }

  /** @param {Visit} visit */
  #calendarsOf(visit) {
    return /** @type {Calendar[]} */ (visit.calendars.map((id) => this.calendars.get(id)).filter(Boolean));
  }

  /** A calendar's times with what they need before and after. @param {string} calendar @returns {Span[]} */
  #busy(calendar) {
    const visits = /** @type {Visit[]} */ ([...(this.#states.get(calendar)?.visits.values() ?? [])]);
    return visits.map((visit) => {
      const type = this.typeOf(visit);
      return {
        start: Date.parse(visit.start) - (type?.before_minutes ?? 0) * MINUTE_MS,
        end: Date.parse(visit.end) + (type?.after_minutes ?? 0) * MINUTE_MS,
      };
    });
  }

  /** A visit's calendars are told one after the other; what the one that was chosen says counts. */
  #all() {
    /** @type {Map<string, Visit>} */ const all = new Map();
    for (const [calendar, state] of this.#states) {
      for (const visit of state.visits.values()) {
        if (!all.has(visit.id) || this.calendarOf(visit)?.id === calendar) all.set(visit.id, this.#whole(visit));
      }
    }
    return all;
  }

  /** @param {Visit} visit @returns {Visit} */
  #whole(visit) {
    const { patient, state, join_url } = { ...this.#details.get(visit.id), ...visit };
    return { ...visit, patient, state, join_url };
  }

  /** @template {{appointments: Visit[]}} T @param {T} snapshot @returns {T} */
  #noted(snapshot) {
    for (const visit of snapshot.appointments) this.note(visit);
    return snapshot;
  }
}

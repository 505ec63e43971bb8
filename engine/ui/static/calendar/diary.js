// @ts-check
/**
 * What is known of the calendars on show: for each a `CalendarState` that the one connection keeps true, and beside it what only a
 * snapshot tells. All that are opened together are read in one request, and only then followed from where that one was.
 *
 * @typedef {import("../live.js").Visit & {calendar?: string, modality?: string, state?: string, stages?: Record<string, string>}} Visit
 * @typedef {{id: string, name: string, kind: string, zone: string}} Calendar
 * @typedef {{id: string, start: string, end: string, open: boolean, note: string}} Exception
 * @typedef {{id: string, kind: "visit" | "block", start: number, end: number, visit?: Visit, note?: string, calendar: string, saving?: boolean}} Item
 * @typedef {{exceptions: Exception[], join_url: string | null}} Beside  what only a snapshot tells
 * @typedef {{start: number, end: number, calendars: string[], told: boolean}} Draft  where a visit is to go; `told`: the server said yes
 */

import { decided, get } from "../api.js";
import { CalendarState, Live } from "../live.js";
import { Snapshots } from "../snapshots.js";
import { byStart, overlap } from "./layout.js";

const AGREED_MS = 2_000;
/** @type {any[]} */ const EMPTY = [];

export class Diary {
  /** On show, in their order. @type {Calendar[]} */ calendars = [];
  /** Where visits are to go that somebody here has just moved, until the calendars say the same. @type {Map<string, Draft>} */ drafts =
    new Map();
  from = 0;
  to = 0;
  /** @type {Map<string, CalendarState>} */ #states = new Map();
  /** What only a snapshot tells, by calendar. @type {Map<string, Beside>} */ #beside = new Map();
  /** What events leave out, by visit. @type {Map<string, Partial<Visit>>} */ #more = new Map();
  /** @type {Map<string, Item[]>} */ #items = new Map();
  #clinic;
  #onChange;
  #onNews;

  /** @param {string} clinic @param {{onChange: () => void, onNews: (visit: Visit) => void}} told */
  constructor(clinic, { onChange, onNews }) {
    this.#clinic = clinic;
    this.#onChange = onChange;
    this.#onNews = onNews;
    this.live = new Live(location.origin.replace("http", "ws") + "/ws/v1/live", {
      ask: (id, since, waitS, signal) =>
        get(`/calendars/${id}/changes?since=${since}${waitS ? `&wait=${waitS}` : ""}`, { signal, waitS }),
      onState: onChange,
    });
  }

  /** Shows these calendars between two instants, and nothing else. @param {Calendar[]} calendars @param {number} from @param {number} to */
  show(calendars, from, to) {
    for (const [id, state] of this.#states) {
      state.close();
      if (!calendars.some((calendar) => calendar.id === id)) this.live.unfollow(id);
    }
    Object.assign(this, { calendars, from, to });
    this.drafts.clear();
    this.#items.clear();
    this.#beside.clear();
    const snapshots = new Snapshots(this.#clinic, { from, to });
    this.#states = new Map(calendars.map(({ id }) => [id, this.#open(id, snapshots)]));
  }

  /** @param {string} id @param {Snapshots} snapshots */
  #open(id, snapshots) {
    const state = new CalendarState(
      id,
      { snapshot: () => this.#snapshot(id, snapshots), changes: (since) => get(`/calendars/${id}/changes?since=${since}`) },
      (visit) => this.#changed(id, visit),
    );
    // As if a subscription had found nothing: it is read at once, whatever the connection is doing, and taken for true once it is followed.
    const begin = /** @type {any} */ ({ type: "subscribed", version: 0, recovered: false });
    void state.receive(begin)?.then(() => this.#states.get(id) === state && this.live.follow(id, state));
    return state;
  }

  // --- what is known ------------------------------------------------------------------------------------------------------

  /** What the page may say of itself: the connection's state, and when it is open, the calendars'. */
  get connection() {
    const states = [...this.#states.values()];
    if (this.live.state !== "open" || !states.length) return this.live.state === "open" ? "connecting" : this.live.state;
    return states.find(({ refusal }) => refusal)?.refusal ?? (states.every(({ current }) => current) ? "live" : "behind");
  }

  /** Whether something may be changed now: not while nobody would hear of it. */
  get writable() {
    return this.live.state === "open";
  }

  get loaded() {
    return [...this.#states.values()].every(({ loaded, refusal }) => loaded || refusal);
  }

  /** All of a calendar, by start: visits, holds, and the times it is closed although it usually is not. @param {string} calendar @returns {Item[]} */
  itemsOf(calendar) {
    const known = this.#items.get(calendar);
    if (known) return known;
    const visits = [...(this.#states.get(calendar)?.visits.values() ?? [])].filter(({ id }) => !this.drafts.has(id));
    const items = [
      ...visits.map((visit) => this.#item(calendar, visit)),
      ...[...this.drafts].flatMap(([id, draft]) => this.#drafted(calendar, id, draft)),
      ...this.exceptionsOf(calendar)
        .filter(({ open }) => !open)
        .map(({ id, start, end, note }) => ({
          id,
          kind: /** @type {const} */ ("block"),
          calendar,
          start: Date.parse(start),
          end: Date.parse(end),
          note,
        })),
    ].sort(byStart);
    this.#items.set(calendar, items);
    return items;
  }

  /** @param {string} calendar @param {{start: number, end: number}} span */
  itemsIn(calendar, span) {
    return this.itemsOf(calendar).filter((item) => overlap(item, span));
  }

  /** @param {string} calendar @param {import("../live.js").Visit} visit @returns {Item} */
  #item(calendar, visit) {
    return {
      id: visit.id,
      kind: "visit",
      calendar,
      start: Date.parse(visit.start),
      end: Date.parse(visit.end),
      visit: this.#whole(visit),
    };
  }

  /** @param {string} calendar @param {string} id @param {Draft} draft @returns {Item[]} */
  #drafted(calendar, id, { start, end, calendars }) {
    const visit = this.visit(id);
    return visit && calendars.includes(calendar) ? [{ id, kind: "visit", calendar, start, end, visit, saving: true }] : [];
  }

  /** @param {import("../live.js").Visit} visit @returns {Visit} */
  #whole(visit) {
    return { ...this.#more.get(visit.id), ...visit };
  }

  /** @param {string | undefined} id @returns {Visit | undefined} */
  visit(id) {
    for (const { visits } of this.#states.values()) {
      const visit = visits.get(id ?? "");
      if (visit) return this.#whole(visit);
    }
    return undefined;
  }

  /** When a calendar is open within a span. @param {string} calendar @param {{start: number, end: number}} span @returns {{start: number, end: number}[]} */
  openIn(calendar, span) {
    return (this.#states.get(calendar)?.open ?? EMPTY)
      .map(({ start, end }) => ({ start: Math.max(span.start, Date.parse(start)), end: Math.min(span.end, Date.parse(end)) }))
      .filter(({ start, end }) => start < end);
  }

  /** @param {string} calendar @returns {Exception[]} */
  exceptionsOf(calendar) {
    return this.#beside.get(calendar)?.exceptions ?? EMPTY;
  }

  /** The room that a video visit is in, if there is one. @param {Visit} visit @returns {string | undefined} */
  joinUrl(visit) {
    if (visit.modality !== "video") return undefined;
    return visit.calendars.map((id) => this.#beside.get(id)?.join_url).find(Boolean) ?? undefined;
  }

  // --- what comes ---------------------------------------------------------------------------------------------------------

  /** The answer to a write of our own says what its event will say. @param {any} answer */
  acknowledge(answer) {
    this.#remember([answer]);
    for (const state of this.#states.values()) state.acknowledge(answer);
    this.redraw();
  }

  /** Everything is worked out anew. */
  redraw() {
    this.#items.clear();
    this.#onChange();
  }

  /** @param {string} id @param {import("../live.js").Visit} [visit] */
  #changed(id, visit) {
    this.#items.delete(id);
    if (visit) decided(visit.id);
    for (const [moved, draft] of this.drafts) if (draft.told && this.#agreed(moved, draft)) this.undraft(moved);
    if (visit && Date.parse(visit.start) < this.to && this.from < Date.parse(visit.end)) this.#onNews(this.#whole(visit));
    this.#onChange();
  }

  /** Whether the calendars say what was decided. @param {string} id @param {Draft} draft */
  #agreed(id, { start, end, calendars }) {
    return [...this.#states].every(([calendar, { visits }]) => {
      const visit = visits.get(id);
      if (!visit) return !calendars.includes(calendar);
      return calendars.includes(calendar) && Date.parse(visit.start) === start && Date.parse(visit.end) === end;
    });
  }

  /** Where a visit is to be drawn from now on, whatever its calendars say. @param {string} id @param {Draft} draft */
  draft(id, draft) {
    this.drafts.set(id, draft);
    if (draft.told && this.#agreed(id, draft)) return this.undraft(id); // the event was quicker than the answer
    // The calendars may never say this very thing: somebody else can have been quicker with the next move.
    if (draft.told) setTimeout(() => this.drafts.get(id) === draft && this.undraft(id), AGREED_MS);
    this.redraw();
  }

  /** @param {string} id */
  undraft(id) {
    this.drafts.delete(id);
    this.redraw();
  }

  /** @param {string} id @param {Snapshots} snapshots */
  async #snapshot(id, snapshots) {
    const snapshot = /** @type {import("../snapshots.js").Snapshot & Beside} */ (await snapshots.of(id));
    this.#beside.set(id, snapshot);
    this.#remember(snapshot.appointments);
    return snapshot;
  }

  /** @param {Visit[]} visits */
  #remember(visits) {
    for (const { id, calendar, state } of visits) this.#more.set(id, { calendar, state });
  }
}

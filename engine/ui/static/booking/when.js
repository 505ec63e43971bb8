// @ts-check
/** The step that chooses a time: seven days, and the times of one of them, kept true while somebody looks. */

import { serverNow } from "../api.js";
import { byId, write } from "../dom.js";
import { text } from "../texts.js";
import { addDays, clock, dayName, dayOf, sameClock, startOfDay, zoneName } from "../time.js";
import { WEEK_DAYS, drawDays, drawSlots } from "./chooser.js";
import { firstAfter, freeBetween, profile } from "./search.js";
import { firstTimeIsVisible } from "./wishes.js";
import { currentZone } from "./zones.js";

/**
 * @typedef {import("./search.js").Slot} Slot
 * @typedef {import("./search.js").Wish} Wish
 * @typedef {import("./search.js").Found} Found
 * @typedef {{from: number, to: number, read: (signal: AbortSignal) => Promise<Found>}} Question
 * @typedef {import("../availability.js").Availability<Question>} Availability
 */

const BUFFER_MS = 86_400_000; // a visit blocks less than a day around it

export class When {
  /** The times of the chosen day that have been on show: one that is taken keeps its place. @type {Map<number, Slot>} */
  #seen = new Map();
  /** @type {Question | undefined} */ #asked;
  /** What is on show answers this. @type {Question | undefined} */ #shown;
  /** @type {Wish} */ #wish = { visitType: "", modality: "", state: "" };
  #calendar = "";
  #firstDay = "";
  #chosenDay = "";
  #availability;
  #onTake;
  #isBusy;

  /** @param {Availability} availability @param {{onTake: (slot: Slot) => void, isBusy: () => boolean}} page */
  constructor(availability, { onTake, isBusy }) {
    this.#availability = availability;
    this.#onTake = onTake;
    this.#isBusy = isBusy;
    byId("earlier").addEventListener("click", () => this.#turn(-WEEK_DAYS));
    byId("later").addEventListener("click", () => this.#turn(WEEK_DAYS));
    byId("days").addEventListener("click", ({ target }) => {
      const day = /** @type {HTMLElement} */ (target).closest("button")?.dataset.day;
      if (day) this.#choose(day);
    });
  }

  /** @param {Wish} wish @param {{calendar: string, first?: Slot}} whom  `first`: its first free time, if that is known */
  begin(wish, { calendar, first }) {
    const today = dayOf(serverNow(), currentZone());
    const day = first ? dayOf(Date.parse(first.start), currentZone()) : today;
    this.#wish = { ...wish };
    this.#calendar = calendar;
    this.#firstDay = day < addDays(today, WEEK_DAYS) ? today : day;
    this.#chosenDay = "";
    this.#asked = this.#shown = undefined;
    this.#seen.clear();
    for (const list of ["days", "times"]) byId(list).replaceChildren();
  }

  ask() {
    const [wish, calendar, zone] = [this.#wish, this.#calendar, currentZone()];
    const [from, to] = [startOfDay(this.#firstDay, zone), this.#weekEnd];
    this.#asked = {
      from: from - BUFFER_MS,
      to: to + BUFFER_MS,
      read: (signal) => freeBetween(wish, { calendar, from, to, signal }),
    };
    this.#availability.ask(this.#asked);
  }

  draw() {
    const { question } = this.#availability;
    const waits = !question || question !== this.#asked;
    byId("times").setAttribute("aria-busy", String(waits));
    if (waits) return;
    const days = Array.from({ length: WEEK_DAYS }, (_, index) => addDays(this.#firstDay, index));
    const times = this.#timesOf(days);
    if (this.#shown !== question) {
      this.#shown = question;
      if (!times.get(this.#chosenDay)?.size) this.#chosenDay = days.find((day) => times.get(day)?.size) ?? days[0];
      this.#seen.clear();
    }
    /** @type {HTMLButtonElement} */ (byId("earlier")).disabled = this.#firstDay <= dayOf(serverNow(), currentZone());
    drawDays(byId("days"), days, { chosen: this.#chosenDay, countOf: (day) => times.get(day)?.size ?? 0 });
    this.#drawTimes(
      times.get(this.#chosenDay) ?? new Map(),
      [...times.values()].some(({ size }) => size),
    );
  }

  /** Shows the next day that has a free time; whether there is one. */
  async jump() {
    const found = await firstAfter(this.#wish, this.#weekEnd);
    const next = found.find(({ calendar }) => !this.#calendar || calendar === this.#calendar);
    if (!next) return false;
    this.#chosenDay = this.#firstDay = dayOf(Date.parse(next.start), currentZone());
    this.ask();
    return true;
  }

  get #weekEnd() {
    return startOfDay(addDays(this.#firstDay, WEEK_DAYS), currentZone());
  }

  /** Those that have not passed. One time may be free with several people; one button is enough. @param {string[]} days */
  #timesOf(days) {
    /** @type {Map<string, Map<number, Slot>>} */
    const times = new Map(days.map((day) => [day, new Map()]));
    for (const slot of this.#availability.slots) {
      const start = Date.parse(slot.start);
      if (start <= serverNow()) continue;
      const day = times.get(dayOf(start, currentZone()));
      if (day && !day.has(start)) day.set(start, slot);
    }
    return times;
  }

  /** @param {Map<number, Slot>} free  of the chosen day @param {boolean} some  on any of the days */
  #drawTimes(free, some) {
    const zone = currentZone();
    for (const [start, slot] of free) this.#seen.set(start, slot);
    for (const start of this.#seen.keys()) if (start <= serverNow()) this.#seen.delete(start);
    write(byId("times-title"), this.#seen.size ? text("times.on", { day: dayName(this.#chosenDay) }) : text("times.which_time"));
    write(byId("none"), free.size ? "" : some ? text("times.day_full") : text("times.week_full"));
    byId("jump").hidden = some;
    const sample = free.size ? [...free.keys()][0] : Date.parse(this.#chosenDay);
    const same = sameClock(sample, zone, profile.zone);
    const zones = { zone: zoneName(sample, zone), clinic: zoneName(sample, profile.zone) };
    write(byId("zone-note"), text(same ? "booking.in_zone" : "booking.in_zone_not_clinic", zones));
    drawSlots(
      byId("times"),
      [...this.#seen].sort(([a], [b]) => a - b).map(([start, slot]) => free.get(start) ?? slot),
      {
        keyOf: (slot) => slot.start,
        labelOf: (slot) => clock(Date.parse(slot.start), zone),
        isTaken: (slot) => !free.has(Date.parse(slot.start)),
        onTurn: (time, taken) =>
          this.#isBusy() || write(byId("times-news"), text(taken ? "times.just_taken" : "times.free_again", { time })),
        onTake: this.#onTake,
      },
    );
    if (free.size) firstTimeIsVisible();
  }

  /** @param {string} day */
  #choose(day) {
    this.#chosenDay = day;
    this.#seen.clear();
    write(byId("times-news"), "");
    this.draw();
  }

  /** @param {number} days */
  #turn(days) {
    const today = dayOf(serverNow(), currentZone());
    const next = addDays(this.#firstDay, days);
    this.#firstDay = next < today ? today : next;
    this.ask();
  }
}

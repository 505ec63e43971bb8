// @ts-check
/** Snapshots of many calendars in one request: those that `CalendarState`s ask for in the same moment are asked for together. */

import { get } from "./api.js";

/**
 * @typedef {import("./live.js").Snapshot & {calendar: string}} Snapshot
 * @typedef {{resolve: (snapshot: Snapshot) => void, reject: (reason: unknown) => void}} Waiting
 */

export class Snapshots {
  /** @type {Map<string, Waiting[]>} */ #waiting = new Map();
  #clinic;
  #range;

  /** @param {string} clinic @param {{from: number, to: number}} range  instants */
  constructor(clinic, { from, to }) {
    this.#clinic = clinic;
    this.#range = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  }

  /** This calendar in the range. Rejects with `{code}`. @param {string} calendar @returns {Promise<Snapshot>} */
  of(calendar) {
    return new Promise((resolve, reject) => {
      if (!this.#waiting.size) setTimeout(() => this.#ask());
      this.#waiting.set(calendar, [...(this.#waiting.get(calendar) ?? []), { resolve, reject }]);
    });
  }

  async #ask() {
    const asked = this.#waiting;
    this.#waiting = new Map();
    const query = new URLSearchParams(this.#range);
    for (const calendar of asked.keys()) query.append("calendar", calendar);
    try {
      const { calendars } = await get(`/clinics/${this.#clinic}/snapshot?${query}`);
      const found = new Map(calendars.map((/** @type {Snapshot} */ one) => [one.calendar, one]));
      for (const [calendar, all] of asked) for (const one of all) settle(one, found.get(calendar));
    } catch (error) {
      for (const one of [...asked.values()].flat()) one.reject(error);
    }
  }
}

/** @param {Waiting} waiting @param {Snapshot | undefined} snapshot */
function settle({ resolve, reject }, snapshot) {
  if (snapshot) resolve(snapshot);
  else reject({ code: "not_found" });
}

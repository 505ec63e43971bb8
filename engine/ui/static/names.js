// @ts-check
/**
 * Who the patients are. The engine does not know: records does, and notes who asked. So names are asked for once each, all that
 * are on show in one request, and only as long as somebody looks.
 */

import { Refused, ask } from "./api.js";
import { text } from "./texts.js";

const RECORDS = "/api/records/v1";
const SOON_MS = 150; // many visits come at once
const AGAIN_MS = 5_000; // a booking's details are on their way, or records is away
const LONGEST_MS = 60_000;
const MOST = 100; // what one request may ask for

export class Names {
  /** By appointment. @type {Map<string, string>} */ #known = new Map();
  /** On show, and without a name. @type {Set<string>} */ #wanted = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #pause = AGAIN_MS;
  #refused = false;
  #asking = false;
  #onChange;

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** The names of these appointments are on show now; those not known yet are asked for. @param {string[]} ids */
  show(ids) {
    const unknown = ids.filter((id) => !this.#known.has(id));
    const news = unknown.some((id) => !this.#wanted.has(id));
    this.#wanted = new Set(unknown);
    if (news) this.#askIn(SOON_MS);
  }

  /** Something happened to this appointment: its patient may be known now. @param {string} id */
  look(id) {
    if (this.#wanted.has(id)) this.#askIn(SOON_MS);
  }

  /** What to write for an appointment; empty for those who may not know. @param {string} id */
  of(id) {
    return this.#known.get(id) ?? (this.#refused ? "" : text("common.name_arriving"));
  }

  /** Whether names that are on show are still to come. */
  get waiting() {
    return this.#wanted.size > 0 && !this.#refused;
  }

  /** @param {number} ms */
  #askIn(ms) {
    if (this.#refused) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), ms);
  }

  async #ask() {
    if (this.#asking || !this.#wanted.size) return;
    if (document.hidden) return this.#askIn(AGAIN_MS);
    this.#asking = true;
    const asked = [...this.#wanted].slice(0, MOST);
    try {
      const { items } = await ask("/appointments/patients", { appointments: asked }, { base: RECORDS, waitS: 0 });
      for (const { appointment, name } of items) if (name) this.#known.set(appointment, name);
      this.#pause = items.length ? AGAIN_MS : this.#pause * 2;
    } catch (error) {
      this.#refused = error instanceof Refused && ["forbidden", "second_factor_required"].includes(error.code);
      this.#pause *= 2;
    }
    this.#asking = false;
    this.#pause = Math.min(this.#pause, LONGEST_MS);
    const rest = [...this.#wanted].filter((id) => !asked.includes(id));
    this.#wanted = new Set([...rest, ...asked.filter((id) => !this.#known.has(id))]);
    if (this.#wanted.size) this.#askIn(rest.length && this.#pause === AGAIN_MS ? SOON_MS : this.#pause * (0.5 + Math.random()));
    this.#onChange();
  }
}

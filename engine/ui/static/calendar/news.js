// @ts-check
/** What others changed, told once to who does not see it: one thing in words, many in one moment as their number. */

import { text } from "../texts.js";
import { statusOf } from "./words.js";

/** @typedef {import("./diary.js").Visit} Visit */

const TOGETHER_MS = 700;

export class News {
  /** By visit: on two calendars it is one piece of news. @type {Map<string, Visit>} */ #waiting = new Map();
  /** What was told last of each. @type {Map<string, string>} */ #told = new Map();
  #log;
  #describe;

  /** @param {HTMLElement} log @param {(visit: Visit) => Record<string, string>} describe */
  constructor(log, describe) {
    this.#log = log;
    this.#describe = describe;
  }

  /** @param {Visit} visit */
  tell(visit) {
    if (!this.#waiting.size) setTimeout(() => this.#say(), TOGETHER_MS);
    this.#waiting.set(visit.id, visit);
  }

  #say() {
    const visits = [...this.#waiting.values()].filter((visit) => this.#isNew(visit));
    this.#waiting.clear();
    // A new text is read out, also where it says the same as the one before.
    const say = (/** @type {string} */ words) => this.#log.replaceChildren(words);
    if (visits.length > 1) say(text("calendar.news_many", { count: visits.length }));
    else for (const visit of visits) say(text("calendar.news", { ...this.#describe(visit), status: statusOf(visit) }));
  }

  /** @param {Visit} visit */
  #isNew({ id, start, end, status }) {
    const now = `${start} ${end} ${status}`;
    const known = this.#told.get(id) === now;
    this.#told.set(id, now);
    return !known;
  }
}

// @ts-check
/**
 * What is read out of all that is pushed: who came, who cancelled, who is late. Each once, and what comes in one moment together;
 * the rest is on the board for who looks.
 */

import { serverNow } from "../api.js";
import { byId, make } from "../dom.js";
import { text } from "../texts.js";
import { title } from "./card.js";
import { lateBy } from "./columns.js";

/** @typedef {import("./columns.js").Visit} Visit */

const TOGETHER_MS = 700; // names come a moment after their visits
const MOST_NAMED = 3;
const KEPT = 20;

export class News {
  /** What was told of each visit last. @type {Map<string, string>} */ #told = new Map();
  /** @type {{what: string, visit: Visit}[]} */ #waiting = [];
  #clinic;
  #names;

  /** @param {import("./clinic.js").Clinic} clinic @param {import("../names.js").Names} names */
  constructor(clinic, names) {
    this.#clinic = clinic;
    this.#names = names;
  }

  /** How it is when somebody begins to look is no news. @param {Visit[]} visits */
  begin(visits) {
    for (const visit of visits) this.#told.set(visit.id, this.#what(visit));
  }

  /** @param {Visit} visit  of the day on show */
  hear(visit) {
    const what = this.#what(visit);
    if (this.#told.get(visit.id) === what) return;
    this.#told.set(visit.id, what);
    if (!what) return;
    if (!this.#waiting.length) setTimeout(() => this.#say(), TOGETHER_MS);
    this.#waiting.push({ what, visit });
  }

  /** @param {Visit} visit */
  #what(visit) {
    if (visit.status === "arrived" || visit.status === "cancelled") return visit.status;
    return lateBy(visit, serverNow()) === undefined ? "" : "late";
  }

  #say() {
    const news = this.#waiting.splice(0);
    const kinds = new Set(news.map(({ what }) => what));
    const texts = [...kinds].flatMap((what) =>
      this.#sentences(
        what,
        news.filter((one) => one.what === what),
      ),
    );
    const log = byId("news");
    log.append(...texts.map((told) => make("p", {}, told)));
    while (log.childElementCount > KEPT) log.firstElementChild?.remove();
  }

  /** @param {string} what @param {{visit: Visit}[]} news */
  #sentences(what, news) {
    if (news.length > MOST_NAMED) return [text(`desk.news_many_${what}`, { count: news.length })];
    return news.map(({ visit }) => text(`desk.news_${what}`, { who: title(visit, this.#clinic, this.#names.of(visit.id)) }));
  }
}

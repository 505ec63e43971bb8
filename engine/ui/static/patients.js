// @ts-check
/**
 * Finds the clinic's patients while somebody types a name, a telephone number or a birth date. What is typed goes in a request's
 * body, never into an address; records notes who was found by whom.
 *
 * @typedef {{id: string, name?: string, birth_date?: string, access?: "break_glass"}} Patient  without a name where `access` says
 *   that the reader has no part in the care
 * @typedef {{typed: string, searching: boolean, patients: Patient[], code?: string}} Found  `code`: of the refusal, if any
 */

import { Refused, ask } from "./api.js";
import { language } from "./texts.js";

const RECORDS = "/api/records/v1";
const PAUSE_MS = 250; // of somebody who types on
const MOST = 20;
const SHORTEST = 2;
const DAY_FIRST = new Intl.DateTimeFormat(language).formatToParts().find(({ type }) => type !== "literal")?.type === "day";

/**
 * What is meant by what was typed: a birth date (1980-02-03, or in the order of the page's language), a number, else a name.
 * Nothing where it is too little to look for.
 * @param {string} typed @returns {{birth_date: string} | {phone: string} | {name: string} | undefined}
 */
export function meant(typed) {
  const said = typed.trim().replace(/\s+/g, " ");
  const written = /^(\d{4})-(\d{1,2})-(\d{1,2})$/.exec(said);
  const spoken = /^(\d{1,2})[/.](\d{1,2})[/.](\d{4})$/.exec(said);
  if (written) return { birth_date: dateOf(written[1], written[2], written[3]) };
  if (spoken) return { birth_date: DAY_FIRST ? dateOf(spoken[3], spoken[2], spoken[1]) : dateOf(spoken[3], spoken[1], spoken[2]) };
  if (/^[\d+(). x/-]+$/.test(said)) return said.replace(/\D/g, "").length > 6 ? { phone: said.slice(0, 40) } : undefined;
  return [...said].length < SHORTEST ? undefined : { name: said.slice(0, 200) };
}

/** @param {string} year @param {string} month @param {string} day */
const dateOf = (year, month, day) => `${year}-${month.padStart(2, "0")}-${day.padStart(2, "0")}`;

/** One search at a time: what is typed next takes the place of what was asked before. */
export class PatientSearch {
  /** @type {Found} */ found = { typed: "", searching: false, patients: [] };
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {AbortController | undefined} */ #asking;
  #onChange;

  /** @param {() => void} onChange  after every change of `found` */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** @param {string} typed */
  type(typed) {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    const asked = meant(typed);
    this.#show({ typed, searching: asked !== undefined, patients: [] });
    if (asked) this.#timer = setTimeout(() => this.#ask(typed, asked), PAUSE_MS);
  }

  /** Nothing of it stays in the page. */
  forget() {
    this.type("");
  }

  /** @param {string} typed @param {object} asked */
  async #ask(typed, asked) {
    const { signal } = (this.#asking = new AbortController());
    try {
      const { items } = await ask("/patients/search", { ...asked, limit: MOST }, { base: RECORDS, signal });
      this.#show({ typed, searching: false, patients: items });
    } catch (error) {
      if (signal.aborted) return;
      this.#show({ typed, searching: false, patients: [], code: error instanceof Refused ? error.code : "internal_error" });
    }
  }

  /** @param {Found} found */
  #show(found) {
    this.found = found;
    this.#onChange();
  }
}

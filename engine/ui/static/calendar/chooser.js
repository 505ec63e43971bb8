// @ts-check
/** Which calendars are on show: a box to tick for each, by kind; on a narrow screen one of them at a time. */

import { make } from "../dom.js";
import { text } from "../texts.js";

/** @typedef {import("./part.js").Calendar} Calendar */

const KINDS = ["practitioner", "room", "device"];
const MOST = 100; // that one connection follows

export class Chooser {
  /** In the order of the page. @type {Calendar[]} */ #all = [];
  /** @type {Set<string>} */ #chosen = new Set();
  /** As long as nobody has chosen. @type {Set<string>} */ #usual = new Set();
  #boxes;
  #only;
  #onChange;

  /** @param {HTMLElement} boxes @param {HTMLElement} only  a select, in its field @param {() => void} onChange */
  constructor(boxes, only, onChange) {
    this.#boxes = boxes;
    this.#only = only;
    this.#onChange = onChange;
    boxes.addEventListener("change", ({ target }) => this.#tick(/** @type {HTMLInputElement} */ (target)));
    boxes.addEventListener("click", ({ target }) => this.#kind(/** @type {HTMLElement} */ (target).dataset.kind));
    this.#select.addEventListener("change", onChange);
  }

  get #select() {
    return /** @type {HTMLSelectElement} */ (this.#only.querySelector("select"));
  }

  /** @param {Calendar[]} calendars @param {string} [own]  the reader's own calendar */
  offer(calendars, own) {
    const order = (/** @type {Calendar} */ { kind }) => KINDS.indexOf(kind);
    this.#all = [...calendars].sort((a, b) => order(a) - order(b));
    const practitioners = this.#all.filter(({ kind }) => kind === KINDS[0]);
    const mine = this.#all.filter(({ id }) => id === own);
    this.#usual = new Set(
      [mine, practitioners, this.#all]
        .find(({ length }) => length)
        ?.slice(0, MOST)
        .map(({ id }) => id),
    );
    this.#boxes.replaceChildren(...KINDS.flatMap((kind) => this.#group(kind)));
  }

  /** @param {string} kind */
  #group(kind) {
    const calendars = this.#all.filter((calendar) => calendar.kind === kind);
    if (!calendars.length) return [];
    const all = make("button", { type: "button", className: "quiet" }, text("calendar.all"));
    all.dataset.kind = kind;
    const name = text(`calendar.kind_${kind}`);
    all.setAttribute("aria-label", `${text("calendar.all")}: ${name}`);
    const boxes = calendars.map(({ id, name }) =>
      make("label", { dir: "auto" }, make("input", { type: "checkbox", value: id }), ` ${name}`),
    );
    return [make("fieldset", {}, make("legend", {}, name), ...boxes, all)];
  }

  /** @param {string[]} ids  unknown ones are left out; none that is known: as usual */
  choose(ids) {
    const known = ids.filter((id) => this.#all.some((calendar) => calendar.id === id)).slice(0, MOST);
    this.#chosen = new Set(known.length ? known : this.#usual);
    this.#show();
  }

  /** What of it belongs into the address: nothing when it is the usual choice. */
  get asAsked() {
    const usual = this.#chosen.size === this.#usual.size && [...this.#chosen].every((id) => this.#usual.has(id));
    return usual ? [] : [...this.#chosen];
  }

  /** @param {{one: boolean}} how @returns {Calendar[]} */
  shown({ one }) {
    this.#only.hidden = !one || this.#chosen.size < 2;
    const chosen = this.#all.filter(({ id }) => this.#chosen.has(id));
    return one ? [chosen.find(({ id }) => id === this.#select.value) ?? chosen[0]] : chosen;
  }

  /** The one that is on show where there is room for one. @param {string} id */
  turnTo(id) {
    this.#select.value = id;
  }

  #show() {
    for (const box of this.#boxes.querySelectorAll("input")) {
      box.checked = this.#chosen.has(box.value);
      // One stays, and no more than a connection follows.
      box.disabled = box.checked ? this.#chosen.size === 1 : this.#chosen.size >= MOST;
    }
    const before = this.#select.value;
    this.#select.replaceChildren(
      ...this.#all.filter(({ id }) => this.#chosen.has(id)).map(({ id, name }) => make("option", { value: id }, name)),
    );
    if (this.#chosen.has(before)) this.#select.value = before;
  }

  /** @param {HTMLInputElement} box */
  #tick({ value, checked }) {
    if (checked) this.#chosen.add(value);
    else this.#chosen.delete(value);
    this.#show();
    this.#onChange();
  }

  /** @param {string | undefined} kind */
  #kind(kind) {
    if (!kind) return;
    const ids = this.#all.filter((calendar) => calendar.kind === kind).map(({ id }) => id);
    const others = [...this.#chosen].filter((id) => !ids.includes(id));
    const allOn = ids.every((id) => this.#chosen.has(id)) && others.length > 0;
    this.#chosen = new Set((allOn ? others : [...others, ...ids]).slice(0, MOST));
    this.#show();
    this.#onChange();
  }
}

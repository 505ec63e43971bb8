// @ts-check
/**
 * The board: a column for each stage of a visit; on a phone one at a time, as tabs. Tab goes to one card, the arrows to the others.
 * What somebody does with a card is told as the events `desk-open` and `desk-step`.
 */

import { text } from "../texts.js";
import { LitElement, html, nothing, repeat } from "../vendor/lit.js";
import { card } from "./card.js";
import { COLUMNS, STEP_KEYS, columnOf, stepsOf } from "./columns.js";
import { tabList } from "./tabs.js";

/** @typedef {import("./columns.js").Visit} Visit */
/** @typedef {import("./columns.js").Column} Column */

const narrow = matchMedia("(max-width: 60rem)");

export class Board extends LitElement {
  /** @type {import("./clinic.js").Clinic | undefined} */ clinic;
  /** @type {import("../names.js").Names | undefined} */ names;
  /** @type {Visit[]} */ visits = [];
  /** Visits that a step is under way for. @type {Set<string>} */ moving = new Set();
  /** Whether letters do something. */ lettersOn = () => true;
  /** The card that Tab goes to. */ #current = "";
  /** @type {Column} */ #tab = "expected";
  /** Where the focus is, so that it survives its card's going elsewhere. @type {{column: number, row: number} | undefined} */ #place;
  #turned = () => this.requestUpdate();

  constructor() {
    super();
    this.addEventListener("click", (event) => this.#clicked(event));
    this.addEventListener("keydown", (event) => this.#pressed(event));
    this.addEventListener("focusin", ({ target }) => this.#focused(/** @type {HTMLElement} */ (target)));
  }

  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    super.connectedCallback();
    narrow.addEventListener("change", this.#turned);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    narrow.removeEventListener("change", this.#turned);
  }

  /** The visits of each column. @returns {Visit[][]} */
  get #columns() {
    return COLUMNS.map((column) => this.visits.filter((visit) => columnOf(visit) === column));
  }

  willUpdate() {
    const active = /** @type {HTMLElement} */ (document.activeElement);
    this.#place = this.contains(active) && active.dataset.visit ? this.#placeOf(active) : undefined;
    if (!this.visits.some(({ id }) => id === this.#current)) this.#current = this.#columns.flat()[0]?.id ?? "";
  }

  render() {
    const columns = this.#columns;
    const shown = narrow.matches ? COLUMNS.filter((column) => column === this.#tab) : COLUMNS;
    const select = (/** @type {string} */ key) => {
      this.#tab = /** @type {Column} */ (key);
      this.requestUpdate();
    };
    const tabs = COLUMNS.map((key, index) => ({ key, name: this.#head(key, columns[index].length) }));
    return html`${narrow.matches ? tabList({ id: "column", label: text("desk.board"), tabs, selected: this.#tab, select }) : nothing}
      <div class="columns">
        ${repeat(
          shown,
          (column) => column,
          (column) => this.#column(column, columns[COLUMNS.indexOf(column)]),
        )}
      </div>`;
  }

  /** @param {Column} column @param {number} count */
  #head(column, count) {
    return html`<span>${text(`desk.column_${column}`)}</span> <span class="count">${count}</span>`;
  }

  /** @param {Column} column @param {Visit[]} visits */
  #column(column, visits) {
    const head = html`<h3 id="column-${column}-title">${this.#head(column, visits.length)}</h3>`;
    return html`<section
      id="column-${column}"
      data-column=${column}
      role=${narrow.matches ? "tabpanel" : "region"}
      aria-labelledby=${narrow.matches ? `column-${column}-tab` : `column-${column}-title`}
    >
      ${narrow.matches ? nothing : head}
      <ul>
        ${repeat(
          visits,
          ({ id }) => id,
          (visit) => html`<li class="card" data-status=${visit.status} data-key=${visit.id}>${this.#card(visit)}</li>`,
        )}
      </ul>
      ${visits.length ? nothing : html`<p class="muted empty">${text("desk.nobody")}</p>`}
    </section>`;
  }

  /** @param {Visit} visit */
  #card(visit) {
    const { clinic, names } = this;
    if (!clinic || !names) return nothing;
    const name = names.of(visit.id);
    return card(visit, { clinic, name, isCurrent: visit.id === this.#current, isMoving: this.moving.has(visit.id) });
  }

  updated() {
    if (this.#place && !this.contains(document.activeElement)) this.#refocus(this.#place);
  }

  /** The focus goes with its card, or, where that is gone, to what is in its place now. @param {{column: number, row: number}} place */
  #refocus({ column, row }) {
    const cards = this.#cardsIn(column);
    const same = this.querySelector(`.open[data-visit="${this.#current}"]`);
    const next = same ?? cards[Math.min(row, cards.length - 1)] ?? this.querySelector(".open, [role=tab][aria-selected=true]");
    /** @type {HTMLElement | null} */ (next)?.focus();
  }

  // --- keys and taps -------------------------------------------------------------------------------------------------------

  /** The second click of two may hit the card that has taken the first one's place. @param {MouseEvent} event */
  #clicked({ target, detail }) {
    if (detail > 1) return;
    const button = /** @type {HTMLElement} */ (target).closest("button");
    const { visit, step } = button?.dataset ?? {};
    if (visit) this.#tell(visit, step);
  }

  /** @param {HTMLElement} target */
  #focused(target) {
    if (!target.dataset.visit || target.dataset.visit === this.#current) return;
    this.#current = target.dataset.visit;
    this.requestUpdate();
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const id = target.dataset.visit;
    if (!id || event.ctrlKey || event.metaKey || event.altKey) return;
    const letter = this.lettersOn() && !event.repeat ? event.key.toLowerCase() : "";
    const visit = this.visits.find((one) => one.id === id);
    const step = visit && stepsOf(visit).find((one) => STEP_KEYS[one] === letter);
    if (step) this.#tell(id, step);
    else if (!this.#go(event.key, target)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {string} visit @param {string} [step] */
  #tell(visit, step) {
    this.#current = visit;
    this.dispatchEvent(new CustomEvent(step ? "desk-step" : "desk-open", { detail: { visit, step } }));
  }

  /** Whether the key is one that goes somewhere. @param {string} key @param {HTMLElement} from */
  #go(key, from) {
    const { column, row } = this.#placeOf(from);
    const forward = getComputedStyle(this).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
    if (key === "ArrowLeft" || key === "ArrowRight") this.#goAcross(column, row, key === forward ? 1 : -1);
    else if (key === "ArrowUp") this.#goTo(column, row - 1);
    else if (key === "ArrowDown") this.#goTo(column, row + 1);
    else if (key === "Home") this.#goTo(column, 0);
    else if (key === "End") this.#goTo(column, Infinity);
    else return false;
    return true;
  }

  /** Columns without cards are passed over. @param {number} column @param {number} row @param {number} by */
  #goAcross(column, row, by) {
    for (let next = column + by; 0 <= next && next < COLUMNS.length; next += by) {
      if (!this.#columns[next].length) continue;
      this.#tab = COLUMNS[next];
      this.requestUpdate();
      return void this.updateComplete.then(() => this.#goTo(next, row));
    }
  }

  /** @param {number} column @param {number} row */
  #goTo(column, row) {
    const cards = this.#cardsIn(column);
    cards[Math.max(0, Math.min(row, cards.length - 1))]?.focus();
  }

  /** @param {number} column @returns {HTMLElement[]} */
  #cardsIn(column) {
    return [...this.querySelectorAll(`[data-column="${COLUMNS[column]}"] .open`)].map((one) => /** @type {HTMLElement} */ (one));
  }

  /** @param {HTMLElement} element */
  #placeOf(element) {
    const column = COLUMNS.findIndex((name) => name === element.closest("section")?.dataset.column);
    return { column, row: this.#cardsIn(column).findIndex((one) => one.dataset.visit === element.dataset.visit) };
  }
}

customElements.define("desk-board", Board);

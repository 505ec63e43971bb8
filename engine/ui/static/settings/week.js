// @ts-check
/**
 * A week to draw on: seven days, half an hour a cell. Whoever drags over cells that are closed opens them, over open ones closes them;
 * the edge of a block can be dragged, past midnight too. With the keyboard, or with a finger: Enter or a tap on the first cell and on
 * the last. It tells of what was drawn and changes nothing itself; exact times are typed beside it.
 */

import { LitElement, classMap, html, nothing } from "../vendor/lit.js";
import { text } from "../texts.js";
import { clock, dayName } from "../time.js";
import { DAY, blockAt, closed, opened, timeOf } from "./blocks.js";

/** @typedef {import("./blocks.js").Block} Block */
/** @typedef {{day: number, minute: number}} Cell */

const STEP = 30;
const FIRST_SHOWN = 7 * 60;
const EDGE_PX = 7;
const ROWS = Array.from({ length: DAY / STEP }, (_, row) => row * STEP);
const DAYS = [0, 1, 2, 3, 4, 5, 6];
const MONDAY = "2024-01-01";
const MOVES = { ArrowUp: [0, -STEP], ArrowDown: [0, STEP], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/** @param {number} day @param {"long" | "short"} [length] */
export const weekday = (day, length = "long") => dayName(`2024-01-0${day + 1}`, { weekday: length });

/** A time of the day in the reader's way of writing. @param {number} minutes */
export const written = (minutes) => clock(Date.parse(`${MONDAY}T${timeOf(minutes)}Z`), "UTC");

export class Week extends LitElement {
  static properties = { blocks: { attribute: false }, cursor: { state: true }, anchor: { state: true }, edge: { state: true }, news: { state: true } };

  constructor() {
    super();
    /** @type {Block[]} */ this.blocks = [];
    /** @type {Cell} */ this.cursor = { day: 0, minute: 9 * 60 };
    /** Where a stroke began, and whether it opens. @type {(Cell & {opens: boolean}) | undefined} */ this.anchor = undefined;
    /** An edge that is being dragged: the block, and the end of it. @type {{block: Block, side: "start" | "end", to: number} | undefined} */
    this.edge = undefined;
    this.news = "";
  }

  createRenderRoot() {
    return this;
  }

  firstUpdated() {
    const grid = /** @type {HTMLElement} */ (this.querySelector(".week-rows"));
    grid.scrollTop = (FIRST_SHOWN / DAY) * grid.scrollHeight;
  }

  /** The blocks as they would be if the stroke ended here. */
  get #drawn() {
    if (this.edge) {
      const { block, side, to } = this.edge;
      return opened(this.blocks.filter((one) => one !== block), { ...block, [side]: to });
    }
    return this.blocks;
  }

  /** The cells of the stroke: on each of its days from the earlier to the later of its minutes. */
  get #stroke() {
    const [one, other] = [this.anchor ?? this.cursor, this.cursor];
    const [first, last] = [Math.min(one.day, other.day), Math.max(one.day, other.day)];
    const [start, end] = [Math.min(one.minute, other.minute), Math.max(one.minute, other.minute) + STEP];
    return { days: DAYS.filter((day) => first <= day && day <= last), start, end };
  }

  render() {
    const blocks = this.#drawn;
    const stroke = this.anchor && this.#stroke;
    return html`<p id="week-help" class="muted">${text("settings.week_help")}</p>
      <div class="week" role="grid" aria-label=${text("settings.week")} aria-describedby="week-help" @keydown=${this.#key}>
        <div class="week-row week-head" role="row">
          <span role="columnheader"><span class="unseen">${text("settings.time")}</span></span>
          ${DAYS.map((day) => html`<span role="columnheader"><abbr title=${weekday(day)}>${weekday(day, "short")}</abbr></span>`)}
        </div>
        <div class="week-rows" role="rowgroup" @pointerdown=${this.#down} @pointermove=${this.#move} @pointerup=${this.#up} @pointercancel=${this.#cancel} @click=${this.#click}>
          ${ROWS.map(
            (minute) => html`<div class="week-row" role="row">
              <span class="week-time" role="rowheader"><span class=${minute % 60 ? "unseen" : ""}>${written(minute)}</span></span>
              ${DAYS.map((day) => this.#cell(blocks, stroke, { day, minute }))}
            </div>`,
          )}
        </div>
      </div>
      <p class="unseen" role="status">${this.news}</p>`;
  }

  /** @param {Block[]} blocks @param {{days: number[], start: number, end: number} | undefined} stroke @param {Cell} cell */
  #cell(blocks, stroke, { day, minute }) {
    const found = blockAt(blocks, day, minute) ?? blockAt(blocks, day, minute + STEP - 1);
    const begins = found !== undefined && found.day === day && minute <= found.start && found.start < minute + STEP;
    const ends = found !== undefined && !blockAt(blocks, day, minute + STEP) && (minute + STEP < DAY || found.end <= DAY || found.day !== day);
    const drawn = stroke !== undefined && stroke.days.includes(day) && stroke.start <= minute && minute < stroke.end;
    const here = this.cursor.day === day && this.cursor.minute === minute;
    const classes = { begins, ends, drawn, late: found !== undefined && found.day !== day };
    return html`<span
      role="gridcell"
      class=${classMap(classes)}
      data-day=${day}
      data-minute=${minute}
      tabindex=${here ? 0 : -1}
      aria-selected=${found ? "true" : "false"}
      aria-label=${`${weekday(day)} ${written(minute)}, ${text(found ? "settings.open" : "settings.closed")}`}
      >${begins ? html`<span class="tag" aria-hidden="true">${written(found.start)}</span>` : nothing}</span
    >`;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = /** @type {Record<string, number[]>} */ (MOVES)[event.key];
    if (step) this.#go({ day: this.cursor.day + step[0], minute: this.cursor.minute + step[1] });
    else if (event.key === "Home" || event.key === "End") this.#go({ ...this.cursor, minute: event.key === "Home" ? 0 : DAY - STEP });
    else if (event.key === "Enter" || event.key === " ") this.#press(this.cursor);
    else if (event.key === "Escape" && this.anchor) this.#cancel();
    else return;
    event.preventDefault();
  }

  /** @param {Cell} cell */
  async #go({ day, minute }) {
    this.cursor = { day: Math.min(6, Math.max(0, day)), minute: Math.min(DAY - STEP, Math.max(0, minute)) };
    if (this.anchor) this.news = this.#said(this.anchor.opens ? "settings.will_open" : "settings.will_close");
    await this.updateComplete;
    /** @type {HTMLElement | null} */ (this.querySelector('[role="gridcell"][tabindex="0"]'))?.focus();
  }

  /** Begins a stroke, or ends the one that is begun. @param {Cell} cell */
  #press(cell) {
    this.cursor = cell;
    if (this.anchor) return this.#finish();
    this.anchor = { ...cell, opens: !blockAt(this.blocks, cell.day, cell.minute) };
    this.news = text(this.anchor.opens ? "settings.open_from" : "settings.close_from", { day: weekday(cell.day), time: written(cell.minute) });
  }

  #finish() {
    const { days, start, end } = this.#stroke;
    const apply = this.anchor?.opens ? opened : closed;
    const said = this.#said(this.anchor?.opens ? "settings.now_open" : "settings.now_closed");
    this.anchor = undefined;
    this.#tell(days.reduce((blocks, day) => apply(blocks, { day, start, end }), this.blocks), said);
  }

  /** @param {string} key */
  #said(key) {
    const { days, start, end } = this.#stroke;
    const named = days.length > 1 ? text("settings.days_to", { from: weekday(days[0]), to: weekday(days[days.length - 1]) }) : weekday(days[0]);
    return text(key, { day: named, from: written(start), to: written(end) });
  }

  /** @param {Block[]} blocks @param {string} news */
  #tell(blocks, news) {
    this.news = news;
    this.dispatchEvent(new CustomEvent("drawn", { detail: blocks }));
  }

  // --- the pointer ---

  /** @param {PointerEvent} event */
  #down(event) {
    const cell = cellAt(event);
    if (event.pointerType === "touch" || event.button !== 0 || !cell) return;
    event.preventDefault();
    const rows = /** @type {HTMLElement} */ (event.currentTarget);
    rows.setPointerCapture(event.pointerId);
    this.#go(cell);
    const block = blockAt(this.blocks, cell.day, cell.minute);
    const box = /** @type {HTMLElement} */ (document.elementFromPoint(event.clientX, event.clientY)).getBoundingClientRect();
    const classes = /** @type {HTMLElement} */ (event.target).classList;
    if (block && classes.contains("begins") && event.clientY - box.top < EDGE_PX) this.edge = { block, side: "start", to: block.start };
    else if (block && classes.contains("ends") && box.bottom - event.clientY < EDGE_PX) this.edge = { block, side: "end", to: block.end };
    else this.anchor = { ...cell, opens: !block };
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const cell = event.pointerType !== "touch" && (this.anchor || this.edge) && event.buttons ? cellAt(event) : undefined;
    if (!cell) return;
    if (!this.edge) return void (this.cursor = cell);
    const { block, side } = this.edge;
    const at = ((cell.day - block.day + 7) % 7 === 1 ? DAY : 0) + cell.minute + (side === "end" ? STEP : 0);
    const to = side === "start" ? Math.min(at, block.end - STEP) : Math.min(Math.max(at, block.start + STEP), block.start + DAY);
    this.edge = { ...this.edge, to: side === "start" && cell.day !== block.day ? this.edge.to : to };
  }

  /** @param {PointerEvent} event */
  #up(event) {
    if (event.pointerType === "touch") return;
    if (this.anchor) return this.#finish();
    if (!this.edge) return;
    const { block, side, to } = this.edge;
    const [start, end] = side === "start" ? [to, block.end] : [block.start, to];
    const news = text("settings.now_open", { day: weekday(block.day), from: written(start), to: written(end) });
    const drawn = this.#drawn;
    this.edge = undefined;
    this.#tell(drawn, news);
  }

  /** A tap: a finger that drags scrolls. @param {PointerEvent} event */
  #click(event) {
    const cell = cellAt(event);
    if (event.pointerType === "touch" && cell) this.#press(cell);
  }

  #cancel() {
    this.anchor = this.edge = undefined;
    this.news = text("settings.cancelled");
  }
}

/** @param {PointerEvent} event @returns {Cell | undefined} */
function cellAt(event) {
  const cell = /** @type {HTMLElement | null} */ (document.elementFromPoint(event.clientX, event.clientY)?.closest('[role="gridcell"]'));
  return cell ? { day: Number(cell.dataset.day), minute: Number(cell.dataset.minute) } : undefined;
}

customElements.define("hf-week", Week);

// @ts-check
/**
 * `<hf-calendar>`: days of calendars side by side, a column each, a row each half hour. Of a wide and long sheet only what is in
 * view is in the document. One tab stop leads in; the arrow keys go through time and columns, and the same keys move a visit.
 *
 * It changes nothing by itself. What is wanted it tells: `hf-open` (an item), `hf-create` ({calendar, start, end?}), `hf-drop` (a
 * `Moving`), `hf-step` ({id, move}), `hf-look` (ids in view), `hf-say` (for who does not see it).
 */

import { html, nothing } from "../vendor/lit.js";
import { serverNow } from "../api.js";
import { text } from "../texts.js";
import { dayOf } from "../time.js";
import { ROW_MS, clocksChange, overlap, rowAt, rowsOf, stopAt, stopsOf } from "./layout.js";
import { Moving, steer } from "./moving.js";
import { Part } from "./part.js";
import { Pointer } from "./pointer.js";
import { hideGhost, isRtl, lift, locate, reveal, showGhost } from "./places.js";
import { HEAD_REM, ROW_REM, behind, head, nowLine, rows } from "./sheet.js";
import { named, openingRow, todaysColumn, viewOf } from "./viewing.js";
import { walk } from "./walking.js";
import { canMove, shortDay, span } from "./words.js";

/** @typedef {import("./layout.js").Column} Column */
/** @typedef {import("./diary.js").Visit} Visit */
/** @typedef {import("./diary.js").Item} Item */

const GUTTER_PX = 76;
const SECOND_GUTTER_PX = 66;
const BEFORE_ROWS = 1;

export class HfCalendar extends Part {
  /** Another one, where the reader's clock differs. */ secondZone = "";
  /** Where the focus is, or would come back to. @type {{column: number, at: number, id?: string}} */ cursor = { column: 0, at: 0 };
  /** @type {import("./layout.js").Stop | undefined} */ stop;
  /** @type {Moving | undefined} */ moving;
  columnWidth = 0;
  gutter = GUTTER_PX;
  /** @type {number[]} */ shownColumns = [];
  /** @type {number[]} */ shownRows = [];
  rem = 16;
  #aimed = false;
  #focused = false;
  /** To be picked up as soon as it is on show. @type {Item | undefined} */ #wanted;
  /** @type {Column[] | undefined} */ #drawn;

  connectedCallback() {
    super.connectedCallback();
    new ResizeObserver(() => this.#measure()).observe(this);
    this.addEventListener("keydown", (event) => this.#key(event));
    this.addEventListener("click", (event) => this.#click(event));
    this.addEventListener("focusin", ({ target }) => this.#enter(/** @type {HTMLElement} */ (target)));
    this.addEventListener("focusout", ({ relatedTarget }) => this.#leave(/** @type {Node | null} */ (relatedTarget)));
    this.pointer = new Pointer(this);
  }

  // --- what is drawn --------------------------------------------------------------------------------------------------------

  get manyDays() {
    return this.columns.length > 0 && this.columns[0].day !== this.columns[this.columns.length - 1].day;
  }

  /** How many calendars each day has. */
  get across() {
    return this.columns.filter(({ day }) => day === this.columns[0].day).length;
  }

  get manyCalendars() {
    return this.across > 1;
  }

  get headRows() {
    return Number(this.manyDays) + Number(this.manyCalendars || !this.manyDays);
  }

  get headRem() {
    return (this.manyDays ? HEAD_REM.day : 0) + (this.manyCalendars || !this.manyDays ? HEAD_REM.calendar : 0);
  }

  get today() {
    return dayOf(serverNow(), this.zone);
  }

  /** The day that the rows' times are told by: one whose clocks do not change, if there is one. */
  get ruler() {
    return this.columns.find((column) => !clocksChange(column)) ?? this.columns[0];
  }

  /** @param {Column} column */
  calendarOf = (column) => /** @type {import("./part.js").Calendar} */ (this.calendars.find(({ id }) => id === column.calendar));

  /** @param {Column} column */
  itemsOf = (column) => this.diary.itemsIn(column.calendar, column);

  /** @param {Column} column */
  openOf = (column) => this.diary.openIn(column.calendar, column);

  /** The calendar that a visit was booked with; the rest of what it takes is found for it. @param {Visit} visit */
  primaryOf(visit) {
    if (visit.calendar && visit.calendars.includes(visit.calendar)) return visit.calendar;
    const kind = this.types.get(visit.visit_type)?.needs[0];
    return visit.calendars.find((id) => this.calendars.find((calendar) => calendar.id === id)?.kind === kind);
  }

  /** @param {Visit} visit */
  movable = (visit) => this.writable && canMove(visit);

  /** @param {Column} column */
  headingOf = (column) =>
    this.manyDays ? `${this.calendarOf(column).name}, ${shortDay(column.day)}` : this.calendarOf(column).name;

  render() {
    if (!this.columns.length) return nothing;
    if (this.#isOld) this.#turn();
    this.gutter = GUTTER_PX + (this.secondZone ? SECOND_GUTTER_PX : 0);
    this.#look();
    this.stop = stopAt(this.#stops(this.cursor.column), this.cursor.at, this.cursor.id);
    const height = this.headRem + ROW_REM * Math.max(...this.columns.map(rowsOf));
    const size = `--gutter:${this.gutter}px;inline-size:${this.gutter + this.columns.length * this.columnWidth}px;block-size:${height}rem`;
    return html`<div class="sheet" @scroll=${this.#scrolled} aria-busy=${!this.diary.loaded}><div class="canvas" .style=${size}>
      <div class="behind" aria-hidden="true">${behind(this)}</div>
      <div role="grid" aria-label=${text("calendar.grid")} aria-describedby="keys-hint" aria-rowcount=${this.headRows + Math.max(...this.columns.map(rowsOf))}
        aria-colcount=${this.columns.length + 1} aria-readonly=${!this.writable}>${head(this)}${rows(this)}</div>
      <div class="above" aria-hidden="true">${nowLine(this, serverNow())}<div class="ghost" hidden><span></span></div></div>
    </div></div>`;
  }

  /** Another day or view: the focus begins anew, at now or where the day opens. */
  #turn() {
    this.#drawn = this.columns;
    this.#aimed = false;
    this.#putDown();
    this.#start();
  }

  #start() {
    const today = todaysColumn(this);
    const column = Math.max(0, today);
    this.cursor = { column, at: today < 0 ? this.columns[column].start + openingRow(this) * ROW_MS : serverNow() };
  }

  updated() {
    if (!this.columns.length) return;
    if (this.#wanted && this.diary.loaded) void this.#find(this.#wanted);
    if (!this.#aimed && this.diary.loaded) this.#aim();
    if (this.#focused && !this.contains(document.activeElement)) this.focusCursor();
    this.tell("hf-look", named(this));
    if (this.moving) lift(this, this.moving.id);
  }

  /** Scrolls to where the day begins, once it is known. */
  #aim() {
    this.#aimed = true;
    if (!this.#focused) this.#start();
    const left = Math.max(0, todaysColumn(this)) * this.columnWidth;
    this.frame.scrollTo({ top: (openingRow(this) - BEFORE_ROWS) * ROW_REM * this.rem, left: isRtl(this) ? -left : left });
    this.requestUpdate();
  }

  get frame() {
    return /** @type {HTMLElement} */ (this.querySelector(".sheet"));
  }

  #measure() {
    this.rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.requestUpdate();
  }

  #look() {
    const { columnWidth, columns, rows } = viewOf(this);
    Object.assign(this, { columnWidth, shownColumns: columns, shownRows: rows });
  }

  /** Other columns were given, and are drawn in a moment: until then what is on show, and the focus, are of those before. */
  get #isOld() {
    return this.#drawn !== this.columns;
  }

  #scrolled() {
    if (this.#isOld) return;
    const { columns, rows } = viewOf(this);
    if (String(columns) !== String(this.shownColumns) || String(rows) !== String(this.shownRows)) this.requestUpdate();
  }

  // --- the focus ------------------------------------------------------------------------------------------------------------

  /** @param {number} column */
  #stops = (column) => stopsOf(this.columns[column], this.itemsOf(this.columns[column]));

  /** The item or the free row that the focus is on. */
  get current() {
    const column = this.columns[this.cursor.column];
    return { column, at: this.stop?.at ?? this.cursor.at, item: this.itemsOf(column).find(({ id }) => id === this.stop?.id) };
  }

  focusCursor() {
    const target = /** @type {HTMLElement | null} */ (this.querySelector('[role="grid"] [tabindex="0"]'));
    target?.focus({ preventScroll: true });
    if (target) this.#reveal();
  }

  /** @param {HTMLElement} target */
  #enter(target) {
    this.#focused = true;
    const cell = /** @type {HTMLElement | null} */ (target.closest(".cell"));
    if (!cell || this.#isOld) return;
    const column = Number(cell.dataset.column);
    const id = /** @type {HTMLElement | null} */ (target.closest("[data-key]"))?.dataset.key;
    const row = Number(cell.parentElement?.getAttribute("aria-rowindex")) - this.headRows - 1;
    const stops = this.#stops(column);
    const stop =
      stops.find((one) => (id ? one.id === id : one.row === row && !one.id)) ??
      stopAt(stops, this.columns[column].start + row * ROW_MS);
    this.#go(column, stop);
  }

  /** Who goes on elsewhere does not move anything any more. @param {Node | null} to */
  #leave(to) {
    this.#focused = false;
    if (this.moving && to && !this.contains(to)) this.giveUp();
  }

  /** @param {number} column @param {import("./layout.js").Stop} stop */
  #go(column, stop) {
    const { cursor } = this;
    if (cursor.column === column && cursor.id === stop.id && cursor.at === stop.at) return;
    this.cursor = { column, at: stop.at, id: stop.id };
    this.requestUpdate();
  }

  /** @param {number} column @param {import("./layout.js").Stop} stop */
  async #walk(column, stop) {
    this.#go(column, stop);
    await this.updateComplete;
    this.focusCursor();
  }

  /** So that nothing that has the focus hides behind the head or the times. */
  #reveal() {
    const start = this.columns[this.cursor.column].start + (this.stop?.row ?? 0) * ROW_MS;
    reveal(this, this.cursor.column, { start, end: start + 2 * ROW_MS });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (!(/** @type {HTMLElement} */ (event.target).closest('[role="grid"]'))) return;
    if (this.moving ? this.#moveKey(event) : this.#walkKey(event)) {
      event.preventDefault();
      event.stopPropagation();
    }
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether the key was one of ours */
  #walkKey(event) {
    const { key, ctrlKey, metaKey, altKey } = event;
    if (altKey || metaKey) return false;
    const from = { column: this.cursor.column, at: this.stop?.at ?? this.cursor.at, id: this.stop?.id };
    const to = walk(event, from, { columns: this.columns, stops: this.#stops, rtl: isRtl(this) });
    if (to) void this.#walk(to.column, to.stop);
    else if (ctrlKey) return false;
    else if (key === "Enter" || key === " ") this.#act({ open: key === " " });
    else if (key === "m" || key === "M") this.#pickUp();
    else return false;
    return true;
  }

  /** Enter picks a visit up, or books what is free; Space looks into it. @param {{open?: boolean}} [how] */
  #act({ open = false } = {}) {
    const { column, at, item } = this.current;
    if (!item) this.tell("hf-create", { calendar: column.calendar, start: at });
    else if (open || !item.visit || !this.movable(item.visit)) this.tell("hf-open", item);
    else this.#pickUp();
  }

  /** @param {MouseEvent} event */
  #click({ target, clientX, clientY, detail }) {
    const element = /** @type {HTMLElement} */ (target);
    const cell = /** @type {HTMLElement | null} */ (element.closest(".cell"));
    if (!cell) return;
    if (this.moving) return void (detail && this.#dropAt(locate(this, clientX, clientY)));
    const id = /** @type {HTMLElement | null} */ (element.closest("[data-key]"))?.dataset.key;
    const column = this.columns[Number(cell.dataset.column)];
    const step = /** @type {HTMLElement | null} */ (element.closest(".step"))?.dataset.move;
    if (step) return void (detail > 1 || this.tell("hf-step", { id, move: step })); // a double click is one step
    if (id)
      this.tell(
        "hf-open",
        this.itemsOf(column).find((item) => item.id === id),
      );
    else if (detail) this.tell("hf-create", { calendar: column.calendar, start: locate(this, clientX, clientY).at });
  }

  // --- moving -----------------------------------------------------------------------------------------------------------------

  #pickUp() {
    const { item } = this.current;
    if (item) this.startMoving(item, this.cursor.column);
  }

  /** Takes the focus to an item and picks it up, once its day is read. @param {Item} item */
  pickUp(item) {
    this.#wanted = item;
    this.requestUpdate();
  }

  /** @param {Item} item */
  async #find({ id, calendar, start }) {
    this.#wanted = undefined;
    const column = this.columns.findIndex((one) => one.calendar === calendar && one.start <= start && start < one.end);
    if (column < 0) return;
    this.#aimed = true;
    await this.#walk(column, { at: start, row: rowAt(this.columns[column], start), id });
    this.#pickUp();
  }

  /** @param {Item} item @param {number} column @returns {Moving | undefined}  nothing where it cannot be moved */
  startMoving(item, column) {
    if (!item.visit || item.saving || !this.movable(item.visit)) return undefined;
    this.moving = new Moving(item, column, this.columns, this.#allowed(item, this.columns[column].calendar));
    lift(this, item.id);
    showGhost(this, this.moving.target);
    this.#say(text("calendar.picked_up", { what: this.typeOf(item.visit), time: span(item.start, item.end, this.zone) }));
    return this.moving;
  }

  /**
   * A visit moves between the calendars that could have been chosen for it; what else it takes, a room, is found anew by the server.
   * @param {Item} item @param {string} from
   */
  #allowed({ visit }, from) {
    const type = this.types.get(visit?.visit_type ?? "");
    const kind = (/** @type {string} */ id) => this.calendars.find((calendar) => calendar.id === id)?.kind;
    const chosen = type?.needs[0] === kind(from);
    return (/** @type {Column} */ { calendar }) =>
      calendar === from || (chosen && kind(calendar) === kind(from) && !!type?.calendars.includes(calendar));
  }

  /** @param {KeyboardEvent} event */
  #moveKey(event) {
    const moving = /** @type {Moving} */ (this.moving);
    if (event.key === "Enter") this.drop();
    else if (event.key === "Escape") this.giveUp();
    else if (steer(moving, event, isRtl(this))) this.#moved(moving);
    else if (event.key === "Tab") return this.giveUp();
    return true;
  }

  /** @param {Moving} moving */
  #moved({ target }) {
    const { column, start, end } = target;
    showGhost(this, target);
    reveal(this, column, target);
    const day = this.columns[column];
    this.#say(`${this.headingOf(day)}, ${span(start, end, this.zone)}, ${this.#stateAt(day, start, end)}`);
  }

  /** What is known of a time here; the server decides. @param {Column} column @param {number} start @param {number} end */
  #stateAt(column, start, end) {
    if (this.itemsOf(column).some((item) => item.id !== this.moving?.id && overlap(item, { start, end })))
      return text("calendar.taken");
    return text(this.openOf(column).some((part) => part.start <= start && end <= part.end) ? "calendar.free" : "calendar.closed");
  }

  /** What was picked up is put down where a pointer says. @param {{column: number, at: number}} place */
  #dropAt({ column, at }) {
    const moving = /** @type {Moving} */ (this.moving);
    if (!moving.allowed(this.columns[column])) return;
    moving.to(column, at);
    this.drop();
  }

  drop() {
    const { moving } = this;
    this.#putDown();
    if (!moving) return;
    const { column, start } = moving.target;
    this.cursor = { column, at: start, id: moving.id };
    if (moving.changed) this.tell("hf-drop", moving);
    else this.#say(text("calendar.not_moved"));
  }

  /** @returns {false} */
  giveUp() {
    this.#putDown();
    this.#say(text("calendar.not_moved"));
    return false;
  }

  #putDown() {
    this.moving = undefined;
    hideGhost(this);
  }

  /** @param {string} words */
  #say(words) {
    this.tell("hf-say", words);
  }

  /** Free time that was chosen. @param {{calendar: string, start: number, end: number}} part */
  select(part) {
    this.tell("hf-create", part);
  }
}

customElements.define("hf-calendar", HfCalendar);

// @ts-check
/**
 * The pointer on the sheet: drags a visit, its end, or over free time. Pointer events, for native drag and drop does not know
 * fingers; a finger has to rest before it lifts something, because until then it scrolls.
 */

import { STEP_MS } from "./layout.js";
import { hideGhost, locate, showGhost } from "./places.js";

const FAR_PX = 5;
const REST_MS = 400;
const EDGE_PX = 48;
const EDGE_SPEED_PX = 14;

/**
 * @typedef {{kind: "move" | "stretch" | "select", column: number, at: number, grabbed: number, item?: import("./diary.js").Item,
 *   x: number, y: number, pointer: number, touch: boolean, going: boolean}} Drag
 */

export class Pointer {
  /** @type {Drag | undefined} */ #drag;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #resting;
  #frame = 0;
  #dragged = false;
  #sheet;

  /** @param {import("./hf-calendar.js").HfCalendar} sheet */
  constructor(sheet) {
    this.#sheet = sheet;
    sheet.addEventListener("pointerdown", (event) => this.#down(event));
    sheet.addEventListener("pointermove", (event) => this.#move(event));
    sheet.addEventListener("pointerup", () => this.#up());
    sheet.addEventListener("pointercancel", () => this.#cancel());
    sheet.addEventListener("lostpointercapture", () => this.#cancel());
    sheet.addEventListener("touchmove", (event) => this.#drag?.going && event.preventDefault(), { passive: false });
    sheet.addEventListener("contextmenu", (event) => this.#drag?.touch && event.preventDefault());
    // The click that ends a drag is not one.
    sheet.addEventListener("click", (event) => this.#dragged && event.stopImmediatePropagation(), { capture: true });
  }

  /** @param {PointerEvent} event */
  #down({ target, button, pointerId, pointerType, clientX: x, clientY: y }) {
    this.#dragged = false;
    const element = /** @type {HTMLElement} */ (target);
    const cell = /** @type {HTMLElement | null} */ (element.closest(".cell"));
    if (button || !cell || element.closest(".step, .block, a") || this.#sheet.moving || !this.#sheet.writable) return;
    const { column, at } = locate(this.#sheet, x, y);
    const key = /** @type {HTMLElement | null} */ (element.closest(".visit"))?.dataset.key;
    const item = this.#sheet.itemsOf(this.#sheet.columns[column]).find(({ id }) => id === key);
    if (key && !item?.visit) return;
    const kind = !item ? "select" : element.closest(".handle") ? "stretch" : "move";
    const touch = pointerType === "touch";
    this.#drag = { kind, column, at, grabbed: at - (item?.start ?? at), item, x, y, pointer: pointerId, touch, going: false };
    if (touch) this.#resting = setTimeout(() => this.#begin(), REST_MS);
  }

  /** @param {PointerEvent} event */
  #move({ clientX, clientY }) {
    const drag = this.#drag;
    if (!drag) return;
    const far = Math.hypot(clientX - drag.x, clientY - drag.y) > FAR_PX;
    if (!drag.going && far && drag.touch) return void this.#forget(); // it scrolls
    if (!drag.going && (!far || !this.#begin())) return;
    [drag.x, drag.y] = [clientX, clientY];
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  /** Whether there is something to drag. */
  #begin() {
    const drag = /** @type {Drag} */ (this.#drag);
    if (drag.item && !this.#sheet.startMoving(drag.item, drag.column)) return this.#forget();
    drag.going = this.#dragged = true;
    this.#sheet.setPointerCapture(drag.pointer);
    this.#sheet.toggleAttribute("data-dragging", true);
    this.#frame ||= requestAnimationFrame(() => this.#draw());
    return true;
  }

  /** Once a frame: what is dragged, and the sheet under it where its edge is near. */
  #draw() {
    this.#frame = 0;
    const drag = this.#drag;
    if (!drag?.going) return;
    if (this.#scroll(drag)) this.#frame = requestAnimationFrame(() => this.#draw());
    const { column, at } = locate(this.#sheet, drag.x, drag.y);
    const { moving } = this.#sheet;
    if (drag.kind === "select") return showGhost(this.#sheet, { column: drag.column, ...this.#selected(drag, at) });
    if (!moving) return void this.#forget();
    if (drag.kind === "stretch") moving.stretchTo(at + STEP_MS);
    else
      moving.to(
        moving.allowed(moving.columns[column]) ? column : moving.target.column,
        this.#sameTime(moving, column, at - drag.grabbed),
      );
    showGhost(this.#sheet, moving.target);
  }

  /** The time of the day under the pointer, in the column that the visit can have. @param {import("./moving.js").Moving} moving @param {number} column @param {number} at */
  #sameTime = (moving, column, at) =>
    moving.allowed(moving.columns[column]) ? at : at - moving.columns[column].start + moving.columns[moving.target.column].start;

  /** @param {Drag} drag @param {number} at */
  #selected(drag, at) {
    const day = this.#sheet.columns[drag.column];
    const other = at - this.#sheet.columns[locate(this.#sheet, drag.x, drag.y).column].start + day.start;
    return { start: Math.min(drag.at, other), end: Math.max(drag.at, other) + STEP_MS };
  }

  /** @param {Drag} drag */
  #scroll({ x, y }) {
    const { frame, headRem, rem, gutter } = this.#sheet;
    const box = frame.getBoundingClientRect();
    const top = box.top + headRem * rem;
    const by = (/** @type {number} */ place, /** @type {number} */ first, /** @type {number} */ last) =>
      place < first + EDGE_PX ? -EDGE_SPEED_PX : place > last - EDGE_PX ? EDGE_SPEED_PX : 0;
    const [left, down] = [by(x, box.left + gutter, box.right), by(y, top, box.bottom)];
    const before = [frame.scrollLeft, frame.scrollTop];
    if (left || down) frame.scrollBy(left, down);
    return before[0] !== frame.scrollLeft || before[1] !== frame.scrollTop;
  }

  #up() {
    const drag = this.#drag;
    this.#end();
    if (!drag?.going) return void this.#forget();
    if (this.#frame) this.#draw();
    this.#forget();
    if (drag.kind !== "select") return this.#sheet.drop();
    hideGhost(this.#sheet);
    const { at } = locate(this.#sheet, drag.x, drag.y);
    this.#sheet.select({ calendar: this.#sheet.columns[drag.column].calendar, ...this.#selected(drag, at) });
  }

  #cancel() {
    const drag = this.#drag;
    this.#end();
    this.#forget();
    if (!drag?.going) return;
    if (drag.kind === "select") hideGhost(this.#sheet);
    else this.#sheet.giveUp();
  }

  /** The click that ends a drag comes at once, or not at all. */
  #end() {
    setTimeout(() => (this.#dragged = false));
  }

  /** @returns {false} */
  #forget() {
    clearTimeout(this.#resting);
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#drag = undefined;
    this.#sheet.toggleAttribute("data-dragging", false);
    return false;
  }
}

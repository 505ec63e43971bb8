// @ts-check
/**
 * A visit on its way: where it is to go and how long it is to be. The keys and the pointer drive the same one; nothing is written
 * until it is dropped. Pure: no page, no clock.
 */

import { ROW_MS, STEP_MS } from "./layout.js";
import { PAGE_ROWS } from "./walking.js";

/** @typedef {import("./layout.js").Column} Column */
/** @typedef {{column: number, start: number, end: number}} Target  `column`: its place on the sheet */

export class Moving {
  /**
   * @param {{id: string, start: number, end: number}} item
   * @param {number} column  where it is picked up
   * @param {Column[]} columns
   * @param {(column: Column) => boolean} allowed  whether it may be dropped there
   */
  constructor(item, column, columns, allowed) {
    this.id = item.id;
    this.from = Object.freeze({ column, start: item.start, end: item.end });
    /** @type {Target} */ this.target = { ...this.from };
    this.columns = columns;
    this.allowed = allowed;
  }

  get changed() {
    const { from, target } = this;
    return from.column !== target.column || from.start !== target.start || from.end !== target.end;
  }

  /** Earlier or later, within the day. @param {number} ms */
  by(ms) {
    this.to(this.target.column, this.target.start + ms);
  }

  /** To the next column that may have it, at the same time of the day; stays where there is none. @param {1 | -1} direction */
  across(direction) {
    const { column, start } = this.target;
    for (let next = column + direction; next >= 0 && next < this.columns.length; next += direction) {
      if (!this.allowed(this.columns[next])) continue;
      return this.to(next, start - this.columns[column].start + this.columns[next].start);
    }
  }

  /** Longer or shorter, by its end; a step at least, and not past the day. @param {number} ms */
  stretch(ms) {
    this.stretchTo(this.target.end + ms);
  }

  /** @param {number} end */
  stretchTo(end) {
    const { column, start } = this.target;
    this.target.end = Math.max(start + STEP_MS, Math.min(end, this.columns[column].end));
  }

  /** @param {number} column @param {number} start */
  to(column, start) {
    const day = this.columns[column];
    const length = this.target.end - this.target.start;
    const within = Math.max(day.start, Math.min(start, day.end - STEP_MS));
    this.target = { column, start: within, end: within + length };
  }
}

/**
 * Does to a visit on its way what a key says. Whether it says something.
 * @param {Moving} moving @param {{key: string, shiftKey: boolean}} pressed @param {boolean} rtl
 */
export function steer(moving, { key, shiftKey }, rtl) {
  switch (key) {
    case "ArrowDown":
      shiftKey ? moving.stretch(STEP_MS) : moving.by(STEP_MS);
      break;
    case "ArrowUp":
      shiftKey ? moving.stretch(-STEP_MS) : moving.by(-STEP_MS);
      break;
    case "ArrowRight":
      moving.across(rtl ? -1 : 1);
      break;
    case "ArrowLeft":
      moving.across(rtl ? 1 : -1);
      break;
    case "PageDown":
      moving.by(PAGE_ROWS * ROW_MS);
      break;
    case "PageUp":
      moving.by(-PAGE_ROWS * ROW_MS);
      break;
    default:
      return false;
  }
  return true;
}

// @ts-check
/** Where a key leads from where the focus is. Pure: no page, no clock. */

import { ROW_MS, stopAt } from "./layout.js";

/** @typedef {import("./layout.js").Column} Column */
/** @typedef {import("./layout.js").Stop} Stop */

/** Rows that a page is. */
export const PAGE_ROWS = 8;

/**
 * Up and down go through what is in a column, by time; left and right to the same time of the next one. Undefined when the key
 * leads nowhere.
 * @param {{key: string, ctrlKey: boolean}} pressed
 * @param {{column: number, at: number, id?: string}} from
 * @param {{columns: Column[], stops: (column: number) => Stop[], rtl: boolean}} sheet
 * @returns {{column: number, stop: Stop} | undefined}
 */
export function walk({ key, ctrlKey }, { column, at, id }, { columns, stops, rtl }) {
  const own = stops(column);
  const here = own.findIndex((stop) => stop.at === at && stop.id === id);
  const along = (/** @type {number} */ to) => ({ column, stop: own[Math.max(0, Math.min(own.length - 1, to))] });
  const page = (/** @type {number} */ rows) => ({ column, stop: stopAt(own, at + rows * ROW_MS) });
  const side = (/** @type {number} */ to) => {
    const next = Math.max(0, Math.min(columns.length - 1, to));
    return { column: next, stop: stopAt(stops(next), at - columns[column].start + columns[next].start) };
  };
  switch (ctrlKey ? `Ctrl+${key}` : key) {
    case "ArrowDown":
      return along(here + 1);
    case "ArrowUp":
      return along(here - 1);
    case "ArrowRight":
      return side(column + (rtl ? -1 : 1));
    case "ArrowLeft":
      return side(column + (rtl ? 1 : -1));
    case "Home":
      return side(0);
    case "End":
      return side(columns.length - 1);
    case "Ctrl+Home":
      return along(0);
    case "Ctrl+End":
      return along(own.length - 1);
    case "PageDown":
      return page(PAGE_ROWS);
    case "PageUp":
      return page(-PAGE_ROWS);
    default:
      return undefined;
  }
}

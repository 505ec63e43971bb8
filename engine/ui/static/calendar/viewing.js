// @ts-check
/** What of the sheet is in view, and so in the document. */

import { serverNow } from "../api.js";
import { ROW_MS, inView, rowAt, rowsOf } from "./layout.js";
import { ROW_REM } from "./sheet.js";
import { PAGE_ROWS } from "./walking.js";

/** @typedef {import("./hf-calendar.js").HfCalendar} Sheet */

const NARROWEST_PX = 150;
const FIRST_ROW = 16; // eight o'clock: where a day begins that has nothing in it

/**
 * The columns and rows that are drawn: those in view, the one with the focus, and the rows of all that reaches into view from above.
 * @param {Sheet} sheet
 */
export function viewOf(sheet) {
  const { scrollTop = 0, scrollLeft = 0, clientWidth = sheet.clientWidth, clientHeight = innerHeight } = sheet.frame ?? {};
  const room = Math.max(NARROWEST_PX, clientWidth - sheet.gutter);
  const columnWidth = Math.max(NARROWEST_PX, Math.floor(room / sheet.columns.length));
  const { cursor } = sheet;
  const seen = inView(Math.abs(scrollLeft), room, columnWidth, sheet.columns.length);
  const columns = numbers(seen.first, seen.last, cursor.column);
  const down = inView(scrollTop, clientHeight, ROW_REM * sheet.rem, Math.max(...sheet.columns.map(rowsOf)));
  const rows = numbers(firstRow(sheet, columns, down.first), down.last, rowAt(sheet.columns[cursor.column], cursor.at));
  return { columnWidth, columns, rows };
}

/** @param {Sheet} sheet @param {number[]} columns @param {number} first */
function firstRow(sheet, columns, first) {
  const reaching = columns.flatMap((index) => {
    const column = sheet.columns[index];
    const at = column.start + first * ROW_MS;
    return sheet
      .itemsOf(column)
      .filter(({ start, end }) => start < at && at < end)
      .map(({ start }) => rowAt(column, start));
  });
  return Math.min(first, ...reaching);
}

/** @param {number} first @param {number} last @param {number} also  one that is always among them */
function numbers(first, last, also) {
  const found = Array.from({ length: last - first }, (_, index) => first + index);
  if (also < first) found.unshift(also);
  if (also >= last) found.push(also);
  return found;
}

/** The visits whose patients' names are on show. @param {Sheet} sheet @returns {string[]} */
export function named({ diary, columns, shownColumns, shownRows }) {
  const [first, last] = [shownRows[0], shownRows[shownRows.length - 1]];
  return shownColumns.flatMap((index) => {
    const { calendar, start } = columns[index];
    return diary
      .itemsIn(calendar, { start: start + first * ROW_MS, end: start + (last + 1) * ROW_MS })
      .filter(({ visit }) => visit && visit.status !== "held")
      .map(({ id }) => id);
  });
}

/** The column of today, if it is on show. @param {Sheet} sheet */
export function todaysColumn({ columns }) {
  const now = serverNow();
  return columns.findIndex(({ start, end }) => start <= now && now < end);
}

/** The row that a day is looked at from first: where it opens, or today a little before now. @param {Sheet} sheet */
export function openingRow(sheet) {
  // What is open all night says nothing of when people come.
  const rows = sheet.columns
    .flatMap((column) => [...sheet.openOf(column), ...sheet.itemsOf(column)].map(({ start }) => rowAt(column, start)))
    .filter((row) => row > 0);
  const first = rows.length ? Math.min(...rows) : FIRST_ROW;
  const today = sheet.columns[todaysColumn(sheet)];
  return today ? Math.max(first, rowAt(today, serverNow()) - PAGE_ROWS) : first;
}

// @ts-check
/** Between points of the screen and places on the sheet: where a pointer is, what is scrolled into view, and the ghost of what moves. */

import { ROW_MS, STEP_MS } from "./layout.js";
import { ROW_REM, remOf } from "./sheet.js";
import { span } from "./words.js";

/** @typedef {import("./hf-calendar.js").HfCalendar} Sheet */

/** @param {Element} element */
export const isRtl = (element) => getComputedStyle(element).direction === "rtl";

/** The column and the instant under a point, to the step before it. @param {Sheet} sheet @param {number} x @param {number} y */
export function locate(sheet, x, y) {
  const box = /** @type {HTMLElement} */ (sheet.querySelector(".canvas")).getBoundingClientRect();
  const along = isRtl(sheet) ? box.right - x : x - box.left;
  const column = Math.max(0, Math.min(sheet.columns.length - 1, Math.floor((along - sheet.gutter) / sheet.columnWidth)));
  const rem = (y - box.top) / sheet.rem - sheet.headRem;
  const ms = Math.floor(((rem / ROW_REM) * ROW_MS) / STEP_MS) * STEP_MS;
  const day = sheet.columns[column];
  return { column, at: Math.max(day.start, Math.min(day.end - STEP_MS, day.start + ms)) };
}

/**
 * Scrolls no further than so that this part of a column is neither behind the head nor behind the times.
 * @param {Sheet} sheet @param {number} column @param {{start: number, end: number}} part
 */
export function reveal(sheet, column, part) {
  const { frame, columnWidth, gutter, headRem, rem } = sheet;
  const day = sheet.columns[column].start;
  const [top, bottom] = [remOf(part.start - day) * rem, remOf(part.end - day) * rem];
  const [left, width, height] = [column * columnWidth, frame.clientWidth - gutter, frame.clientHeight - headRem * rem];
  const x = Math.max(left + columnWidth - width, Math.min(Math.abs(frame.scrollLeft), left));
  const y = Math.max(bottom - height, Math.min(frame.scrollTop, top));
  frame.scrollTo({ left: isRtl(sheet) ? -x : x, top: y });
}

/** One element on a layer of its own is all that moves. @param {Sheet} sheet @param {import("./moving.js").Target} target */
export function showGhost(sheet, { column, start, end }) {
  const ghost = /** @type {HTMLElement} */ (sheet.querySelector(".ghost"));
  const x = (isRtl(sheet) ? -1 : 1) * (sheet.gutter + column * sheet.columnWidth);
  const y = (sheet.headRem + remOf(start - sheet.columns[column].start)) * sheet.rem;
  ghost.hidden = false;
  ghost.style.transform = `translate(${x}px, ${y}px)`;
  ghost.style.inlineSize = `${sheet.columnWidth}px`;
  ghost.style.blockSize = `${remOf(end - start)}rem`;
  /** @type {HTMLElement} */ (ghost.firstElementChild).textContent = span(start, end, sheet.zone);
}

/** @param {Sheet} sheet */
export function hideGhost(sheet) {
  const ghost = /** @type {HTMLElement | null} */ (sheet.querySelector(".ghost"));
  if (ghost) ghost.hidden = true;
  lift(sheet, "");
}

/** Marks the visit that is on its way, where it was. @param {Sheet} sheet @param {string} id */
export function lift(sheet, id) {
  for (const box of sheet.querySelectorAll(".visit"))
    box.toggleAttribute("data-lifted", /** @type {HTMLElement} */ (box).dataset.key === id);
}

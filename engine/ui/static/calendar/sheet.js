// @ts-check
/** What the sheet is made of: its head, its rows, and what lies behind and above them. Places are set as properties, for no markup here carries a style. */

import { html, nothing, repeat } from "../vendor/lit.js";
import { text } from "../texts.js";
import { zoneName } from "../time.js";
import { MINUTE_MS, ROW_MS, clocksChange, gaps, lanesOf, overlap, rowAt } from "./layout.js";
import { at, moveName, movesOf, shortDay, span, statusOf } from "./words.js";

/** @typedef {import("./hf-calendar.js").HfCalendar} Sheet */
/** @typedef {import("./layout.js").Column} Column */
/** @typedef {import("./diary.js").Item} Item */

export const ROW_REM = 3;
export const HEAD_REM = { day: 2, calendar: 3.25 };
const SHORT_MS = 25 * MINUTE_MS; // its texts share one line
const LONG_MS = 50 * MINUTE_MS; // there is room below them

/** @param {number} ms */
export const remOf = (ms) => (ms / ROW_MS) * ROW_REM;

/** @param {Sheet} sheet @param {number} index @param {number} [count] */
const across = (sheet, index, count = 1) =>
  `inset-inline-start:${sheet.gutter + index * sheet.columnWidth}px;inline-size:${count * sheet.columnWidth}px;`;

/** @param {Sheet} sheet @param {Column} column @param {{start: number, end: number}} part */
function down(sheet, column, part) {
  const [start, end] = [Math.max(part.start, column.start), Math.min(part.end, column.end)];
  return `inset-block-start:${sheet.headRem + remOf(start - column.start)}rem;block-size:${remOf(end - start)}rem;`;
}

// --- the head -------------------------------------------------------------------------------------------------------------

/** @param {Sheet} sheet */
export function head(sheet) {
  const zones = html`<span>${zoneName(sheet.columns[0].start, sheet.zone, "short")}</span>${
    sheet.secondZone ? html`<span class="second">${zoneName(sheet.columns[0].start, sheet.secondZone, "short")}</span>` : nothing
  }`;
  const corner = html`<div role="columnheader" class="corner" aria-colindex="1"><span class="unseen">${text("calendar.time")}</span>${zones}</div>`;
  const blank = html`<div class="corner" aria-hidden="true"></div>`;
  return html`<div class="head" role="rowgroup" .style=${`block-size:${sheet.headRem}rem`}>
    ${sheet.manyDays ? html`<div role="row" class="days" aria-rowindex="1">${sheet.manyCalendars ? blank : corner}${days(sheet)}</div>` : nothing}
    ${
      sheet.manyCalendars || !sheet.manyDays
        ? html`<div role="row" class="names" aria-rowindex=${sheet.headRows}>${corner}${repeat(
            sheet.shownColumns,
            (index) => index,
            (index) => name(sheet, index),
          )}</div>`
        : nothing
    }
  </div>`;
}

/** @param {Sheet} sheet */
function days(sheet) {
  const count = sheet.across;
  const shown = [...new Set(sheet.shownColumns.map((index) => Math.floor(index / count)))];
  return repeat(
    shown,
    (day) => day,
    (day) => {
      const column = sheet.columns[day * count];
      return html`<div role="columnheader" class="day" aria-colindex=${day * count + 2} aria-colspan=${count} ?data-today=${column.day === sheet.today}
      .style=${across(sheet, day * count, count)}><span class="label">${shortDay(column.day)}</span></div>`;
    },
  );
}

/** @param {Sheet} sheet @param {number} index */
function name(sheet, index) {
  const column = sheet.columns[index];
  const calendar = sheet.calendarOf(column);
  const zone =
    calendar.zone === sheet.zone ? nothing : html` <span class="muted">${zoneName(column.start, calendar.zone, "short")}</span>`;
  return html`<div role="columnheader" class="name" aria-colindex=${index + 2} .style=${across(sheet, index)}>
    <span class="label" dir="auto">${calendar.name}</span>${zone}<span class="muted hours">${hoursOf(sheet.diary, column, sheet.zone)}</span></div>`;
}

/** When a calendar is open on a day, in short. @param {import("./diary.js").Diary} diary @param {Column} column @param {string} zone */
export function hoursOf(diary, column, zone) {
  const open = diary.openIn(column.calendar, column);
  if (!diary.loaded) return "\u00a0";
  if (open.length === 1 && open[0].start === column.start && open[0].end === column.end) return text("calendar.all_day");
  return open.length ? open.map(({ start, end }) => span(start, end, zone)).join(", ") : text("calendar.closed");
}

// --- the rows ---------------------------------------------------------------------------------------------------------------

/** @param {Sheet} sheet */
export function rows(sheet) {
  const columns = sheet.shownColumns.map((index) => filled(sheet, index));
  return repeat(
    sheet.shownRows,
    (row) => row,
    (row) =>
      html`<div role="row" class="line" aria-rowindex=${row + sheet.headRows + 1} .style=${`inset-block-start:${sheet.headRem + row * ROW_REM}rem;block-size:${ROW_REM}rem`}>
      ${time(sheet, row)}${repeat(
        columns,
        ({ index }) => index,
        (column) => cell(sheet, row, column),
      )}</div>`,
  );
}

/** @param {Sheet} sheet @param {number} row */
function time(sheet, row) {
  const start = sheet.ruler.start + row * ROW_MS;
  const second = sheet.secondZone ? html` <span class="second">${at(start, sheet.secondZone)}</span>` : nothing;
  return html`<div role="rowheader" class="time" aria-colindex="1" ?data-half=${row % 2 === 1}><span>${at(start, sheet.zone)}</span>${second}</div>`;
}

/** A column with what is in it, by row. @param {Sheet} sheet @param {number} index */
function filled(sheet, index) {
  const column = sheet.columns[index];
  const items = sheet.itemsOf(column);
  /** @type {Map<number, Item[]>} */ const byRow = new Map();
  for (const item of items) {
    const row = rowAt(column, item.start);
    byRow.set(row, [...(byRow.get(row) ?? []), item]);
  }
  return {
    index,
    column,
    byRow,
    lanes: lanesOf(items),
    open: sheet.openOf(column),
    stop: sheet.cursor.column === index ? sheet.stop : undefined,
  };
}

/** @param {Sheet} sheet @param {number} row @param {ReturnType<typeof filled>} filled */
function cell(sheet, row, { index, column, byRow, lanes, open, stop }) {
  const start = column.start + row * ROW_MS;
  if (start >= column.end) return nothing;
  const isOpen = open.some((part) => overlap(part, { start, end: start + ROW_MS }));
  const here = stop?.row === row && stop.id === undefined;
  const state = text(isOpen ? "calendar.free" : "calendar.closed");
  const label = here ? `${sheet.headingOf(column)}, ${at(stop.at, sheet.zone)}, ${state}` : state;
  const own =
    clocksChange(column) && sheet.manyDays && row % 2 === 0
      ? html`<span class="own" aria-hidden="true">${at(start, sheet.zone)}</span>`
      : nothing;
  return html`<div role="gridcell" class="cell" aria-colindex=${index + 2} aria-label=${label} tabindex=${here ? 0 : -1} data-column=${index}
    ?data-half=${row % 2 === 1} .style=${across(sheet, index)}>${own}${repeat(
      byRow.get(row) ?? [],
      ({ id }) => id,
      (item) => box(sheet, column, item, start, lanes.get(item.id), stop?.id === item.id),
    )}</div>`;
}

/** @param {Sheet} sheet @param {Column} column @param {Item} item @param {number} rowStart @param {{lane: number, of: number} | undefined} place @param {boolean} here */
function box(sheet, column, item, rowStart, { lane, of } = { lane: 0, of: 1 }, here) {
  const [start, end] = [Math.max(item.start, column.start), Math.min(item.end, column.end)];
  const style =
    `inset-block-start:${remOf(start - rowStart)}rem;block-size:${Math.max(ROW_REM / 2, remOf(end - start))}rem;` +
    `inset-inline-start:${(100 * lane) / of}%;inline-size:${100 / of}%`;
  return item.kind === "block" ? block(sheet, item, style, here) : visit(sheet, item, style, here);
}

/** @param {Sheet} sheet @param {Item} item @param {string} style @param {boolean} here */
const block = (sheet, { id, start, end, note }, style, here) =>
  html`<div class="block" data-key=${id} .style=${style}><button type="button" class="open" tabindex=${here ? 0 : -1}><span class="what"><span class="unseen">${span(start, end, sheet.zone)}</span>
    <span class="note" dir="auto">${note || text("calendar.time_off")}</span></span></button></div>`;

/** @param {Sheet} sheet @param {Item} item @param {string} style @param {boolean} here */
function visit(sheet, { id, start, end, visit, saving }, style, here) {
  if (!visit) return nothing;
  const [next] = sheet.books ? movesOf(visit) : [];
  const length = end - start;
  const title = `${at(start, sheet.zone)} ${sheet.typeOf(visit)}`;
  return html`<div class="visit" data-key=${id} data-status=${visit.status} data-size=${length < SHORT_MS ? "short" : length < LONG_MS ? "usual" : "long"}
      ?data-saving=${saving} .style=${style}>
    <button type="button" class="open" tabindex=${here ? 0 : -1}><span class="what"><span class="from">${at(start, sheet.zone)}</span> <span class="until">– ${at(end, sheet.zone)}</span>
      <span class="type">${sheet.typeOf(visit)}</span> <span class="patient" dir="auto">${sheet.patientOf(visit)}</span>
      <span class="status">${saving ? text("calendar.saving") : statusOf(visit)}</span></span></button>
    ${next && !saving ? html`<button type="button" class="step" tabindex="-1" data-move=${next} aria-label=${`${moveName(next)}, ${title}`}>${moveName(next)}</button>` : nothing}
    ${sheet.movable(visit) && !saving ? html`<span class="handle" aria-hidden="true"></span>` : nothing}
  </div>`;
}

// --- behind and above -------------------------------------------------------------------------------------------------------

/** When each column is open, and what the visits keep free before and after them. @param {Sheet} sheet */
export const behind = (sheet) =>
  sheet.shownColumns.map((index) => {
    const column = sheet.columns[index];
    return [
      ...sheet
        .openOf(column)
        .map((part) => html`<div class="opening" .style=${across(sheet, index) + down(sheet, column, part)}></div>`),
      ...buffers(sheet, column).map(
        (part) => html`<div class="buffer" .style=${across(sheet, index) + down(sheet, column, part)}></div>`,
      ),
    ];
  });

/** @param {Sheet} sheet @param {Column} column */
function buffers(sheet, column) {
  const items = sheet.itemsOf(column);
  return items.flatMap(({ start, end, visit }) => {
    const type = sheet.types.get(visit?.visit_type ?? "");
    if (!visit || !type) return [];
    const parts = [
      { start: start - (type.before_minutes ?? 0) * MINUTE_MS, end: start },
      { start: end, end: end + (type.after_minutes ?? 0) * MINUTE_MS },
    ];
    return parts.filter((part) => part.start < part.end && overlap(part, column)).flatMap((part) => gaps(part, items));
  });
}

/** The line of now, in the columns that it is in. @param {Sheet} sheet @param {number} now */
export function nowLine(sheet, now) {
  const index = sheet.columns.findIndex(({ start, end }) => start <= now && now < end);
  if (index < 0) return nothing;
  const column = sheet.columns[index];
  const top = `inset-block-start:${sheet.headRem + remOf(now - column.start)}rem;`;
  return html`<div class="now" .style=${top + across(sheet, index, sheet.across)}></div>
    <div class="now-time" .style=${`--now:${sheet.headRem + remOf(now - column.start)}rem`}><span>${at(now - (now % MINUTE_MS), sheet.zone)}</span></div>`;
}

// @ts-check
/**
 * Where things are on the sheet. Pure: no page, no clock. A column is one calendar on one day; its rows are instants, half an hour
 * each from the day's first one on, so a day whose clocks change has 46 or 50 of them. Instants are milliseconds.
 *
 * @typedef {{id: string, kind: "visit" | "block", start: number, end: number}} Placed
 * @typedef {{calendar: string, day: string, start: number, end: number}} Column
 * @typedef {{start: number, end: number}} Span
 * @typedef {{at: number, row: number, id?: string}} Stop  where the focus can rest: on an item, or on what is free of a row
 */

import { addDays, startOfDay } from "../time.js";

export const MINUTE_MS = 60_000;
export const ROW_MS = 30 * MINUTE_MS;
/** What a move or a resize goes by. */
export const STEP_MS = 15 * MINUTE_MS;
export const DAY_MS = 48 * ROW_MS;
const AGENDA_DAYS = 7;
const WEEKEND = 5;

/** Monday to Friday; to Sunday when the day itself is on a weekend. @param {string} day @returns {string[]} */
function weekOf(day) {
  const weekday = (new Date(Date.parse(day)).getUTCDay() + 6) % 7;
  return daysFrom(addDays(day, -weekday), weekday < WEEKEND ? WEEKEND : 7);
}

/** @param {string} first @param {number} count */
const daysFrom = (first, count) => Array.from({ length: count }, (_, index) => addDays(first, index));

/** The days that a view shows. @param {"day" | "week" | "agenda"} view @param {string} day */
export function daysOf(view, day) {
  if (view === "day") return [day];
  return view === "week" ? weekOf(day) : daysFrom(day, AGENDA_DAYS);
}

/** The day to go to, one view later (1) or earlier (-1). @param {"day" | "week" | "agenda"} view @param {string} day @param {number} by */
export const stepFrom = (view, day, by) => addDays(day, by * (view === "day" ? 1 : 7));

/** Day by day, in each the calendars in their order. @param {string[]} days @param {{id: string}[]} calendars @param {string} zone @returns {Column[]} */
export const columnsOf = (days, calendars, zone) =>
  days.flatMap((day) => {
    const span = { start: startOfDay(day, zone), end: startOfDay(addDays(day, 1), zone) };
    return calendars.map(({ id }) => ({ calendar: id, day, ...span }));
  });

/** @param {Span} column */
export const rowsOf = ({ start, end }) => Math.ceil((end - start) / ROW_MS);

/** @param {Span} column */
export const clocksChange = ({ start, end }) => end - start !== DAY_MS;

/** @param {Span} a @param {Span} b */
export const overlap = (a, b) => a.start < b.end && b.start < a.end;

/** By start; of those that start together the longer first. @param {Placed} a @param {Placed} b */
export const byStart = (a, b) => a.start - b.start || b.end - a.end || (a.id < b.id ? -1 : 1);

/**
 * Places side by side for what is at the same time. What is shorter than a step is drawn as long as one.
 * @param {Placed[]} items  by start
 * @returns {Map<string, {lane: number, of: number}>}
 */
export function lanesOf(items) {
  const places = new Map();
  /** @type {Placed[]} */ let cluster = [];
  /** @type {number[]} */ let ends = [];
  const settle = () => cluster.forEach(({ id }) => (places.get(id).of = ends.length));
  for (const item of items) {
    if (ends.every((end) => end <= item.start)) {
      settle();
      [cluster, ends] = [[], []];
    }
    const free = ends.findIndex((end) => end <= item.start);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = Math.max(item.end, item.start + STEP_MS);
    cluster.push(item);
    places.set(item.id, { lane, of: 1 });
  }
  settle();
  return places;
}

/** The row of a column that an instant is in; what is outside is in the first or the last. @param {Column} column @param {number} at */
export const rowAt = (column, at) => Math.min(rowsOf(column) - 1, Math.max(0, Math.floor((at - column.start) / ROW_MS)));

/** The parts of a span that none of the items covers. @param {Span} span @param {Span[]} items  by start @returns {Span[]} */
export function gaps(span, items) {
  const found = [];
  let from = span.start;
  for (const { start, end } of items) {
    if (end <= from || start >= span.end) continue;
    if (start > from) found.push({ start: from, end: start });
    from = end;
  }
  if (from < span.end) found.push({ start: from, end: span.end });
  return found;
}

/**
 * Where the focus can rest in a column, by time: on every item, and on each row that is not covered whole, at its first free
 * instant.
 * @param {Column} column @param {Placed[]} items  by start, of this column
 * @returns {Stop[]}
 */
export function stopsOf(column, items) {
  /** @type {Stop[]} */
  const stops = items.map(({ id, start }) => ({ at: start, row: rowAt(column, start), id }));
  for (let row = 0; row < rowsOf(column); row++) {
    const start = column.start + row * ROW_MS;
    const [free] = gaps({ start, end: Math.min(start + ROW_MS, column.end) }, items);
    if (free) stops.push({ at: free.start, row });
  }
  return stops.sort((a, b) => a.at - b.at || Number(a.id === undefined) - Number(b.id === undefined));
}

/** The stop that an instant belongs to: the last one that begins by then. @param {Stop[]} stops @param {number} at @param {string} [id] */
export function stopAt(stops, at, id) {
  return stops.find((stop) => id !== undefined && stop.id === id) ?? stops.findLast((stop) => stop.at <= at) ?? stops[0];
}

/**
 * What of `count` things in a row, each `size` long, is in view; one more on each side.
 * @param {number} from @param {number} length @param {number} size @param {number} count
 */
export function inView(from, length, size, count) {
  const first = Math.max(0, Math.floor(from / size) - 1);
  return { first, last: Math.min(count, Math.ceil((from + length) / size) + 1) };
}

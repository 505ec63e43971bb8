// @ts-check
/**
 * Days and times in IANA zones. An instant is a number of milliseconds, a day is "2026-11-01". A day begins and ends where the
 * zone says, so it may have 23 or 25 hours.
 */

const DAY_MS = 86_400_000;
const LANGUAGE = globalThis.document?.documentElement.lang || "en";
const LOCALE = globalThis.navigator?.languages?.find((name) => name.startsWith(LANGUAGE)) ?? `${LANGUAGE}-US`;

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {string} zone @param {Intl.DateTimeFormatOptions} options @param {string} [locale] */
function format(zone, options, locale = LOCALE) {
  const key = JSON.stringify([zone, options, locale]);
  const known = formats.get(key) ?? new Intl.DateTimeFormat(locale, { timeZone: zone, ...options });
  formats.set(key, known);
  return known;
}

export const visitorZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** The wall clock in a zone, read as if it were UTC. @param {number} instant @param {string} zone */
function wall(instant, zone) {
  /** @type {Intl.DateTimeFormatOptions} */
  const fields = {
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  };
  const parts = Object.fromEntries(
    format(zone, fields, "en-US")
      .formatToParts(instant)
      .map((part) => [part.type, Number(part.value)]),
  );
  return Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second);
}

/** Whether the clocks of two zones show the same at an instant. @param {number} instant @param {string} one @param {string} other */
export const sameClock = (instant, one, other) => wall(instant, one) === wall(instant, other);

/** The day an instant is in. @param {number} instant @param {string} zone */
export const dayOf = (instant, zone) => new Date(wall(instant, zone)).toISOString().slice(0, 10);

/** @param {string} day @param {number} count */
export const addDays = (day, count) => new Date(Date.parse(day) + count * DAY_MS).toISOString().slice(0, 10);

/** The first instant of a day, also where midnight does not exist or happens twice. @param {string} day @param {string} zone */
export function startOfDay(day, zone) {
  const midnight = Date.parse(day);
  const offset = (/** @type {number} */ instant) => wall(instant, zone) - instant;
  const candidates = [midnight - offset(midnight - DAY_MS), midnight - offset(midnight + DAY_MS)].sort((a, b) => a - b);
  return candidates.find((instant) => dayOf(instant, zone) === day) ?? candidates[1];
}

/**
 * The instant when clocks show a time, "09:30", on a day: the first where it happens twice, as late as it would have been where it
 * does not exist.
 * @param {string} day @param {string} time @param {string} zone
 */
export function instantOf(day, time, zone) {
  const shown = Date.parse(`${day}T${time}Z`);
  const candidates = [shown - DAY_MS, shown + DAY_MS].map((near) => shown - (wall(near, zone) - near)).sort((a, b) => a - b);
  return candidates.find((instant) => wall(instant, zone) === shown) ?? candidates[1];
}

/** Whether the clocks change on a day, by zone and day: a page asks for the times of the same few days again and again. @type {Map<string, boolean>} */
const changing = new Map();

/** @param {string} day @param {string} zone */
function clocksChange(day, zone) {
  const key = `${zone} ${day}`;
  const known = changing.get(key) ?? startOfDay(addDays(day, 1), zone) - startOfDay(day, zone) !== DAY_MS;
  changing.set(key, known);
  return known;
}

/** "9:00 AM"; with the zone's short name on a day whose clocks change. @param {number} instant @param {string} zone */
export function clock(instant, zone) {
  const changes = clocksChange(dayOf(instant, zone), zone);
  const text = format(zone, { hour: "numeric", minute: "2-digit", ...(changes && { timeZoneName: "short" }) }).format(instant);
  return text.replaceAll(" ", "\u00a0"); // a time is one word
}

/** "Thursday, November 26" @param {string} day @param {Intl.DateTimeFormatOptions} [options] */
export const dayName = (day, options = { weekday: "long", month: "long", day: "numeric" }) =>
  format("UTC", options).format(Date.parse(day));

/**
 * "Central European Standard Time", or in short "GMT+1".
 * @param {number} instant @param {string} zone @param {"long" | "short"} [length]
 */
export function zoneName(instant, zone, length = "long") {
  const parts = format(zone, { timeZoneName: length }).formatToParts(instant);
  return parts.find((part) => part.type === "timeZoneName")?.value ?? zone;
}

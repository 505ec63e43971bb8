// @ts-check
/** What is said of a visit, a time and a step, in the page's language. */

import { text } from "../texts.js";
import { clock, dayName } from "../time.js";

/** @typedef {import("./diary.js").Visit} Visit */

/** What can be done from where, the usual next step first; the lifecycle itself is the server's. @type {Record<string, string[]>} */
const MOVES = {
  booked: ["arrive", "no-show", "start"],
  arrived: ["start", "room", "complete", "revert"],
  in_progress: ["complete", "revert"],
  no_show: ["arrive", "revert"],
};
const CAN_BE_MOVED = new Set(["booked", "arrived"]);
const MOST_TIMES = 20_000;

/** @type {Map<string, string>} */
const times = new Map();

/** "9:00 AM"; what was asked for before is known, for a sheet asks for the same times again and again. @param {number} instant @param {string} zone */
export function at(instant, zone) {
  const key = `${instant} ${zone}`;
  const known = times.get(key) ?? clock(instant, zone);
  if (times.size > MOST_TIMES) times.clear();
  times.set(key, known);
  return known;
}

/** @param {number} start @param {number} end @param {string} zone */
export const span = (start, end, zone) => `${at(start, zone)} – ${at(end, zone)}`;

/** @param {string} day */
export const shortDay = (day) => dayName(day, { weekday: "short", month: "short", day: "numeric" });

/** @param {string} day */
export const longDay = (day) => dayName(day, { weekday: "long", month: "long", day: "numeric", year: "numeric" });

/** "November 24, 2026" @param {string} day */
export const date = (day) => dayName(day, { month: "long", day: "numeric", year: "numeric" });

/** @param {Visit} visit */
export const statusOf = (visit) =>
  text(visit.status === "arrived" && visit.stages?.roomed ? "calendar.status_roomed" : `calendar.status_${visit.status}`);

/** The steps that a visit can take now. @param {Visit} visit @returns {string[]} */
export const movesOf = (visit) => (MOVES[visit.status] ?? []).filter((move) => move !== "room" || !visit.stages?.roomed);

/** @param {string} move */
export const moveName = (move) => text(`calendar.move_${move.replace("-", "_")}`);

/** @param {Visit} visit */
export const canMove = (visit) => CAN_BE_MOVED.has(visit.status);

/** @param {Visit} visit */
export const canCancel = canMove;

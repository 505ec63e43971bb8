// @ts-check
/**
 * Where on the board a visit is, what can be done with it from there, and how long somebody waits. The lifecycle itself is the
 * server's; here is only what it will allow.
 *
 * @typedef {{arrived?: string, roomed?: string, started?: string, completed?: string}} Stages  those that happened
 * @typedef {import("../live.js").Visit & {stages?: Stages, modality?: string, join_url?: string, state?: string,
 *   patient?: {id: string} | null}} Visit
 * @typedef {"expected" | "arrived" | "roomed" | "in_progress" | "completed" | "no_show"} Column
 * @typedef {"arrive" | "room" | "start" | "complete" | "no-show" | "revert"} Step
 */

const MINUTE_MS = 60_000;
const LONG_WAIT_MIN = 15;
const LATE_MIN = 5;

/** @type {Column[]} */
export const COLUMNS = ["expected", "arrived", "roomed", "in_progress", "completed", "no_show"];

/** From each column, the usual step first. @type {Record<Column, Step[]>} */
const STEPS = {
  expected: ["arrive", "no-show", "start"],
  arrived: ["room", "revert", "start", "complete"],
  roomed: ["start", "revert", "complete"],
  in_progress: ["complete", "revert"],
  completed: [],
  no_show: ["arrive", "revert"],
};

/** The letter that does a step with the card that has the focus. @type {Record<Step, string>} */
export const STEP_KEYS = { arrive: "a", room: "r", start: "s", complete: "c", "no-show": "n", revert: "z" };

/** Undefined for what is not on the board: holds, and what was cancelled. @param {Visit} visit @returns {Column | undefined} */
export function columnOf({ status, stages }) {
  if (status === "booked") return "expected";
  if (status === "arrived" && stages?.roomed) return "roomed";
  return COLUMNS.find((column) => column === status);
}

/** @param {Visit} visit @returns {Step[]} */
export function stepsOf(visit) {
  const column = columnOf(visit);
  return column ? STEPS[column] : [];
}

/** @param {Visit} visit */
export const canBeMoved = ({ status }) => status === "booked" || status === "arrived";

/** Minutes since the patient came, as long as they wait. @param {Visit} visit @param {number} now */
export function waitedFor({ status, stages }, now) {
  if (status !== "arrived" || !stages?.arrived) return undefined;
  return Math.max(0, Math.floor((now - Date.parse(stages.arrived)) / MINUTE_MS));
}

/** @param {number | undefined} minutes */
export const isLong = (minutes) => minutes !== undefined && minutes >= LONG_WAIT_MIN;

/** Minutes after its time; nothing for who came, or is hardly late. @param {Visit} visit @param {number} now */
export function lateBy({ status, start }, now) {
  const minutes = Math.floor((now - Date.parse(start)) / MINUTE_MS);
  return status === "booked" && minutes >= LATE_MIN ? minutes : undefined;
}

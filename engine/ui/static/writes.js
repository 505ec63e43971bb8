// @ts-check
/**
 * What staff do with visits, each one call. All reject with `Refused`, whose fields may say `conflicts` and `alternatives`.
 *
 * @typedef {import("./availability.js").Slot} Slot
 * @typedef {{slot: Slot} | {calendar: string, start: number, end: number}} Choice  a time that is offered, or one that staff name
 * @typedef {{id: string} | {sealed: string}} Who
 * @typedef {{code: string, reason: string, calendar: string, start?: string, end?: string, appointment?: string,
 *   overridable: boolean}} Conflict
 */

import { Refused, ask, get, post, serverNow } from "./api.js";

const MINUTE_MS = 60_000;
const NEAR_MS = 3 * 24 * 60 * MINUTE_MS;
const MOST_NEAR = 5;

/** @param {string} id @param {string} name  "arrive", "room", "start", "complete", "no-show", "revert" */
export const step = (id, name) => post(`/appointments/${id}/${name}`, {});

/** @param {string} id @param {string} reason @param {"patient" | "clinic"} by */
export const cancel = (id, reason, by) => post(`/appointments/${id}/cancel`, { reason, by });

/**
 * @param {{visitType: string, patient: Who, state: string, modality: string, choice: Choice}} wanted
 * @param {string} [reason]  why it is booked although something speaks against it
 */
export const book = ({ visitType, patient, state, modality, choice }, reason) =>
  post("/appointments", { ...named(choice, { visit_type: visitType, modality }), patient, state, ...override(reason) });

/** @param {string} id @param {Choice} choice @param {string} [reason] */
export const reschedule = (id, choice, reason) =>
  post(`/appointments/${id}/reschedule`, { ...named(choice, {}), ...override(reason) });

/**
 * All that speaks against a time that staff name, nothing when it can be booked.
 * @param {{visitType: string, state: string, appointment?: string, choice: Choice}} asked @returns {Promise<Conflict[]>}
 */
export async function conflicts({ visitType, state, appointment, choice }) {
  const body = { ...timeOf(choice), visit_type: visitType, ...(state && { state }), ...(appointment && { appointment }) };
  return (await ask("/appointments/conflicts", body)).conflicts;
}

/** @param {Choice} choice @param {object} more  what only a named time needs */
const named = (choice, more) => ("slot" in choice ? { slot: choice.slot.slot } : { ...timeOf(choice), ...more });

/** Who names a time means it: the usual starts and lengths do not bind. @param {Choice} choice */
function timeOf(choice) {
  const { calendar, start, end } = "slot" in choice ? choice.slot : choice;
  const minutes = Math.round((Number(new Date(end)) - Number(new Date(start))) / MINUTE_MS);
  return { calendar, start: new Date(start).toISOString(), duration_minutes: minutes };
}

/** @param {string} [reason] */
const override = (reason) => (reason ? { override: { reason } } : {});

/**
 * Takes a time, unless something speaks against it: then answers what, and what is free near it. Rejects with `Refused` where it
 * is no matter of the time.
 * @param {{slug: string, visitType: string, state: string, modality?: string, appointment?: string, choice: Choice}} asked
 * @param {(reason?: string) => Promise<any>} take
 * @param {{reason?: string, usual?: string}} [given]  `reason`: typed, for what can be overridden; `usual`: one that needs no typing
 * @returns {Promise<{answer: any} | {conflicts: Conflict[], alternatives: Slot[]}>}
 */
export async function attempt(asked, take, { reason, usual } = {}) {
  let why = reason;
  if (!("slot" in asked.choice) && !reason) {
    const found = await conflicts(asked);
    if (found.length && usual && found.every(({ overridable }) => overridable)) why = usual;
    else if (found.length) return { conflicts: found, alternatives: await near(asked) };
  }
  try {
    return { answer: await take(why) };
  } catch (error) {
    const { code, fields } = error instanceof Refused ? error : new Refused("internal_error");
    if (!fields.conflicts?.length && code !== "slot_taken" && code !== "outside_opening_hours") throw error;
    return { conflicts: fields.conflicts ?? [], alternatives: fields.alternatives ?? (await near(asked)) };
  }
}

/** Free times about then, the nearest first. @param {{slug: string, visitType: string, state: string, modality?: string, choice: Choice}} asked @returns {Promise<Slot[]>} */
async function near({ slug, visitType, state, modality, choice }) {
  const start = Number(new Date("slot" in choice ? choice.slot.start : choice.start));
  const from = Math.max(serverNow(), start - NEAR_MS);
  const query = slotsQuery({ visitType, state, modality, from, to: Math.max(from, start) + NEAR_MS, limit: 500 });
  const { items } = await get(`/clinics/${slug}/slots?${query}`);
  const distance = (/** @type {Slot} */ slot) => Math.abs(Date.parse(slot.start) - start);
  return items.sort((/** @type {Slot} */ a, /** @type {Slot} */ b) => distance(a) - distance(b)).slice(0, MOST_NEAR);
}

/** @param {{visitType: string, from: number, to: number, limit: number, calendar?: string, state?: string, modality?: string}} asked */
export function slotsQuery({ visitType, from, to, limit, ...more }) {
  const query = new URLSearchParams({ visit_type: visitType, limit: String(limit) });
  query.set("from", new Date(from).toISOString());
  query.set("to", new Date(to).toISOString());
  for (const [name, value] of Object.entries(more)) if (value) query.set(name, value);
  return query;
}

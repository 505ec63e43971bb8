// @ts-check
/** The clinic that is being set up: what the server knows of it, loaded once, renewed by every answer, and shared by all sections. */

import { get, post, send } from "../api.js";
import { byId } from "../dom.js";

/** @typedef {{id: string, revision: string, kind: string, name: string, zone: string, location: string, specialty: string, states: string[], holidays: string, join_url: string, active: boolean, future_visits: number}} Calendar */
/** @typedef {{id: string, revision: string, name: string, duration_minutes: number | null, modalities: string[], needs: string[], calendars: string[], active: boolean}} VisitType */
/** @typedef {{id: string, revision: string, name: string, zone: string}} Place */
/** @typedef {{id: string, person: string, name: string, email: string, role: string, calendar: string, active: boolean}} Member */
/** @typedef {"calendars" | "visit-types" | "locations" | "members"} Kind */

const main = byId("main").dataset;
export const slug = main.clinic ?? "";
export const role = main.role ?? "";
/** A practitioner's own calendar. */
const ownCalendar = main.calendar ?? "";
export const isAdmin = role === "clinic_admin";
export const AUTH = "/api/auth/v1";
export const NOTIFICATIONS = "/api/notifications/v1";

/** @type {Record<Kind, any[]>} */
const known = { calendars: [], "visit-types": [], locations: [], members: [] };
/** Fires "changed" when something was loaded or saved. */
export const changes = new EventTarget();

/** What is known of a kind. @param {Kind} kind */
export const all = (kind) => known[kind];

/** Loads everything of a kind, and answers it. @param {Kind} kind @returns {Promise<any[]>} */
export async function load(kind) {
  const found = kind === "members" ? get("/members?limit=500", { base: AUTH }) : get(`/clinics/${slug}/${kind}`);
  return put(kind, (await found).items);
}

/** Practitioners see their own calendar, as everybody does, in the profile. */
export async function loadOwn() {
  const { calendars } = await get(`/clinics/${slug}`);
  return put("calendars", calendars.filter((/** @type {Calendar} */ one) => one.id === ownCalendar));
}

/** @template T @param {Kind} kind @param {T[]} items */
function put(kind, items) {
  known[kind] = items;
  changes.dispatchEvent(new Event("changed"));
  return items;
}

/**
 * Writes, and keeps what the server answers.
 * @param {Kind} kind @param {string} path @param {"POST" | "PATCH"} method @param {Record<string, unknown>} body @param {string} [base]
 */
export async function write(kind, path, method, body, base) {
  const saved = method === "POST" ? await post(path, body, { base }) : await send(method, path, body, { base });
  const rest = known[kind].filter((one) => one.id !== saved.id);
  put(kind, [...rest, saved].sort((a, b) => a.name.localeCompare(b.name)));
  return saved;
}

// --- what is typed and not saved yet ---

/** @type {Set<object>} */
const unsaved = new Set();

/** Says whether something typed would be lost. @param {object} where @param {boolean} dirty */
export const keep = (where, dirty) => void (dirty ? unsaved.add(where) : unsaved.delete(where));

addEventListener("beforeunload", (event) => unsaved.size && event.preventDefault());

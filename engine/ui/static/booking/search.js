// @ts-check
/**
 * What the booking page asks for: the clinic's profile came with the page, free times come from the API. The first question is
 * asked as soon as this small module is there, while the others are still on their way.
 *
 * @typedef {import("../availability.js").Slot & {visitType?: string}} Slot  `visitType` where the question was about several
 * @typedef {{id: string, name: string, duration_minutes: number | null, modalities: string[], needs: string[],
 *   calendars: string[]}} VisitType
 * @typedef {{id: string, name: string, kind: string, specialty: string, states: string[]}} Calendar
 * @typedef {{id: string, address: string, city: string}} Place
 * @typedef {{slug: string, name: string, zone: string, visit_types: VisitType[], calendars: Calendar[],
 *   locations: Place[]}} Profile
 * @typedef {{visitType: string, modality: string, state: string}} Wish
 * @typedef {{slots: Slot[], asOf: Record<string, number>}} Found
 */

import { get, serverNow } from "../api.js";

const PAGE = 500;
const MOST_TYPES = 8; // whose first time is asked for
const MOST_PEOPLE = 50;
const NEAREST = 5;
const DAY_MS = 86_400_000;
const NEAR_DAYS = [1, 14]; // around the lost one; further only where too little is free

/** @type {Profile} */
export const profile = JSON.parse(document.getElementById("profile")?.textContent ?? "{}");
export const calendars = new Map(profile.calendars.map((calendar) => [calendar.id, calendar]));

/** A page may be about one kind of visit only. */
const only = new URLSearchParams(location.search).get("visit_type");
const named = profile.visit_types.filter(({ id }) => id === only);
export const visitTypes = named.length ? named : profile.visit_types;

/** The first free time of each kind of visit. @param {AbortSignal} [signal] @returns {Promise<Found>} */
async function askFirsts(signal) {
  const firsts = await Promise.all(
    visitTypes.slice(0, MOST_TYPES).map(async ({ id }) => {
      const { items, as_of } = await get(`/slots/first?${new URLSearchParams({ visit_type: id, limit: "1" })}`, {
        asPatient: true,
        signal,
      });
      return { slots: items.map((/** @type {Slot} */ slot) => ({ ...slot, visitType: id })), as_of };
    }),
  );
  return { slots: firsts.flatMap(({ slots }) => slots), asOf: Object.assign({}, ...firsts.map(({ as_of }) => as_of)) };
}

/** The first answer, asked for before anybody wants it. @type {Promise<Found> | undefined} */
let early = visitTypes.length > 1 ? askFirsts() : undefined;
early?.catch(() => {}); // who wants it hears of it

/** @param {AbortSignal} signal */
export function firstOfEach(signal) {
  const answer = early ?? askFirsts(signal);
  early = undefined;
  return answer;
}

/** The first free time of everybody who offers it. @param {Wish} wish @param {AbortSignal} signal @returns {Promise<Found>} */
export async function firstOfPeople(wish, signal) {
  const limit = Math.min(MOST_PEOPLE, peopleFor(wish).length || 1);
  const { items, as_of } = await get(`/slots/first?${queryOf(wish, { limit: String(limit) })}`, { asPatient: true, signal });
  return { slots: items, asOf: as_of };
}

/** The first free times after an instant, one a person. @param {Wish} wish @param {number} after @returns {Promise<Slot[]>} */
export async function firstAfter(wish, after) {
  const query = queryOf(wish, { limit: String(MOST_PEOPLE), after: new Date(after).toISOString() });
  return (await get(`/slots/first?${query}`, { asPatient: true })).items;
}

/**
 * All free times between two instants, of one calendar if one is named.
 * @param {Wish} wish @param {{calendar: string, from: number, to: number, signal?: AbortSignal}} where @returns {Promise<Found>}
 */
export async function freeBetween(wish, { calendar, from, to, signal }) {
  const query = queryOf(wish, {
    calendar,
    from: new Date(Math.max(from, serverNow())).toISOString(),
    to: new Date(to).toISOString(),
    limit: String(PAGE),
  });
  const found = [];
  for (;;) {
    const page = await get(`/clinics/${profile.slug}/slots?${query}`, { asPatient: true, signal });
    found.push(...page.items);
    if (!page.next) return { slots: found, asOf: page.as_of };
    query.set("cursor", page.next);
  }
}

/** The free times nearest to one that is lost, with the same person first. @param {Wish} wish @param {Slot} lost */
export async function nearest(wish, lost) {
  const wanted = Date.parse(lost.start);
  const distance = (/** @type {Slot} */ { start }) => Math.abs(Date.parse(start) - wanted);
  const other = (/** @type {Slot} */ { calendar }) => Number(calendar !== lost.calendar);
  for (const days of NEAR_DAYS) {
    const [from, to] = [wanted - days * DAY_MS, Math.max(wanted, serverNow()) + days * DAY_MS];
    const { slots } = await freeBetween(wish, { calendar: "", from, to });
    const near = slots.sort((a, b) => distance(a) - distance(b) || other(a) - other(b)).slice(0, NEAREST);
    if (near.length === NEAREST || days === NEAR_DAYS.at(-1)) return near;
  }
  return [];
}

/** @param {Wish} wish @param {Record<string, string>} more */
function queryOf({ visitType, modality, state }, more) {
  const query = new URLSearchParams({ visit_type: visitType, modality });
  for (const [name, value] of Object.entries({ state, ...more })) if (value) query.set(name, value);
  return query;
}

/** Who offers a kind of visit: the calendars that people choose by. @param {string} visitType */
function offering(visitType) {
  const type = visitTypes.find(({ id }) => id === visitType);
  return (type?.calendars ?? []).flatMap((id) => calendars.get(id) ?? []).filter(({ kind }) => kind === type?.needs[0]);
}

/** Of those, who may see a patient in that state. @param {Wish} wish */
export const peopleFor = ({ visitType, state }) =>
  offering(visitType).filter(({ states }) => !state || !states.length || states.includes(state));

/** Whoever comes in person is where the practitioner is; for all others a licence may be needed. @param {Wish} wish */
export const needsState = ({ visitType, modality }) =>
  modality !== "in_person" && offering(visitType).some(({ states }) => states.length > 0);

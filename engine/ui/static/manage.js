// @ts-check
/** The patient's own page: one visit, by the link that only its patient was given. The link is in the address and nowhere else. */

import { Refused, get, post, serverNow } from "./api.js";
import { WEEK_DAYS, drawDays, drawSlots, heedFirstClicks, moment } from "./booking/chooser.js";
import { byId, write } from "./dom.js";
import { has, sentence, text } from "./texts.js";
import { addDays, clock, dayOf, sameClock, startOfDay, visitorZone, zoneName } from "./time.js";

/**
 * @typedef {import("./availability.js").Slot} Slot
 * @typedef {{status: string, start: string, end: string, change_until: string, modality: string, state: string,
 *   clinic: {slug: string, name: string, zone: string, phone: string}, visit_type: {id: string, name: string},
 *   calendar: {id: string, name: string}, location: {address: string, city: string} | null}} Visit
 */

const PAGE = 500;
const MINUTE_MS = 60_000;
const asPatient = { asPatient: true };
const address = `/manage/${location.pathname.split("/")[2]}`;
const whom = /** @type {HTMLSelectElement} */ (byId("whom"));
const sure = /** @type {HTMLDialogElement} */ (byId("sure"));

/** @type {Visit} */ let visit;
/** @type {Map<string, string>} */ let names = new Map();
/** @type {Slot[]} */ let slots = [];
let firstDay = "";
let chosenDay = "";
let asked = 0;
let busy = false;

async function begin() {
  await alone(async () => draw(await get(address, asPatient)));
}

// --- the visit -------------------------------------------------------------------------------------------------------------

/** @param {Visit} told @param {string} [news] */
function draw(told, news) {
  visit = told;
  const { clinic, location: place, modality } = visit;
  const start = Date.parse(visit.start);
  write(byId("clinic"), clinic.name);
  write(byId("news"), news ?? textOf(visit.status));
  write(byId("when"), moment(start, visitorZone));
  const there = { when: moment(start, clinic.zone), zone: zoneName(start, clinic.zone) };
  write(byId("there"), sameClock(start, clinic.zone, visitorZone) ? "" : text("manage.atClinic", there));
  write(byId("what"), visit.visit_type.name);
  write(byId("who"), visit.calendar.name);
  const address_ = modality === "in_person" && place ? [place.address, place.city] : [];
  write(byId("how"), [text(`times.${modality}`), ...address_].filter(Boolean).join(", "));
  const phone = /** @type {HTMLAnchorElement} */ (byId("phone"));
  write(phone, clinic.phone);
  phone.href = `tel:${clinic.phone.replace(/[^\d+]/g, "")}`;
  hide(/** @type {HTMLElement} */ (phone.parentElement), !clinic.phone);
  hide(/** @type {HTMLElement} */ (phone.parentElement?.previousElementSibling), !clinic.phone);
  drawActions();
  byId("visit").hidden = false;
  byId("choose").hidden = true;
}

function drawActions() {
  const open = ["booked", "arrived"].includes(visit.status);
  const inTime = Date.parse(visit.change_until) > serverNow();
  hide(byId("move"), !open || !inTime);
  hide(byId("cancel"), !open || !inTime);
  hide(byId("calendar"), !open);
  hide(byId("book"), open);
  /** @type {HTMLAnchorElement} */ (byId("calendar")).href = `/api/engine/v1${address}/calendar.ics`;
  /** @type {HTMLAnchorElement} */ (byId("book")).href = `/book/${visit.clinic.slug}/`;
  const until = text("manage.until", { when: moment(Date.parse(visit.change_until), visitorZone) }).replace("..", "."); // "a.m." has one
  const late = visit.clinic.phone ? `${text("manage.late")} ${visit.clinic.phone}` : text("manage.lateNoPhone");
  write(byId("note"), open ? (inTime ? until : late) : "");
}

async function cancel() {
  write(byId("sure-when"), `${moment(Date.parse(visit.start), visitorZone)}, ${visit.clinic.name}`);
  sure.returnValue = "";
  sure.showModal();
  await new Promise((resolve) => sure.addEventListener("close", resolve, { once: true }));
  if (sure.returnValue !== "cancel") return;
  await alone(async () => {
    draw(await post(`${address}/cancel`, {}, asPatient));
    byId("news").focus();
  });
}

// --- another time ----------------------------------------------------------------------------------------------------------

async function choose() {
  await alone(async () => {
    const profile = await get(`/clinics/${visit.clinic.slug}`, asPatient);
    names = new Map(profile.calendars.map((/** @type {{id: string, name: string}} */ one) => [one.id, one.name]));
    whom.options[0].value = visit.calendar.id;
    whom.options[0].textContent = visit.calendar.name;
    firstDay = chosenDay = dayOf(serverNow(), visitorZone);
    byId("choose").hidden = false;
    await search();
    byId("choose-title").focus();
  });
}

async function search() {
  const mine = ++asked;
  const query = new URLSearchParams({
    visit_type: visit.visit_type.id,
    from: new Date(Math.max(startOfDay(firstDay, visitorZone), serverNow())).toISOString(),
    to: new Date(startOfDay(addDays(firstDay, WEEK_DAYS), visitorZone)).toISOString(),
    modality: visit.modality,
    limit: String(PAGE),
  });
  if (whom.value) query.set("calendar", whom.value);
  if (visit.state) query.set("state", visit.state);
  const found = await get(`/clinics/${visit.clinic.slug}/slots?${query}`, asPatient);
  if (mine !== asked) return; // a later question is on its way
  slots = found.items;
  if (!slotsOn(chosenDay).length) chosenDay = slots.length ? dayOf(Date.parse(slots[0].start), visitorZone) : firstDay;
  drawWeek();
}

/** Those that have not passed. One time may be free with several people; one button is enough. @param {string} day */
function slotsOn(day) {
  const ahead = slots.filter(({ start }) => Date.parse(start) > serverNow());
  const own = ahead.filter(({ start }) => dayOf(Date.parse(start), visitorZone) === day);
  return [...new Map(own.reverse().map((slot) => [slot.start, slot])).values()].reverse();
}

function drawWeek() {
  /** @type {HTMLButtonElement} */ (byId("earlier")).disabled = firstDay <= dayOf(serverNow(), visitorZone);
  const days = Array.from({ length: WEEK_DAYS }, (_, index) => addDays(firstDay, index));
  drawDays(byId("days"), days, { chosen: chosenDay, countOf: (day) => slotsOn(day).length });
  write(byId("none"), slots.length ? "" : text("times.week_full"));
  write(byId("zone"), slots.length ? text("manage.zone", { zone: zoneName(Date.parse(slots[0].start), visitorZone) }) : "");
  drawFree(byId("times"), slotsOn(chosenDay), clock);
}

/** @param {HTMLElement} list @param {Slot[]} free @param {(start: number, zone: string) => string} label */
function drawFree(list, free, label) {
  drawSlots(list, free, {
    labelOf: ({ start }) => label(Date.parse(start), visitorZone),
    noteOf: ({ calendar }) => (calendar === visit.calendar.id ? "" : (names.get(calendar) ?? "")),
    onTake: take,
  });
}

/** @param {Slot} slot */
async function take(slot) {
  await alone(async () => {
    draw(await post(`${address}/reschedule`, { slot: slot.slot }, asPatient), text("manage.moved"));
    byId("news").focus();
    scrollTo({ top: 0 });
  });
}

// --- the page --------------------------------------------------------------------------------------------------------------

/** One action at a time; what was refused is said in words. @param {() => Promise<void>} action */
async function alone(action) {
  if (busy) return;
  busy = true;
  byId("main").setAttribute("aria-busy", "true");
  byId("problem").hidden = true;
  try {
    await action();
  } catch (error) {
    await refused(error);
  }
  byId("main").setAttribute("aria-busy", "false");
  busy = false;
}

/** @param {unknown} error */
async function refused(error) {
  const code = error instanceof Refused ? error.code : "internal_error";
  const others = error instanceof Refused ? (error.fields.alternatives ?? []) : [];
  const told = code === "not_found" ? text("manage.not_found") : sentence(code);
  const problem = byId("problem");
  const call = code === "too_late_to_change" && visit.clinic.phone ? `${text("manage.late")} ${visit.clinic.phone}` : told;
  write(/** @type {HTMLElement} */ (problem.firstElementChild), others.length ? `${told} ${text("times.others")}` : call);
  if (visit) drawFree(byId("alternatives"), others, moment);
  problem.hidden = false;
  problem.scrollIntoView({ block: "nearest" });
  if (["slot_taken", "outside_opening_hours"].includes(code)) await search().catch(() => {});
  if (["too_late_to_change", "illegal_transition"].includes(code)) draw(await get(address, asPatient).catch(() => visit));
}

/** @param {string} name */
const textOf = (name) => (has(`manage.${name}`) ? text(`manage.${name}`) : name);

/** @param {HTMLElement} element @param {boolean} hidden */
const hide = (element, hidden) => void (element.hidden = hidden);

/** @param {number} days */
function turn(days) {
  const today = dayOf(serverNow(), visitorZone);
  const next = addDays(firstDay, days);
  firstDay = next < today ? today : next;
  alone(search);
}

heedFirstClicks(byId("main"));
byId("move").addEventListener("click", choose);
byId("cancel").addEventListener("click", cancel);
byId("keep-time").addEventListener("click", () => hide(byId("choose"), true));
byId("earlier").addEventListener("click", () => turn(-WEEK_DAYS));
byId("later").addEventListener("click", () => turn(WEEK_DAYS));
whom.addEventListener("change", () => alone(search));
byId("days").addEventListener("click", ({ target }) => {
  const day = /** @type {HTMLElement} */ (target).closest("button")?.dataset.day;
  if (!day) return;
  chosenDay = day;
  drawWeek();
});
setInterval(() => byId("choose").hidden || drawWeek(), MINUTE_MS);

begin();

// @ts-check
/**
 * The public booking page: wishes → a time → a hold → details → an appointment. What a patient types lives in the form
 * and, sealed, in the request that books, nowhere else: not in the address, not in storage, not in the console.
 */

import { Refused, get, post, remove, serverNow } from "./api.js";
import { Availability } from "./availability.js";
import { tell } from "./connection.js";
import { byId, make, show, write } from "./dom.js";
import { askAgain, canSeal, checkFields, details, forgetDetails, isField } from "./details.js";
import { sentence } from "./texts.js";
import { addDays, clock, dayName, dayOf, startOfDay, visitorZone, zoneName } from "./time.js";

/**
 * @typedef {import("./availability.js").Slot} Slot
 * @typedef {{visitType: string, calendar: string, modality: string, firstDay: string, from: number, to: number}} Question
 * @typedef {{id: string, name: string, duration_minutes: number | null, modalities: string[], needs: string[],
 *   calendars: string[]}} VisitType
 * @typedef {{id: string, name: string, kind: string, specialty: string}} Calendar
 * @typedef {{id: string, secret: string, slot: Slot, until: number}} Hold  `until` on the clock of performance.now()
 */

const WEEK_DAYS = 7;
const PAGE = 500;
const LAST_CALL_S = 60;
const BUFFER_MS = 86_400_000; // a visit blocks less than a day around it
const MODALITIES = { in_person: "In person", video: "By video", phone: "By phone" };

const clinic = byId("main").dataset.clinic ?? "";
const clinicZone = byId("main").dataset.zone ?? "UTC";
const withWhom = /** @type {HTMLSelectElement} */ (byId("calendar"));
const modality = /** @type {HTMLSelectElement} */ (byId("modality"));
const patient = /** @type {HTMLFormElement} */ (byId("patient"));

/** @type {VisitType[]} */ let visitTypes = [];
/** @type {Map<string, Calendar>} */ let calendars = new Map();
/** @type {VisitType | undefined} */ let visitType;
/** The times of the chosen day that have been on show: one that is taken keeps its place. @type {Map<number, Slot>} */
const seen = new Map();
/** What is on show answers this. @type {Question | undefined} */ let shown;
/** @type {Hold | undefined} */ let hold;
/** @type {ReturnType<typeof setInterval> | undefined} */ let ticking;
let firstDay = dayOf(Date.now(), visitorZone);
let chosenDay = "";
let busy = false;

const week = new Availability(
  location.origin.replace("http", "ws") + "/ws/v1/live",
  { type: "auth", clinic },
  { read: readWeek, isLooking: () => !byId("choose").hidden, onChange: drawTimes },
);

// --- wishes ----------------------------------------------------------------------------------------------------------------

async function begin() {
  if (!canSeal) return say("Your details cannot be protected here. Please open this page with https, or call the clinic.");
  const profile = await get(`/clinics/${clinic}`, { asPatient: true });
  visitTypes = profile.visit_types;
  calendars = new Map(profile.calendars.map((/** @type {Calendar} */ calendar) => [calendar.id, calendar]));
  firstDay = dayOf(serverNow(), visitorZone);
  byId("visit-types").replaceChildren(...visitTypes.map(visitTypeChoice));
  if (!visitTypes.length) return void (byId("none").textContent = "Nothing can be booked online here at the moment.");
  chooseVisitType(visitTypes[0]);
}

/** @param {VisitType} type @param {number} index */
function visitTypeChoice(type, index) {
  const input = make("input", { type: "radio", name: "visit-type", value: type.id, checked: index === 0 });
  const length = type.duration_minutes ? `${type.duration_minutes} minutes` : "";
  const how = type.modalities.map(modalityName).join(" or ").toLowerCase();
  return make(
    "label",
    { className: "choice" },
    input,
    make("span", {}, make("strong", {}, type.name), make("span", { className: "muted" }, [length, how].filter(Boolean).join(", "))),
  );
}

/** @param {string} name */
const modalityName = (name) => MODALITIES[/** @type {keyof typeof MODALITIES} */ (name)] ?? name;

/** @param {VisitType} type */
function chooseVisitType(type) {
  visitType = type;
  const choices = type.calendars.map((id) => calendars.get(id)).filter((calendar) => calendar?.kind === type.needs[0]);
  const options = choices.map((calendar) => make("option", { value: calendar?.id, textContent: calendar?.name }));
  const before = withWhom.value;
  withWhom.replaceChildren(withWhom.options[0], ...options);
  withWhom.value = options.some(({ value }) => value === before) ? before : "";
  modality.replaceChildren(...type.modalities.map((name) => make("option", { value: name, textContent: modalityName(name) })));
  /** @type {HTMLElement} */ (modality.parentElement).hidden = type.modalities.length < 2;
  search();
}

// --- times -----------------------------------------------------------------------------------------------------------------

function search() {
  week.ask({
    visitType: visitType?.id ?? "",
    calendar: withWhom.value,
    modality: modality.value,
    firstDay,
    from: startOfDay(firstDay, visitorZone) - BUFFER_MS,
    to: weekEnd() + BUFFER_MS,
  });
}

const weekEnd = () => startOfDay(addDays(firstDay, WEEK_DAYS), visitorZone);

/** @param {Question} question @param {AbortSignal} signal @returns {Promise<{slots: Slot[], asOf: Record<string, number>}>} */
async function readWeek(question, signal) {
  const query = new URLSearchParams({
    visit_type: question.visitType,
    from: new Date(Math.max(question.from + BUFFER_MS, serverNow())).toISOString(),
    to: new Date(question.to - BUFFER_MS).toISOString(),
    modality: question.modality,
    limit: String(PAGE),
  });
  if (question.calendar) query.set("calendar", question.calendar);
  const found = [];
  for (;;) {
    const page = await get(`/clinics/${clinic}/slots?${query}`, { asPatient: true, signal });
    found.push(...page.items);
    if (!page.next) return { slots: found, asOf: page.as_of };
    query.set("cursor", page.next);
  }
}

function drawTimes() {
  tell(week.state, week.trueAt);
  byId("times").setAttribute("aria-busy", String(week.question === undefined));
  if (!week.question) return void (week.failure && write(byId("none"), sentence(codeOf(week.failure))));
  const days = Array.from({ length: WEEK_DAYS }, (_, index) => addDays(/** @type {Question} */ (week.question).firstDay, index));
  /** One time may be free with several people; one button is enough. @type {Map<string, Map<number, Slot>>} */
  const times = new Map(days.map((day) => [day, new Map()]));
  for (const slot of week.slots) {
    const start = Date.parse(slot.start);
    const day = times.get(dayOf(start, visitorZone));
    if (day && !day.has(start)) day.set(start, slot);
  }
  if (shown !== week.question) {
    shown = week.question;
    if (!times.get(chosenDay)?.size) chosenDay = days.find((day) => times.get(day)?.size) ?? days[0];
    seen.clear();
  }
  drawDays(days, (day) => times.get(day)?.size ?? 0);
  const free = times.get(chosenDay) ?? new Map();
  for (const [start, slot] of free) seen.set(start, slot);
  const some = [...times.values()].some(({ size }) => size);
  write(byId("times-title"), seen.size ? `Times on ${dayName(chosenDay)}` : "Which time?");
  write(byId("none"), free.size ? "" : some ? "No more times are free on this day." : "No times are free in these seven days.");
  byId("jump").hidden = some;
  byId("zone").textContent = zoneText(free.size ? [...free.keys()][0] : Date.parse(chosenDay));
  drawSlots(byId("times"), [...seen].sort(([a], [b]) => a - b).map(([start, slot]) => free.get(start) ?? slot), { free });
}

/** @param {string[]} days @param {(day: string) => number} countOf */
function drawDays(days, countOf) {
  /** @type {HTMLButtonElement} */ (byId("earlier")).disabled = days[0] <= dayOf(serverNow(), visitorZone);
  show(
    byId("days"),
    days,
    (day) => day,
    () => make("li", {}, make("button", { type: "button" }, make("span"), make("strong"), make("small"))),
    (element, day) => {
      const button = /** @type {HTMLButtonElement} */ (element.firstElementChild);
      const count = countOf(day);
      const [weekday, date, note] = button.children;
      weekday.textContent = dayName(day, { weekday: "short" });
      date.textContent = dayName(day, { month: "short", day: "numeric" });
      note.textContent = count ? `${count} free` : "none";
      button.dataset.day = day;
      button.disabled = count === 0 && button !== document.activeElement; // which would lose the focus
      button.setAttribute("aria-pressed", String(day === chosenDay));
      button.setAttribute("aria-label", `${dayName(day)}, ${count || "no"} free times`);
    },
  );
}

/** @param {number} instant */
function zoneText(instant) {
  const [here, there] = [zoneName(instant, visitorZone), zoneName(instant, clinicZone)];
  return here === there ? `Times are in ${here}.` : `Times are in your time zone, ${here}. The clinic’s is ${there}.`;
}

/**
 * @param {HTMLElement} list @param {Slot[]} slots
 * @param {{free?: Map<number, Slot>, dated?: boolean}} how  `free`: a slot that is not in it has been taken, and keeps its place
 */
function drawSlots(list, slots, { free, dated = false }) {
  show(
    list,
    slots,
    (slot) => slot.start + (dated ? slot.calendar : ""),
    () => make("li", {}, make("button", { type: "button" })),
    (element, slot) => {
      const button = /** @type {HTMLButtonElement} */ (element.firstElementChild);
      const start = Date.parse(slot.start);
      const taken = free !== undefined && !free.has(start);
      const date = dated ? `${dayName(dayOf(start, visitorZone), { weekday: "short", month: "short", day: "numeric" })}, ` : "";
      const time = clock(start, visitorZone);
      const note = taken ? "taken" : dated ? calendars.get(slot.calendar)?.name : undefined;
      if (button.getAttribute("aria-disabled") === String(!taken) && button.matches(":focus, :hover") && !busy)
        byId("times-news").textContent = taken ? `${time} was just taken.` : `${time} is free again.`;
      button.setAttribute("aria-disabled", String(taken));
      if (button.textContent !== date + time + (note ?? "")) button.replaceChildren(date + time, make("small", {}, note ?? ""));
      button.onclick = () => void (taken || take(slot));
    },
  );
}

async function jump() {
  const query = new URLSearchParams({
    visit_type: visitType?.id ?? "",
    modality: modality.value,
    after: new Date(weekEnd()).toISOString(),
    limit: "50",
  });
  const { items } = await get(`/slots/first?${query}`, { asPatient: true });
  const next = items.find((/** @type {Slot} */ slot) => !withWhom.value || slot.calendar === withWhom.value);
  if (!next) return say("No free time was found in the next two months. Please call the clinic.");
  chosenDay = firstDay = dayOf(Date.parse(next.start), visitorZone);
  search();
}

// --- the hold --------------------------------------------------------------------------------------------------------------

/** @param {Slot} slot */
async function take(slot) {
  await alone(async () => {
    if (hold) release();
    const answer = await post("/holds", { slot: slot.slot }, { asPatient: true });
    hold = { id: answer.id, secret: answer.secret, slot, until: until(answer) };
    quiet();
    history.pushState({ step: "details" }, "");
    /** @type {HTMLButtonElement} */ (byId("extend")).hidden = false;
    ticking = setInterval(tick, 1_000);
    tick();
    const limit = /** @type {HTMLInputElement} */ (byId("date_of_birth"));
    limit.max = dayOf(serverNow(), visitorZone);
    step("details", slot);
  });
}

/** @param {{expires_at: string}} answer */
const until = (answer) => performance.now() + Date.parse(answer.expires_at) - serverNow();

function tick() {
  if (!hold) return;
  const left = Math.max(0, Math.ceil((hold.until - performance.now()) / 1_000));
  byId("countdown").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  if (left === LAST_CALL_S) byId("hold-news").textContent = "We keep this time for you for one more minute.";
  if (left === 0 && !busy) expired();
}

function expired(alternatives = /** @type {Slot[]} */ ([])) {
  drop();
  backToTimes();
  say(sentence("hold_expired"), alternatives);
}

async function extend() {
  await alone(async () => {
    if (!hold) return;
    const answer = await post(`/holds/${hold.id}/extend`, {}, secretly(hold));
    hold.until = until(answer);
    byId("extend").hidden = true;
    byId("hold-news").textContent = "We keep it for you a while longer.";
    byId("name").focus();
    tick();
  });
}

/** @param {Hold} kept */
const secretly = (kept) => ({ asPatient: true, headers: { "Hold-Secret": kept.secret } });

/** Gives the time back, so that somebody else can have it at once. */
function release() {
  if (hold) remove(`/holds/${hold.id}`, { "Hold-Secret": hold.secret });
  drop();
}

function drop() {
  hold = undefined;
  clearInterval(ticking);
  byId("hold-news").textContent = "";
}

// --- details and confirmation ----------------------------------------------------------------------------------------------

/** @param {SubmitEvent} event */
async function confirm(event) {
  event.preventDefault();
  if (!checkFields()) return;
  await alone(async () => {
    if (!hold) return;
    const answer = await post(`/holds/${hold.id}/confirm`, await details(), secretly(hold));
    const { slot } = hold;
    drop();
    quiet();
    forgetDetails();
    byId("confirmation").textContent = answer.id;
    /** @type {HTMLAnchorElement} */ (byId("manage")).href = answer.manage_url;
    history.replaceState({ step: "done" }, "");
    step("done", slot);
  });
}

/** One action at a time; a refusal is said where it can be mended. @param {() => Promise<void>} action */
async function alone(action) {
  if (busy) return;
  busy = true;
  byId("main").setAttribute("aria-busy", "true");
  try {
    await action();
  } catch (error) {
    refused(error);
  }
  byId("main").setAttribute("aria-busy", "false");
  busy = false;
}

/** @param {unknown} error */
function refused(error) {
  const code = codeOf(error);
  const fields = error instanceof Refused ? error.fields : {};
  const id =
    String(fields.param ?? "")
      .split(".")
      .at(-1) ?? "";
  if (code === "hold_expired" || (code === "not_found" && hold)) return expired(fields.alternatives);
  if (code === "slot_taken" || code === "outside_opening_hours") {
    drop();
    backToTimes();
  } else if (hold && isField(id)) askAgain(id);
  say(sentence(code), fields.alternatives);
}

// --- the page --------------------------------------------------------------------------------------------------------------

/** @param {"choose" | "details" | "done"} name @param {Slot} [slot] */
function step(name, slot) {
  for (const id of ["choose", "details", "done"]) byId(id).hidden = id !== name;
  if (slot) {
    const start = Date.parse(slot.start);
    const [what, when] = byId(name).querySelector(".chosen")?.children ?? [];
    what.textContent = `${dayName(dayOf(start, visitorZone))}, ${clock(start, visitorZone)}`;
    when.textContent = [visitType?.name, calendars.get(slot.calendar)?.name, modalityName(slot.modality), clinicTime(start)]
      .filter(Boolean)
      .join(" · ");
  }
  byId(`${name}-title`).focus();
  scrollTo({ top: 0 });
}

/** @param {number} start */
const clinicTime = (start) =>
  clock(start, clinicZone) === clock(start, visitorZone)
    ? ""
    : `${clock(start, clinicZone)} at the clinic (${zoneName(start, clinicZone)})`;

function backToTimes() {
  if (history.state?.step) history.replaceState(null, "");
  step("choose");
  search();
}

/** @param {string} text @param {Slot[]} [alternatives] */
function say(text, alternatives = []) {
  const problem = byId("problem");
  const now = serverNow();
  const ahead = alternatives.filter((slot) => Date.parse(slot.start) > now);
  drawSlots(byId("alternatives"), ahead, { dated: true });
  problem.hidden = false;
  /** @type {HTMLElement} */ (problem.firstElementChild).textContent = alternatives.length ? `${text} These are free:` : text;
  problem.scrollIntoView({ block: "nearest" });
  if (alternatives.length) byId("alternatives").querySelector("button")?.focus();
}

function quiet() {
  byId("problem").hidden = true;
  byId("alternatives").replaceChildren();
}

/** @param {unknown} error */
const codeOf = (error) => (error instanceof Refused ? error.code : "internal_error");

/** @param {number} days */
function turn(days) {
  const today = dayOf(serverNow(), visitorZone);
  const next = addDays(firstDay, days);
  firstDay = next < today ? today : next;
  search();
}

byId("visit-types").addEventListener("change", ({ target }) => {
  const chosen = visitTypes.find(({ id }) => id === /** @type {HTMLInputElement} */ (target).value);
  if (chosen) chooseVisitType(chosen);
});
withWhom.addEventListener("change", search);
modality.addEventListener("change", search);
byId("wishes").addEventListener("submit", (event) => event.preventDefault());
byId("earlier").addEventListener("click", () => turn(-WEEK_DAYS));
byId("later").addEventListener("click", () => turn(WEEK_DAYS));
byId("jump").addEventListener("click", () => alone(jump));
byId("days").addEventListener("click", ({ target }) => {
  const day = /** @type {HTMLElement} */ (target).closest("button")?.dataset.day;
  if (!day) return;
  chosenDay = day;
  seen.clear();
  byId("times-news").textContent = "";
  drawTimes();
});
byId("extend").addEventListener("click", extend);
byId("back").addEventListener("click", () => history.back());
byId("another").addEventListener("click", backToTimes);
patient.addEventListener("submit", confirm);
addEventListener("popstate", () => {
  release();
  quiet();
  backToTimes();
});
addEventListener("pagehide", release);
addEventListener("pageshow", ({ persisted }) => persisted && backToTimes());

begin().catch(refused);

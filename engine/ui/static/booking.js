// @ts-check
/**
 * The public booking page: wishes → a time → a hold → details → an appointment. What a patient types lives in the form
 * and in the request that books, nowhere else: not in the address, not in storage, not in the console.
 */

import { Refused, get, post, remove, serverNow } from "./api.js";
import { byId, make, show } from "./dom.js";
import { askAgain, checkFields, details, isField } from "./details.js";
import { Live, backOff } from "./live.js";
import { sentence } from "./problems.js";
import { addDays, clock, dayName, dayOf, startOfDay, visitorZone, zoneName } from "./time.js";

/**
 * @typedef {{slot: string, start: string, end: string, calendar: string, calendars: string[], modality: string,
 *   capacity?: number}} Slot
 * @typedef {{id: string, name: string, duration_minutes: number | null, modalities: string[], needs: string[],
 *   calendars: string[]}} VisitType
 * @typedef {{id: string, name: string, kind: string, specialty: string}} Calendar
 * @typedef {{id: string, secret: string, slot: Slot, until: number}} Hold  `until` on the clock of performance.now()
 */

const WEEK_DAYS = 7;
const PAGE = 500;
const REFETCH_MS = 600;
const LAST_CALL_S = 60;
const MOST_FOLLOWED = 100; // what one socket may subscribe to
const MODALITIES = { in_person: "In person", video: "By video", phone: "By phone" };

const clinic = byId("main").dataset.clinic ?? "";
const clinicZone = byId("main").dataset.zone ?? "UTC";
const withWhom = /** @type {HTMLSelectElement} */ (byId("calendar"));
const modality = /** @type {HTMLSelectElement} */ (byId("modality"));
const patient = /** @type {HTMLFormElement} */ (byId("patient"));

/** @type {VisitType[]} */ let visitTypes = [];
/** @type {Map<string, Calendar>} */ let calendars = new Map();
/** @type {VisitType | undefined} */ let visitType;
/** The free slots of the week on show, by start. @type {Slot[]} */ let slots = [];
/** @type {Record<string, number>} */ let asOf = {};
/** @type {Hold | undefined} */ let hold;
/** @type {AbortController | undefined} */ let searching;
/** @type {ReturnType<typeof setTimeout> | undefined} */ let refetching;
/** @type {ReturnType<typeof setInterval> | undefined} */ let ticking;
/** @type {Set<string>} */ const followed = new Set();
let firstDay = dayOf(Date.now(), visitorZone);
let chosenDay = "";
let failures = 0;
let busy = false;

const live = new Live(location.origin.replace("http", "ws") + "/ws/v1/live", { greeting: { type: "auth", clinic } });

// --- wishes ----------------------------------------------------------------------------------------------------------------

async function begin() {
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

const weekStart = () => startOfDay(firstDay, visitorZone);
const weekEnd = () => startOfDay(addDays(firstDay, WEEK_DAYS), visitorZone);

/** Reads the week's free times afresh. What is on show stays until the answer is there. */
async function search() {
  clearTimeout(refetching);
  searching?.abort();
  const mine = (searching = new AbortController());
  byId("times").setAttribute("aria-busy", "true");
  try {
    const found = await readWeek(mine.signal);
    if (mine.signal.aborted) return;
    [slots, asOf, failures] = [found.slots, found.asOf, 0];
    followAll();
    drawTimes();
    byId("times").setAttribute("aria-busy", "false");
  } catch (error) {
    if (mine.signal.aborted) return;
    byId("none").textContent = sentence(codeOf(error));
    refetching = setTimeout(search, REFETCH_MS + backOff(failures++));
  }
}

/** @param {AbortSignal} signal @returns {Promise<{slots: Slot[], asOf: Record<string, number>}>} */
async function readWeek(signal) {
  const query = new URLSearchParams({
    visit_type: visitType?.id ?? "",
    from: new Date(Math.max(weekStart(), serverNow())).toISOString(),
    to: new Date(weekEnd()).toISOString(),
    modality: modality.value,
    limit: String(PAGE),
  });
  if (withWhom.value) query.set("calendar", withWhom.value);
  const found = [];
  for (;;) {
    const page = await get(`/clinics/${clinic}/slots?${query}`, { asPatient: true, signal });
    found.push(...page.items);
    if (!page.next) return { slots: found, asOf: page.as_of };
    query.set("cursor", page.next);
  }
}

function searchSoon() {
  clearTimeout(refetching);
  refetching = setTimeout(search, REFETCH_MS * (0.5 + Math.random()));
}

/** Follows every calendar the answer looked at, also the full ones: they may get free. */
function followAll() {
  const wanted = new Set(Object.keys(asOf).slice(0, MOST_FOLLOWED));
  for (const calendar of followed) if (!wanted.has(calendar)) (live.unfollow(calendar), followed.delete(calendar));
  for (const calendar of wanted) {
    if (followed.has(calendar)) continue;
    followed.add(calendar);
    live.follow(calendar, { position: () => ({}), receive: (frame) => changed(calendar, frame), lost: () => {} });
  }
}

/**
 * Every answer rests on a version of each calendar; a version beyond it is news. What was taken goes at once; the search that
 * follows knows the rest: buffers, other people who are free then, the places that a group still has.
 * @param {string} calendar @param {import("./live.js").Frame} frame
 */
function changed(calendar, frame) {
  const version = frame.type === "heartbeat" ? frame.versions[calendar] : frame.version;
  if (!version || version <= (asOf[calendar] ?? 0) || byId("choose").hidden) return;
  asOf[calendar] = version;
  const { start, end, free } = frame.data ?? {};
  if (free === false) {
    slots = slots.filter((slot) => (slot.capacity ?? 1) > 1 || !slot.calendars.includes(calendar) || !overlaps(slot, start, end));
    drawTimes();
  }
  searchSoon();
}

/** @param {Slot} slot @param {string} start @param {string} end */
const overlaps = (slot, start, end) => Date.parse(slot.start) < Date.parse(end) && Date.parse(start) < Date.parse(slot.end);

function drawTimes() {
  const days = Array.from({ length: WEEK_DAYS }, (_, index) => addDays(firstDay, index));
  /** One time may be free with several people; one button is enough. @type {Map<string, Map<number, Slot>>} */
  const times = new Map(days.map((day) => [day, new Map()]));
  for (const slot of slots) {
    const start = Date.parse(slot.start);
    const day = times.get(dayOf(start, visitorZone));
    if (day && !day.has(start)) day.set(start, slot);
  }
  if (!times.get(chosenDay)?.size) chosenDay = days.find((day) => times.get(day)?.size) ?? days[0];
  const today = dayOf(serverNow(), visitorZone);
  /** @type {HTMLButtonElement} */ (byId("earlier")).disabled = firstDay <= today;
  show(
    byId("days"),
    days,
    (day) => day,
    () => make("li", {}, make("button", { type: "button" }, make("span"), make("strong"), make("small"))),
    (element, day) => {
      const button = /** @type {HTMLButtonElement} */ (element.firstElementChild);
      const count = times.get(day)?.size ?? 0;
      const [weekday, date, note] = button.children;
      weekday.textContent = dayName(day, { weekday: "short" });
      date.textContent = dayName(day, { month: "short", day: "numeric" });
      note.textContent = count ? `${count} free` : "none";
      button.dataset.day = day;
      button.disabled = count === 0;
      button.setAttribute("aria-pressed", String(day === chosenDay));
      button.setAttribute("aria-label", `${dayName(day)}, ${count || "no"} free times`);
    },
  );
  const free = [...(times.get(chosenDay)?.values() ?? [])];
  byId("times-title").textContent = free.length ? `Times on ${dayName(chosenDay)}` : "Which time?";
  byId("none").textContent = free.length ? "" : "No times are free in these seven days.";
  byId("jump").hidden = free.length > 0;
  byId("zone").textContent = zoneText(free.length ? Date.parse(free[0].start) : weekStart());
  drawSlots(byId("times"), free);
}

/** @param {number} instant */
function zoneText(instant) {
  const [here, there] = [zoneName(instant, visitorZone), zoneName(instant, clinicZone)];
  return here === there ? `Times are in ${here}.` : `Times are in your time zone, ${here}. The clinic’s is ${there}.`;
}

/** @param {HTMLElement} list @param {Slot[]} shown @param {boolean} [dated] */
function drawSlots(list, shown, dated = false) {
  show(
    list,
    shown,
    (slot) => slot.start + (dated ? slot.calendar : ""),
    () => make("li", {}, make("button", { type: "button" })),
    (element, slot) => {
      const button = /** @type {HTMLButtonElement} */ (element.firstElementChild);
      const start = Date.parse(slot.start);
      const name = calendars.get(slot.calendar)?.name;
      const date = dated ? `${dayName(dayOf(start, visitorZone), { weekday: "short", month: "short", day: "numeric" })}, ` : "";
      button.textContent = date + clock(start, visitorZone);
      if (dated && name) button.append(make("small", {}, name));
      button.onclick = () => take(slot);
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
    const answer = await post(`/holds/${hold.id}/confirm`, details(), secretly(hold));
    const { slot } = hold;
    drop();
    quiet();
    patient.reset();
    byId("confirmation").textContent = answer.id;
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
  drawSlots(
    byId("alternatives"),
    alternatives.filter((slot) => Date.parse(slot.start) > now),
    true,
  );
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
  if (day) chosenDay = day;
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
addEventListener("online", () => live.wake());
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && live.wake());

begin().catch(refused);

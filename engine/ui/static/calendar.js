// @ts-check
/** The live calendar: one calendar, one day. What is on the page is `state` and nothing else; every change draws it again. */

import { Refused, get, post, serverNow } from "./api.js";
import { tell } from "./connection.js";
import { byId, make, show, write } from "./dom.js";
import { CalendarState, Live } from "./live.js";
import { Names } from "./names.js";
import { sentence } from "./texts.js";
import { addDays, clock, dayName, dayOf, startOfDay, visitorZone, zoneName } from "./time.js";

/** @typedef {import("./live.js").Visit} Visit */
/** @typedef {{id: string, name: string, kind: string, zone: string}} Calendar */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const USUAL_HOURS = [8, 17];
const STATUS = {
  held: "Being booked",
  booked: "Booked",
  arrived: "Arrived",
  in_progress: "In progress",
  completed: "Completed",
  no_show: "No-show",
  cancelled: "Cancelled",
  expired: "Not booked",
};
/** What can be done from where, the usual next step first; the lifecycle itself is the server's. */
const MOVES = {
  booked: ["arrive", "no-show", "start"],
  arrived: ["start", "complete"],
  in_progress: ["complete"],
};
const MOVE_NAMES = { arrive: "Arrived", start: "Start", complete: "Complete", "no-show": "No-show" };
const CAN_BE_CANCELLED = ["booked", "arrived"];

const clinic = byId("main").dataset.clinic ?? "";
const chooser = /** @type {HTMLSelectElement} */ (byId("calendar"));
const dayInput = /** @type {HTMLInputElement} */ (byId("day"));
const details = /** @type {HTMLDialogElement} */ (byId("details"));
const visitList = byId("visits");

/** @type {Map<string, Calendar>} */
let calendars = new Map();
/** @type {Map<string, string>} */
let visitTypes = new Map();
/** @type {CalendarState | undefined} */
let state;
/** @type {Calendar} */
let calendar;
let day = "";
let from = 0;
let to = 0;
/** The visit whose dialog is open. @type {string | undefined} */
let opened;
/** Visits that a move is under way for. @type {Set<string>} */
const moving = new Set();
let drawing = false;

const names = new Names(drawSoon);
const live = new Live(location.origin.replace("http", "ws") + "/ws/v1/live", {
  ask: (id, since, waitS, signal) =>
    get(`/calendars/${id}/changes?since=${since}${waitS ? `&wait=${waitS}` : ""}`, { signal, waitS }),
  onState: drawSoon,
});

// --- what is on show -----------------------------------------------------------------------------------------------------

async function begin() {
  const profile = await get(`/clinics/${clinic}`);
  visitTypes = new Map(profile.visit_types.map((/** @type {{id: string, name: string}} */ type) => [type.id, type.name]));
  calendars = new Map(profile.calendars.map((/** @type {Calendar} */ one) => [one.id, one]));
  for (const one of calendars.values()) chooser.append(make("option", { value: one.id, textContent: one.name }));
  const wanted = new URLSearchParams(location.search);
  if (!calendars.size) return say("This clinic has no calendars yet.");
  look(calendars.get(wanted.get("calendar") ?? "") ?? [...calendars.values()][0], wanted.get("day") ?? "");
}

/** Shows another calendar or day. @param {Calendar} next @param {string} nextDay  anything but a day is today */
function look(next, nextDay) {
  state?.close();
  if (calendar && calendar !== next) live.unfollow(calendar.id);
  calendar = next;
  day = /^\d{4}-\d\d-\d\d$/.test(nextDay) && !Number.isNaN(Date.parse(nextDay)) ? nextDay : dayOf(serverNow(), calendar.zone);
  from = startOfDay(day, calendar.zone);
  to = startOfDay(addDays(day, 1), calendar.zone);
  chooser.value = calendar.id;
  dayInput.value = day;
  history.replaceState(null, "", `?${new URLSearchParams({ calendar: calendar.id, day })}`);
  document.title = `${calendar.name}, ${dayName(day)} · HealthFlow`;
  const range = new URLSearchParams({ from: new Date(from).toISOString(), to: new Date(to).toISOString() });
  const here = `/calendars/${calendar.id}`;
  state = new CalendarState(
    calendar.id,
    { snapshot: () => get(`${here}/snapshot?${range}`), changes: (since) => get(`${here}/changes?since=${since}`) },
    changed,
  );
  live.follow(calendar.id, state);
  byId("day-view").setAttribute("aria-busy", "true");
  draw();
}

/** @param {Visit} [visit] */
function changed(visit) {
  if (visit && isToday(visit)) write(byId("news"), `${named(visit)}: ${statusOf(visit)}`);
  if (visit) names.look(visit.id);
  drawSoon();
}

/** @param {Visit} visit */
const isToday = (visit) => Date.parse(visit.start) < to && from < Date.parse(visit.end);

/** @param {Visit} visit */
const named = (visit) => `${clock(Date.parse(visit.start), calendar.zone)} ${visitTypes.get(visit.visit_type) ?? "Visit"}`;

/** @param {Visit} visit */
const statusOf = (visit) => STATUS[/** @type {keyof typeof STATUS} */ (visit.status)] ?? visit.status;

/** Who holds a time has not said yet who they are. @param {Visit} visit */
const patientOf = (visit) => (visit.status === "held" ? "" : names.of(visit.id));

/** @param {Visit} visit @returns {string[]} */
const movesOf = (visit) => MOVES[/** @type {keyof typeof MOVES} */ (visit.status)] ?? [];

/** @param {string} move */
const moveName = (move) => MOVE_NAMES[/** @type {keyof typeof MOVE_NAMES} */ (move)];

// --- drawing ---------------------------------------------------------------------------------------------------------------

/** Many events in one moment are drawn once. */
function drawSoon() {
  if (drawing) return;
  drawing = true;
  queueMicrotask(() => {
    drawing = false;
    draw();
  });
}

function draw() {
  tell(live.state === "open" ? connectedState() : live.state, live.heardAt);
  if (!state) return;
  byId("day-view").setAttribute("aria-busy", String(!state.loaded));
  byId("day-title").textContent = dayName(day, { weekday: "long", month: "long", day: "numeric", year: "numeric" });
  byId("hours").textContent = state.loaded ? hoursText(state.open) : "";
  const visits = [...state.visits.values()]
    .filter(isToday)
    .sort((a, b) => Date.parse(a.start) - Date.parse(b.start) || a.id.localeCompare(b.id));
  names.show(visits.filter(({ status }) => status !== "held").map(({ id }) => id));
  byId("day-view").hidden = state.loaded && !state.open.length && !visits.length;
  byId("nothing").hidden = !state.loaded || visits.length > 0;
  const window = drawGrid(state.open, visits);
  const lanes = lanesOf(visits);
  show(
    visitList,
    visits,
    (visit) => visit.id,
    createVisit,
    (element, visit) => drawVisit(element, visit, window, lanes.get(visit.id)),
  );
  if (opened) drawDetails();
}

const connectedState = () => (!state ? "connecting" : (state.refusal ?? (state.current ? "live" : "behind")));

/** @param {{start: string, end: string}[]} open */
function hoursText(open) {
  const times = open.map(
    ({ start, end }) => `${clock(Date.parse(start), calendar.zone)} – ${clock(Date.parse(end), calendar.zone)}`,
  );
  const zone = calendar.zone === visitorZone ? "" : ` (${zoneName(from, calendar.zone)})`;
  return times.length ? `Open ${times.join(", ")}${zone}` : `Closed all day${zone}`;
}

/**
 * The hours that something happens in, whole ones. Rows are instants, so a day with 23 or 25 hours is drawn as long as it is.
 * @param {{start: string, end: string}[]} open @param {Visit[]} visits
 */
function drawGrid(open, visits) {
  const edges = [...open, ...visits].flatMap(({ start, end }) => [Date.parse(start), Date.parse(end)]);
  const usual = USUAL_HOURS.map((hour) => from + hour * HOUR_MS);
  const first = Math.max(from, Math.floor(Math.min(...(edges.length ? edges : usual)) / HOUR_MS) * HOUR_MS);
  const last = Math.min(to, Math.ceil(Math.max(...(edges.length ? edges : usual)) / HOUR_MS) * HOUR_MS);
  byId("day-view").style.height = lengthOf(last - first);
  const rows = open.map(({ start, end }) => ({
    kind: "open",
    start: Math.max(first, Date.parse(start)),
    end: Math.min(last, Date.parse(end)),
  }));
  for (let hour = first; hour <= last; hour += HOUR_MS) rows.push({ kind: "hour", start: hour, end: hour });
  const now = serverNow();
  if (first < now && now < last) rows.push({ kind: "now", start: now, end: now });
  show(
    byId("grid"),
    rows,
    (row) => `${row.kind} ${row.kind === "now" ? "" : row.start}`,
    () => make("div", {}, make("span")),
    (element, { kind, start, end }) => {
      element.className = kind;
      element.style.top = lengthOf(start - first);
      element.style.height = lengthOf(end - start);
      /** @type {HTMLElement} */ (element.firstElementChild).textContent = kind === "open" ? "" : clock(start, calendar.zone);
    },
  );
  return { first, last };
}

/** @param {number} duration */
const lengthOf = (duration) => `calc(var(--minute) * ${duration / MINUTE_MS})`;

/**
 * Places side by side for visits at the same time (a group session has many). Takes them by start.
 * @param {Visit[]} visits @returns {Map<string, {lane: number, of: number}>}
 */
function lanesOf(visits) {
  const places = new Map();
  /** @type {Visit[]} */ let cluster = [];
  /** @type {number[]} */ let ends = [];
  const settle = () => cluster.forEach(({ id }) => (places.get(id).of = ends.length));
  for (const visit of visits) {
    const start = Date.parse(visit.start);
    if (ends.every((end) => end <= start)) {
      settle();
      [cluster, ends] = [[], []];
    }
    const free = ends.findIndex((end) => end <= start);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = Date.parse(visit.end);
    cluster.push(visit);
    places.set(visit.id, { lane, of: 1 });
  }
  settle();
  return places;
}

function createVisit() {
  const what = ["from", "until", "type", "patient", "status"].flatMap((className) => [make("span", { className }), " "]);
  const body = make("div", {}, make("p", { className: "what" }, ...what), make("p", { className: "moves" }));
  const element = make("li", { className: "visit" }, body);
  element.addEventListener("click", ({ target }) => {
    const button = /** @type {HTMLElement} */ (target).closest("button");
    const id = element.dataset.key ?? "";
    if (button?.dataset.key === "more") openDetails(id);
    else if (button?.dataset.key) move(id, button.dataset.key);
  });
  return element;
}

/**
 * @param {HTMLElement} element @param {Visit} visit
 * @param {{first: number, last: number}} window @param {{lane: number, of: number}} [place]
 */
function drawVisit(element, visit, { first, last }, { lane, of } = { lane: 0, of: 1 }) {
  const [start, end] = [Date.parse(visit.start), Date.parse(visit.end)];
  element.dataset.status = visit.status;
  element.style.top = lengthOf(Math.max(start, first) - first);
  element.style.height = lengthOf(Math.min(end, last) - Math.max(start, first));
  element.style.setProperty("--lane", String(lane));
  element.style.setProperty("--lanes", String(of));
  const texts = [
    clock(start, calendar.zone),
    `– ${clock(end, calendar.zone)}`,
    visitTypes.get(visit.visit_type) ?? "Visit",
    patientOf(visit),
    statusOf(visit),
  ];
  [...(element.querySelector(".what")?.children ?? [])].forEach((part, index) => (part.textContent = texts[index]));
  const moves = movesOf(visit).slice(0, visit.status === "booked" ? 2 : 1);
  if (movesOf(visit).length) moves.push("more");
  show(
    /** @type {HTMLElement} */ (element.querySelector(".moves")),
    moves,
    (name) => name,
    () => make("button", { type: "button" }),
    (button, name) => {
      button.textContent = name === "more" ? "More" : moveName(name);
      button.setAttribute("aria-label", `${button.textContent}, ${named(visit)}`);
      button.classList.toggle("second", name === "no-show");
      button.setAttribute("aria-disabled", String(moving.has(visit.id)));
      if (name === "more") button.setAttribute("aria-haspopup", "dialog");
    },
  );
}

// --- doing -----------------------------------------------------------------------------------------------------------------

/** @param {string} id */
function openDetails(id) {
  opened = id;
  /** @type {HTMLFormElement} */ (byId("cancel")).reset();
  drawDetails();
  if (opened) details.showModal();
}

function drawDetails() {
  const visit = state?.visits.get(opened ?? "");
  if (!visit || !movesOf(visit).length) return details.close();
  byId("details-title").textContent = named(visit);
  byId("details-text").textContent =
    `${dayName(day)}, ${clock(Date.parse(visit.start), calendar.zone)} – ` +
    `${clock(Date.parse(visit.end), calendar.zone)}. ${[patientOf(visit), statusOf(visit)].filter(Boolean).join(". ")}.`;
  byId("cancel").hidden = !CAN_BE_CANCELLED.includes(visit.status);
  show(
    byId("details-moves"),
    movesOf(visit),
    (name) => name,
    () => make("button", { type: "button" }),
    (button, name) => (button.textContent = moveName(name)),
  );
}

/** @param {string} id @param {string} name @param {object} [body] */
async function move(id, name, body = {}) {
  if (moving.has(id)) return;
  const asked = state;
  moving.add(id);
  drawSoon();
  try {
    const answer = await post(`/appointments/${id}/${name}`, body);
    asked?.acknowledge(answer);
  } catch (error) {
    say(sentence(/** @type {Refused} */ (error).code));
  }
  moving.delete(id);
  drawSoon();
}

/** @param {string} text */
function say(text) {
  const problem = byId("problem");
  problem.hidden = false;
  /** @type {HTMLElement} */ (problem.firstElementChild).textContent = text;
}

chooser.addEventListener("change", () => look(calendars.get(chooser.value) ?? calendar, day));
dayInput.addEventListener("change", () => dayInput.value && look(calendar, dayInput.value));
byId("previous").addEventListener("click", () => calendar && look(calendar, addDays(day, -1)));
byId("next").addEventListener("click", () => calendar && look(calendar, addDays(day, 1)));
byId("today").addEventListener("click", () => calendar && look(calendar, ""));
byId("problem")
  .querySelector("button")
  ?.addEventListener("click", () => (byId("problem").hidden = true));
byId("details-moves").addEventListener("click", ({ target }) => {
  const name = /** @type {HTMLElement} */ (target).closest("button")?.dataset.key;
  const id = opened;
  details.close();
  if (name && id) move(id, name);
});
byId("cancel").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = opened;
  details.close();
  if (id) move(id, "cancel", { reason: /** @type {HTMLSelectElement} */ (byId("reason")).value, by: "clinic" });
});
details.addEventListener("close", () => (opened = undefined));
setInterval(drawSoon, MINUTE_MS); // the line of now moves
// The machine slept until the token was too old, and the socket was quicker than the new one.
addEventListener("session-renewed", () => live.state === "unauthenticated" && location.reload());

begin().catch((error) => say(sentence(error instanceof Refused ? error.code : "internal_error")));

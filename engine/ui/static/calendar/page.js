// @ts-check
/** The live calendar's page: what is on show (the address says it too), the bar above the sheet, and who does what is wanted. */

import { Refused, get, serverNow } from "../api.js";
import { tell } from "../connection.js";
import { byId, write } from "../dom.js";
import { Names } from "../names.js";
import { sentence, text } from "../texts.js";
import { addDays, dayOf, sameClock, startOfDay, visitorZone, zoneName } from "../time.js";
import { Changes } from "./changes.js";
import { Chooser } from "./chooser.js";
import { Diary } from "./diary.js";
import "./hf-agenda.js";
import "./hf-booking.js";
import "./hf-calendar.js";
import "./hf-sheet.js";
import "./hf-visit.js";
import { MINUTE_MS, columnsOf, daysOf, stepFrom } from "./layout.js";
import { News } from "./news.js";
import { date, longDay, span } from "./words.js";

/** @typedef {import("./part.js").Calendar} Calendar */
/** @typedef {"day" | "week" | "agenda"} View */

const VIEWS = /** @type {View[]} */ (["day", "week", "agenda"]);
const DAY = /^\d{4}-\d\d-\d\d$/;
const ONLY_READ = new Set(["billing", "auditor"]);
const SHOWN_MS = 20_000;
const narrow = matchMedia("(max-width: 40rem)");
const clinic = byId("main").dataset.clinic ?? "";

const sheet = /** @type {import("./hf-calendar.js").HfCalendar} */ (document.querySelector("hf-calendar"));
const agenda = /** @type {import("./hf-agenda.js").HfAgenda} */ (document.querySelector("hf-agenda"));
const visitDialog = /** @type {import("./hf-visit.js").HfVisit} */ (document.querySelector("hf-visit"));
const bookingDialog = /** @type {import("./hf-booking.js").HfBooking} */ (document.querySelector("hf-booking"));
const daySheet = /** @type {import("./hf-sheet.js").HfSheet} */ (document.querySelector("hf-sheet"));
const parts = [sheet, agenda, visitDialog, bookingDialog, daySheet];
const dayInput = /** @type {HTMLInputElement} */ (byId("day"));

/** @type {Calendar[]} */ let all = [];
/** The clinic's. */ let zone = "UTC";
/** @type {View} */ let view = "day";
let day = "";
/** @type {import("./layout.js").Column[]} */ let columns = [];
/** Whether the reader's role books. */ let books = true;
/** What is on show, so that the same is not opened again. */ let opened = "";
let drawing = false;
let printing = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */ let shownDone;

const names = new Names(drawSoon);
const news = new News(byId("news"), (visit) => ({
  time: span(Date.parse(visit.start), Date.parse(visit.end), zone),
  type: sheet.typeOf(visit),
}));
const diary = new Diary(clinic, {
  onChange: drawSoon,
  onNews: (visit) => (names.look(visit.id), changes.pending.has(visit.id) || news.tell(visit)),
});
const changes = new Changes(diary, {
  onDone: done,
  onProblem: problem,
  describe: (one) => `${span(one.start, one.end, zone)} ${one.visit_type ? sheet.typeOf(one) : text("calendar.time_off")}`,
});
const chooser = new Chooser(byId("chooser"), byId("only"), () => look({ pushed: true }));

/** Who holds a time has not said yet who they are. @param {import("./diary.js").Visit} visit */
const patientOf = (visit) => (visit.status === "held" ? "" : names.of(visit.id));

// --- what is on show --------------------------------------------------------------------------------------------------------

async function begin() {
  const [profile, session] = await Promise.all([
    get(`/clinics/${clinic}`),
    get("/session", { base: "/api/auth/v1" }).catch(() => ({})),
  ]);
  zone = profile.zone;
  all = profile.calendars;
  const types = new Map(profile.visit_types.map((/** @type {{id: string}} */ type) => [type.id, type]));
  const state = profile.locations.find((/** @type {{state: string}} */ one) => one.state)?.state ?? "";
  const own = session.role === "practitioner" ? session.calendar : undefined;
  const configures = (/** @type {string} */ calendar) => session.role === "clinic_admin" || calendar === own;
  books = !ONLY_READ.has(session.role);
  byId("new").hidden = !books;
  for (const part of parts)
    part.set({ diary, types, zone, patientOf, changes, calendars: all, books, configures, state, dayAround });
  if (!all.length) return problem(text("calendar.no_calendars"));
  chooser.offer(all, session.calendar);
  goTo(new URLSearchParams(location.search));
}

/** What an address asks for; where it says nothing sensible, what most want. @param {URLSearchParams} wanted */
function goTo(wanted) {
  view = VIEWS.find((name) => name === wanted.get("view")) ?? (narrow.matches ? "agenda" : "day");
  const asked = wanted.get("day") ?? "";
  day = DAY.test(asked) && !Number.isNaN(Date.parse(asked)) ? asked : dayOf(serverNow(), zone);
  chooser.choose(wanted.getAll("calendar"));
  look();
}

/** Shows what is chosen. @param {{pushed?: boolean}} [how]  `pushed`: the back button leads back to what was */
function look({ pushed = false } = {}) {
  const calendars = chooser.shown({ one: narrow.matches && view !== "agenda" });
  const days = daysOf(view, day);
  const address = new URLSearchParams([["view", view], ["day", day], ...chooser.asAsked.map((id) => ["calendar", id])]);
  history[pushed ? "pushState" : "replaceState"](null, "", `?${address}`);
  dayInput.value = day;
  const [from, to] = [startOfDay(days[0], zone), startOfDay(addDays(days[days.length - 1], 1), zone)];
  const wanted = [view, from, to, ...calendars.map(({ id }) => id)].join();
  if (wanted === opened) return;
  opened = wanted;
  const isFirst = !columns.length;
  columns = columnsOf(days, calendars, zone);
  diary.show(calendars, from, to);
  if (isFirst)
    requestAnimationFrame(showView); // what is to be read is asked for before anything is drawn
  else showView();
}

/** Turns the page to the view and the days that are chosen. */
function showView() {
  const last = columns[columns.length - 1].day;
  const title = last === day && columns[0].day === day ? longDay(day) : `${date(columns[0].day)} – ${date(last)}`;
  document.title = `${title} · HealthFlow`;
  byId("day-title").textContent = title;
  for (const button of byId("views").querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
  for (const id of ["previous", "next"])
    byId(id).setAttribute("aria-label", text(`calendar.${id}_${view === "day" ? "day" : "week"}`));
  sheet.hidden = view === "agenda";
  agenda.hidden = view !== "agenda";
  const from = columns[0].start;
  const second = sameClock(from, zone, visitorZone) ? "" : visitorZone;
  const zones = { zone: zoneName(from, zone), own: zoneName(from, visitorZone) };
  byId("zones").textContent = text(second ? "calendar.zones" : "calendar.zone", zones);
  sheet.set({ columns: view === "agenda" ? [] : columns, secondZone: second });
  agenda.set({ columns: view === "agenda" ? columns : [] });
  daySheet.set({ columns });
  drawSoon();
}

/** The day that an instant is in. @param {number} start */
function dayAround(start) {
  const itsDay = dayOf(start, zone);
  return { start: startOfDay(itsDay, zone), end: startOfDay(addDays(itsDay, 1), zone) };
}

/** @param {View} next */
function turn(next) {
  view = next;
  look({ pushed: true });
}

/** @param {string} next */
function go(next) {
  day = next;
  look({ pushed: true });
}

/** Many events in one moment are drawn once. */
function drawSoon() {
  if (!drawing) setTimeout(draw);
  drawing = true;
}

async function draw() {
  drawing = false;
  const { connection } = diary;
  const writable = books && diary.writable;
  byId("new").toggleAttribute("disabled", !writable);
  byId("board").toggleAttribute("data-stale", connection === "offline");
  for (const part of parts) part.set({ writable });
  for (const part of parts) while (!(await part.updateComplete)); // drawn anew by what was drawn
  tell(connection, diary.live.heardAt); // never before what it says is on show
}

// --- what is wanted -----------------------------------------------------------------------------------------------------------

/** @param {CustomEvent<import("./moving.js").Moving>} event */
async function drop({ detail: moving }) {
  const visit = diary.visit(moving.id);
  if (!visit) return problem(sentence("illegal_transition"));
  const { calendar } = moving.columns[moving.from.column];
  const { start, end } = moving.from;
  if (Date.parse(visit.start) !== start || Date.parse(visit.end) !== end || !visit.calendars.includes(calendar))
    return problem(sentence("version_conflict"));
  // In a room's column it is still the practitioner's time that moves.
  const primary = sheet.primaryOf(visit) ?? calendar;
  const to = { ...moving.target, calendar: primary === calendar ? moving.columns[moving.target.column].calendar : primary };
  await move(visit, { ...moving.from, calendar: primary }, to);
  const { activeElement } = document;
  if (activeElement === document.body || sheet.contains(activeElement)) sheet.focusCursor();
}

/** @param {import("./diary.js").Visit} visit @param {import("./changes.js").Place} from @param {import("./changes.js").Place} to @param {string} [reason] */
async function move(visit, from, to, reason) {
  const says = text("calendar.moved", { time: span(to.start, to.end, zone), name: sheet.nameOf(to.calendar) });
  const refusal = await changes.reschedule(visit, from, to, { says, reason });
  if (!refusal) return;
  if (!diary.visit(visit.id)) return problem(sentence(refusal.code)); // it is gone, so there is nothing else to choose
  const item = {
    id: visit.id,
    kind: /** @type {const} */ ("visit"),
    calendar: from.calendar,
    start: from.start,
    end: from.end,
    visit,
  };
  await visitDialog.open(item, { refusal, from, to, again: (place, why) => void move(visit, from, place, why) });
}

/** @param {import("./changes.js").Done} done */
function done({ does, undo }) {
  byId("problem").hidden = true;
  byId("done").hidden = false;
  byId("undo").hidden = !undo;
  write(byId("done-text"), does);
  say("said", undo ? `${does} ${text("calendar.undo_hint")}` : does);
  clearTimeout(shownDone);
  shownDone = setTimeout(() => (byId("done").hidden = true), SHOWN_MS); // the key still takes it back
}

/** @param {string} words */
function problem(words) {
  byId("done").hidden = true;
  byId("problem").hidden = false;
  say("problem-text", words);
}

/** A new text is read out, also where it says the same as the one before. @param {string} id @param {string} words */
const say = (id, words) => byId(id).replaceChildren(words);

/** @param {string} name @param {(event: any) => unknown} does */
const on = (name, does) => byId("board").addEventListener(name, does);

on("hf-look", ({ detail }) => printing || names.show(detail));
on("hf-say", ({ detail }) => say("said", detail));
on("hf-open", ({ detail }) => visitDialog.open(detail));
on("hf-create", ({ detail }) => books && (diary.writable ? bookingDialog.open(detail) : problem(text("calendar.offline"))));
on("hf-drop", drop);
on("hf-step", ({ detail: { id, move: step } }) => changes.step(id, step));
visitDialog.addEventListener("hf-pick-up", (event) => {
  const item = /** @type {CustomEvent<import("./diary.js").Item>} */ (event).detail;
  if (view === "agenda") {
    day = dayOf(item.start, zone);
    chooser.turnTo(item.calendar);
    turn("day");
  }
  sheet.pickUp(item);
});

byId("views").addEventListener("click", ({ target }) => {
  const next = /** @type {HTMLElement} */ (target).dataset.view;
  if (next) turn(/** @type {View} */ (next));
});
dayInput.addEventListener("change", () => dayInput.value && go(dayInput.value));
byId("previous").addEventListener("click", () => go(stepFrom(view, day, -1)));
byId("next").addEventListener("click", () => go(stepFrom(view, day, 1)));
byId("today").addEventListener("click", () => go(dayOf(serverNow(), zone)));
byId("new").addEventListener("click", () =>
  bookingDialog.open(
    view === "agenda"
      ? { calendar: columns[0].calendar, start: soon() }
      : { calendar: sheet.current.column.calendar, start: sheet.current.at },
  ),
);
byId("print").addEventListener("click", async () => {
  printing = true; // what is in view does not matter meanwhile
  await daySheet.print(names);
  printing = false;
});
byId("undo").addEventListener("click", () => changes.undo());
for (const id of ["done", "problem"])
  byId(id)
    .querySelector(".quiet")
    ?.addEventListener("click", () => (byId(id).hidden = true));

/** The next quarter of an hour, on the day on show. */
const soon = () => Math.max(columns[0].start, Math.ceil(serverNow() / (15 * MINUTE_MS)) * 15 * MINUTE_MS);

addEventListener("keydown", (event) => {
  const { key, ctrlKey, metaKey, altKey, target } = event;
  const typing = /** @type {HTMLElement} */ (target).closest("input, select, textarea, dialog");
  if (typing) return;
  if ((ctrlKey || metaKey) && key === "z") void changes.undo();
  else if (ctrlKey || metaKey || altKey || !byId("board").contains(/** @type {Node} */ (target))) return;
  else if (key === "d" || key === "w" || key === "a") turn(/** @type {View} */ (VIEWS.find((name) => name.startsWith(key))));
  else if (key === "t") go(dayOf(serverNow(), zone));
  else if (key === "n") go(stepFrom(view, day, 1));
  else if (key === "p") go(stepFrom(view, day, -1));
  else if (key === "?") byId("keys").toggleAttribute("open");
  else return;
  event.preventDefault();
});
addEventListener("popstate", () => goTo(new URLSearchParams(location.search)));
narrow.addEventListener("change", () => look());
setInterval(drawSoon, MINUTE_MS); // the line of now moves
// The machine slept until the token was too old, and the socket was quicker than the new one.
addEventListener("session-renewed", () => diary.connection === "unauthenticated" && location.reload());

begin().catch((error) => problem(sentence(error instanceof Refused ? error.code : "internal_error")));

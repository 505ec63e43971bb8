// @ts-check
/**
 * The public booking page, alone or in a frame of another site: a visit → a state → somebody → a time → a hold → details → an
 * appointment. What a patient types lives in the form and, sealed, in the request that books, nowhere else: not in the address,
 * not in storage, not in the console.
 */

import { Refused, post, serverNow } from "../api.js";
import { Availability } from "../availability.js";
import { tell } from "../connection.js";
import { byId, write } from "../dom.js";
import { canSeal } from "../sealing.js";
import { sentence, text } from "../texts.js";
import { dayOf } from "../time.js";
import { heedFirstClicks } from "./chooser.js";
import { askAgain, checkFields, details, firstEmpty, forgetDetails, isField, lockDetails } from "./details.js";
import { tellHost } from "./frame.js";
import { Hold } from "./hold.js";
import { describe, quiet, say } from "./notices.js";
import { calendars, firstOfEach, firstOfPeople, nearest, needsState, peopleFor, profile } from "./search.js";
import { go, isFirst, onMove, show, step } from "./steps.js";
import { When } from "./when.js";
import { drawPeople, drawVisits, modalityName, visits } from "./wishes.js";
import { currentZone, offerZones } from "./zones.js";

/**
 * @typedef {import("./search.js").Slot} Slot
 * @typedef {import("./search.js").Wish} Wish
 * @typedef {import("./when.js").Question} Question
 * @typedef {import("./steps.js").Step} Step
 */

const TRY_AGAIN_MS = 4_000;
/** Refusals after which it may be booked, or not. */
const UNKNOWN = new Set(["unavailable", "idempotency_in_progress"]);
const CHOOSING = /** @type {(Step | undefined)[]} */ (["visit", "with", "when"]);
const stateSelect = /** @type {HTMLSelectElement} */ (byId("state"));

/** @type {Wish} */ const wish = { visitType: "", modality: "", state: "" };
let whom = ""; // the calendar, or anybody's
/** @type {Hold | undefined} */ let hold;
/** The time that was last wanted. @type {Slot | undefined} */ let wanted;
/** What was asked about first times. @type {Question | undefined} */ let asked;
let isBooked = false;
let busy = false;
/** A confirmation is on its way, and nobody knows yet what came of it. */
let undecided = false;

const free = new Availability(
  location.origin.replace("http", "ws") + "/ws/v1/live",
  { type: "auth", clinic: profile.slug },
  {
    read: (/** @type {Question} */ question, signal) => question.read(signal),
    isLooking: () => CHOOSING.includes(step()),
    onChange: draw,
  },
);
const when = new When(free, { onTake: take, isBusy: () => busy });

// --- visit, state, person --------------------------------------------------------------------------------------------------

function begin({ instead = true } = {}) {
  byId("loading").hidden = true;
  if (!canSeal) return say(text("booking.not_secure"));
  if (!visits.length) return say(text("booking.nothing"));
  if (visits.length === 1) chooseVisit(visits[0], { instead });
  else enter("visit", { instead });
}

/** @param {(typeof visits)[number]} visit */
function chooseVisit({ type, modality }, { instead = false } = {}) {
  Object.assign(wish, { visitType: type.id, modality, state: "" });
  if (needsState(wish)) return enter("state", { instead });
  askWhom({ instead });
}

/** @param {SubmitEvent} event */
function chooseState(event) {
  event.preventDefault();
  const missing = !stateSelect.value;
  stateSelect.setAttribute("aria-invalid", String(missing));
  byId("state-wrong").hidden = !missing;
  if (missing) return stateSelect.focus();
  wish.state = stateSelect.value;
  askWhom();
}

function askWhom({ instead = false } = {}) {
  if (peopleFor(wish).length === 1) chooseWhom(peopleFor(wish)[0].id, undefined, { instead });
  else enter("with", { instead });
}

/** @param {string} calendar @param {Slot} [first] */
function chooseWhom(calendar, first, { instead = false } = {}) {
  whom = calendar;
  when.begin(wish, { calendar, first });
  enter("when", { instead });
}

// --- steps -----------------------------------------------------------------------------------------------------------------

/** @param {Step} name */
function enter(name, { instead = false } = {}) {
  go(name, { instead });
  arrived(name);
}

/** @param {Step} name */
function arrived(name) {
  byId("trail").hidden = isFirst() || name === "visit" || name === "done";
  byId("language").hidden = name === "details"; // it would load the page again, without what was typed
  write(byId("summary"), summary(name));
  if (name === "visit") askFirsts(firstOfEach);
  if (name === "with") askFirsts((signal) => firstOfPeople({ ...wish }, signal));
  if (name === "when") when.ask();
  else draw();
}

/** @param {(signal: AbortSignal) => ReturnType<typeof firstOfPeople>} read */
function askFirsts(read) {
  asked = { from: 0, to: Infinity, read };
  free.ask(asked);
}

/** Back and Forward lead through what the page knows; where it does not know enough, to its beginning. @param {Step} name */
function moved(name) {
  if (undecided) return go("details"); // nobody leaves before it is known whether it is booked
  quiet();
  if (name !== "details") release();
  if (name === "done" && !isBooked) return void begin();
  if (name === "details" && !wanted) return chosenEnough("when") ? enter("when", { instead: true }) : begin();
  if (!chosenEnough(name)) return begin();
  show(name);
  arrived(name);
  if (name !== "details" || !wanted || hold) return;
  if (busy) lost("hold_expired");
  else take(wanted);
}

/** @param {Step} name */
const chosenEnough = (name) => name === "visit" || name === "done" || wish.visitType !== "";

/** What was chosen before this step. @param {Step} name */
function summary(name) {
  const type = profile.visit_types.find(({ id }) => id === wish.visitType);
  const state = [...stateSelect.options].find(({ value }) => value && value === wish.state);
  const person = name === "when" ? (calendars.get(whom)?.name ?? text("times.anyone")) : "";
  return [type?.name, wish.modality && modalityName(wish.modality), name !== "state" && state?.text, person]
    .filter(Boolean)
    .join(" · ");
}

function draw() {
  // Where no times are on show, nobody asks for them, and nothing is behind.
  tell(free.state === "behind" && !CHOOSING.includes(step()) ? "live" : free.state, free.trueAt);
  const answered = asked !== undefined && free.question === asked;
  const ahead = free.slots.filter(({ start }) => Date.parse(start) > serverNow());
  const sure = answered && free.state !== "behind" && ahead.length === free.slots.length;
  const firsts = { slots: answered ? ahead : [], sure };
  if (step() === "visit") drawVisits(firsts, chooseVisit);
  if (step() === "with") drawPeople(wish, firsts, chooseWhom);
  if (step() === "when") when.draw();
  if (free.failure && !free.question) write(byId("none"), sentence(codeOf(free.failure)));
}

// --- the hold --------------------------------------------------------------------------------------------------------------

/** @param {Slot} slot */
async function take(slot) {
  if (busy && !inLine) return;
  [wanted, wasOffered] = [slot, isOffered(slot)];
  if (inLine) return;
  await alone(async () => {
    const from = step();
    release();
    const held = await lineUp();
    if (!held) return quiet();
    hold = new Hold(held.slot, held.answer, gone);
    if (step() !== from && step() !== "details") return release(); // who went back meanwhile does not want it
    quiet();
    keeping(true);
    const limit = /** @type {HTMLInputElement} */ (byId("date_of_birth"));
    limit.max = dayOf(serverNow(), currentZone());
    describe("details", wish, held.slot);
    if (step() !== "details") enter("details");
    else (firstEmpty() ?? byId("book")).focus();
  });
}

/** Our place in the clinic's line, whichever time is wanted; `turn` by the page's clock, in ms. @type {{ticket: string, turn: number} | undefined} */
let place;
let inLine = false;
/** @type {Promise<unknown>} */ let released = Promise.resolve();
/** Whether the wanted time was on offer when it was chosen or asked for. */
let wasOffered = false;
/** @param {Slot} slot */
const isOffered = (slot) => free.slots.some(({ start, calendar }) => start === slot.start && calendar === slot.calendar);

/**
 * Asks for a hold of the wanted time when it is our turn: a crowd at one clinic waits in line, each with a ticket for a place.
 * Who waits may want another time meanwhile.
 * @returns {Promise<{slot: Slot, answer: {id: string, secret: string, expires_at: string}} | null>}  null: who waited went away
 */
async function lineUp() {
  const from = step();
  inLine = true;
  try {
    await Promise.race([released, aSecond()]); // who comes back for the same time must not meet the own hold
    while (wanted && step() === from) {
      if (place && performance.now() < place.turn) {
        say(text("booking.in_line", { count: Math.ceil((place.turn - performance.now()) / 1_000) }), { calm: true });
        if (!(await isToAsk(place.turn, from))) continue;
      }
      const slot = wanted;
      wasOffered = isOffered(slot);
      try {
        const headers = place && { "Waiting-Ticket": place.ticket };
        const answer = await post("/holds", { slot: slot.slot, state: wish.state }, { asPatient: true, headers });
        place = undefined;
        return { slot, answer };
      } catch (error) {
        const { ticket, retry_after: seconds } = error instanceof Refused ? error.fields : {};
        if (!ticket) throw error;
        place = { ticket, turn: performance.now() + 1_000 * seconds };
      }
    }
    return null;
  } finally {
    inLine = false;
  }
}

/**
 * Waits for the turn. A time that comes or goes meanwhile need not be waited for, as the answer has others; false when another
 * one is wanted, or nothing any more.
 * @param {number} turn @param {ReturnType<typeof step>} from
 */
async function isToAsk(turn, from) {
  const slot = wanted;
  while (slot && performance.now() < turn && isOffered(slot) === wasOffered) {
    await aSecond();
    if (wanted !== slot || step() !== from) return false;
  }
  return true;
}

const aSecond = () => new Promise((resolve) => setTimeout(resolve, 1_000));

async function extend() {
  await alone(async () => {
    await hold?.extend(wish.state);
    byId("extend").hidden = true;
    (firstEmpty() ?? byId("book")).focus();
  });
}

function release() {
  if (hold) released = hold.release();
  drop();
}

function drop() {
  hold?.stop();
  hold = undefined;
  keeping(false);
}

/** @param {boolean} kept */
function keeping(kept) {
  byId("step-details").classList.toggle("lost", !kept);
  byId("extend").hidden = !kept;
}

/** The hold's time is over. What is being booked right now, the server decides. */
function gone() {
  if (busy) return;
  release();
  lost("hold_expired");
}

/** The time is not to be had any more: what is typed stays, and others are offered. @param {string} code @param {Slot[]} [others] */
async function lost(code, others = []) {
  drop();
  const from = step();
  const near = others.length || !wanted ? others : await nearest(wish, wanted).catch(() => []);
  if (hold || step() !== from) return; // somebody was faster than this answer
  if (step() === "when") when.ask();
  say(sentence(code), { others: near, onTake: take });
}

// --- confirmation ----------------------------------------------------------------------------------------------------------

/** @param {SubmitEvent} event */
async function confirm(event) {
  event.preventDefault();
  if (!hold && !busy && wanted) return void lost("hold_expired");
  if (!checkFields()) return;
  await alone(async () => {
    if (!hold) return;
    const { slot } = hold;
    const answer = await decided(hold);
    drop();
    quiet();
    forgetDetails();
    booked(answer);
    describe("done", wish, slot);
    wanted = undefined;
    enter("done", { instead: true });
    tellHost("booked");
  });
}

/** Asks until it is known whether the visit is booked; asking again cannot book it twice. @param {Hold} kept */
async function decided(kept) {
  /** Sealed once: another envelope would be another request. @type {object | undefined} */ let body;
  undecided = true;
  lockDetails(true);
  try {
    for (;;) {
      try {
        body ??= await details(wish.state);
        return await kept.confirm(body);
      } catch (error) {
        if (!UNKNOWN.has(codeOf(error))) throw error;
        say(text("booking.undecided"));
        await networkBack();
      }
    }
  } finally {
    undecided = false;
    lockDetails(false);
  }
}

const networkBack = () =>
  new Promise((resolve) => {
    addEventListener("online", resolve, { once: true });
    setTimeout(resolve, TRY_AGAIN_MS);
  });

/** @param {{id: string, manage_url: string}} answer */
function booked({ id, manage_url }) {
  isBooked = true;
  const token = new URL(manage_url, location.href).pathname.split("/")[2];
  write(byId("confirmation"), id);
  /** @type {HTMLAnchorElement} */ (byId("manage")).href = manage_url;
  /** @type {HTMLAnchorElement} */ (byId("calendar-file")).href = `/api/engine/v1/manage/${token}/calendar.ics`;
}

// --- the page --------------------------------------------------------------------------------------------------------------

/** One action at a time; a refusal is said where it can be mended. @param {() => Promise<void>} action */
async function alone(action) {
  if (busy) return;
  busy = true;
  byId("main").setAttribute("aria-busy", "true");
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
  const code = codeOf(error);
  const fields = error instanceof Refused ? error.fields : {};
  const id =
    String(fields.param ?? "")
      .split(".")
      .at(-1) ?? "";
  if (code === "not_found" && hold) return lost("hold_expired");
  if (["hold_expired", "slot_taken", "outside_opening_hours"].includes(code)) return lost(code, fields.alternatives);
  if (hold && isField(id)) askAgain(id);
  say(sentence(code), { others: fields.alternatives, onTake: take });
}

/** @param {unknown} error */
const codeOf = (error) => (error instanceof Refused ? error.code : "internal_error");

async function jump() {
  await alone(async () => {
    if (!(await when.jump())) say(text("times.none_ahead"));
  });
}

heedFirstClicks(byId("main"));
byId("state-form").addEventListener("submit", chooseState);
byId("jump").addEventListener("click", jump);
byId("extend").addEventListener("click", extend);
byId("patient").addEventListener("submit", confirm);
byId("another").addEventListener("click", () => begin({ instead: false }));
for (const id of ["back", "other-time"]) byId(id).addEventListener("click", () => history.back());
offerZones(profile.zone, () => {
  if (step() === "when") when.ask();
  else draw();
  if (hold) describe("details", wish, hold.slot);
});
onMove(moved);
addEventListener("pagehide", () => undecided || release());
addEventListener("pageshow", ({ persisted }) => persisted && step() === "details" && !undecided && lost("hold_expired"));

begin();

// @ts-check
/**
 * The free times that answer a question, kept true: asked for, followed live, and where nobody tells of changes, asked for again.
 *
 * Every answer rests on a version of each calendar; a version beyond it is news. What was taken goes at once; the answer that
 * follows knows the rest: buffers, other people who are free then, the places that a group still has.
 *
 * @typedef {{slot: string, start: string, end: string, calendar: string, calendars: string[], modality: string,
 *   capacity?: number}} Slot
 * @typedef {import("./live.js").Frame} Frame
 * @typedef {{version: number, epoch?: string, heard: boolean}} Told  `heard`: the connection will tell of more
 */

import { serverNow } from "./api.js";
import { Live, backOff } from "./live.js";

const SOON_MS = 600;
const LOST_MS = 7_000; // a connection that is back by then tells of all that was missed
const CHECK_MS = 22_500;
const MINUTE_MS = 60_000;
const MOST_FOLLOWED = 100; // what one socket may subscribe to

/** @template {{from: number, to: number}} Question  `from` and `to` are instants: what is outside makes no difference */
export class Availability {
  /** What `slots` answers. @type {Question | undefined} */ question;
  /** In order of start. @type {Slot[]} */ slots = [];
  /** What kept the last answer from us. @type {unknown} */ failure;
  /** @type {Record<string, number>} */ #asOf = {};
  /** @type {Map<string, Told>} */ #told = new Map();
  /** Events that no answer has accounted for yet. @type {Frame[]} */ #news = [];
  /** @type {Question | undefined} */ #asked;
  /** @type {AbortController | undefined} */ #asking;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #next = Infinity;
  #answeredAt = 0;
  #failures = 0;
  #live;
  #read;
  #isLooking;
  #onChange;

  /**
   * @param {string} url  of the live socket @param {object} greeting
   * @param {{read: (question: Question, signal: AbortSignal) => Promise<{slots: Slot[], asOf: Record<string, number>}>,
   *   isLooking: () => boolean, onChange: () => void}} page  nothing is asked for while nobody is looking
   */
  constructor(url, greeting, { read, isLooking, onChange }) {
    this.#read = read;
    this.#isLooking = () => isLooking() && !document.hidden;
    this.#onChange = onChange;
    this.#live = new Live(url, { greeting, onState: () => this.#linkChanged() });
    document.addEventListener("visibilitychange", () => this.#lookAgain(0));
    setInterval(() => this.#timePassed(), MINUTE_MS);
  }

  /** "connecting", "live", "checked" (true when we last asked), "behind" or "offline". */
  get state() {
    if (this.failure) return "offline";
    if (!this.question) return "connecting";
    if (this.#isTold) return this.#asking || this.#isStale ? "behind" : "live";
    return this.#live.state === "open" && this.#told.size < MOST_FOLLOWED ? "behind" : "checked";
  }

  /** When `slots` were last known to be true, on the wall clock. */
  get trueAt() {
    return this.question && Math.max(this.#answeredAt, this.#live.heardAt ?? 0);
  }

  /** What is known stays until the answer is there. @param {Question} question */
  async ask(question = /** @type {Question} */ (this.#asked)) {
    clearTimeout(this.#timer);
    this.#next = Infinity;
    this.#asking?.abort();
    this.#asked = question;
    const { signal } = (this.#asking = new AbortController());
    this.#onChange();
    try {
      const { slots, asOf } = await this.#read(question, signal);
      if (signal.aborted) return;
      this.#asking = undefined;
      this.#answered(question, slots, asOf);
    } catch (error) {
      if (signal.aborted) return;
      this.#asking = undefined;
      this.failure = error;
      this.#askIn(SOON_MS + backOff(this.#failures++));
    }
    this.#onChange();
  }

  /** @param {Question} question @param {Slot[]} slots @param {Record<string, number>} asOf */
  #answered(question, slots, asOf) {
    Object.assign(this, { question, slots, failure: undefined });
    this.#failures = 0;
    this.#answeredAt = Date.now();
    this.#asOf = asOf;
    this.#news = this.#news.filter((frame) => frame.version > asOf[frame.calendar]);
    this.#news.forEach((frame) => this.#takeAway(frame));
    this.#followAll();
    this.#lookAgain(this.#isStale ? SOON_MS : CHECK_MS);
  }

  /** Asks again in this time, give or take a half, and never later than was planned. @param {number} ms */
  #askIn(ms) {
    const wait = ms * (0.5 + Math.random());
    if (!this.#asked || performance.now() + wait >= this.#next) return;
    clearTimeout(this.#timer);
    this.#next = performance.now() + wait;
    this.#timer = setTimeout(() => {
      this.#next = Infinity;
      if (this.#isLooking() && this.#mustAsk) this.ask();
    }, wait);
  }

  // --- following ------------------------------------------------------------------------------------------------------------

  /** Whether every calendar that the answer rests on is followed. */
  get #isTold() {
    return this.#live.state === "open" && Object.keys(this.#asOf).every((calendar) => this.#told.get(calendar)?.heard);
  }

  get #isStale() {
    return [...this.#told].some(([calendar, { version }]) => version > this.#asOf[calendar]);
  }

  /** Nobody tells of a time that has passed; what is the first one then has to be asked for. */
  get #isPast() {
    return this.slots.some(({ start }) => Date.parse(start) <= serverNow());
  }

  get #mustAsk() {
    return !this.#isTold || this.#isStale || this.#isPast || this.failure !== undefined;
  }

  #linkChanged() {
    this.#lookAgain(LOST_MS);
    this.#onChange();
  }

  #timePassed() {
    if (!this.#isPast) return;
    this.#lookAgain(SOON_MS);
    this.#onChange();
  }

  /** @param {number} ms */
  #lookAgain(ms) {
    if (this.#mustAsk && !this.#asking) this.#askIn(ms);
  }

  /** Follows every calendar the answer looked at, also the full ones: they may get free. */
  #followAll() {
    const wanted = new Set(Object.keys(this.#asOf).slice(0, MOST_FOLLOWED));
    for (const calendar of this.#told.keys()) {
      if (wanted.has(calendar)) continue;
      this.#live.unfollow(calendar);
      this.#told.delete(calendar);
    }
    for (const calendar of wanted) if (!this.#told.has(calendar)) this.#follow(calendar);
  }

  /** @param {string} calendar */
  #follow(calendar) {
    /** @type {Told} */ const told = { version: 0, heard: false };
    this.#told.set(calendar, told);
    this.#live.follow(calendar, {
      position: () => ({}),
      receive: (frame) => this.#receive(calendar, told, frame),
      lost: () => (told.heard = false),
    });
  }

  /** @param {string} calendar @param {Told} told @param {Frame} frame */
  #receive(calendar, told, frame) {
    const version = frame.type === "heartbeat" ? frame.versions[calendar] : frame.version;
    told.heard = version !== undefined;
    if (frame.type === "subscribed" && frame.epoch !== told.epoch) Object.assign(told, { version: 0, epoch: frame.epoch });
    if (version > told.version) {
      told.version = version;
      if (version > this.#asOf[calendar]) this.#changed(frame, calendar);
    }
    this.#onChange();
  }

  /** @param {Frame} frame @param {string} calendar */
  #changed(frame, calendar) {
    if (frame.type === "event") {
      this.#news.push(frame);
      const isNext = frame.version === this.#asOf[calendar] + 1 && !this.#asking;
      if (!this.#takeAway(frame) && isNext && this.#isElsewhere(frame)) {
        this.#asOf[calendar] = frame.version; // the answer says so already
        return;
      }
    }
    this.#askIn(SOON_MS);
  }

  /** Takes what an event took off the free slots; whether there was any. @param {Frame} frame */
  #takeAway({ calendar, data }) {
    if (data.free !== false) return false;
    const overlaps = (/** @type {Slot} */ { start, end }) =>
      Date.parse(start) < Date.parse(data.end) && Date.parse(data.start) < Date.parse(end);
    const hit = new Set(this.slots.filter((slot) => slot.calendars.includes(calendar) && overlaps(slot)));
    this.slots = this.slots.filter((slot) => !hit.has(slot) || (slot.capacity ?? 1) > 1);
    return hit.size > 0;
  }

  /** Whether an event that took nothing from us cannot have given us anything either. @param {Frame} frame */
  #isElsewhere({ data: { start, end, free } }) {
    const { from, to } = /** @type {Question} */ (this.question);
    return start && (!free || Date.parse(start) >= to || Date.parse(end) <= from);
  }
}

// @ts-check
/**
 * The live path, without a page: one socket for all calendars (`Live`), and for each calendar on show a state that is always "a
 * snapshot and every event after it" (`CalendarState`). Versions of a calendar are 1, 2, 3, … without a hole. So what arrives is
 * the next version (applied), an old one (dropped), or the sign that something is missing (fetched).
 *
 * @typedef {{id: string, start: string, end: string, status: string, visit_type: string, calendars: string[],
 *   expires_at?: string}} Visit
 * @typedef {{id: string, start: string, end: string, visit_type: string, expires_at: string}} Hold
 * @typedef {{version: number, epoch: string, appointments: Visit[], holds: Hold[], open: {start: string, end: string}[]}} Snapshot
 * @typedef {{version: number, epoch: string, events: EventFrame[]}} Changes
 * @typedef {{type: "event", calendar: string, version: number, event: string, data: any}} EventFrame
 * @typedef {{type: string, calendar: string, version: number, epoch: string, recovered: boolean, versions: Record<string, number>,
 *   event: string, data: any, code: string, heartbeat_s: number, after_ms: number}} Frame  the fields its type has
 * @typedef {{position: () => object, receive: (frame: Frame) => void, lost: () => void}} Follower  `position`: what is known
 * @typedef {"connecting" | "open" | "offline" | "ended"} SocketState
 */

const BACK_OFF_MS = { first: 500, most: 30_000 };
const SEND_GAP_MS = 60; // the server takes 20 messages a second
const HANDSHAKE_MS = 10_000;
const FINAL = new Set([4401, 4403]); // signed out, or never allowed: coming back would not help
const GONE = new Set(["cancelled", "expired"]);

/** Full jitter, so that many clients do not come back together. @param {number} attempt */
export const backOff = (attempt) => Math.random() * Math.min(BACK_OFF_MS.most, BACK_OFF_MS.first * 2 ** attempt);

/**
 * What an event does to the visits of a calendar: the one rule, the same as the server's.
 * @param {Map<string, Visit>} visits @param {string} calendar @param {Visit} data
 */
export function apply(visits, calendar, data) {
  if (GONE.has(data.status) || !data.calendars.includes(calendar)) visits.delete(data.id);
  else visits.set(data.id, data);
}

/** One socket that comes back by itself and takes up every subscription where it was. */
export class Live {
  /** @type {Map<string, Follower>} */ #followers = new Map();
  /** @type {WebSocket | undefined} */ #socket;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {number | undefined} */ #hint;
  #url;
  #greeting;
  #onState;
  #attempt = 0;
  #patience = HANDSHAKE_MS;
  #nextSend = 0;
  /** @type {SocketState} */ state = "connecting";

  /**
   * @param {string} url
   * @param {{greeting?: object, onState?: (state: SocketState) => void}} [options]  `greeting`: the auth frame
   */
  constructor(url, { greeting, onState = () => {} } = {}) {
    this.#url = url;
    this.#greeting = greeting;
    this.#onState = onState;
    this.#connect();
  }

  /** @param {string} calendar @param {Follower} follower */
  follow(calendar, follower) {
    this.#followers.set(calendar, follower);
    if (this.state === "open") this.#subscribe(calendar);
  }

  /** @param {string} calendar */
  unfollow(calendar) {
    if (this.#followers.delete(calendar) && this.state === "open") this.#send({ type: "unsubscribe", calendar });
  }

  /** Tries now instead of at the end of the pause: the network is back, or somebody looks again. */
  wake() {
    if (this.state === "offline" && !this.#socket) this.#connect();
  }

  #connect() {
    const socket = new WebSocket(this.#url, "healthflow.v1");
    this.#socket = socket;
    socket.onopen = () => this.#greeting && this.#send(this.#greeting);
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code }) => this.#lost(code);
    this.#patience = HANDSHAKE_MS;
    this.#listen();
  }

  /** A dead network closes nothing: silence for two heartbeats counts as a close. */
  #listen() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lost(0), this.#patience);
  }

  /** @param {number} code */
  #lost(code) {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.#enter(FINAL.has(code) ? "ended" : "offline");
    for (const follower of this.#followers.values()) follower.lost();
    if (this.state === "offline") this.#timer = setTimeout(() => this.#connect(), this.#hint ?? backOff(this.#attempt++));
    this.#hint = undefined;
  }

  /** @param {Frame} frame */
  #receive(frame) {
    this.#listen();
    if (frame.type === "ready") {
      this.#attempt = 0;
      this.#patience = 2_000 * frame.heartbeat_s;
      this.#listen();
      this.#enter("open");
      for (const calendar of this.#followers.keys()) this.#subscribe(calendar);
    } else if (frame.type === "reconnect") this.#hint = frame.after_ms;
    else if (frame.type === "heartbeat") for (const follower of this.#followers.values()) follower.receive(frame);
    else this.#followers.get(frame.calendar)?.receive(frame);
  }

  /** @param {string} calendar */
  #subscribe(calendar) {
    this.#send({ type: "subscribe", calendar, ...this.#followers.get(calendar)?.position() });
  }

  /** @param {object} frame */
  #send(frame) {
    const socket = this.#socket;
    const now = performance.now();
    const wait = Math.max(0, this.#nextSend - now);
    this.#nextSend = now + wait + SEND_GAP_MS;
    const send = () => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(frame));
    if (wait) setTimeout(send, wait);
    else send();
  }

  /** @param {SocketState} state */
  #enter(state) {
    if (state === this.state) return;
    this.state = state;
    this.#onState(state);
  }
}

/** One calendar, kept true. A follower of `Live`. */
export class CalendarState {
  /** @type {Map<string, Visit>} */ visits = new Map();
  /** @type {{start: string, end: string}[]} */ open = [];
  version = 0;
  /** @type {string | undefined} */ epoch;
  /** The code of the refusal that keeps this calendar from being read, if any. @type {string | undefined} */ refusal;
  /** @type {Frame[]} */ #waiting = [];
  #calendar;
  #read;
  #onChange;
  #known = 0;
  #subscribed = false;
  #busy = false;
  #again = false;
  #stale = true;
  #closed = false;
  #attempt = 0;

  /**
   * @param {string} calendar
   * @param {{snapshot: () => Promise<Snapshot>, changes: (since: number) => Promise<Changes>}} read  rejects with `{code}`
   * @param {(visit?: Visit) => void} onChange  after every change; `visit` when an event told of one
   */
  constructor(calendar, read, onChange) {
    this.#calendar = calendar;
    this.#read = read;
    this.#onChange = onChange;
  }

  /** Whether this is the calendar as the server has it, as far as anybody can know. */
  get current() {
    return this.loaded && this.#subscribed && !this.#busy && this.version >= this.#known;
  }

  get loaded() {
    return this.epoch !== undefined;
  }

  close() {
    this.#closed = true;
  }

  position() {
    return this.loaded ? { version: this.version, epoch: this.epoch } : {};
  }

  lost() {
    this.#subscribed = false;
    this.#onChange();
  }

  /** @param {Frame} frame */
  receive(frame) {
    if (this.#closed) return;
    if (frame.type === "event") {
      this.#known = Math.max(this.#known, frame.version);
      if (this.#busy || !this.loaded) this.#waiting.push(frame);
      else this.#take(frame);
    } else if (frame.type === "subscribed") {
      this.#subscribed = true;
      this.#known = frame.version;
      if (!frame.recovered || frame.epoch !== this.epoch) this.#catchUp(true);
      else this.#onChange(); // the missed events follow
    } else if (frame.type === "heartbeat") {
      this.#known = Math.max(this.#known, frame.versions[this.#calendar] ?? 0);
      if (this.#known > this.version) this.#catchUp(false);
    } else if (frame.type === "error") {
      this.refusal = frame.code;
      this.#onChange();
    }
  }

  /**
   * The answer to a write of our own says what its event will say; whichever comes first counts.
   * @param {Visit & {calendar: string, version: number}} answer
   */
  acknowledge(answer) {
    if (answer.calendar !== this.#calendar || answer.version !== this.version + 1 || this.#busy) return;
    this.#take(/** @type {Frame} */ ({ type: "event", version: answer.version, event: "", data: answer }));
  }

  /** @param {Frame} frame */
  #take(frame) {
    if (frame.version <= this.version) return;
    if (frame.version > this.version + 1) return void this.#catchUp(false);
    this.version = frame.version;
    if (frame.event.startsWith("calendar.")) return void this.#catchUp(true); // other opening hours
    apply(this.visits, this.#calendar, frame.data);
    this.#onChange(frame.data);
  }

  /** Fetches what is missing, then applies what came meanwhile; never two at a time. @param {boolean} afresh */
  async #catchUp(afresh) {
    this.#stale ||= afresh;
    this.#again = true;
    if (this.#busy) return;
    this.#busy = true;
    this.#onChange();
    try {
      while (this.#again && !this.#closed) {
        this.#again = false;
        await (this.#stale ? this.#load() : this.#fetchChanges());
        for (const frame of this.#waiting.splice(0)) this.#take(frame);
      }
      this.refusal = undefined;
      this.#attempt = 0;
    } catch (error) {
      this.#failed(/** @type {{code?: string}} */ (error).code ?? "unavailable");
    }
    this.#busy = false;
    if (!this.#closed) this.#onChange();
  }

  async #load() {
    const { version, epoch, appointments, holds, open } = await this.#read.snapshot();
    this.#stale = false;
    Object.assign(this, { version, epoch, open });
    const held = holds.map((hold) => ({ ...hold, status: "held", calendars: [this.#calendar] }));
    this.visits = new Map([...appointments, ...held].map((visit) => [visit.id, visit]));
  }

  async #fetchChanges() {
    const { version, epoch, events } = await this.#read.changes(this.version);
    if (epoch !== this.epoch) this.#stale = this.#again = true;
    else for (const frame of events) this.#take(/** @type {Frame} */ (frame));
    if (version > this.version) this.#again = true;
  }

  /** @param {string} code */
  #failed(code) {
    if (code === "version_gone") this.#stale = true;
    else this.refusal = code;
    if (["unauthenticated", "forbidden", "not_found"].includes(code)) return;
    setTimeout(() => !this.#closed && this.#catchUp(false), code === "version_gone" ? 0 : backOff(this.#attempt++));
  }
}

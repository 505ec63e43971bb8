// @ts-check
/**
 * The live path, without a page: one connection for all calendars (`Live`), and for each calendar on show a state that is always
 * "a snapshot and every event after it" (`CalendarState`). Versions of a calendar are 1, 2, 3, … without a hole. So what arrives
 * is the next version (applied), an old one (dropped), or the sign that something is missing (fetched).
 *
 * The connection is a socket. Where none gets through, long polling carries the same frames: an answer of `changes` says what a
 * socket says when it takes up a subscription. Pauses are measured on the monotonic clock; the wall clock, which may jump, can only
 * raise a doubt, and a doubt costs one reconnect.
 *
 * @typedef {{id: string, start: string, end: string, status: string, visit_type: string, calendars: string[],
 *   expires_at?: string}} Visit
 * @typedef {{id: string, start: string, end: string, visit_type: string, expires_at: string}} Hold
 * @typedef {{version: number, epoch: string, appointments: Visit[], holds: Hold[], open: {start: string, end: string}[]}} Snapshot
 * @typedef {{version: number, epoch: string, events: Frame[]}} Changes
 * @typedef {{type: string, calendar: string, version: number, epoch?: string, recovered: boolean, versions: Record<string, number>,
 *   event: string, data: any, code: string, heartbeat_s: number, after_ms: number}} Frame  the fields its type has
 * @typedef {{position: () => {version?: number, epoch?: string}, receive: (frame: Frame) => unknown, lost: () => void}} Follower
 *   `position`: what is known; `receive` may answer a promise of the moment when the frame is worked off
 * @typedef {(calendar: string, since: number, waitS: number, signal: AbortSignal) => Promise<Changes>} Ask  rejects with `{code}`
 * @typedef {"connecting" | "open" | "offline" | "unauthenticated" | "forbidden"} Link  the last two are final
 */

const BACK_OFF_MS = { first: 500, most: 30_000 };
const HANDSHAKE_MS = 7_000;
const LOOK_MS = 5_000; // a sleep that no event tells of is noticed this soon
const SEND_GAP_MS = 60; // the server takes 20 messages a second
const SEND_BURST_MS = 1_000;
const BLOCKED_AFTER = 4; // handshakes in a row
const POLL_S = 20;
const POLL_SLACK_MS = 15_000;
const SOCKET_AGAIN_MS = 60_000; // while polling works
const OUR_FAULT = new Set([4400, 4413, 4429]);
const OUR_FAULT_MS = 60_000;
const GONE = new Set(["cancelled", "expired"]);
const [NOTHING, CHANGES, SNAPSHOT] = [0, 1, 2];

/** Full jitter, so that many clients do not come back together. @param {number} attempt */
export const backOff = (attempt) => Math.random() * Math.min(BACK_OFF_MS.most, BACK_OFF_MS.first * 2 ** attempt);

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** @param {Partial<Frame>} fields */
const frameOf = (fields) => /** @type {Frame} */ (fields);

/**
 * What an event does to the visits of a calendar: the one rule, the same as the server's.
 * @param {Map<string, Visit>} visits @param {string} calendar @param {Visit} data
 */
export function apply(visits, calendar, data) {
  if (GONE.has(data.status) || !data.calendars.includes(calendar)) visits.delete(data.id);
  else visits.set(data.id, data);
}

/** One connection that comes back by itself and takes up every subscription where it was. */
export class Live {
  /** @type {Link} */ state = "connecting";
  /** When the server was last heard, on the wall clock. @type {number | undefined} */ heardAt;
  /** @type {Map<string, Follower>} */ #followers = new Map();
  /** Calendars whose (un)subscription is to be sent; which of the two is decided then. @type {Set<string>} */ #unsaid = new Set();
  /** @type {Map<string, AbortController>} */ #polls = new Map();
  /** @type {WebSocket | undefined} */ #socket;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #sender;
  /** @type {number | undefined} */ #hint;
  #url;
  #greeting;
  #ask;
  #onState;
  #ready = false; // the socket, that is; `state` is also "open" while polling works
  #heard = 0;
  #patience = 0;
  #attempt = 0;
  #earliest = 0;
  #due = 0;
  #nextSend = 0;

  /**
   * @param {string} url
   * @param {{greeting?: object, ask?: Ask, onState?: (state: Link) => void}} [options]  `greeting`: the auth frame, else the
   *   session cookie says who it is; `ask`: reads a calendar's changes where sockets are blocked
   */
  constructor(url, { greeting, ask, onState = () => {} } = {}) {
    this.#url = url;
    this.#greeting = greeting;
    this.#ask = ask;
    this.#onState = onState;
    addEventListener("online", () => this.#wake());
    addEventListener("pageshow", () => this.#wake());
    document.addEventListener("resume", () => this.#wake());
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#rest() : this.#wake()));
    // What is let go of before a sleep cannot be taken for living after it.
    addEventListener("offline", () => this.#doubt());
    addEventListener("pagehide", () => this.#doubt());
    document.addEventListener("freeze", () => this.#doubt());
    this.#look();
  }

  /** Another follower of the same calendar takes its place. @param {string} calendar @param {Follower} follower */
  follow(calendar, follower) {
    this.#stopPoll(calendar);
    this.#followers.set(calendar, follower);
    if (this.#ready) this.#say(calendar);
    else this.#pollAll();
  }

  /** @param {string} calendar */
  unfollow(calendar) {
    this.#stopPoll(calendar);
    if (this.#followers.delete(calendar) && this.#ready) this.#say(calendar);
  }

  // --- coming and going ---------------------------------------------------------------------------------------------------

  get #over() {
    return this.state === "unauthenticated" || this.state === "forbidden";
  }

  /** A dead network closes nothing, and a machine that sleeps may stop the monotonic clock: either clock can raise the doubt. */
  get #silent() {
    const silence = Math.max(performance.now() - this.#heard, Date.now() - (this.heardAt ?? 0));
    return this.state === "open" && silence > this.#patience;
  }

  #hear() {
    this.#heard = performance.now();
    this.heardAt = Date.now();
  }

  /** Does what is due. A timer that slept comes late, so what is due is read off the clocks. */
  #look() {
    clearTimeout(this.#timer);
    if (this.#over) return;
    if (this.#silent) return this.#doubt();
    const now = performance.now();
    if (!this.#socket && now >= this.#due) this.#connect();
    const silentAt = this.state === "open" ? this.#heard + this.#patience + 1 : Infinity;
    this.#timer = setTimeout(() => this.#look(), Math.min(LOOK_MS, silentAt - now, this.#socket ? Infinity : this.#due - now));
  }

  /** Tries soon instead of at the end of the pause: the network is back, or somebody looks again. */
  #wake() {
    this.#due = Math.min(this.#due, Math.max(this.#earliest, performance.now()) + backOff(0));
    this.#look();
    this.#pollAll();
  }

  #connect() {
    const socket = new WebSocket(this.#url, "healthflow.v1");
    this.#socket = socket;
    this.#nextSend = 0;
    socket.onopen = () => this.#greeting && socket.send(JSON.stringify(this.#greeting));
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code }) => this.#lose(code);
    setTimeout(() => socket === this.#socket && !this.#ready && this.#lose(0), HANDSHAKE_MS);
  }

  /** The socket is gone, or has to go. @param {number} code  0 when nobody said why */
  #lose(code) {
    const ready = this.#ready;
    const polled = !ready && this.state === "open";
    if (!polled) this.#disconnect();
    this.#hangUp();
    // Who sends no greeting relies on the session cookie; the server waited for somebody to say who it is, and nobody did.
    // The token of an open socket ends; there may be a newer one.
    if ((code === 4401 && !ready) || (code === 4408 && !this.#greeting)) return this.#end("unauthenticated");
    if (code === 4403) return this.#end("forbidden");
    const asked = this.#hint ?? (OUR_FAULT.has(code) ? OUR_FAULT_MS : 0);
    this.#hint = undefined;
    this.#earliest = performance.now() + asked * (1 + Math.random() / 4);
    this.#due = this.#earliest + (polled ? SOCKET_AGAIN_MS : 0) + backOff(this.#attempt++);
    this.#look();
    this.#pollAll();
  }

  #hangUp() {
    const socket = this.#socket;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.#socket = undefined;
    this.#ready = false;
  }

  /** Nothing that is known now is taken for current any more, until there is proof. */
  #doubt() {
    if (this.#over) return;
    this.#disconnect();
    this.#lose(0);
  }

  /** Long polling is for those who look. */
  #rest() {
    if (this.#polls.size) this.#disconnect();
  }

  #disconnect() {
    for (const calendar of [...this.#polls.keys()]) this.#stopPoll(calendar);
    clearTimeout(this.#sender);
    this.#unsaid.clear();
    this.#enter("offline");
    for (const follower of this.#followers.values()) follower.lost();
  }

  /** @param {"unauthenticated" | "forbidden"} state */
  #end(state) {
    this.#disconnect();
    this.#hangUp();
    this.#enter(state);
  }

  /** @param {Link} state */
  #enter(state) {
    if (state === this.state) return;
    this.state = state;
    this.#onState(state);
  }

  // --- the socket -----------------------------------------------------------------------------------------------------------

  /** @param {Frame} frame */
  #receive(frame) {
    if (this.#silent) return this.#doubt(); // it may have waited in a buffer while we slept
    this.#hear();
    if (frame.type === "ready") {
      this.#patience = 2_000 * frame.heartbeat_s;
      // The cookie's `ready` may come before the greeting's; what is subscribed to after either is the greeting's.
      if (!this.#ready) this.#begin();
    } else if (frame.type === "reconnect") this.#hint = frame.after_ms;
    else if (frame.type === "heartbeat") this.#beat(frame);
    else this.#followers.get(frame.calendar)?.receive(frame);
  }

  #begin() {
    if (this.#polls.size) this.#disconnect();
    this.#ready = true;
    this.#enter("open");
    for (const calendar of this.#followers.keys()) this.#say(calendar);
  }

  /** @param {Frame} frame */
  #beat(frame) {
    this.#attempt = 0; // only now: a server that takes sockets and drops them must not be asked ever faster
    for (const [calendar, follower] of this.#followers) {
      follower.receive(frame);
      if (!(calendar in frame.versions)) this.#say(calendar); // refused, or forgotten
    }
  }

  /** @param {string} calendar */
  #say(calendar) {
    this.#unsaid.add(calendar);
    this.#send();
  }

  #send() {
    clearTimeout(this.#sender);
    for (const calendar of this.#unsaid) {
      const now = performance.now();
      if (now < this.#nextSend) return void (this.#sender = setTimeout(() => this.#send(), this.#nextSend - now));
      this.#nextSend = Math.max(this.#nextSend, now - SEND_BURST_MS) + SEND_GAP_MS;
      this.#unsaid.delete(calendar);
      const follower = this.#followers.get(calendar);
      const frame = follower ? { type: "subscribe", calendar, ...follower.position() } : { type: "unsubscribe", calendar };
      this.#socket?.send(JSON.stringify(frame));
    }
  }

  // --- long polling ---------------------------------------------------------------------------------------------------------

  #pollAll() {
    if (!this.#ask || this.#ready || this.#over || this.#attempt < BLOCKED_AFTER || document.hidden) return;
    for (const [calendar, follower] of this.#followers) if (!this.#polls.has(calendar)) this.#poll(calendar, follower);
  }

  /** @param {string} calendar */
  #stopPoll(calendar) {
    this.#polls.get(calendar)?.abort();
    this.#polls.delete(calendar);
  }

  /** @param {string} calendar @param {Follower} follower */
  async #poll(calendar, follower) {
    const poll = new AbortController();
    this.#polls.set(calendar, poll);
    const { signal } = poll;
    await pause(backOff(1));
    for (let [waitS, failures] = [0, 0]; !signal.aborted; ) {
      try {
        const began = performance.now();
        const moved = await this.#pollOnce(calendar, follower, waitS, signal);
        // An answer that is early and empty says that the server does not hold requests at the moment.
        if (waitS && !moved && performance.now() - began < POLL_S * 500) await pause(1_000 + backOff(1));
        [waitS, failures] = [POLL_S, 0];
      } catch (error) {
        if (signal.aborted) return;
        this.#pollFailed(follower, /** @type {{code?: string}} */ (error).code ?? "unavailable");
        waitS = 0; // the next answer is proof
        await pause(1_000 + backOff(failures++));
      }
    }
  }

  /** Whether there was news. @param {string} calendar @param {Follower} follower @param {number} waitS @param {AbortSignal} signal */
  async #pollOnce(calendar, follower, waitS, signal) {
    const since = follower.position().version;
    if (since === undefined) {
      await follower.receive(frameOf({ type: "subscribed", calendar, version: 0, recovered: false }));
      if (follower.position().version === undefined) throw new Error("no snapshot yet");
      return true;
    }
    const { version, epoch, events } = await /** @type {Ask} */ (this.#ask)(calendar, since, waitS, signal);
    if (signal.aborted) return false;
    this.#hear();
    this.#patience = 1_000 * POLL_S + POLL_SLACK_MS;
    this.#enter("open");
    const done = follower.receive(frameOf({ type: "subscribed", calendar, version, epoch, recovered: true }));
    for (const event of events) follower.receive(event);
    await done;
    return events.length > 0;
  }

  /** @param {Follower} follower @param {string} code */
  #pollFailed(follower, code) {
    if (code === "unauthenticated") this.#end(code);
    else if (code === "version_gone") follower.receive(frameOf({ type: "subscribed", version: 0, recovered: false }));
    else if (code === "forbidden" || code === "not_found") follower.receive(frameOf({ type: "error", code }));
    else {
      this.#enter("offline");
      follower.lost();
      this.#wake(); // not only sockets are blocked
    }
  }
}

/** One calendar, kept true. A follower of `Live`. */
export class CalendarState {
  /** @type {Map<string, Visit>} */ visits = new Map();
  /** @type {{start: string, end: string}[]} */ open = [];
  version = 0;
  /** @type {string | undefined} */ epoch;
  /** The code of the refusal that keeps this calendar from being read, if any. @type {string | undefined} */ refusal;
  /** Where the calendar is, as the connection says; undefined without one. @type {{version: number, epoch?: string} | undefined} */ #told;
  /** Events that came while something is fetched. @type {Frame[]} */ #waiting = [];
  /** What is being fetched. @type {Promise<void> | undefined} */ #fetching;
  #missing = NOTHING;
  #calendar;
  #read;
  #onChange;
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
    const told = this.#told;
    return !!told && !this.#fetching && this.loaded && this.epoch === told.epoch && this.version >= told.version;
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
    this.#told = undefined;
    this.#waiting = [];
    if (!this.#closed) this.#onChange();
  }

  /** @param {Frame} frame @returns {Promise<void> | undefined}  of the moment when all that was missing is there, or could not be had */
  receive(frame) {
    if (this.#closed) return;
    if (frame.type === "subscribed") return this.#subscribed(frame);
    if (frame.type === "error") {
      this.refusal = frame.code;
      this.lost();
    } else if (frame.type === "heartbeat" && !(this.#calendar in frame.versions)) this.lost();
    else if (this.#told && frame.type === "heartbeat") {
      this.#told.version = Math.max(this.#told.version, frame.versions[this.#calendar]);
      if (this.#told.version > this.version) this.#fetch(CHANGES);
    } else if (this.#told && frame.type === "event") {
      this.#told.version = Math.max(this.#told.version, frame.version);
      if (this.#fetching) this.#waiting.push(frame);
      else this.#take(frame);
    }
    return this.#fetching;
  }

  /** @param {Frame} frame */
  #subscribed({ version, epoch, recovered }) {
    this.#told = { version, epoch };
    this.#waiting = []; // what is missing after this comes after this
    this.refusal = undefined;
    if (!recovered || epoch !== this.epoch) this.#fetch(SNAPSHOT);
    else this.#onChange();
    return this.#fetching;
  }

  /**
   * The answer to a write of our own says what its event will say; whichever comes first counts.
   * @param {Visit & {calendar: string, version: number}} answer
   */
  acknowledge(answer) {
    if (answer.calendar !== this.#calendar || answer.version !== this.version + 1 || this.#fetching) return;
    this.#take(frameOf({ type: "event", version: answer.version, event: "", data: answer }));
  }

  /** @param {Frame} frame */
  #take(frame) {
    if (frame.version <= this.version) return;
    if (frame.version > this.version + 1) return this.#fetch(CHANGES);
    this.version = frame.version;
    if (frame.event.startsWith("calendar.")) return this.#fetch(SNAPSHOT); // other opening hours
    apply(this.visits, this.#calendar, frame.data);
    this.#onChange(frame.data);
  }

  /** Fetches what is missing, then applies what came meanwhile; never two at a time. @param {number} missing */
  #fetch(missing) {
    this.#missing = Math.max(this.#missing, missing);
    if (!this.#missing || this.#fetching || this.#closed) return;
    this.#fetching = Promise.resolve().then(() => this.#work()); // later, so that a frame never finds it not yet begun
    this.#onChange();
  }

  async #work() {
    while (this.#missing && !this.#closed) {
      const missing = this.#missing;
      this.#missing = NOTHING;
      try {
        await (missing === SNAPSHOT ? this.#load() : this.#fetchChanges());
      } catch (error) {
        this.#missing = Math.max(this.#missing, missing);
        this.#failed(/** @type {{code?: string}} */ (error).code);
        break;
      }
      this.refusal = undefined;
      this.#attempt = 0;
      for (const frame of this.#waiting.splice(0)) this.#take(frame);
    }
    this.#fetching = undefined;
    if (!this.#closed) this.#onChange();
  }

  async #load() {
    const { version, epoch, appointments, holds, open } = await this.#read.snapshot();
    Object.assign(this, { version, epoch, open });
    const held = holds.map((hold) => ({ ...hold, status: "held", calendars: [this.#calendar] }));
    this.visits = new Map([...appointments, ...held].map((visit) => [visit.id, visit]));
    // The database was restored, and one of the two does not know yet.
    if (this.#told?.epoch && this.#told.epoch !== epoch) throw new Error("two histories");
  }

  async #fetchChanges() {
    try {
      const { version, epoch, events } = await this.#read.changes(this.version);
      if (epoch !== this.epoch) return this.#fetch(SNAPSHOT);
      for (const frame of events) this.#take(frame);
      if (version > this.version) events.length ? this.#fetch(CHANGES) : this.#fetch(SNAPSHOT);
    } catch (error) {
      if (/** @type {{code?: string}} */ (error).code !== "version_gone") throw error;
      this.#fetch(SNAPSHOT);
    }
  }

  /** @param {string | undefined} code */
  #failed(code) {
    if (code === "unauthenticated" || code === "forbidden" || code === "not_found") this.refusal = code;
    else setTimeout(() => this.#fetch(NOTHING), backOff(this.#attempt++));
  }
}

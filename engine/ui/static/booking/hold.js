// @ts-check
/** A time that is kept for the patient for some minutes, with what is left of them on show. */

import { get, post, remove, serverNow } from "../api.js";
import { byId, write } from "../dom.js";
import { text } from "../texts.js";

/** @typedef {import("./search.js").Slot} Slot */

const ANNOUNCED_S = [60, 30];

export class Hold {
  slot;
  #id;
  #secret;
  #onGone;
  #expires = 0;
  #due = 0; // the same on the monotonic clock
  #said = Infinity;
  #asking = false;
  #stopped = false; // what is still asked of it then is nobody's business any more
  #timer = setInterval(() => this.#look(), 1_000);

  /**
   * @param {Slot} slot
   * @param {{id: string, secret: string, expires_at: string}} answer
   * @param {() => void} onGone  its time is over
   */
  constructor(slot, { id, secret, expires_at }, onGone) {
    this.slot = slot;
    this.#id = id;
    this.#secret = secret;
    this.#onGone = onGone;
    this.#keepUntil(expires_at);
  }

  /** Once. @param {string} state  where the patient will be, if it matters */
  async extend(state) {
    const { expires_at } = await post(`/holds/${this.#id}/extend`, { state }, this.#mine);
    if (this.#stopped) return;
    this.#keepUntil(expires_at);
    write(byId("hold-news"), text("booking.extended"));
  }

  /** @param {object} body @returns {Promise<{id: string, manage_url: string}>} */
  confirm(body) {
    return post(`/holds/${this.#id}/confirm`, body, this.#mine);
  }

  /** Gives the time back, so that somebody else can have it at once. */
  release() {
    this.stop();
    return remove(`/holds/${this.#id}`, this.#mine.headers);
  }

  stop() {
    this.#stopped = true;
    clearInterval(this.#timer);
    write(byId("hold-news"), "");
  }

  get #mine() {
    return { asPatient: true, headers: { "Hold-Secret": this.#secret } };
  }

  /** @param {string} expires */
  #keepUntil(expires) {
    this.#expires = Date.parse(expires);
    this.#due = performance.now() + this.#expires - serverNow();
    this.#said = Infinity;
    this.#look();
  }

  #look() {
    const [byTimer, byClock] = [this.#due - performance.now(), this.#expires - serverNow()];
    // A machine that slept may have stopped its timer, and a clock may have been set: where they differ the server knows.
    if (byTimer > 0 && byClock <= 0) return void this.#ask();
    const left = Math.max(0, Math.ceil(byTimer / 1_000));
    write(byId("countdown"), `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`);
    const due = ANNOUNCED_S.filter((seconds) => left <= seconds && seconds < this.#said).at(-1);
    if (due && left > 0) {
      this.#said = due;
      write(byId("hold-news"), text("booking.seconds_left", { count: due }));
    }
    if (left === 0) this.#onGone();
  }

  async #ask() {
    if (this.#asking) return;
    this.#asking = true;
    await get("/sealing-keys", { asPatient: true }).catch(() => {}); // any answer tells the server's time
    this.#asking = false;
    if (!this.#stopped && this.#expires <= serverNow()) this.#onGone();
  }
}

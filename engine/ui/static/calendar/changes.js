// @ts-check
/**
 * What is written, and how it is taken back. A change is on show at once, marked as not yet certain; the server's no puts it back
 * and comes with what else could be done.
 *
 * @typedef {import("./diary.js").Visit} Visit
 * @typedef {{calendar: string, start: number, end: number}} Place
 * @typedef {{code: string, reason: string, calendar: string, overridable: boolean, start?: string, end?: string}} Conflict
 * @typedef {{calendar: string, start: string, end: string}} Alternative
 * @typedef {{code: string, conflicts: Conflict[], alternatives: Alternative[]}} Refusal
 * @typedef {{does: string, undo?: () => Promise<boolean>}} Done  `does`: what happened, in words; `undo`: takes it back, and whether it did
 * @typedef {(one: {start: number, end: number, visit_type?: string}) => string} Describe  a visit, or a time off, in words
 */

import { Refused, get, post, send } from "../api.js";
import { sentence, text } from "../texts.js";
import { book, cancel, reschedule, step } from "../writes.js";
import { moveName } from "./words.js";

const MOST_UNDONE = 20;
/** Steps that `revert` takes back. */
const CAN_BE_REVERTED = new Set(["arrive", "room", "start", "no-show"]);

/** @param {number} instant */
const rfc3339 = (instant) => new Date(instant).toISOString().replace(/\.\d+Z$/, "Z");

/** All of a visit that somebody else could have changed. @param {any} answer */
const asLeft = ({ calendar, start, end, status, stages }) => String([calendar, start, end, status, ...Object.entries(stages).sort()]);

/** @param {unknown} error @returns {Refusal} */
export function refusalOf(error) {
  if (!(error instanceof Refused)) throw error;
  return { code: error.code, conflicts: error.fields.conflicts ?? [], alternatives: error.fields.alternatives ?? [] };
}

export class Changes {
  /** Visits that something is under way for. @type {Set<string>} */ pending = new Set();
  /** Whether something is being taken back. */ taking = false;
  /** @type {Done[]} */ #done = [];
  #diary;
  #onDone;
  #onProblem;
  #describe;

  /**
   * @param {import("./diary.js").Diary} diary
   * @param {{onDone: (done: Done) => void, onProblem: (text: string) => void, describe: Describe}} told
   */
  constructor(diary, { onDone, onProblem, describe }) {
    this.#diary = diary;
    this.#onDone = onDone;
    this.#onProblem = onProblem;
    this.#describe = describe;
  }

  /**
   * Moves a visit, or makes it longer or shorter. Answers the refusal, if there is one; then it is where it was.
   * @param {Visit} visit @param {Place} from @param {Place} to @param {{says: string, reason?: string}} how  `reason`: why the conflicts do not count
   * @returns {Promise<Refusal | undefined>}
   */
  async reschedule(visit, from, to, { says, reason }) {
    const { id } = visit;
    if (!this.#begin(id)) return undefined;
    const calendars = visit.calendars.map((calendar) => (calendar === from.calendar ? to.calendar : calendar));
    this.#diary.draft(id, { start: to.start, end: to.end, calendars, told: false });
    try {
      const answer = await reschedule(id, to, reason);
      this.#diary.draft(id, {
        start: Date.parse(answer.start),
        end: Date.parse(answer.end),
        calendars: answer.calendars,
        told: true,
      });
      this.#diary.acknowledge(answer);
      const back = () =>
        this.reschedule({ ...visit, ...answer }, to, from, {
          says: this.#undone({ ...from, visit_type: visit.visit_type }),
          reason: reason && text("calendar.undo_reason"),
        });
      this.#finish({ does: says, undo: this.#unless(answer, async () => this.#passed(await back())) });
      return undefined;
    } catch (error) {
      this.#diary.undraft(id);
      return refusalOf(error);
    } finally {
      this.#end(id);
    }
  }

  /** One step of the visit. @param {string} id @param {string} move */
  async step(id, move) {
    const back = () => this.#writeBack(id, () => step(id, "revert"));
    await this.#write(id, () => step(id, move), (answer) => ({
      does: text("calendar.did", { what: moveName(move) }),
      undo: CAN_BE_REVERTED.has(move) ? this.#unless(answer, back) : undefined,
    }));
  }

  /** This cannot be undone. @param {string} id @param {string} reason */
  async cancel(id, reason) {
    await this.#write(id, () => cancel(id, reason, "clinic"), () => ({ does: text("calendar.cancelled") }));
  }

  /** Whether it was done. @param {string} id @param {() => Promise<any>} write @param {(answer: any) => Done} done */
  async #write(id, write, done) {
    if (!this.#begin(id)) return false;
    try {
      const answer = await write();
      this.#diary.acknowledge(answer);
      this.#finish(done(answer));
      return true;
    } catch (error) {
      return this.#passed(refusalOf(error));
    } finally {
      this.#end(id);
    }
  }

  /** @param {string} id @param {() => Promise<any>} write */
  #writeBack(id, write) {
    return this.#write(id, write, ({ start, end, visit_type }) => ({
      does: this.#undone({ start: Date.parse(start), end: Date.parse(end), visit_type }),
    }));
  }

  /**
   * Books a visit. Answers the refusal, if there is one.
   * @param {Place} place @param {{visitType: string, patient: import("../writes.js").Who, state: string, modality: string}} what @param {string} [reason]
   * @returns {Promise<Refusal | undefined>}
   */
  async book(place, what, reason) {
    try {
      const answer = await book({ ...what, choice: place }, reason);
      this.#diary.acknowledge(answer);
      const back = () => this.#writeBack(answer.id, () => cancel(answer.id, text("calendar.reason_mistake"), "clinic"));
      const undo = this.#unless(answer, back);
      this.#finish({ does: text("calendar.booked"), undo });
      return undefined;
    } catch (error) {
      return refusalOf(error);
    }
  }

  /** Closes a calendar for a while. Answers the refusal, if there is one. @param {Place} place @param {string} note @returns {Promise<Refusal | undefined>} */
  async block({ calendar, start, end }, note) {
    try {
      const body = { start: rfc3339(start), end: rfc3339(end), open: false, note };
      const { id } = await post(`/calendars/${calendar}/exceptions`, body);
      this.#finish({
        does: text("calendar.blocked"),
        undo: () => this.unblock({ id, calendar, start, end }, note, { final: true }),
      });
      return undefined;
    } catch (error) {
      return refusalOf(error);
    }
  }

  /** Whether it was done. @param {Place & {id: string}} block @param {string} note @param {{final?: boolean}} [how]  `final`: it was an undo itself */
  async unblock({ id, ...place }, note, { final = false } = {}) {
    try {
      await send("DELETE", `/calendars/${place.calendar}/exceptions/${id}`);
      const undo = final ? undefined : async () => this.#passed(await this.block(place, note));
      this.#finish({ does: final ? this.#undone(place) : text("calendar.unblocked"), undo });
      return true;
    } catch (error) {
      return this.#passed(refusalOf(error));
    }
  }

  /** Takes the last thing back that can be; one at a time, and what could not be stays the last. */
  async undo() {
    if (this.taking) return undefined;
    const last = this.#done.pop();
    if (!last?.undo) return this.#onProblem(text("calendar.nothing_to_undo"));
    if (!this.#diary.writable) {
      this.#done.push(last);
      return this.#onProblem(text("calendar.offline"));
    }
    this.taking = true;
    let done = false;
    try {
      done = await last.undo();
    } finally {
      this.taking = false;
      if (!done) this.#done.push(last);
    }
  }

  /**
   * Takes a visit back, unless it is not as we left it: nobody undoes what somebody else did since.
   * @param {any} left  the answer to our change @param {() => Promise<boolean>} back
   */
  #unless = (left, back) => async () => {
    try {
      const now = await get(`/appointments/${left.id}`);
      if (asLeft(now) === asLeft(left)) return !this.pending.has(left.id) && (await back());
      this.#onProblem(sentence("version_conflict"));
      return false;
    } catch (error) {
      return this.#passed(refusalOf(error));
    }
  };

  /** @param {Parameters<Describe>[0]} one */
  #undone = (one) => text("calendar.undone", { what: this.#describe(one) });

  /** Whether there is no refusal; says it if there is. @param {Refusal | undefined} refusal */
  #passed(refusal) {
    if (refusal) this.#onProblem(sentence(refusal.code));
    return !refusal;
  }

  /** @param {Done} done */
  #finish({ does, undo }) {
    // What an undo did is not undone by the next one: that goes further back.
    const kept = this.taking ? { does } : { does, undo };
    if (kept.undo) this.#done = [...this.#done, kept].slice(-MOST_UNDONE);
    this.#onDone(kept);
  }

  /** @param {string} id */
  #begin(id) {
    if (!this.#diary.writable) this.#onProblem(text("calendar.offline"));
    if (!this.#diary.writable || this.pending.has(id)) return false;
    this.pending.add(id);
    this.#diary.redraw();
    return true;
  }

  /** @param {string} id */
  #end(id) {
    this.pending.delete(id);
    this.#diary.redraw();
  }
}

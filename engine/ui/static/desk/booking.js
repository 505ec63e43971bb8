// @ts-check
/**
 * Booking for somebody on the telephone or at the desk, in as few keys as it can be: who, what, when. A walk-in is booked with who
 * is free first and has arrived at once.
 */

import { Refused, serverNow } from "../api.js";
import { forget } from "../sealing.js";
import { sentence, text } from "../texts.js";
import { clock, dayName, dayOf } from "../time.js";
import { html, nothing } from "../vendor/lit.js";
import { Dialog } from "./dialog.js";
import { sealed } from "./newpatient.js";
import { attempt, book, step } from "../writes.js";
import "./override.js";
import "./search.js";
import "./times.js";

/** @typedef {import("./clinic.js").VisitType} VisitType */
/** @typedef {import("../writes.js").Choice} Choice */
/** @typedef {{name: string, id?: string, details?: object}} Person  `details` of one who is new */
/** @typedef {{choice: Choice, modality: string, state: string}} Wanted */

const MINUTE_MS = 60_000;
const WALK_IN = "walk-in"; // the reason that history keeps

export class Booking extends Dialog {
  /** @type {import("./clinic.js").Clinic | undefined} */ clinic;
  /** @type {"who" | "new" | "what" | "when" | "against" | "done"} */ #step = "who";
  #isWalkIn = false;
  /** A gap that is to be filled. @type {{calendar: string, from: number} | undefined} */ #gap;
  /** @type {Person | undefined} */ #person;
  /** @type {VisitType | undefined} */ #type;
  /** @type {Wanted | undefined} */ #wanted;
  /** @type {{conflicts: import("../writes.js").Conflict[], alternatives: import("../writes.js").Slot[]}} */ #against = {
    conflicts: [],
    alternatives: [],
  };
  #done = "";
  #problem = "";

  /** @param {{walkIn?: boolean, person?: Person, gap?: {calendar: string, from: number}}} [given] */
  async begin({ walkIn = false, person, gap } = {}) {
    if (this.isOpen) return;
    this.#isWalkIn = walkIn;
    this.#gap = gap;
    this.#person = person;
    this.#step = person ? "what" : "who";
    await this.open();
    this.#go(this.#step);
  }

  closed() {
    forget();
    /** @type {import("./search.js").Search | null} */ (this.querySelector("desk-search"))?.forget();
    /** @type {import("./newpatient.js").NewPatient | null} */ (this.querySelector("desk-new-patient"))?.forget();
    this.#person = this.#type = this.#wanted = this.#gap = undefined;
    this.#problem = this.#done = "";
  }

  get heading() {
    return text(this.#isWalkIn ? "desk.walk_in" : "desk.book");
  }

  /** @param {"who" | "new" | "what" | "when" | "against" | "done"} next */
  async #go(next) {
    this.#step = next;
    this.#problem = "";
    const first = {
      who: "input",
      new: "input",
      what: ".types button",
      when: ".offers button",
      against: "input, .offers button",
      done: ".done",
    };
    await this.focusOn(first[next]);
    if (next === "when" && !this.#isWalkIn) this.#beginTimes();
  }

  content() {
    const { clinic } = this;
    if (!clinic) return nothing;
    return html`${this.#chosen()} ${this.#problem ? html`<p class="problem" role="alert">${this.#problem}</p>` : nothing}
    ${this.#part(clinic)}`;
  }

  /** What is decided already; each can be decided again. */
  #chosen() {
    if (this.#step === "done" || !this.#person) return nothing;
    return html`<p class="row chosen-so-far">
      <button type="button" class="quiet" @click=${() => this.#go("who")}>
        <strong dir="auto">${this.#person.name}</strong> <span>${text("desk.change")}</span>
      </button>
      ${
        this.#type && this.#step !== "what"
          ? html`<button type="button" class="quiet" @click=${() => this.#go("what")}>
              <strong>${this.#type.name}</strong> <span>${text("desk.change")}</span>
            </button>`
          : nothing
      }
    </p>`;
  }

  /** @param {import("./clinic.js").Clinic} clinic */
  #part(clinic) {
    if (this.#step === "who")
      return html`<desk-search
        id="booking-search"
        .allowsNew=${true}
        @patient=${this.#known}
        @new-patient=${this.#isNew}
      ></desk-search>`;
    if (this.#step === "new")
      return html`<desk-new-patient
        .clinic=${clinic}
        .name=${this.#person?.name ?? ""}
        @details=${this.#details}
      ></desk-new-patient>`;
    if (this.#step === "what") return this.#types(clinic);
    if (this.#step === "when")
      return this.#isWalkIn
        ? this.#firstFree(clinic)
        : html`<desk-times .clinic=${clinic} .busy=${this.busy} @time=${this.#timed}></desk-times>`;
    if (this.#step === "done") return this.#success();
    return html`<desk-override
      .clinic=${clinic}
      .conflicts=${this.#against.conflicts}
      .alternatives=${this.#against.alternatives}
      .busy=${this.busy}
      @override=${(/** @type {CustomEvent<string>} */ { detail }) => this.#take(detail)}
      @time=${this.#timed}
      @back=${() => this.#go("when")}
    ></desk-override>`;
  }

  // --- who -----------------------------------------------------------------------------------------------------------------

  /** @param {CustomEvent<import("../patients.js").Patient>} event */
  #known({ detail: { id, name = "" } }) {
    this.#person = { id, name };
    this.#go(this.#type ? "when" : "what");
  }

  /** @param {CustomEvent<string>} event */
  #isNew({ detail: typed }) {
    this.#person = { name: /\d/.test(typed) ? "" : typed };
    this.#go("new");
  }

  /** @param {CustomEvent<{name: string}>} event */
  #details({ detail }) {
    this.#person = { name: detail.name, details: detail };
    this.#go(this.#type ? "when" : "what");
  }

  // --- what ----------------------------------------------------------------------------------------------------------------

  /** Those that can be booked, in a gap only those that its calendar offers. @param {import("./clinic.js").Clinic} clinic */
  #offered(clinic) {
    return [...clinic.types.values()].filter((type) => {
      if (this.#gap && !clinic.choices(type).some(({ id }) => id === this.#gap?.calendar)) return false;
      return !this.#isWalkIn || (type.duration_minutes !== null && type.modalities.includes("in_person"));
    });
  }

  /** @param {import("./clinic.js").Clinic} clinic */
  #types(clinic) {
    return html`<h3 id="types-title">${text("desk.what")}</h3>
      <ol class="types" aria-labelledby="types-title" @keydown=${this.#typePressed}>
        ${this.#offered(clinic).map(
          (type, index) =>
            html`<li>
              <button type="button" @click=${() => this.#typed(type)}>
                <kbd aria-hidden="true">${index < 9 ? index + 1 : ""}</kbd> <strong>${type.name}</strong>
                ${type.duration_minutes ? html`<span class="muted">${text("desk.minutes", { count: type.duration_minutes })}</span>` : nothing}
              </button>
            </li>`,
        )}
      </ol>`;
  }

  /** A digit takes, a letter goes to the next that begins with it, as the arrows do. @param {KeyboardEvent} event */
  #typePressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.clinic) return;
    const all = /** @type {HTMLElement[]} */ ([...this.querySelectorAll(".types button")]);
    const place = all.findIndex((one) => one === document.activeElement);
    const offered = this.#offered(this.clinic);
    if (/^[1-9]$/.test(event.key) && offered[Number(event.key) - 1]) this.#typed(offered[Number(event.key) - 1]);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp")
      all[(place + (event.key === "ArrowDown" ? 1 : all.length - 1)) % all.length]?.focus();
    else if (/^\p{L}$/u.test(event.key)) {
      const after = offered.map((_, index) => (place + 1 + index) % all.length);
      const next = after.find((index) => offered[index].name.toLowerCase().startsWith(event.key.toLowerCase()));
      if (next !== undefined) all[next].focus();
    } else return;
    event.preventDefault();
  }

  /** @param {VisitType} type */
  #typed(type) {
    this.#type = type;
    this.#go("when");
  }

  // --- when ----------------------------------------------------------------------------------------------------------------

  #beginTimes() {
    if (!this.#type) return;
    const times = /** @type {import("./times.js").Times} */ (this.querySelector("desk-times"));
    times.begin(this.#type, this.#gap);
  }

  /** Who can see a walk-in when, the first first. @param {import("./clinic.js").Clinic} clinic */
  #firstFree(clinic) {
    const type = /** @type {VisitType} */ (this.#type);
    const length = (type.duration_minutes ?? 0) * MINUTE_MS;
    const choices = clinic.choices(type).flatMap(({ id, name }) => {
      const gap = clinic
        .freeTimes(id)
        .find(({ start, end }) => end - start >= length && dayOf(start, clinic.zone) === clinic.today);
      return gap ? [{ calendar: id, name, start: gap.start, end: gap.start + length }] : [];
    });
    choices.sort((a, b) => a.start - b.start || a.name.localeCompare(b.name));
    return html`<h3 id="offers-title">${text("desk.free_first")}</h3>
      ${choices.length ? nothing : html`<p>${text("desk.nobody_free")}</p>`}
      <ul class="offers" aria-labelledby="offers-title">
        ${choices.map(
          ({ name, ...choice }) =>
            html`<li>
              <button
                type="button"
                aria-disabled=${String(this.busy)}
                @click=${() => this.#want({ choice, modality: "in_person", state: "" })}
              >
                <strong>${choice.start - serverNow() < 2 * MINUTE_MS ? text("desk.now") : clock(choice.start, clinic.zone)}</strong>
                <span>${name}</span>
              </button>
            </li>`,
        )}
      </ul>`;
  }

  /** @param {CustomEvent<Partial<Wanted> & {choice: Choice}>} event */
  #timed({ detail }) {
    this.#want({ modality: "", state: "", ...this.#wanted, ...detail });
  }

  /** @param {Wanted} wanted */
  #want(wanted) {
    this.#wanted = wanted;
    this.#take();
  }

  /** @param {string} [reason] */
  async #take(reason) {
    const [clinic, person, type, wanted] = [this.clinic, this.#person, this.#type, this.#wanted];
    const [turn, isWalkIn] = [this.turn, this.#isWalkIn];
    if (this.busy || !clinic || !person || !type || !wanted) return;
    this.busy = true;
    this.#problem = "";
    this.requestUpdate();
    try {
      const patient = person.id
        ? { id: person.id }
        : await sealed({ ...person.details, ...(wanted.state && { state: wanted.state }) });
      if (turn !== this.turn) return forget(); // closed before anything was asked for
      const asked = { slug: clinic.slug, visitType: type.id, ...wanted };
      const take = (/** @type {string | undefined} */ why) => book({ ...asked, patient }, why);
      const result = await attempt(asked, take, { reason, ...(isWalkIn && { usual: WALK_IN }) });
      await this.#answered(result, { turn, isWalkIn });
    } catch (error) {
      if (turn === this.turn) this.#problem = sentence(error instanceof Refused ? error.code : "internal_error");
    }
    if (turn !== this.turn) return;
    this.busy = false;
    this.requestUpdate();
  }

  /** @param {Awaited<ReturnType<typeof attempt>>} result @param {{turn: number, isWalkIn: boolean}} asked  as it was asked for */
  async #answered(result, { turn, isWalkIn }) {
    const clinic = /** @type {import("./clinic.js").Clinic} */ (this.clinic);
    if (!("answer" in result)) {
      if (turn !== this.turn) return;
      this.#against = result;
      return this.#go("against");
    }
    clinic.acknowledge(result.answer);
    const hasArrived = isWalkIn && (await this.#arrive(result.answer.id, clinic));
    if (turn !== this.turn) return;
    const start = Date.parse(result.answer.start);
    const when = `${dayName(dayOf(start, clinic.zone))}, ${clock(start, clinic.zone)}`;
    this.#done = text(hasArrived ? "desk.done_walk_in" : "desk.done_booked", {
      when,
      who: clinic.calendarOf(result.answer)?.name ?? "",
    });
    return this.#go("done");
  }

  /** It is booked whether this succeeds or not; then the card on the board still says "Expected". @param {string} id @param {import("./clinic.js").Clinic} clinic */
  async #arrive(id, clinic) {
    try {
      clinic.acknowledge(await step(id, "arrive"));
      return true;
    } catch (error) {
      if (error instanceof Refused) return false;
      throw error;
    }
  }

  #success() {
    return html`<p class="done chosen" tabindex="-1">
        <strong dir="auto">${this.#person?.name}</strong><span>${this.#type?.name}</span><span>${this.#done}</span>
      </p>
      <p class="row">
        <button type="button" class="primary" @click=${() => this.close()}>${text("desk.finish")}</button>
        <button type="button" class="quiet" @click=${() => this.#again()}>${text("desk.book_another")}</button>
      </p>`;
  }

  #again() {
    forget();
    this.#person = this.#type = this.#wanted = this.#gap = undefined;
    this.#go("who");
  }
}

customElements.define("desk-booking", Booking);

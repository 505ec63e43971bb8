// @ts-check
/** `<hf-booking>`: the dialog that books a time on the sheet, for a patient who is known or a new one, or closes it. */

import { html, live, nothing } from "../vendor/lit.js";
import { Refused } from "../api.js";
import { PatientSearch } from "../patients.js";
import { canSeal, forget, seal } from "../sealing.js";
import { language, sentence, text } from "../texts.js";
import { dayOf } from "../time.js";
import { refusalOf } from "./changes.js";
import { MINUTE_MS, STEP_MS } from "./layout.js";
import { Part } from "./part.js";
import { explained } from "./refusal.js";
import { at, date, longDay } from "./words.js";

/** @typedef {import("./changes.js").Place} Place */

const USUAL_MINUTES = 30;
const LENGTHS = [5, 10, 15, 20, 30, 40, 45, 50, 60, 75, 90, 120, 150, 180, 240];
const OFF_LENGTHS = [15, 30, 45, 60, 90, 120, 180, 240, 480];
const NEW = ["name", "date_of_birth", "phone", "email"];
const KINDS = { name: "text", date_of_birth: "date", phone: "tel", email: "email" };
const NOTE_CHARACTERS = 100;

/** @param {import("../patients.js").Patient} patient */
const birthDay = ({ birth_date }) => (birth_date ? date(birth_date) : nothing);

export class HfBooking extends Part {
  /** @type {Place | undefined} */ place;
  /** @type {"visit" | "off"} */ wanted = "visit";
  type = "";
  /** Somebody who was found. @type {import("../patients.js").Patient | undefined} */ patient;
  isNew = false;
  /** @type {import("./changes.js").Refusal | undefined} */ refusal;
  busy = false;
  /** The span of the day that an instant is in. @type {(instant: number) => {start: number, end: number}} */ dayAround = () => ({
    start: 0,
    end: 0,
  });
  /** The state that the clinic is in. */ state = "";
  /** How often it was opened and closed: an answer that comes later is not for what is open then. */ #opening = 0;
  #chosenLength = false;
  #search = new PatientSearch(() => this.requestUpdate());

  get dialog() {
    return /** @type {HTMLDialogElement} */ (this.querySelector("dialog"));
  }

  /** What the dialog is for: time off only where the reader may make it. */
  get what() {
    return this.wanted === "off" && this.configures(this.place?.calendar ?? "") ? "off" : "visit";
  }

  /** @param {{calendar: string, start: number, end?: number}} wanted */
  async open({ calendar, start, end }) {
    this.#opening++;
    this.#chosenLength = end !== undefined;
    this.place = { calendar, start, end: end ?? start + USUAL_MINUTES * MINUTE_MS };
    this.set({ wanted: "visit", patient: undefined, isNew: false, refusal: undefined, busy: false });
    this.#search.forget();
    this.#choose(this.#offered[0]?.id ?? "");
    if (!this.#offered.length && this.configures(calendar)) this.wanted = "off";
    await this.updateComplete;
    this.dialog.showModal();
    /** @type {HTMLElement | null} */ (this.querySelector("#patient-search, #off-note"))?.focus();
  }

  #close() {
    this.dialog.close();
  }

  /** Nothing of what was typed stays in the page. */
  #closed() {
    if (this.dialog.open) return; // it is open again already
    this.#opening++;
    this.set({ place: undefined, patient: undefined, busy: false });
    this.#search.forget();
    forget();
  }

  /** The visit types that begin with this calendar; a room is found for them, not they for a room. */
  get #offered() {
    const kind = this.calendars.find(({ id }) => id === this.place?.calendar)?.kind;
    return [...this.types.values()].filter(
      ({ needs, calendars }) => needs[0] === kind && calendars.includes(this.place?.calendar ?? ""),
    );
  }

  /** @param {string} id */
  #choose(id) {
    this.set({ type: id });
    const usual = this.types.get(id)?.duration_minutes;
    if (usual && !this.#chosenLength && this.place)
      this.set({ place: { ...this.place, end: this.place.start + usual * MINUTE_MS } });
  }

  render() {
    return html`<dialog class="booking" aria-labelledby="booking-title" @close=${() => this.#closed()}>${this.place ? this.#content(this.place) : nothing}</dialog>`;
  }

  /** @param {Place} place */
  #content(place) {
    return html`<h2 id="booking-title">${longDay(dayOf(place.start, this.zone))}</h2>
      ${this.configures(place.calendar) ? this.#kinds() : nothing}
      <form class="stack" @submit=${this.#submit} aria-busy=${this.busy} novalidate>
        ${this.#where(place)}
        ${this.what === "visit" ? this.#visit() : this.#off()}
        ${this.writable ? nothing : html`<p class="wrong">${text("calendar.offline")}</p>`}
        ${this.#button()}
      </form>
      ${this.refusal ? this.#refused(place, this.refusal) : nothing}
      <form method="dialog"><button class="quiet">${text("calendar.back")}</button></form>`;
  }

  #button = () =>
    html`<button class="primary" ?disabled=${!this.writable || (this.what === "visit" && this.isNew && !canSeal)} aria-disabled=${this.busy}>${text(this.what === "visit" ? "calendar.book" : "calendar.block")}</button>`;

  #kinds() {
    const choice = (/** @type {"visit" | "off"} */ what, /** @type {string} */ name) =>
      html`<button type="button" aria-pressed=${this.what === what} @click=${() => this.set({ wanted: what, refusal: undefined })}>${name}</button>`;
    return html`<div class="steps" role="group" aria-label=${text("calendar.what")}>${choice("visit", text("calendar.appointment"))}${choice("off", text("calendar.time_off"))}</div>`;
  }

  /** @param {Place} place */
  #where(place) {
    const day = this.dayAround(place.start);
    const first = place.start - Math.floor((place.start - day.start) / STEP_MS) * STEP_MS;
    const starts = Array.from({ length: Math.ceil((day.end - first) / STEP_MS) }, (_, index) => first + index * STEP_MS);
    const minutes = Math.round((place.end - place.start) / MINUTE_MS);
    const lengths = [...new Set([...(this.what === "visit" ? LENGTHS : OFF_LENGTHS), minutes])].sort((a, b) => a - b);
    const set = (/** @type {Partial<Place>} */ part) => this.set({ place: { ...place, ...part }, refusal: undefined });
    return html`<p class="field"><label for="booking-calendar">${text("calendar.with")}</label>
        <select id="booking-calendar" @change=${(/** @type {any} */ { target }) => (set({ calendar: target.value }), this.#choose(this.#offered[0]?.id ?? ""))}>
          ${this.calendars.map(({ id, name }) => html`<option value=${id} .selected=${id === place.calendar}>${name}</option>`)}</select></p>
      <div class="row"><p class="field"><label for="booking-start">${text("calendar.start")}</label>
        <select id="booking-start" @change=${(/** @type {any} */ { target }) => set({ start: Number(target.value), end: Number(target.value) + place.end - place.start })}>
          ${starts.map((start) => html`<option value=${start} .selected=${start === place.start}>${at(start, this.zone)}</option>`)}</select></p>
      <p class="field"><label for="booking-length">${text("calendar.length")}</label>
        <select id="booking-length" @change=${(/** @type {any} */ { target }) => ((this.#chosenLength = true), set({ end: place.start + Number(target.value) * MINUTE_MS }))}>
          ${lengths.map((length) => html`<option value=${length} .selected=${length === minutes}>${text("calendar.minutes", { count: length })}</option>`)}</select></p></div>`;
  }

  #off =
    () => html`<p class="field"><label for="off-note">${text("calendar.note")} <span class="muted">${text("calendar.note_hint")}</span></label>
    <input id="off-note" name="note" maxlength=${NOTE_CHARACTERS} autocomplete="off"></p>`;

  #visit() {
    const offered = this.#offered;
    if (!offered.length) return html`<p class="wrong">${text("calendar.nothing_offered")}</p>`;
    const modalities = this.types.get(this.type)?.modalities ?? [];
    return html`<p class="field"><label for="booking-type">${text("calendar.visit_type")}</label>
        <select id="booking-type" @change=${(/** @type {any} */ { target }) => this.#choose(target.value)}>
          ${offered.map(({ id, name }) => html`<option value=${id} .selected=${id === this.type}>${name}</option>`)}</select></p>
      ${this.#who()}
      <div class="row">
        ${
          modalities.length > 1
            ? html`<p class="field"><label for="booking-modality">${text("calendar.modality")}</label>
          <select id="booking-modality" name="modality">${modalities.map((one) => html`<option value=${one}>${text(`calendar.modality_${one}`)}</option>`)}</select></p>`
            : nothing
        }
        <p class="field"><label for="booking-state">${text("calendar.patient_state")}</label>
          <input id="booking-state" name="state" list="states" maxlength="2" pattern="[A-Za-z]{2}" autocomplete="off" required .value=${this.state}></p></div>`;
  }

  // --- whom for -------------------------------------------------------------------------------------------------------------

  #who() {
    if (this.patient)
      return html`<p class="chosen"><strong dir="auto">${this.patient.name}</strong> <span class="muted">${birthDay(this.patient)}</span>
      <button type="button" class="quiet" @click=${() => this.set({ patient: undefined })}>${text("calendar.another")}</button></p>`;
    if (this.isNew)
      return html`<fieldset class="stack"><legend>${text("calendar.new_patient")}</legend>
      ${canSeal ? nothing : html`<p class="wrong">${text("calendar.cannot_seal")}</p>`}
      ${(canSeal ? NEW : []).map(
        (field) => html`<p class="field"><label for=${`new-${field}`}>${text(`calendar.${field}`)}</label>
        <input id=${`new-${field}`} name=${field} type=${KINDS[/** @type {keyof typeof KINDS} */ (field)]} ?required=${field !== "email"} maxlength="200" autocomplete="off" dir="auto"></p>`,
      )}
      <button type="button" class="quiet" @click=${() => this.set({ isNew: false })}>${text("calendar.search_instead")}</button></fieldset>`;
    return this.#searching();
  }

  #searching() {
    const { typed, searching, patients, code } = this.#search.found;
    const known = patients.filter(({ name }) => name);
    const said = searching
      ? text("common.loading")
      : code
        ? sentence(code)
        : typed
          ? text("calendar.found", { count: known.length })
          : "";
    return html`<div class="field"><label for="patient-search">${text("calendar.patient")} <span class="muted">${text("calendar.search_hint")}</span></label>
      <input id="patient-search" type="search" autocomplete="off" dir="auto" .value=${live(typed)} @input=${(/** @type {any} */ { target }) => this.#search.type(target.value)}>
      <p role="status" class="muted">${said}</p>
      ${known.length ? html`<ul class="found" aria-label=${text("calendar.found", { count: known.length })}>${known.map((one) => html`<li><button type="button" @click=${() => this.set({ patient: one })}><span dir="auto">${one.name}</span> <span class="muted">${birthDay(one)}</span></button></li>`)}</ul>` : nothing}
      <button type="button" class="quiet" @click=${() => this.set({ isNew: true })}>${text("calendar.new_patient")}</button></div>`;
  }

  // --- sending --------------------------------------------------------------------------------------------------------------

  /** @param {SubmitEvent} event */
  #submit = async (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (this.busy || !this.place || !this.#isWhole(form)) return;
    await this.#send(this.place);
  };

  /** Says what is missing, at its field. @param {HTMLFormElement} form */
  #isWhole(form) {
    const missing =
      this.what === "visit" && !this.patient && !this.isNew
        ? /** @type {HTMLInputElement} */ (this.querySelector("#patient-search"))
        : undefined;
    missing?.setCustomValidity(text("calendar.choose_patient"));
    const whole = this.what === "off" || this.type ? form.reportValidity() : false;
    missing?.setCustomValidity("");
    return whole;
  }

  /** @param {Place} place @param {string} [reason]  why the conflicts do not count */
  async #send(place, reason) {
    const opening = this.#opening;
    this.set({ busy: true, refusal: undefined });
    /** @type {import("./changes.js").Refusal | undefined} */ let refusal;
    try {
      refusal = this.what === "off" ? await this.changes.block(place, this.#typed("note")) : await this.#book(place, reason);
    } finally {
      if (opening === this.#opening) this.set({ busy: false, refusal });
    }
    if (opening !== this.#opening) return;
    if (!refusal) return this.#close();
    await this.updateComplete;
    this.querySelector(".refusal")?.scrollIntoView({ block: "nearest" });
  }

  /** @param {Place} place @param {string} [reason] */
  async #book(place, reason) {
    const opening = this.#opening;
    try {
      const booking = await this.#booking();
      return opening === this.#opening ? await this.changes.book(place, booking, reason) : undefined;
    } catch (error) {
      return refusalOf(error); // there is no key to seal with
    }
  }

  /** @param {string} name */
  #typed = (name) => /** @type {HTMLInputElement | null} */ (this.querySelector(`[name="${name}"]`))?.value.trim() ?? "";

  async #booking() {
    const state = this.#typed("state").toUpperCase();
    return { visitType: this.type, patient: await this.#patient(state), state, modality: this.#typed("modality") };
  }

  /** @param {string} state */
  async #patient(state) {
    if (this.patient) return { id: this.patient.id };
    const typed = Object.fromEntries(NEW.map((field) => [field, this.#typed(field)]).filter(([, value]) => value));
    const sealed = seal({ ...typed, state, language, zone: this.zone });
    return { sealed: await sealed.catch((error) => Promise.reject(error instanceof Refused ? error : new Refused("unavailable"))) };
  }

  /** @param {Place} place @param {import("./changes.js").Refusal} refusal */
  #refused(place, refusal) {
    const choose = (/** @type {Place} */ other) => {
      this.set({ place: other });
      void this.#send(other);
    };
    return explained(refusal, {
      wanted: place,
      zone: this.zone,
      nameOf: this.nameOf,
      choose,
      override: (reason) => void this.#send(place, reason),
    });
  }
}

customElements.define("hf-booking", HfBooking);

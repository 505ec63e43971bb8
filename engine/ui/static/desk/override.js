// @ts-check
/**
 * What speaks against a time, all of it in words. What can be overridden needs a reason, which is kept with the appointment; two
 * visits at one time can never be. Told as the events `override` (the reason), `time` (another one) and `back`.
 */

import { text } from "../texts.js";
import { clock, dayName, dayOf } from "../time.js";
import { LitElement, html, nothing } from "../vendor/lit.js";

/** @typedef {import("../writes.js").Conflict} Conflict */
/** @typedef {import("../writes.js").Slot} Slot */

const SHORT_DAY = /** @type {const} */ ({ weekday: "short", month: "short", day: "numeric" });

export class Override extends LitElement {
  /** @type {import("./clinic.js").Clinic | undefined} */ clinic;
  /** @type {Conflict[]} */ conflicts = [];
  /** @type {Slot[]} */ alternatives = [];
  busy = false;

  createRenderRoot() {
    return this;
  }

  get #overridable() {
    return this.conflicts.length > 0 && this.conflicts.every(({ overridable }) => overridable);
  }

  render() {
    const { clinic, conflicts, alternatives } = this;
    if (!clinic) return nothing;
    return html`<div class="problem">
        <p>${text(conflicts.length ? "desk.against" : "problems.slot_taken", { count: conflicts.length })}</p>
        <ul class="bullets">
          ${conflicts.map((one) => html`<li data-reason=${one.reason}>${inWords(one, clinic)}</li>`)}
        </ul>
      </div>
      ${this.#overridable ? this.#form() : conflicts.length ? html`<p><strong>${text("desk.never_overridden")}</strong></p>` : nothing}
      ${
        alternatives.length
          ? html`<h3 id="near-title">${text("desk.near")}</h3>
              <ul class="offers" aria-labelledby="near-title">
                ${alternatives.map((slot) => html`<li>${this.#offer(slot)}</li>`)}
              </ul>`
          : nothing
      }
      <p><button type="button" class="quiet" @click=${() => this.#tell("back")}>${text("desk.other_time")}</button></p>`;
  }

  #form() {
    return html`<form class="stack" @submit=${this.#submitted}>
      <p class="field">
        <label for="override-reason">${text("desk.reason")}</label>
        <input
          id="override-reason"
          name="reason"
          required
          minlength="3"
          maxlength="200"
          autocomplete="off"
          aria-describedby="override-note"
        />
        <span id="override-note" class="muted">${text("desk.reason_noted")}</span>
      </p>
      <button class="danger" aria-disabled=${String(this.busy)}>${text("desk.override")}</button>
    </form>`;
  }

  /** @param {Slot} slot */
  #offer(slot) {
    const { clinic } = this;
    const start = Date.parse(slot.start);
    if (!clinic) return nothing;
    return html`<button type="button" @click=${() => this.#tell("time", { choice: { slot }, modality: slot.modality })}>
      <strong>${clock(start, clinic.zone)}</strong> <span>${dayName(dayOf(start, clinic.zone), SHORT_DAY)}</span>
      <span class="muted">${clinic.calendars.get(slot.calendar)?.name}</span>
    </button>`;
  }

  /** @param {SubmitEvent} event */
  #submitted(event) {
    event.preventDefault();
    const { value } = /** @type {HTMLInputElement} */ (this.querySelector("#override-reason"));
    if (value.trim().length >= 3) this.#tell("override", value.trim());
  }

  /** @param {string} name @param {unknown} [detail] */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** @param {Conflict} conflict @param {import("./clinic.js").Clinic} clinic */
function inWords({ reason, calendar, start, end }, clinic) {
  const at = (/** @type {string | undefined} */ moment) => (moment ? clock(Date.parse(moment), clinic.zone) : "");
  const who = clinic.calendars.get(calendar)?.name ?? text("desk.somebody");
  const known = ["closed", "past", "notice", "horizon", "grid", "duration", "taken", "buffer", "licence", "room"].includes(reason);
  return text(`desk.conflict_${known ? reason : "other"}`, { who, from: at(start), to: at(end) });
}

customElements.define("desk-override", Override);

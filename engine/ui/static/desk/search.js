// @ts-check
/**
 * Finding a patient: a field, and below it who is found as somebody types; the arrows choose, Enter takes. Told as the events
 * `patient` (with the patient) and, where `allowsNew`, `new-patient` (with what was typed).
 */

import { PatientSearch } from "../patients.js";
import { sentence, text } from "../texts.js";
import { dayName } from "../time.js";
import { LitElement, html, nothing } from "../vendor/lit.js";

/** @typedef {import("../patients.js").Patient} Patient */

export class Search extends LitElement {
  allowsNew = false;
  #search = new PatientSearch(() => this.#found());
  #active = 0;
  /** Enter came before the answer. */ #early = false;

  createRenderRoot() {
    return this;
  }

  forget() {
    this.#search.forget();
    const field = this.querySelector("input");
    if (field) field.value = "";
  }

  get #id() {
    return `${this.id}-field`;
  }

  /** Who can be taken; undefined is a new patient. @returns {(Patient | undefined)[]} */
  get #options() {
    const { typed, searching, patients } = this.#search.found;
    return [...patients, ...(this.allowsNew && typed.trim() && !searching ? [undefined] : [])];
  }

  #found() {
    this.#active = 0;
    this.requestUpdate();
    if (!this.#early || this.#search.found.searching) return;
    this.#early = false;
    if (this.#search.found.patients.length === 1) this.#take(0);
  }

  render() {
    const { typed, searching, patients, code } = this.#search.found;
    const options = this.#options;
    return html`<p class="field">
        <label for=${this.#id}>${text("desk.find_label")}</label>
        <input
          id=${this.#id}
          type="text"
          enterkeyhint="search"
          role="combobox"
          autocomplete="off"
          spellcheck="false"
          maxlength="200"
          aria-expanded=${String(options.length > 0)}
          aria-controls="${this.#id}-list"
          aria-autocomplete="list"
          aria-describedby="${this.#id}-help"
          aria-activedescendant=${options.length ? `${this.#id}-${this.#active}` : nothing}
          @input=${this.#typed}
          @keydown=${this.#pressed}
        />
        <span id="${this.#id}-help" class="muted">${text("desk.find_help")}</span>
      </p>
      <p
        class="muted progress"
        role="status"
        .textContent=${searching ? text("desk.searching") : status(typed, patients, code)}
      ></p>
      <ul id="${this.#id}-list" class="found" role="listbox" aria-label=${text("desk.found")} ?hidden=${!options.length}>
        ${options.map((patient, index) => this.#option(patient, index))}
      </ul>`;
  }

  /** @param {Patient | undefined} patient @param {number} index */
  #option(patient, index) {
    return html`<li
      role="option"
      id="${this.#id}-${index}"
      aria-selected=${String(index === this.#active)}
      @click=${() => this.#take(index)}
    >
      ${
        patient
          ? html`<strong dir="auto">${patient.name ?? text("desk.not_yours")}</strong> ${
                patient.birth_date
                  ? html`<span class="muted">${text("desk.born", { date: birthDay(patient.birth_date) })}</span>`
                  : nothing
              }`
          : html`<strong>${text("desk.new_patient")}</strong> <span class="muted" dir="auto">${this.#search.found.typed}</span>`
      }
    </li>`;
  }

  /** @param {Event} event */
  #typed({ target }) {
    this.#early = false;
    this.#search.type(/** @type {HTMLInputElement} */ (target).value);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const count = this.#options.length;
    if (event.isComposing) return;
    if (event.key === "ArrowDown" && count) this.#active = (this.#active + 1) % count;
    else if (event.key === "ArrowUp" && count) this.#active = (this.#active + count - 1) % count;
    else if (event.key === "Enter" && count) this.#take(this.#active);
    else if (event.key === "Enter") this.#early = this.#search.found.searching;
    else return;
    event.preventDefault();
    this.requestUpdate();
  }

  /** @param {number} index */
  #take(index) {
    const patient = this.#options[index];
    if (patient && patient.name === undefined) return; // whom one may not see cannot be taken by mistake
    const typed = this.#search.found.typed.trim();
    this.dispatchEvent(
      patient ? new CustomEvent("patient", { detail: patient }) : new CustomEvent("new-patient", { detail: typed }),
    );
  }
}

/** @param {string} typed @param {Patient[]} patients @param {string} [code] */
function status(typed, patients, code) {
  if (code) return sentence(code);
  if (typed.trim().length < 2) return "";
  return text(patients.length ? "desk.found_count" : "desk.found_none", { count: patients.length });
}

/** @param {string} day */
export const birthDay = (day) => dayName(day, { year: "numeric", month: "short", day: "numeric" });

customElements.define("desk-search", Search);

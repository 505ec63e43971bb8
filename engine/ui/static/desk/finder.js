// @ts-check
/** A patient and their visits, those to come and those that were; what can be done with each is in the visit's own dialog. */

import { Refused, get, serverNow } from "../api.js";
import { sentence, text } from "../texts.js";
import { clock, dayName, dayOf } from "../time.js";
import { html, nothing } from "../vendor/lit.js";
import { placeOf } from "./card.js";
import { columnOf } from "./columns.js";
import { Dialog } from "./dialog.js";
import { birthDay } from "./search.js";

/** @typedef {import("./columns.js").Visit} Visit */
/** @typedef {import("../patients.js").Patient} Patient */

const YEAR_MS = 365 * 24 * 3_600_000;
const MOST = 100;
const NEVER_CAME_TO_BE = new Set(["held", "expired"]);
const DAY = /** @type {const} */ ({ weekday: "short", year: "numeric", month: "short", day: "numeric" });

export class Finder extends Dialog {
  /** @type {import("./clinic.js").Clinic | undefined} */ clinic;
  /** @type {Patient | undefined} */ #patient;
  /** @type {{coming: Visit[], past: Visit[]} | undefined} */ #visits;
  #problem = "";

  async begin() {
    if (this.isOpen) return;
    await this.open();
    await this.focusOn("desk-search input");
  }

  closed() {
    this.#patient = this.#visits = undefined;
    this.#problem = "";
    /** @type {import("./search.js").Search | null} */ (this.querySelector("desk-search"))?.forget();
  }

  get heading() {
    return text("desk.find");
  }

  content() {
    return html`<desk-search id="finder-search" @patient=${this.#found}></desk-search>
      ${this.#problem ? html`<p class="problem" role="alert">${this.#problem}</p>` : nothing}
      ${this.#patient ? this.#about(this.#patient) : nothing}`;
  }

  /** @param {Patient} patient */
  #about(patient) {
    return html`<section class="about" aria-labelledby="about-title" aria-busy=${String(!this.#visits)}>
      <div class="heading">
        <h3 id="about-title" tabindex="-1">
          <span dir="auto">${patient.name}</span>
          ${patient.birth_date ? html`<small class="muted">${text("desk.born", { date: birthDay(patient.birth_date) })}</small>` : nothing}
        </h3>
        <button type="button" class="primary" @click=${() => this.#tell("desk-book", patient)}>${text("desk.book")}</button>
      </div>
      ${this.#visits ? html`${this.#list("coming", this.#visits.coming)} ${this.#list("past", this.#visits.past)}` : nothing}
    </section>`;
  }

  /** @param {"coming" | "past"} which @param {Visit[]} visits */
  #list(which, visits) {
    return html`<h4 id="visits-${which}">${text(`desk.visits_${which}`)}</h4>
      ${visits.length ? nothing : html`<p class="muted">${text("desk.no_visits")}</p>`}
      <ul class="offers wide-offers" aria-labelledby="visits-${which}">
        ${visits.map((visit) => html`<li>${this.#row(visit)}</li>`)}
      </ul>`;
  }

  /** @param {Visit} visit */
  #row(visit) {
    const clinic = /** @type {import("./clinic.js").Clinic} */ (this.clinic);
    const start = Date.parse(visit.start);
    const column = columnOf(visit);
    return html`<button
      type="button"
      data-visit=${visit.id}
      @click=${() => this.#tell("desk-open", { visit, name: this.#patient?.name })}
    >
      <strong>${dayName(dayOf(start, clinic.zone), DAY)}, ${clock(start, clinic.zone)}</strong>
      <span>${clinic.typeOf(visit)?.name ?? text("desk.visit")}</span>
      <span class="muted">${placeOf(visit, clinic)}</span>
      <span>${text(column ? `desk.column_${column}` : "desk.cancelled")}</span>
    </button>`;
  }

  /** @param {CustomEvent<Patient>} event */
  async #found({ detail: patient }) {
    this.#patient = patient;
    this.#visits = undefined;
    this.#problem = "";
    await this.focusOn("#about-title");
    try {
      const [coming, past] = await Promise.all([this.#read(patient, 0, YEAR_MS), this.#read(patient, -2 * YEAR_MS, 0)]);
      if (this.#patient === patient) this.#visits = { coming, past: past.reverse() };
    } catch (error) {
      if (this.#patient === patient) this.#problem = sentence(error instanceof Refused ? error.code : "internal_error");
    }
    this.requestUpdate();
  }

  /** @param {Patient} patient @param {number} from @param {number} to  from now @returns {Promise<Visit[]>} */
  async #read({ id }, from, to) {
    const at = (/** @type {number} */ ms) => new Date(serverNow() + ms).toISOString();
    const { items } = await get(
      `/appointments?${new URLSearchParams({ patient: id, from: at(from), to: at(to), limit: String(MOST) })}`,
    );
    return items
      .filter((/** @type {Visit} */ { status }) => !NEVER_CAME_TO_BE.has(status))
      .sort((/** @type {Visit} */ a, /** @type {Visit} */ b) => Date.parse(a.start) - Date.parse(b.start));
  }

  /** The dialog gives way to the next one. @param {string} name @param {unknown} detail */
  #tell(name, detail) {
    this.close();
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

customElements.define("desk-finder", Finder);

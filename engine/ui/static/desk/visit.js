// @ts-check
/** One visit in a dialog: all that can be done with it, and what happened to it. Steps are told as the event `desk-step`. */

import { Refused, get, serverNow } from "../api.js";
import { sentence, text } from "../texts.js";
import { clock, dayName, dayOf } from "../time.js";
import { html, nothing } from "../vendor/lit.js";
import { placeOf } from "./card.js";
import { canBeMoved, columnOf, lateBy, stepsOf, waitedFor } from "./columns.js";
import { Dialog } from "./dialog.js";
import { history } from "./history.js";
import { attempt, cancel, reschedule } from "../writes.js";
import "./override.js";
import "./times.js";

/** @typedef {import("./columns.js").Visit} Visit */
/** @typedef {import("../writes.js").Choice} Choice */

const REASONS = ["patient", "practitioner", "room", "mistake", "other"];

export class VisitDialog extends Dialog {
  /** @type {import("./clinic.js").Clinic | undefined} */ clinic;
  /** @type {import("../names.js").Names | undefined} */ names;
  /** Who signed in, as history names them. */ subject = "";
  /** As it was last known; what the calendars say goes before. @type {Visit | undefined} */ #visit;
  #name = "";
  /** @type {"facts" | "move" | "against" | "cancel"} */ #part = "facts";
  /** @type {import("./history.js").Entry[] | undefined} */ #history;
  /** @type {Choice | undefined} */ #choice;
  /** @type {{conflicts: import("../writes.js").Conflict[], alternatives: import("../writes.js").Slot[]}} */ #against = {
    conflicts: [],
    alternatives: [],
  };
  #problem = "";

  /** The id of the visit on show, if any. */
  get shown() {
    return this.isOpen ? this.#visit?.id : undefined;
  }

  /** @param {Visit} visit @param {{name?: string, part?: "facts" | "move" | "cancel"}} [given]  `name`: where it is known already */
  async show(visit, { name = "", part = "facts" } = {}) {
    if (this.isOpen) return;
    this.#visit = visit;
    this.#name = name;
    this.#history = undefined;
    await this.open();
    await this.#go(part);
    await this.#read();
  }

  /** It changed, here or elsewhere. */
  async changed() {
    if (this.isOpen) await this.#read();
  }

  closed() {
    this.#visit = this.#choice = undefined;
    this.#problem = this.#name = "";
  }

  /** @returns {Visit | undefined} */
  get visit() {
    return this.#visit && { ...this.#visit, ...this.clinic?.visit(this.#visit.id) };
  }

  get heading() {
    const name = this.#name || this.names?.of(this.#visit?.id ?? "") || text("desk.visit");
    return html`<span dir="auto">${name}</span>`;
  }

  async #read() {
    const [id, turn] = [this.#visit?.id, this.turn];
    if (!id) return;
    try {
      const { history: entries, ...visit } = await get(`/appointments/${id}?expand=history`);
      if (turn !== this.turn) return;
      this.clinic?.note(visit);
      this.#visit = visit;
      this.#history = entries;
    } catch (error) {
      if (turn !== this.turn) return;
      this.#problem = sentence(error instanceof Refused ? error.code : "internal_error");
    }
    this.requestUpdate();
  }

  /** @param {"facts" | "move" | "against" | "cancel"} part */
  async #go(part) {
    const { turn } = this;
    this.#part = part;
    this.#problem = "";
    const first = {
      facts: ".steps-of-visit button, h2",
      move: ".offers button",
      against: "input, .offers button",
      cancel: "select",
    };
    await this.focusOn(first[part]);
    const type = this.visit && this.clinic?.typeOf(this.visit);
    if (turn !== this.turn || part !== "move" || !type || !this.visit) return;
    const minutes = (Date.parse(this.visit.end) - Date.parse(this.visit.start)) / 60_000;
    const times = /** @type {import("./times.js").Times} */ (this.querySelector("desk-times"));
    const { modality, state } = this.visit;
    times.begin(type, { calendar: this.clinic?.calendarOf(this.visit)?.id, modality, ...(state && { state }), minutes });
  }

  content() {
    const { clinic, visit } = this;
    if (!clinic || !visit) return nothing;
    const problem = this.#problem ? html`<p class="problem" role="alert">${this.#problem}</p>` : nothing;
    return html`${this.#facts(visit, clinic)} ${problem} ${this.#partOf(visit, clinic)}`;
  }

  /** @param {Visit} visit @param {import("./clinic.js").Clinic} clinic */
  #facts(visit, clinic) {
    const [start, end] = [Date.parse(visit.start), Date.parse(visit.end)];
    const [late, waited] = [lateBy(visit, serverNow()), waitedFor(visit, serverNow())];
    const column = columnOf(visit);
    return html`<p class="chosen">
      <strong>${dayName(dayOf(start, clinic.zone))}, ${clock(start, clinic.zone)} – ${clock(end, clinic.zone)}</strong>
      <span>${clinic.typeOf(visit)?.name} · ${placeOf(visit, clinic)}</span>
      <span class="status-of-visit">${text(column ? `desk.column_${column}` : "desk.cancelled")}</span>
      ${late === undefined ? nothing : html`<span class="mark late">${text("desk.late_by", { count: late })}</span>`}
      ${waited === undefined ? nothing : html`<span class="mark">${text("desk.waits", { count: waited })}</span>`}
    </p>`;
  }

  /** @param {Visit} visit @param {import("./clinic.js").Clinic} clinic */
  #partOf(visit, clinic) {
    if (this.#part === "facts")
      return html`${this.#steps(visit, clinic)} ${history(this.#history, { clinic, subject: this.subject })}`;
    if (this.#part === "cancel") return this.#cancelForm();
    if (this.#part === "move")
      return html`<desk-times .clinic=${clinic} .busy=${this.busy} @time=${this.#timed}></desk-times>${this.#back()}`;
    return html`<desk-override
      .clinic=${clinic}
      .conflicts=${this.#against.conflicts}
      .alternatives=${this.#against.alternatives}
      .busy=${this.busy}
      @override=${(/** @type {CustomEvent<string>} */ { detail }) => this.#move(detail)}
      @time=${this.#timed}
      @back=${() => this.#go("move")}
    ></desk-override>`;
  }

  /** @param {Visit} visit @param {import("./clinic.js").Clinic} clinic */
  #steps(visit, clinic) {
    const off = String(!clinic.reachable || this.busy);
    return html`<p class="row steps-of-visit">
      ${stepsOf(visit).map(
        (step, index) =>
          html`<button type="button" class=${index ? "" : "primary"} aria-disabled=${off} @click=${() => this.#step(step)}>
            ${text(`desk.step_${step}`)}
          </button>`,
      )}
      ${visit.join_url ? html`<a class="button" href=${visit.join_url} target="_blank" rel="noopener noreferrer">${text("desk.join")}</a>` : nothing}
      ${
        canBeMoved(visit)
          ? html`<button type="button" aria-disabled=${off} @click=${() => this.#go("move")}>${text("desk.move")}</button>
              <button type="button" class="danger" aria-disabled=${off} @click=${() => this.#go("cancel")}>
                ${text("desk.cancel")}
              </button>`
          : nothing
      }
    </p>`;
  }

  #back() {
    return html`<p><button type="button" class="quiet" @click=${() => this.#go("facts")}>${text("desk.keep_time")}</button></p>`;
  }

  // --- doing ---------------------------------------------------------------------------------------------------------------

  /** @param {string} step */
  #step(step) {
    if (!this.clinic?.reachable) return;
    this.dispatchEvent(new CustomEvent("desk-step", { detail: { visit: this.#visit?.id, step } }));
    this.close();
  }

  #cancelForm() {
    return html`<form class="stack" @submit=${this.#cancelled}>
        <p class="field">
          <label for="cancel-reason">${text("desk.cancel_why")}</label>
          <select id="cancel-reason" required>
            <option value="">${text("desk.cancel_choose")}</option>
            ${REASONS.map((one) => html`<option>${text(`desk.cancel_${one}`)}</option>`)}
          </select>
        </p>
        <button class="danger" aria-disabled=${String(this.busy)}>${text("desk.cancel_do")}</button>
      </form>
      ${this.#back()}`;
  }

  /** @param {SubmitEvent} event */
  #cancelled(event) {
    event.preventDefault();
    const { value } = /** @type {HTMLSelectElement} */ (this.querySelector("#cancel-reason"));
    const { turn } = this;
    this.#do(async (id) => {
      if (this.#settled(await cancel(id, value, "clinic"), turn)) this.close();
    });
  }

  /** @param {CustomEvent<{choice: Choice}>} event */
  #timed({ detail: { choice } }) {
    this.#choice = choice;
    this.#move();
  }

  /** @param {string} [reason] */
  #move(reason) {
    const { turn } = this;
    this.#do(async (id, clinic, visit) => {
      const choice = /** @type {Choice} */ (this.#choice);
      const { visit_type: visitType, modality, state = "" } = visit;
      const asked = { slug: clinic.slug, visitType, modality, state, appointment: id, choice };
      const result = await attempt(asked, (why) => reschedule(id, choice, why), { reason });
      if ("answer" in result) {
        if (!this.#settled(result.answer, turn)) return;
        await this.#go("facts");
        await this.#read();
      } else if (turn === this.turn) {
        this.#against = result;
        await this.#go("against");
      }
    });
  }

  /** One thing at a time; says why it is refused. @param {(id: string, clinic: import("./clinic.js").Clinic, visit: Visit) => Promise<void>} work */
  async #do(work) {
    const { clinic, visit, turn } = this;
    if (this.busy || !clinic?.reachable || !visit) return;
    this.busy = true;
    this.#problem = "";
    this.requestUpdate();
    try {
      await work(visit.id, clinic, visit);
    } catch (error) {
      if (turn === this.turn) this.#problem = sentence(error instanceof Refused ? error.code : "internal_error");
    }
    if (turn !== this.turn) return;
    this.busy = false;
    this.requestUpdate();
  }

  /** Whether the dialog still waits for it. @param {Visit & {calendar: string, version: number}} answer @param {number} turn  when it was asked for */
  #settled(answer, turn) {
    this.clinic?.acknowledge(answer);
    if (turn !== this.turn) return false;
    this.#visit = answer;
    return true;
  }
}

customElements.define("desk-visit", VisitDialog);

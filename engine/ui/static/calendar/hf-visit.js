// @ts-check
/**
 * `<hf-visit>`: all about one visit, and all that can be done with it; for a time off, what it is and the way to take it back. It
 * is as live as the sheet. When a move was refused, it says so here.
 */

import { html, nothing } from "../vendor/lit.js";
import { text } from "../texts.js";
import { dayOf, visitorZone, zoneName } from "../time.js";
import { Part } from "./part.js";
import { explained } from "./refusal.js";
import { at, canCancel, longDay, moveName, movesOf, span, statusOf } from "./words.js";

/** @typedef {import("./diary.js").Item} Item */
/** @typedef {import("./changes.js").Place} Place */
/** @typedef {{refusal: import("./changes.js").Refusal, from: Place, to: Place, again: (place: Place, reason?: string) => void}} Refused */

const REASONS = ["patient", "practitioner", "room", "mistake", "other"];
const STAGES = ["arrived", "roomed", "started", "completed"];

export class HfVisit extends Part {
  /** @type {Item | undefined} */ item;
  /** @type {Refused | undefined} */ refused;
  cancelling = false;

  get dialog() {
    return /** @type {HTMLDialogElement} */ (this.querySelector("dialog"));
  }

  /** @param {Item} item @param {Refused} [refused] */
  async open(item, refused) {
    this.set({ item, refused, cancelling: false });
    await this.updateComplete;
    if (this.item && !this.dialog.open) this.dialog.showModal();
  }

  close() {
    this.dialog?.close();
  }

  willUpdate() {
    const visit = this.item?.visit && this.diary.visit(this.item.id);
    if (this.item?.visit && !visit)
      this.item = undefined; // it was cancelled, or given back
    else if (visit && this.item) this.item = { ...this.item, visit, start: Date.parse(visit.start), end: Date.parse(visit.end) };
  }

  updated() {
    if (!this.item) this.close();
  }

  render() {
    return html`<dialog aria-labelledby="visit-title" @close=${() => this.dialog.open || this.set({ item: undefined })}>
      ${this.item ? (this.item.kind === "block" ? this.#block(this.item) : this.#visit(this.item)) : nothing}
      <form method="dialog"><button class="quiet">${text("calendar.back")}</button></form>
    </dialog>`;
  }

  /** @param {Item} item */
  #block(item) {
    const { id, calendar, start, end, note = "" } = item;
    const takeBack = () => {
      this.close();
      void this.changes.unblock({ id, calendar, start, end }, note);
    };
    return html`<h2 id="visit-title" dir="auto">${note || text("calendar.time_off")}</h2>
      <p>${longDay(dayOf(start, this.zone))}, ${span(start, end, this.zone)}. <span dir="auto">${this.nameOf(calendar)}</span>.</p>
      ${this.configures(calendar) ? html`<button type="button" class="danger" ?disabled=${!this.writable} @click=${takeBack}>${text("calendar.unblock")}</button>` : nothing}`;
  }

  /** @param {Item} item */
  #visit({ id, start, visit }) {
    if (!visit) return nothing;
    if (this.refused)
      return html`<h2 id="visit-title">${at(start, this.zone)} ${this.typeOf(visit)}</h2>${this.#refusal(this.refused)}`;
    const join = this.diary.joinUrl(visit);
    return html`<h2 id="visit-title">${at(start, this.zone)} ${this.typeOf(visit)}</h2>
      ${this.#facts(visit)}
      ${this.books && !this.writable ? html`<p class="wrong">${text("calendar.offline")}</p>` : nothing}
      ${join && visit.status !== "held" ? html`<a class="button primary" href=${join} target="_blank" rel="noopener noreferrer">${text("calendar.join")}</a>` : nothing}
      ${this.books ? this.#steps(id, visit) : nothing}
      ${this.books && canCancel(visit) ? this.#cancel(id) : nothing}`;
  }

  /** @param {Refused} refused */
  #refusal({ refusal, from, to, again }) {
    const stays = text("calendar.stays", {
      time: span(from.start, from.end, this.zone),
      wanted: span(to.start, to.end, this.zone),
    });
    const choose = (/** @type {Place} */ place) => this.#try(() => again(place));
    const override = (/** @type {string} */ reason) => this.#try(() => again(to, reason));
    return html`<p>${stays}</p>${explained(refusal, { zone: this.zone, nameOf: this.nameOf, wanted: to, choose, override })}`;
  }

  /** @param {() => void} does */
  #try(does) {
    this.close();
    does();
  }

  /** @param {import("./diary.js").Visit} visit */
  #facts(visit) {
    const [start, end] = [Date.parse(visit.start), Date.parse(visit.end)];
    const patient = this.patientOf(visit);
    const stages = STAGES.filter((stage) => visit.stages?.[stage]).map(
      (stage) => `${text(`calendar.stage_${stage}`)} ${at(Date.parse(visit.stages?.[stage] ?? ""), this.zone)}`,
    );
    const own = span(start, end, visitorZone);
    const facts = [
      [text("calendar.patient"), patient],
      [
        text("calendar.time"),
        `${longDay(dayOf(start, this.zone))}, ${span(start, end, this.zone)} (${zoneName(start, this.zone)})`,
      ],
      [text("calendar.your_time"), own === span(start, end, this.zone) ? "" : `${own} (${zoneName(start, visitorZone)})`],
      [text("calendar.with"), visit.calendars.map(this.nameOf).filter(Boolean).join(", ")],
      [text("calendar.modality"), visit.modality ? text(`calendar.modality_${visit.modality}`) : ""],
      [text("calendar.state"), visit.state ?? ""],
      [text("calendar.status"), [statusOf(visit), ...stages].join(" · ")],
    ];
    return html`<dl class="facts">${facts.filter(([, fact]) => fact).map(([name, fact]) => html`<div><dt>${name}</dt><dd dir="auto">${fact}</dd></div>`)}</dl>`;
  }

  /** @param {string} id @param {import("./diary.js").Visit} visit */
  #steps(id, visit) {
    const busy = !this.writable || this.changes.pending.has(id);
    const take = (/** @type {string} */ move) => {
      this.close();
      void this.changes.step(id, move);
    };
    const move = () => {
      const { item } = this;
      this.close();
      this.tell("hf-pick-up", item);
    };
    return html`<div class="choices">${movesOf(visit).map((name, index) => html`<button type="button" class=${index ? "" : "primary"} data-move=${name} ?autofocus=${!index} ?disabled=${busy} @click=${() => take(name)}>${moveName(name)}</button>`)}
      ${canCancel(visit) ? html`<button type="button" ?disabled=${busy} @click=${move}>${text("calendar.move")}</button>` : nothing}</div>`;
  }

  /** It cannot be undone, so it takes a second press and a reason. @param {string} id */
  #cancel(id) {
    if (!this.cancelling)
      return html`<button type="button" class="danger" ?disabled=${!this.writable} @click=${() => this.set({ cancelling: true })}>${text("calendar.cancel")} …</button>`;
    const submit = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const reason = /** @type {HTMLSelectElement} */ (this.querySelector("#cancel-reason")).value;
      this.close();
      void this.changes.cancel(id, reason);
    };
    return html`<form class="stack" @submit=${submit}>
      <p class="field"><label for="cancel-reason">${text("calendar.why_cancelled")}</label>
        <select id="cancel-reason" required><option value="">${text("calendar.choose_reason")}</option>
          ${REASONS.map((reason) => html`<option>${text(`calendar.reason_${reason}`)}</option>`)}</select></p>
      <p class="muted">${text("calendar.no_undo")}</p>
      <button class="danger">${text("calendar.cancel")}</button></form>`;
  }
}

customElements.define("hf-visit", HfVisit);

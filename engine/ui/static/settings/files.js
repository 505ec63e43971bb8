// @ts-check
/** Hours and busy times from a calendar file: first shown, then taken over. What a file says of people is not kept. */

import { html, nothing } from "../vendor/lit.js";
import { Refused, post } from "../api.js";
import { has, sentence, text } from "../texts.js";
import { clock, dayName, dayOf } from "../time.js";
import { named } from "./choices.js";
import { all, isAdmin, load, loadOwn } from "./clinic.js";
import { Section } from "./section.js";
import { weekday } from "./week.js";

const LARGEST = 512 * 1024;
const SHOWN = 40;

class Files extends Section {
  static properties = { found: { state: true }, wrong: { state: true }, busy: { state: true }, as: { state: true } };

  constructor() {
    super();
    /** What would become of the file, or became of it. @type {any} */ this.found = undefined;
    this.wrong = "";
    this.busy = false;
    /** @type {"busy" | "hours"} */ this.as = "busy";
    this.ics = "";
    this.calendar = "";
  }

  async load() {
    const calendars = await (isAdmin ? load("calendars") : loadOwn());
    this.calendar = (calendars.find(({ kind }) => kind === "practitioner") ?? calendars[0])?.id ?? "";
  }

  content() {
    if (!this.calendar) return html`<p>${text("settings.no_own_calendar")}</p>`;
    return html`<p class="muted">${text("settings.import_about")}</p>
      <form class="stack panel" aria-busy=${this.busy} @submit=${(/** @type {Event} */ event) => (event.preventDefault(), this.#send(false))} @change=${this.#changed}>
        <div class="row">
          <p class="field"><label for="import-to">${text("settings.import_to")}</label><select id="import-to">${named(all("calendars")).map(([id, name]) => html`<option value=${id} ?selected=${id === this.calendar}>${name}</option>`)}</select></p>
          <p class="field"><label for="import-as">${text("settings.import_as")}</label><select id="import-as">
            <option value="busy">${text("settings.import_busy")}</option><option value="hours">${text("settings.import_hours")}</option></select></p>
        </div>
        <p class="field"><label for="import-file">${text("settings.import_file")}</label><input id="import-file" type="file" accept=".ics,text/calendar" required aria-describedby="import-hint" /><small id="import-hint" class="muted">${text(this.as === "busy" ? "settings.import_busy_hint" : "settings.import_hours_hint")}</small></p>
        <p class="row"><button class="primary" aria-disabled=${this.busy}>${text(this.busy ? "settings.reading" : "settings.preview")}</button></p>
      </form>
      ${this.wrong ? html`<p class="problem" role="alert">${this.wrong}</p>` : nothing} ${this.found ? this.#preview() : nothing}`;
  }

  /** @param {Event} event */
  async #changed(event) {
    const input = /** @type {HTMLInputElement} */ (event.target);
    this.found = undefined;
    this.wrong = "";
    if (input.id === "import-to") this.calendar = input.value;
    else if (input.id === "import-as") this.as = /** @type {"busy" | "hours"} */ (input.value);
    else if (input.files) this.ics = input.files[0] && input.files[0].size <= LARGEST ? await input.files[0].text() : "";
    if (input.files?.[0] && !this.ics) this.wrong = text("settings.file_too_large");
  }

  /** @param {boolean} apply */
  async #send(apply) {
    if (this.busy || !this.ics) return void (this.wrong ||= text("settings.choose_file"));
    this.busy = true;
    this.wrong = "";
    try {
      this.found = await post(`/calendars/${this.calendar}/imports`, { ics: this.ics, as: this.as, apply });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.found = undefined;
      this.wrong = error.code === "validation_failed" ? text("settings.file_wrong") : sentence(error.code);
    }
    this.busy = false;
    await this.updateComplete;
    /** @type {HTMLElement | null} */ (this.querySelector("#found"))?.focus();
  }

  #preview() {
    const found = this.found;
    const changes = found.created + found.updated + found.removed;
    return html`<section class="panel stack">
      <h3 id="found" tabindex="-1">${text(found.applied ? "settings.imported" : "settings.preview_title")}</h3>
      <ul class="counts">${["created", "updated", "removed", "unchanged"].map((name) => html`<li data-outcome=${name}><strong>${found[name]}</strong> ${outcome(name)}</li>`)}
        <li data-outcome="refused"><strong>${found.refused.length}</strong> ${text("settings.refused")}</li></ul>
      ${found.collisions.length ? html`<div class="problem" role="alert"><p>${text("settings.collisions", { count: found.collisions.length })}</p><ul>${found.collisions.slice(0, SHOWN).map((/** @type {any} */ one) => html`<li>${this.#when(one)}</li>`)}</ul></div>` : nothing}
      ${found.refused.length ? html`<details><summary>${text("settings.refused_why")}</summary><ul class="plain">${found.refused.slice(0, SHOWN).map((/** @type {any} */ one) => html`<li>${text("settings.refused_event", { number: one.event, reason: text(has(`settings.refused_${one.reason}`) ? `settings.refused_${one.reason}` : "settings.refused_unreadable") })}</li>`)}</ul></details>` : nothing}
      ${found.items.length ? html`<ul class="plain outcomes">${found.items.slice(0, SHOWN).map((/** @type {any} */ one) => html`<li data-outcome=${one.outcome}><span class="badge">${outcome(one.outcome)}</span> ${one.start ? this.#when(one) : this.#rule(one)}</li>`)}</ul>` : nothing}
      ${found.items.length > SHOWN ? html`<p class="muted">${text("settings.and_more", { count: changes + found.unchanged - SHOWN })}</p>` : nothing}
      ${found.applied ? nothing : html`<p class="row"><button type="button" class="primary" ?disabled=${!changes} @click=${() => this.#send(true)}>${text("settings.apply", { count: changes })}</button></p>`}
    </section>`;
  }

  /** @param {{start: string, end: string}} during */
  #when({ start, end }) {
    const { zone } = all("calendars").find(({ id }) => id === this.calendar);
    const [from, to] = [Date.parse(start), Date.parse(end)];
    const [first, last] = [dayOf(from, zone), dayOf(to, zone)];
    return `${dayName(first)}, ${clock(from, zone)} – ${first === last ? "" : `${dayName(last)}, `}${clock(to, zone)}`;
  }

  /** @param {{weekday: number, opens: string, closes: string}} rule */
  #rule({ weekday: day, opens, closes }) {
    return `${weekday(day)}, ${opens} – ${closes}`;
  }
}

/** @param {string} name */
const outcome = (name) => text(name === "removed" ? "settings.removed_here" : `settings.${name}`);

customElements.define("hf-files", Files);

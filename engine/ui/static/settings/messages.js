// @ts-check
/** When and how patients are told, and what they will read. */

import { html } from "../vendor/lit.js";
import { get, send } from "../api.js";
import { language, text } from "../texts.js";
import { NOTIFICATIONS as base } from "./clinic.js";
import { Section } from "./section.js";

/** @typedef {import("./form.js").Field} Field @typedef {import("./form.js").Values} Values */

const LEADS = [7 * 1440, 2 * 1440, 1440, 240, 120, 60];
const KINDS = ["confirmation", "reminder", "moved", "cancelled", "no_show", "waitlist_offer"];

/** A policy as the form has it: what is chosen is a list of words. @param {Values} policy @returns {Values} */
const asForm = (policy) => ({ ...policy, reminders: policy.reminders.map(String) });

class Messages extends Section {
  static properties = { kind: { state: true }, spoken: { state: true } };

  constructor() {
    super();
    this.kind = KINDS[1];
    this.spoken = language;
  }

  async load() {
    const [policy, texts] = await Promise.all([get("/policy", { base }), get("/texts", { base })]);
    this.policy = asForm(policy);
    /** @type {{kind: string, language: string, subject: string, body: string, sms: string}[]} */ this.texts = texts.items;
  }

  /** @returns {Field[]} */
  #fields() {
    const set = /** @type {Values} */ (this.policy).reminders.map(Number);
    const leads = [...new Set([...LEADS, ...set])].sort((a, b) => b - a);
    return [
      { name: "reminders", type: "checks", options: leads.map((minutes) => [String(minutes), lead(minutes)]), ordered: true },
      { name: "channels", type: "checks", options: [["email", text("settings.by_email")], ["sms", text("settings.by_sms")]] },
      { name: "quiet_begins", type: "time" },
      { name: "quiet_ends", type: "time" },
      { name: "reply_to", type: "email", maxlength: 254 },
    ];
  }

  content() {
    const shown = this.texts?.find(({ kind, language: spoken }) => kind === this.kind && spoken === this.spoken);
    const set = (/** @type {"kind" | "spoken"} */ name) => (/** @type {Event} */ event) => (this[name] = /** @type {HTMLSelectElement} */ (event.target).value);
    return html`<hf-form .fields=${this.#fields()} .value=${this.policy} .save=${(/** @type {Values} */ changes) => this.#save(changes)}></hf-form>
      <h3>${text("settings.texts")}</h3>
      <p class="muted">${text("settings.texts_about")}</p>
      <div class="row">
        <p class="field"><label for="kind">${text("settings.text_kind")}</label><select id="kind" @change=${set("kind")}>${KINDS.map((kind) => html`<option value=${kind} ?selected=${kind === this.kind}>${text(`settings.text_${kind}`)}</option>`)}</select></p>
        <p class="field"><label for="spoken">${text("settings.text_language")}</label><select id="spoken" @change=${set("spoken")}><option value="en" ?selected=${this.spoken === "en"}>English</option><option value="es" ?selected=${this.spoken === "es"}>Español</option></select></p>
      </div>
      <div class="two" aria-live="polite">
        <article class="panel stack letter" lang=${this.spoken}><p class="muted" lang=${language}>${text("settings.by_email")}</p><h4>${shown?.subject}</h4>${shown?.body.split("\n").map((line) => html`<p>${line}</p>`)}</article>
        <article class="panel stack letter" lang=${this.spoken}><p class="muted" lang=${language}>${text("settings.by_sms")}</p><p class="bubble">${shown?.sms}</p></article>
      </div>`;
  }

  /** The policy is written whole: what is not changed here stays as somebody else may have set it meanwhile. @param {Values} changes */
  async #save(changes) {
    const wanted = { ...asForm(await get("/policy", { base })), ...changes };
    this.policy = asForm(await send("PUT", "/policy", { ...wanted, reminders: wanted.reminders.map(Number) }, { base }));
    return this.policy;
  }
}

/** @param {number} minutes */
function lead(minutes) {
  if (minutes % 1440 === 0) return text("settings.days_before", { count: minutes / 1440 });
  return minutes % 60 === 0 ? text("settings.hours_before", { count: minutes / 60 }) : text("settings.minutes_before", { count: minutes });
}

customElements.define("hf-messages", Messages);

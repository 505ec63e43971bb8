// @ts-check
/**
 * A form for one thing that is set up. It is told which fields there are and what they hold, sends only what was changed, says at the
 * field what is wrong, offers to take a change back, and, when somebody else was faster, shows what they changed and keeps what was
 * typed. What is typed stays until it is saved.
 */

import { LitElement, html, nothing } from "../vendor/lit.js";
import { Refused } from "../api.js";
import { has, sentence, text } from "../texts.js";
import { same } from "./blocks.js";
import { keep } from "./clinic.js";

/**
 * @typedef {{name: string, type?: "text" | "email" | "url" | "tel" | "number" | "time" | "select" | "checks" | "check" | "lines",
 *   options?: [string, string][], label?: string, hint?: string, required?: boolean, min?: number, max?: number, maxlength?: number,
 *   ordered?: boolean}} Field  `ordered`: what is chosen comes in the order of the options, else in that of choosing
 * @typedef {Record<string, any>} Values
 */

let forms = 0;

export class SetupForm extends LitElement {
  static properties = {
    fields: { attribute: false },
    value: { attribute: false },
    save: { attribute: false },
    fresh: { attribute: false },
    action: { type: String },
    typed: { state: true },
    wrong: { state: true },
    news: { state: true },
    saving: { state: true },
    before: { state: true },
  };

  constructor() {
    super();
    this.id ||= `form-${++forms}`;
    /** @type {Field[]} */ this.fields = [];
    /** What the server has. @type {Values} */ this.value = {};
    /** @type {(changes: Values, seen: Values) => Promise<Values | void>} */ this.save = async () => {};
    /** What the server has by now, where others may change it too. @type {(() => Promise<Values | undefined>) | undefined} */ this.fresh = undefined;
    /** The button's word; with one the form makes something new and sends all of it. @type {string | undefined} */ this.action = undefined;
    /** @type {Values} */ this.typed = {};
    /** @type {{name?: string, told: string} | undefined} */ this.wrong = undefined;
    this.news = "";
    this.saving = false;
    /** @type {Values | undefined} */ this.before = undefined;
  }

  createRenderRoot() {
    return this;
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    keep(this, false);
  }

  updated() {
    keep(this, Object.keys(this.#changes()).length > 0);
  }

  #changes() {
    return Object.fromEntries(Object.entries(this.typed).filter(([name, value]) => !same(value, this.value[name])));
  }

  render() {
    const dirty = Object.keys(this.#changes()).length > 0;
    return html`<form novalidate class="stack" aria-busy=${this.saving} @submit=${this.#submit}>
      <div class="fields">${this.fields.map((field) => this.#field(field))}</div>
      ${this.wrong && !this.#known(this.wrong.name) ? html`<p class="problem" role="alert">${this.wrong.told}</p>` : nothing}
      <div class="row actions">
        <button class="primary" aria-disabled=${this.saving}>${this.saving ? text("settings.saving") : (this.action ?? text("settings.save"))}</button>
        ${dirty && !this.action ? html`<button type="button" @click=${this.#discard}>${text("settings.discard")}</button>` : nothing}
        <span role="status" class="news">${dirty && !this.news ? text("settings.unsaved") : this.news}</span>
        ${this.before ? html`<button type="button" class="quiet" @click=${this.#undo}>${text("common.undo")}</button>` : nothing}
      </div>
    </form>`;
  }

  /** @param {string | undefined} name */
  #known(name) {
    return this.fields.some((field) => field.name === name);
  }

  /** @param {Field} field */
  #field(field) {
    const id = `${this.id}-${field.name}`;
    const wrong = this.wrong?.name === field.name ? this.wrong.told : "";
    const label = field.label ?? text(`settings.${field.name}`);
    const hint = field.hint ?? (has(`settings.${field.name}_hint`) ? text(`settings.${field.name}_hint`) : "");
    const described = [hint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(" ") || nothing;
    const below = html`${hint ? html`<small id="${id}-hint" class="muted">${hint}</small>` : nothing}
    ${wrong ? html`<small id="${id}-wrong" class="wrong" role="alert">${wrong}</small>` : nothing}`;
    if (field.type === "checks") {
      return html`<fieldset class="field checks" aria-describedby=${described}><legend>${label}</legend>
        <div class="choices">${(field.options ?? []).map(([value, name]) => this.#choice(field, value, name))}</div>${below}</fieldset>`;
    }
    if (field.type === "check") {
      return html`<div class="field check"><label><input type="checkbox" id=${id} .checked=${this.#of(field.name)} @change=${this.#typed(field)} aria-describedby=${described} />${label}</label>${below}</div>`;
    }
    return html`<div class="field ${field.type === "lines" ? "whole" : ""}"><label for=${id}>${label}</label>${this.#input(field, id, described, Boolean(wrong))}${below}</div>`;
  }

  /** @param {Field} field @param {string} id @param {unknown} described @param {boolean} wrong */
  #input(field, id, described, wrong) {
    const value = this.#of(field.name);
    const invalid = wrong ? "true" : "false";
    if (field.type === "select") {
      return html`<select id=${id} aria-describedby=${described} aria-invalid=${invalid} @change=${this.#typed(field)}>
        ${(field.options ?? []).map(([key, name]) => html`<option value=${key} ?selected=${key === value} .selected=${key === value}>${name}</option>`)}
      </select>`;
    }
    if (field.type === "lines") {
      return html`<textarea id=${id} rows="4" spellcheck="false" aria-describedby=${described} aria-invalid=${invalid} .value=${value.join("\n")} @input=${this.#typed(field)}></textarea>`;
    }
    return html`<input
      id=${id} type=${field.type ?? "text"} .value=${String(value ?? "")} aria-describedby=${described} aria-invalid=${invalid} @input=${this.#typed(field)}
      ?required=${field.required ?? false} min=${field.min ?? nothing} max=${field.max ?? nothing} maxlength=${field.maxlength ?? nothing}
      autocomplete="off" dir=${field.type ? nothing : "auto"}
    />`;
  }

  /** @param {Field} field @param {string} value @param {string} name */
  #choice(field, value, name) {
    const chosen = this.#of(field.name);
    const toggle = (/** @type {Event} */ event) => {
      const on = /** @type {HTMLInputElement} */ (event.target).checked;
      const after = on ? [...chosen, value] : chosen.filter((/** @type {string} */ one) => one !== value);
      const order = (field.options ?? []).map(([one]) => one);
      if (field.ordered) after.sort((/** @type {string} */ a, /** @type {string} */ b) => order.indexOf(a) - order.indexOf(b));
      this.#set(field.name, after);
    };
    return html`<label><input type="checkbox" .checked=${chosen.includes(value)} @change=${toggle} /><span dir="auto">${name}</span></label>`;
  }

  /** @param {string} name */
  #of(name) {
    return name in this.typed ? this.typed[name] : this.value[name];
  }

  /** @param {Field} field */
  #typed(field) {
    return (/** @type {Event} */ event) => {
      const input = /** @type {HTMLInputElement} */ (event.target);
      if (field.type === "check") this.#set(field.name, input.checked);
      else if (field.type === "lines") this.#set(field.name, input.value.split("\n").map((line) => line.trim()).filter(Boolean));
      else if (field.type === "number") this.#set(field.name, input.value === "" ? null : Number(input.value));
      else this.#set(field.name, input.value);
    };
  }

  /** @param {string} name @param {unknown} value */
  #set(name, value) {
    this.typed = { ...this.typed, [name]: value };
    this.news = "";
    this.before = undefined;
    if (this.wrong?.name === name) this.wrong = undefined;
  }

  /** @param {Event} event */
  async #submit(event) {
    event.preventDefault();
    const missing = this.fields.find((field) => (field.required || field.type === "number") && (this.#of(field.name) ?? "") === "");
    if (missing) return this.#refuse({ name: missing.name, told: text("settings.missing") });
    const changes = this.action ? { ...this.value, ...this.typed } : this.#changes();
    if (!Object.keys(changes).length) return void (this.news = text("settings.nothing_changed"));
    await this.#send(changes);
  }

  /** @param {Values} changes */
  async #send(changes) {
    if (this.saving) return;
    this.saving = true;
    this.wrong = this.before = undefined;
    try {
      await this.#attempt(changes, this.value);
    } finally {
      this.saving = false;
    }
  }

  /** @param {Values} changes @param {Values} seen @param {boolean} [again]  with a revision that was read anew */
  async #attempt(changes, seen, again = false) {
    const before = Object.fromEntries(Object.keys(changes).map((name) => [name, seen[name]]));
    try {
      this.#saved((await this.save(changes, seen)) ?? seen, { ...seen, ...changes }, this.action ? undefined : before);
    } catch (error) {
      if (!(error instanceof Refused)) reportError(error);
      await this.#failed(error instanceof Refused ? error : new Refused("internal_error"), changes, seen, again);
    }
  }

  /** What was typed since it was sent stays. @param {Values} value @param {Values} sent @param {Values} [before] */
  #saved(value, sent, before) {
    if (!this.action) this.value = value;
    this.typed = Object.fromEntries(Object.entries(this.typed).filter(([name, typed]) => !same(typed, sent[name])));
    const more = Object.keys(this.typed).length > 0;
    this.before = more ? undefined : before;
    this.news = more ? "" : text("settings.saved");
  }

  /** @param {Refused} error @param {Values} changes @param {Values} seen @param {boolean} again */
  async #failed(error, changes, seen, again) {
    const fresh = error.code === "version_conflict" ? await this.fresh?.().catch(() => undefined) : undefined;
    if (fresh) return this.#conflict(fresh, changes, seen, again);
    const name = String(error.fields.param ?? "").split(".")[0];
    const told = error.code === "validation_failed" && this.#known(name) ? text(has(`settings.wrong_${name}`) ? `settings.wrong_${name}` : "settings.wrong") : sentence(error.code);
    await this.#refuse({ name, told });
  }

  /**
   * Somebody else was faster: their values are shown, ours stay typed. Where they changed nothing of this form (two forms may share one
   * revision) ours are sent again, once.
   * @param {Values} fresh @param {Values} changes @param {Values} seen @param {boolean} again
   */
  async #conflict(fresh, changes, seen, again) {
    if (Object.entries(changes).every(([name, value]) => same(fresh[name], value))) return this.#saved(fresh, { ...seen, ...changes });
    const differs = this.fields.filter(({ name }) => !same(fresh[name], seen[name]));
    const told = differs.map((field) => text("settings.now", { field: field.label ?? text(`settings.${field.name}`), value: this.#shown(field, fresh[field.name]) }));
    this.value = fresh;
    if (!differs.length && !again) return this.#attempt(changes, fresh, true);
    this.wrong = { told: [sentence("version_conflict"), ...told].join(" ") };
  }

  /** @param {Field} field @param {any} value */
  #shown(field, value) {
    if (typeof value === "boolean") return text(value ? "settings.yes" : "settings.no");
    const names = new Map(field.options);
    return [value].flat().map((one) => names.get(one) ?? String(one)).join(", ") || "–";
  }

  /** @param {{name?: string, told: string}} wrong */
  async #refuse(wrong) {
    this.wrong = wrong;
    await this.updateComplete;
    /** @type {HTMLElement | null} */ (this.querySelector('[aria-invalid="true"]'))?.focus();
  }

  #discard() {
    this.typed = {};
    this.wrong = undefined;
    this.news = text("settings.discarded");
  }

  #undo() {
    const before = this.before ?? {};
    this.typed = {};
    this.#send(before);
  }
}

customElements.define("hf-form", SetupForm);

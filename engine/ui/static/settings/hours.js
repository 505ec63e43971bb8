// @ts-check
/** The weekly opening hours of one calendar: drawn on a week or typed, with as many blocks a day as somebody likes. */

import { html, live, nothing } from "../vendor/lit.js";
import { Refused, get, send } from "../api.js";
import { sentence, text } from "../texts.js";
import { dayName } from "../time.js";
import { blockOf, blocksOf, copied, isForever, opened, rulesOf, same, timeOf } from "./blocks.js";
import { named } from "./choices.js";
import { all, isAdmin, keep, load, loadOwn } from "./clinic.js";
import "./days.js";
import { Section } from "./section.js";
import { weekday, written } from "./week.js";

/**
 * @typedef {import("./blocks.js").Block} Block
 * @typedef {import("./blocks.js").Rule} Rule
 * @typedef {{saved: Rule[], blocks: Block[], passing: Rule[], past: Block[][]}} Draft  `passing` rules hold for a time only
 */

const DAYS = [0, 1, 2, 3, 4, 5, 6];

class Hours extends Section {
  static properties = { chosen: { state: true }, drafts: { state: true }, news: { state: true }, wrong: { state: true }, saving: { state: true }, source: { state: true } };

  constructor() {
    super();
    this.chosen = "";
    /** What is drawn, by calendar: it stays when another one is looked at. @type {Map<string, Draft>} */ this.drafts = new Map();
    this.news = this.wrong = "";
    this.saving = false;
    this.source = 0;
  }

  async load() {
    const calendars = await (isAdmin ? load("calendars") : loadOwn());
    const asked = new URLSearchParams(location.search).get("calendar");
    const first = calendars.find(({ id }) => id === asked) ?? calendars.find(({ kind }) => kind === "practitioner") ?? calendars[0];
    if (first) await this.#choose(first.id);
  }

  /** An answer that comes when another calendar is chosen already is kept for its own. @param {string} id */
  async #choose(id) {
    this.chosen = id;
    this.news = this.wrong = "";
    if (this.drafts.has(id)) return;
    try {
      const { hours } = await get(`/calendars/${id}/hours`);
      if (this.drafts.has(id)) return; // asked for twice, and drawn on since
      if (this.chosen === id) this.wrong = "";
      this.#put(id, draftOf(hours));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (this.chosen === id && !this.drafts.has(id)) this.wrong = sentence(error.code);
    }
  }

  /** @param {string} id @param {Draft} draft */
  #put(id, draft) {
    this.drafts = new Map([...this.drafts, [id, draft]]);
    keep(this, [...this.drafts.values()].some(isDirty));
  }

  get #draft() {
    return /** @type {Draft} */ (this.drafts.get(this.chosen));
  }

  /** @param {Block[]} blocks */
  #draw(blocks) {
    if (same(blocks, this.#draft.blocks)) return;
    this.news = this.wrong = "";
    this.#put(this.chosen, { ...this.#draft, blocks, past: [...this.#draft.past, this.#draft.blocks] });
  }

  #undo() {
    const past = [...this.#draft.past];
    this.#put(this.chosen, { ...this.#draft, blocks: past.pop() ?? [], past });
    this.news = text("settings.undone");
  }

  content() {
    const calendars = all("calendars");
    if (!this.chosen) return html`<p>${text(isAdmin ? "settings.no_calendars" : "settings.no_own_calendar")}</p>`;
    const calendar = calendars.find(({ id }) => id === this.chosen);
    return html`<div class="row">
        <p class="field"><label for="whose">${text("settings.whose")}</label>
          <select id="whose" ?disabled=${this.saving} @change=${this.#chooseFrom}>${named(calendars).map(([id, name]) => html`<option value=${id} .selected=${live(id === this.chosen)}>${name}</option>`)}</select></p>
        <p class="muted">${text("settings.in_zone", { zone: calendar.zone.replaceAll("_", " ") })}</p>
      </div>
      ${this.drafts.has(this.chosen) ? this.#week() : this.#awaited()}
      <h3>${text("settings.exceptions")}</h3>
      <hf-days .calendar=${calendar}></hf-days>`;
  }

  /** Instead of the week, until it is there. */
  #awaited() {
    if (!this.wrong) return html`<p class="muted loading" aria-busy="true">${text("common.loading")}</p>`;
    return html`<div class="problem" role="alert"><p>${this.wrong}</p><button type="button" @click=${() => this.#choose(this.chosen)}>${text("settings.try_again")}</button></div>`;
  }

  #week() {
    const dirty = isDirty(this.#draft);
    return html`<hf-week .blocks=${this.#draft.blocks} @drawn=${(/** @type {CustomEvent} */ event) => this.#draw(event.detail)}></hf-week>
      <div class="exact stack">
        <div class="days">${DAYS.map((day) => this.#day(day))}</div>
        ${this.#copying()} ${this.#passing()}
        ${this.wrong ? html`<p class="problem" role="alert">${this.wrong}</p>` : nothing}
        <div class="row actions sticky" aria-busy=${this.saving}>
          <button type="button" class="primary" aria-disabled=${this.saving} @click=${this.#save}>${text(this.saving ? "settings.saving" : "settings.save_hours")}</button>
          <button type="button" ?disabled=${!this.#draft.past.length} @click=${this.#undo}>${text("common.undo")}</button>
          ${dirty ? html`<button type="button" @click=${this.#discard}>${text("settings.discard")}</button>` : nothing}
          <span role="status" class="news">${dirty && !this.news ? text("settings.unsaved") : this.news}</span>
        </div>
      </div>`;
  }

  /** @param {Event} event */
  #chooseFrom(event) {
    this.#choose(/** @type {HTMLSelectElement} */ (event.target).value);
  }

  /** The blocks of a day as times to type. @param {number} day */
  #day(day) {
    const blocks = this.#draft.blocks.filter((block) => block.day === day);
    const name = weekday(day);
    return html`<fieldset class="day"><legend>${name}</legend>
      ${blocks.length ? blocks.map((block) => this.#block(block, name)) : html`<span class="muted">${text("settings.closed_all_day")}</span>`}
      <button type="button" class="quiet" aria-label=${text("settings.add_hours_on", { day: name })} @click=${() => this.#add(day)}>${text("settings.add_hours")}</button>
    </fieldset>`;
  }

  /** @param {Block} block @param {string} day */
  #block(block, day) {
    const others = this.#draft.blocks.filter((one) => one !== block);
    const change = (/** @type {string} */ opens, /** @type {string} */ closes) => opens && closes && this.#draw(opened(others, blockOf(block.day, opens, closes)));
    const [opens, closes] = [timeOf(block.start), timeOf(block.end)];
    const valueOf = (/** @type {Event} */ event) => /** @type {HTMLInputElement} */ (event.target).value;
    return html`<span class="block">
      <input type="time" aria-label=${text("settings.opens_on", { day })} .value=${opens} @change=${(/** @type {Event} */ event) => change(valueOf(event), closes)} />
      <span aria-hidden="true">–</span>
      <input type="time" aria-label=${text("settings.closes_on", { day })} .value=${closes} @change=${(/** @type {Event} */ event) => change(opens, valueOf(event))} />
      ${block.end > 1440 ? html`<small class="muted">${text("settings.next_day")}</small>` : nothing}
      <button type="button" class="quiet icon" aria-label=${text("settings.remove_hours", { day, from: written(block.start), to: written(block.end) })} @click=${() => this.#draw(others)}>×</button>
    </span>`;
  }

  /** @param {number} day */
  #add(day) {
    const last = this.#draft.blocks.filter((block) => block.day === day).at(-1);
    const start = last ? Math.min(last.end + 60, 1380) : 540;
    this.#draw(opened(this.#draft.blocks, { day, start, end: last ? Math.min(start + 240, 1440) : 1020 }));
  }

  #copying() {
    const copy = (/** @type {Event} */ event) => {
      event.preventDefault();
      const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
      const to = form.getAll("to").map(Number).filter((day) => day !== this.source);
      this.#draw(copied(this.#draft.blocks, this.source, to));
      this.news = text("settings.copied", { day: weekday(this.source), days: to.map((day) => weekday(day)).join(", ") });
    };
    return html`<details class="item"><summary>${text("settings.copy")}</summary>
      <form class="stack" @submit=${copy}>
        <p class="field"><label for="copied">${text("settings.copy_from")}</label>
          <select id="copied" @change=${(/** @type {Event} */ event) => (this.source = Number(/** @type {HTMLSelectElement} */ (event.target).value))}>
            ${DAYS.map((day) => html`<option value=${day} ?selected=${day === this.source}>${weekday(day)}</option>`)}</select></p>
        <fieldset class="checks"><legend>${text("settings.copy_to")}</legend><div class="choices">
          ${DAYS.filter((day) => day !== this.source).map((day) => html`<label><input type="checkbox" name="to" value=${day} .checked=${day < 5} />${weekday(day)}</label>`)}</div></fieldset>
        <p><button>${text("settings.copy_do")}</button></p>
      </form></details>`;
  }

  #passing() {
    const { passing } = this.#draft;
    if (!passing.length) return nothing;
    const drop = (/** @type {Rule} */ rule) => this.#put(this.chosen, { ...this.#draft, passing: passing.filter((one) => one !== rule) });
    const times = (/** @type {Rule} */ { weekday: day, opens, closes }) => {
      const { start, end } = blockOf(day, opens, closes);
      return { from: written(start), to: written(end) };
    };
    return html`<h3>${text("settings.passing")}</h3><ul class="plain">${passing.map(
      (rule) => html`<li>${text("settings.passing_rule", { day: weekday(rule.weekday), ...times(rule), since: rule.valid_from ? dayName(rule.valid_from) : "…", until: rule.valid_until ? dayName(rule.valid_until) : "…" })}
        <button type="button" class="quiet" @click=${() => drop(rule)}>${text("settings.remove")}</button></li>`,
    )}</ul>`;
  }

  #discard() {
    this.#put(this.chosen, draftOf(this.#draft.saved));
    this.news = text("settings.discarded");
  }

  async #save() {
    if (this.saving) return;
    this.saving = true;
    this.news = this.wrong = "";
    const [id, draft] = [this.chosen, this.#draft];
    const hours = [...rulesOf(draft.blocks), ...draft.passing];
    try {
      const now = (await get(`/calendars/${id}/hours`)).hours;
      if (!sameRules(now, draft.saved) && !sameRules(now, hours)) this.#conflict(id, now);
      else {
        await send("PUT", `/calendars/${id}/hours`, { hours });
        const drawn = /** @type {Draft} */ (this.drafts.get(id)); // perhaps on, meanwhile
        this.#put(id, { ...drawn, saved: hours, past: [] });
        this.news = isDirty({ ...drawn, saved: hours }) ? "" : text("settings.saved_hours");
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.wrong = sentence(error.code);
    } finally {
      this.saving = false;
    }
  }

  /** Somebody else changed the hours meanwhile: theirs are shown, and ours are one "undo" away. @param {string} id @param {Rule[]} now */
  #conflict(id, now) {
    const { blocks } = /** @type {Draft} */ (this.drafts.get(id));
    this.#put(id, { ...draftOf(now), past: [blocks] });
    this.wrong = text("settings.hours_conflict");
  }
}

/** @param {Rule[]} rules @returns {Draft} */
const draftOf = (rules) => ({ saved: rules, blocks: blocksOf(rules), passing: rules.filter((rule) => !isForever(rule)), past: [] });

/** @param {Draft} draft */
const isDirty = (draft) => !sameRules([...rulesOf(draft.blocks), ...draft.passing], draft.saved);

/** @param {Rule[]} one @param {Rule[]} other */
function sameRules(one, other) {
  const told = (/** @type {Rule[]} */ rules) => rules.map(({ weekday: day, opens, closes, valid_from, valid_until }) => [day, opens, closes, valid_from, valid_until].join()).sort();
  return same(told(one), told(other));
}

customElements.define("hf-hours", Hours);

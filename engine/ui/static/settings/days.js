// @ts-check
/**
 * Single days of a calendar: a month with what is special in it, the public holidays that close it, and times that are closed or open
 * whatever the week says. Who closes a time sees first which visits are booked in it.
 */

import { LitElement, classMap, html, nothing, repeat } from "../vendor/lit.js";
import { Refused, get, post, send, serverNow } from "../api.js";
import { sentence, text } from "../texts.js";
import { same } from "./blocks.js";
import { addDays, clock, dayName, dayOf, instantOf, startOfDay } from "../time.js";

/**
 * @typedef {{id: string, start: string, end: string, open: boolean, note: string}} Exception
 * @typedef {{from: string, to: string, whole: boolean, opens: string, closes: string, open: boolean, note: string}} Wish
 */

const YEAR_DAYS = 365;

class Days extends LitElement {
  /** What was asked for last. */
  #shown = { id: "", region: "", month: "" };

  /** The starts of what is set already of a wish: not again when the rest is tried again. @type {WeakMap<Wish, Set<number>>} */
  #done = new WeakMap();

  static properties = {
    calendar: { attribute: false },
    month: { state: true },
    exceptions: { state: true },
    holidays: { state: true },
    wish: { state: true },
    visits: { state: true },
    news: { state: true },
    wrong: { state: true },
    busy: { state: true },
    undo: { state: true },
  };

  constructor() {
    super();
    /** @type {import("./clinic.js").Calendar} */ this.calendar = /** @type {any} */ (undefined);
    this.month = "";
    /** @type {Exception[]} */ this.exceptions = [];
    /** By day. @type {Map<string, string>} */ this.holidays = new Map();
    /** @type {Wish} */ this.wish = /** @type {any} */ (undefined);
    /** Booked visits in the time that is to be closed, once they were looked for. @type {{start: string}[] | undefined} */ this.visits = undefined;
    this.news = this.wrong = "";
    this.busy = false;
    /** @type {Exception | undefined} */ this.undo = undefined;
  }

  createRenderRoot() {
    return this;
  }

  get #zone() {
    return this.calendar.zone;
  }

  get #today() {
    return dayOf(serverNow(), this.#zone);
  }

  willUpdate() {
    this.month ||= this.#today.slice(0, 7);
    if (this.#shown.id !== this.calendar.id) {
      this.exceptions = [];
      this.news = this.wrong = "";
      this.undo = undefined;
      this.#ask(addDays(this.#today, 1));
    }
    const wanted = { id: this.calendar.id, region: this.calendar.holidays, month: this.month };
    if (same(wanted, this.#shown)) return;
    this.#shown = wanted;
    this.#load();
  }

  /** A time to close, as it is proposed. @param {string} day */
  #ask(day) {
    this.wish = { from: day, to: day, whole: true, opens: "09:00", closes: "12:00", open: false, note: "" };
    this.visits = undefined;
  }

  async #load() {
    const asked = this.#shown;
    const [id, year] = [this.calendar.id, this.month.slice(0, 4)];
    const first = [this.#today, `${this.month}-01`].sort()[0];
    const range = { from: iso(startOfDay(first, this.#zone)), to: iso(startOfDay(addDays(first, YEAR_DAYS), this.#zone)) };
    await this.#try(async () => {
      const [found, { days }] = await Promise.all([
        get(`/calendars/${id}/exceptions?${new URLSearchParams({ ...range, limit: "500" })}`),
        get(`/holidays?${new URLSearchParams({ region: this.calendar.holidays ?? "", year })}`),
      ]);
      if (asked !== this.#shown) return;
      this.exceptions = found.items;
      this.holidays = new Map(days.map((/** @type {{date: string, name: string}} */ one) => [one.date, one.name]));
    });
  }

  render() {
    return html`<div class="two">${this.#month()}${this.#form()}</div>
      ${this.wrong ? html`<p class="problem" role="alert">${this.wrong}</p>` : nothing}
      <div class="row"><span role="status" class="news">${this.news}</span>
        ${this.undo ? html`<button type="button" class="quiet" @click=${this.#takeBack}>${text("common.undo")}</button>` : nothing}</div>
      ${this.#list()}`;
  }

  #month() {
    const first = `${this.month}-01`;
    const before = (new Date(first).getUTCDay() + 6) % 7;
    const days = Array.from({ length: 42 }, (_, n) => addDays(first, n - before)).filter((day, n) => n < 35 || day.startsWith(this.month));
    const go = (/** @type {number} */ months) => {
      const at = new Date(first);
      at.setUTCMonth(at.getUTCMonth() + months);
      this.month = at.toISOString().slice(0, 7);
    };
    return html`<section class="month" aria-label=${dayName(first, { month: "long", year: "numeric" })}>
      <div class="row"><strong aria-live="polite">${dayName(first, { month: "long", year: "numeric" })}</strong>
        <div class="steps"><button type="button" aria-label=${text("settings.previous_month")} @click=${() => go(-1)}>‹</button>
          <button type="button" aria-label=${text("settings.next_month")} @click=${() => go(1)}>›</button></div></div>
      <div class="month-head" aria-hidden="true">${days.slice(0, 7).map((day) => html`<span>${dayName(day, { weekday: "narrow" })}</span>`)}</div>
      <div class="month-days">${days.map((day) => this.#cell(day))}</div>
      <p class="muted legend"><span class="mark closed"></span>${text("settings.closed_at_times")} <span class="mark opened"></span>${text("settings.open_at_times")} <span class="mark holiday"></span>${text("settings.holiday")}</p>
    </section>`;
  }

  /** @param {string} day */
  #cell(day) {
    if (!day.startsWith(this.month)) return html`<span></span>`;
    const holiday = this.holidays.get(day);
    const [from, to] = [startOfDay(day, this.#zone), startOfDay(addDays(day, 1), this.#zone)];
    const there = this.exceptions.filter(({ start, end }) => Date.parse(start) < to && from < Date.parse(end));
    const told = [holiday && `${text("settings.holiday")}: ${holiday}`, there.some(({ open }) => !open) && text("settings.closed_at_times"), there.some(({ open }) => open) && text("settings.open_at_times")].filter(Boolean);
    const classes = { holiday: Boolean(holiday), closed: there.some(({ open }) => !open), opened: there.some(({ open }) => open), chosen: this.wish.from <= day && day <= this.wish.to };
    return html`<button
      type="button" class=${classMap(classes)} title=${holiday ?? nothing} ?disabled=${day < this.#today} aria-pressed=${classes.chosen}
      aria-label=${[dayName(day), ...told].join(", ")} @click=${() => this.#pick(day)}>${Number(day.slice(8))}</button>`;
  }

  /** The first click chooses a day, the next one until when. @param {string} day */
  #pick(day) {
    const { from, to } = this.wish;
    this.#wish(from === to && day > from ? { to: day } : { from: day, to: day });
  }

  /** @param {Partial<Wish>} change */
  #wish(change) {
    const wish = { ...this.wish, ...change };
    this.wish = { ...wish, to: wish.to < wish.from ? wish.from : wish.to };
    this.visits = undefined;
    this.wrong = this.news = "";
    this.undo = undefined;
  }

  #form() {
    const { from, to, whole, opens, closes, open, note } = this.wish;
    const set = (/** @type {keyof Wish} */ name) => (/** @type {Event} */ event) => this.#wish({ [name]: /** @type {HTMLInputElement} */ (event.target).value });
    return html`<form class="stack panel" aria-busy=${this.busy} @submit=${this.#submit}>
      <div class="row">
        <p class="field"><label for="from-day">${text("settings.from_day")}</label><input id="from-day" type="date" required .value=${from} min=${this.#today} @change=${set("from")} /></p>
        <p class="field"><label for="to-day">${text("settings.to_day")}</label><input id="to-day" type="date" required .value=${to} min=${from} @change=${set("to")} /></p>
      </div>
      <div class="row">
        <p class="field"><label for="what">${text("settings.what")}</label><select id="what" @change=${(/** @type {Event} */ event) => this.#wish({ open: /** @type {HTMLSelectElement} */ (event.target).value === "open" })}>
          <option value="closed" ?selected=${!open}>${text("settings.what_closed")}</option><option value="open" ?selected=${open}>${text("settings.what_open")}</option></select></p>
        <p class="field"><label for="note">${text("settings.note")}</label><input id="note" maxlength="100" .value=${note} @input=${set("note")} aria-describedby="note-hint" /><small id="note-hint" class="muted">${text("settings.note_hint")}</small></p>
      </div>
      <p class="check"><label><input type="checkbox" .checked=${whole} @change=${() => this.#wish({ whole: !whole })} />${text("settings.whole_days")}</label></p>
      ${whole ? nothing : html`<div class="row">
        <p class="field"><label for="opens">${text("settings.from_time")}</label><input id="opens" type="time" required .value=${opens} @change=${set("opens")} /></p>
        <p class="field"><label for="closes">${text("settings.to_time")}</label><input id="closes" type="time" required .value=${closes} @change=${set("closes")} /></p></div>`}
      ${this.visits?.length ? this.#collisions(this.visits) : nothing}
      <p class="row"><button class="primary" aria-disabled=${this.busy}>${text(this.busy ? "settings.saving" : this.visits?.length ? "settings.close_anyway" : open ? "settings.open_it" : "settings.close_it")}</button></p>
    </form>`;
  }

  /** @param {{start: string}[]} visits */
  #collisions(visits) {
    const day = dayOf(Date.parse(visits[0].start), this.#zone);
    return html`<div class="problem" role="alert"><p>${text("settings.collisions", { count: visits.length })}</p>
      <ul>${visits.slice(0, 8).map(({ start }) => html`<li>${this.#when(start)}</li>`)}</ul>
      <a href="/calendar/?${new URLSearchParams({ calendar: this.calendar.id, day })}">${text("settings.see_calendar")}</a></div>`;
  }

  /** The intervals that are wished for: whole days are one, times repeat each day. @param {Wish} wish */
  #intervals({ from, to, whole, opens, closes, open }) {
    if (whole && !open) return [{ start: iso(startOfDay(from, this.#zone)), end: iso(startOfDay(addDays(to, 1), this.#zone)) }];
    const days = [];
    for (let day = from; day <= to && days.length < 62; day = addDays(day, 1)) days.push(day);
    if (whole) return days.map((day) => ({ start: iso(startOfDay(day, this.#zone)), end: iso(startOfDay(addDays(day, 1), this.#zone)) }));
    return days.map((day) => ({ start: iso(instantOf(day, opens, this.#zone)), end: iso(instantOf(closes <= opens ? addDays(day, 1) : day, closes, this.#zone)) }));
  }

  /** @param {Event} event */
  async #submit(event) {
    event.preventDefault();
    if (this.busy) return;
    this.busy = true;
    const [{ id }, wish] = [this.calendar, this.wish];
    try {
      await this.#try(async () => {
        const intervals = this.#intervals(wish);
        if (!wish.open && !this.visits) {
          const visits = await this.#booked(id, intervals);
          if (wish === this.wish) this.visits = visits;
          if (visits.length) return;
        }
        await this.#set(id, wish, intervals);
      });
    } finally {
      this.busy = false;
    }
  }

  /** By now something else may be wished for, and for another calendar. @param {string} id @param {Wish} wish @param {{start: string, end: string}[]} intervals */
  async #set(id, wish, intervals) {
    const { from, to, open, note } = wish;
    const done = this.#done.get(wish) ?? new Set();
    this.#done.set(wish, done);
    try {
      for (const during of intervals.filter(({ start }) => !done.has(Date.parse(start)))) {
        await post(`/calendars/${id}/exceptions`, { ...during, open, note });
        done.add(Date.parse(during.start));
      }
      done.clear();
      this.visits = undefined;
      if (id === this.calendar.id) this.news = text(open ? "settings.opened_now" : "settings.closed_now", { from: dayName(from), to: dayName(to) });
    } finally {
      await this.#load();
    }
  }

  /** The booked visits in these times. @param {string} id @param {{start: string, end: string}[]} intervals @returns {Promise<{start: string}[]>} */
  async #booked(id, intervals) {
    const range = { from: intervals[0].start, to: intervals[intervals.length - 1].end };
    const { appointments } = await get(`/calendars/${id}/snapshot?${new URLSearchParams(range)}`);
    const live = appointments.filter((/** @type {{status: string}} */ { status }) => ["booked", "arrived", "in_progress"].includes(status));
    return live.filter((/** @type {{start: string, end: string}} */ one) => intervals.some(({ start, end }) => Date.parse(one.start) < Date.parse(end) && Date.parse(start) < Date.parse(one.end)));
  }

  #list() {
    const shown = this.exceptions.filter(({ end }) => Date.parse(end) > serverNow());
    if (!shown.length) return html`<p class="muted">${text("settings.no_exceptions")}</p>`;
    return html`<ul class="plain">${repeat(
      shown,
      ({ id }) => id,
      (one) => html`<li><span class="mark ${one.open ? "opened" : "closed"}"></span><span>${text(one.open ? "settings.what_open" : "settings.what_closed")}: ${this.#span(one)}${one.note ? html` · <span dir="auto">${one.note}</span>` : nothing}</span>
        <button type="button" class="quiet" aria-label=${text("settings.remove_exception", { when: this.#span(one) })} @click=${() => this.#remove(one)}>${text("settings.remove")}</button></li>`,
    )}</ul>`;
  }

  /** @param {string} at */
  #when(at) {
    const instant = Date.parse(at);
    return `${dayName(dayOf(instant, this.#zone))}, ${clock(instant, this.#zone)}`;
  }

  /** "Thursday, November 26" or "Thursday, November 26, 9:00 AM – 12:00 PM". @param {Exception} one */
  #span({ start, end }) {
    const [from, to] = [Date.parse(start), Date.parse(end)];
    const [first, last] = [dayOf(from, this.#zone), dayOf(to - 1, this.#zone)];
    const whole = from === startOfDay(first, this.#zone) && to === startOfDay(addDays(last, 1), this.#zone);
    if (whole) return first === last ? dayName(first) : `${dayName(first)} – ${dayName(last)}`;
    return `${this.#when(start)} – ${first === last ? clock(to, this.#zone) : this.#when(end)}`;
  }

  /** @param {Exception} one */
  async #remove(one) {
    const { id: of } = this.calendar;
    await this.#try(async () => {
      await send("DELETE", `/calendars/${of}/exceptions/${one.id}`);
      this.#done.get(this.wish)?.delete(Date.parse(one.start));
      if (of !== this.calendar.id) return;
      this.exceptions = this.exceptions.filter(({ id }) => id !== one.id);
      this.news = text("settings.removed", { name: this.#span(one) });
      this.undo = one;
    });
  }

  async #takeBack() {
    const { id: _, ...gone } = /** @type {Exception} */ (this.undo);
    this.undo = undefined;
    await this.#try(async () => {
      await post(`/calendars/${this.calendar.id}/exceptions`, gone);
      this.news = text("settings.undone");
      await this.#load();
    });
  }

  /** @param {() => Promise<void>} work */
  async #try(work) {
    this.wrong = "";
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.wrong = sentence(error.code);
    }
  }
}

/** @param {number} instant */
const iso = (instant) => new Date(instant).toISOString();

customElements.define("hf-days", Days);

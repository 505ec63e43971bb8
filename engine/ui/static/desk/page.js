// @ts-check
/** The front desk's page: puts the parts together, does what they ask for, and says what came of it. */

import { Refused, decided, serverNow } from "../api.js";
import { tell } from "../connection.js";
import { Names } from "../names.js";
import { sentence, text } from "../texts.js";
import { addDays, dayName, visitorZone, zoneName } from "../time.js";
import { LitElement, html, nothing } from "../vendor/lit.js";
import { Clinic } from "./clinic.js";
import { lateBy } from "./columns.js";
import { meetColleagues } from "./history.js";
import { News } from "./news.js";
import { tabList } from "./tabs.js";
import { step } from "../writes.js";
import "./board.js";
import "./booking.js";
import "./finder.js";
import "./gaps.js";
import "./shortcuts.js";
import "./statistics.js";
import "./visit.js";

/** @typedef {import("./columns.js").Visit} Visit */
/** @typedef {"board" | "gaps" | "statistics"} View */

const MINUTE_MS = 60_000;
const PARTS = "desk-board, desk-gaps, desk-booking, desk-visit, desk-finder";
const WHOLE_DAY = /** @type {const} */ ({ weekday: "long", month: "long", day: "numeric", year: "numeric" });

class Page extends LitElement {
  #clinic = new Clinic(this.dataset.clinic ?? "", { onChange: () => this.requestUpdate(), onVisit: (visit) => this.#heard(visit) });
  #names = new Names(() => this.requestUpdate());
  #news = new News(this.#clinic, this.#names);
  /** @type {View} */ #view = "board";
  #filter = { calendar: "", location: "" };
  /** Visits that a step is under way for. @type {Set<string>} */ #moving = new Set();
  #problem = "";
  /** The day whose state was read when somebody began to look at it. */ #begun = "";
  #isToday = true;
  /** @type {import("./shortcuts.js").Shortcuts} */ #shortcuts = {
    b: { name: text("desk.book"), run: () => this.#book() },
    w: { name: text("desk.walk_in"), run: () => this.#walkIn() },
    f: { name: text("desk.find"), run: () => this.#part("finder").begin() },
    1: { name: text("desk.board"), run: () => this.#show("board") },
    2: { name: text("desk.gaps_and_late"), run: () => this.#show("gaps") },
    3: { name: text("desk.statistics"), run: () => this.#show("statistics") },
    t: { name: text("desk.today"), run: () => this.#look("") },
    "?": { name: text("desk.shortcuts"), run: () => this.#part("shortcuts").open() },
  };

  createRenderRoot() {
    return this;
  }

  async connectedCallback() {
    super.connectedCallback();
    setInterval(() => this.#tick(), MINUTE_MS);
    // The machine slept until the token was too old, and the socket was quicker than the new one.
    addEventListener("session-renewed", () => this.#clinic.state === "unauthenticated" && location.reload());
    if (this.dataset.role === "clinic_admin") meetColleagues().catch(() => {}); // then history says "a colleague"
    try {
      await this.#clinic.open();
      this.#look(new URLSearchParams(location.search).get("day") ?? "");
    } catch (error) {
      this.#say(sentence(error instanceof Refused ? error.code : "internal_error"));
    }
  }

  // --- what is on show -----------------------------------------------------------------------------------------------------

  /** @param {string} day  anything but a day is today */
  #look(day) {
    const { today } = this.#clinic;
    const wanted = /^\d{4}-\d\d-\d\d$/.test(day) && !Number.isNaN(Date.parse(day)) ? day : today;
    this.#isToday = wanted === today;
    history.replaceState(null, "", this.#isToday ? location.pathname : `?${new URLSearchParams({ day: wanted })}`);
    if (wanted !== this.#clinic.day) this.#clinic.look(wanted);
    if (this.#view === "statistics") this.#part("statistics").look();
  }

  /** @param {View} view */
  async #show(view) {
    this.#view = view;
    this.requestUpdate();
    await this.updateComplete;
    if (view === "statistics") this.#part("statistics").look();
  }

  /** Waits grow and people get late by the minute; and every night there is another today. */
  #tick() {
    const { day, today } = this.#clinic;
    if (this.#isToday && day && day !== today) this.#look("");
    else if (day) this.#isToday = day === today;
    if (this.#begun === this.#clinic.day) for (const visit of this.#clinic.visits) this.#news.hear(visit);
    this.requestUpdate();
  }

  /** @param {Visit} visit */
  #heard(visit) {
    decided(visit.id);
    this.#names.look(visit.id);
    if (this.#begun === this.#clinic.day && this.#clinic.isOnShow(visit)) this.#news.hear(visit);
    const dialog = this.#part("visit");
    if (dialog.shown === visit.id) dialog.changed();
  }

  /** The visits of the day that the filter lets through. */
  get #visits() {
    const { calendar, location } = this.#filter;
    return this.#clinic.visits.filter((visit) => {
      const chosen = this.#clinic.calendarOf(visit);
      return (!calendar || chosen?.id === calendar) && (!location || chosen?.location === location);
    });
  }

  /** Those that people choose from, as the filter has it. */
  get #people() {
    const { calendar, location } = this.#filter;
    const all = [...this.#clinic.calendars.values()].filter(({ kind }) => kind === "practitioner");
    return all.filter((one) => (!calendar || one.id === calendar) && (!location || one.location === location));
  }

  willUpdate() {
    const clinic = this.#clinic;
    tell(clinic.state, clinic.heardAt);
    if (!clinic.loaded) return;
    const { visits } = clinic;
    if (this.#begun !== clinic.day) this.#news.begin(visits);
    this.#begun = clinic.day;
    this.#names.show(visits.map(({ id }) => id));
  }

  updated() {
    for (const part of this.querySelectorAll(PARTS)) /** @type {LitElement} */ (part).requestUpdate();
  }

  // --- drawing -------------------------------------------------------------------------------------------------------------

  render() {
    const clinic = this.#clinic;
    const visits = clinic.day ? this.#visits : [];
    const late = visits.filter((visit) => lateBy(visit, serverNow()) !== undefined).length;
    const tabs = [
      { key: "board", name: text("desk.board") },
      {
        key: "gaps",
        name: late ? html`${text("desk.gaps_and_late")} <span class="count late">${late}</span>` : text("desk.gaps_and_late"),
      },
      { key: "statistics", name: text("desk.statistics") },
    ];
    const frozen = clinic.day && !clinic.reachable && clinic.state !== "connecting";
    return html`<p class="frozen" role="status" .textContent=${frozen ? text("desk.frozen") : ""}></p>
      <div class="toolbar">
        <h2>
          ${clinic.day ? dayName(clinic.day, WHOLE_DAY) : text("common.loading")}
          ${clinic.day && clinic.zone !== visitorZone ? html`<small class="muted">${zoneName(serverNow(), clinic.zone)}</small>` : nothing}
        </h2>
        ${this.#dayPicker()} ${this.#filters()}
      </div>
      <div class="toolbar">
        ${tabList({ id: "view", label: text("common.desk"), tabs, selected: this.#view, select: (key) => this.#show(/** @type {View} */ (key)) })}
        ${this.#actions()}
      </div>
      ${this.#views(visits)} ${this.#dialogs()}
      <div class="toast" role="alert" ?hidden=${!this.#problem}>
        <p>${this.#problem}</p>
        <button type="button" class="quiet" @click=${() => this.#say("")}>${text("common.close")}</button>
      </div>`;
  }

  #actions() {
    return html`<div class="row actions">
      ${["b", "w", "f", "?"].map(
        (key) =>
          html`<button
            type="button"
            class=${key === "b" ? "primary" : ""}
            aria-keyshortcuts=${this.#part("shortcuts")?.on === false ? nothing : key}
            @click=${() => this.#shortcuts[key].run()}
          >
            ${this.#shortcuts[key].name} <kbd aria-hidden="true">${key}</kbd>
          </button>`,
      )}
    </div>`;
  }

  #dayPicker() {
    const { day } = this.#clinic;
    const go = (/** @type {number} */ by) => day && this.#look(addDays(day, by));
    const chosen = (/** @type {Event} */ { target }) => this.#look(/** @type {HTMLInputElement} */ (target).value);
    return html`<p class="field inline">
        <label class="unseen" for="day">${text("desk.day")}</label
        ><input id="day" type="date" required .value=${day} @change=${chosen} />
      </p>
      <div class="steps" role="group" aria-label=${text("desk.change_day")}>
        <button type="button" aria-label=${text("desk.previous_day")} @click=${() => go(-1)}>‹</button>
        <button type="button" @click=${() => this.#look("")}>${text("desk.today")}</button>
        <button type="button" aria-label=${text("desk.next_day")} @click=${() => go(1)}>›</button>
      </div>`;
  }

  #filters() {
    const people = [...this.#clinic.calendars.values()].filter(({ kind }) => kind === "practitioner");
    const places = [...this.#clinic.locations.values()];
    return html`${this.#select("calendar", text("desk.with"), people)}
    ${places.length > 1 ? this.#select("location", text("desk.location"), places) : nothing}`;
  }

  /** @param {"calendar" | "location"} name @param {string} label @param {{id: string, name: string}[]} options */
  #select(name, label, options) {
    const change = (/** @type {Event} */ { target }) => {
      this.#filter[name] = /** @type {HTMLSelectElement} */ (target).value;
      this.requestUpdate();
    };
    return html`<p class="field inline">
      <label for="filter-${name}">${label}</label>
      <select id="filter-${name}" @change=${change}>
        <option value="">${text("desk.all")}</option>
        ${options.map((one) => html`<option value=${one.id}>${one.name}</option>`)}
      </select>
    </p>`;
  }

  /** @param {Visit[]} visits */
  #views(visits) {
    const [clinic, names] = [this.#clinic, this.#names];
    const views = {
      board: () =>
        html`<desk-board
          .clinic=${clinic}
          .names=${names}
          .visits=${visits}
          .moving=${this.#moving}
          .lettersOn=${() => this.#part("shortcuts").on}
          @desk-open=${this.#opened}
          @desk-step=${this.#stepped}
        ></desk-board>`,
      gaps: () =>
        html`<desk-gaps
          .clinic=${clinic}
          .names=${names}
          .visits=${visits}
          .calendars=${this.#people}
          @desk-open=${this.#opened}
          @desk-book=${(/** @type {CustomEvent} */ { detail }) => this.#book(detail)}
        ></desk-gaps>`,
      statistics: () => html`<desk-statistics .clinic=${clinic}></desk-statistics>`,
    };
    return Object.entries(views).map(
      ([key, view]) =>
        html`<div
          role="tabpanel"
          id="view-${key}"
          aria-labelledby="view-${key}-tab"
          aria-busy=${String(!clinic.loaded)}
          ?hidden=${key !== this.#view}
        >
          ${key === this.#view ? view() : nothing}
        </div>`,
    );
  }

  #dialogs() {
    const clinic = this.#clinic;
    return html`<desk-visit
        .clinic=${clinic}
        .names=${this.#names}
        .subject=${this.dataset.subject ?? ""}
        @desk-step=${this.#stepped}
      ></desk-visit>
      <desk-booking .clinic=${clinic}></desk-booking>
      <desk-finder
        .clinic=${clinic}
        @desk-open=${this.#opened}
        @desk-book=${(/** @type {CustomEvent} */ { detail }) => this.#book({ person: detail })}
      ></desk-finder>
      <desk-shortcuts .shortcuts=${this.#shortcuts} @desk-letters=${() => this.requestUpdate()}></desk-shortcuts>`;
  }

  /** @param {string} name @returns {any} */
  #part(name) {
    return this.querySelector(`desk-${name}`);
  }

  // --- doing ---------------------------------------------------------------------------------------------------------------

  /** @param {object} [given] */
  #book(given) {
    if (this.#clinic.reachable) this.#part("booking").begin(given);
    else this.#say(text("desk.frozen"));
  }

  /** Somebody stands here now. */
  #walkIn() {
    if (!this.#isToday) this.#look("");
    this.#book({ walkIn: true });
  }

  /** @param {CustomEvent<{visit: Visit | string, name?: string}>} event */
  #opened({ detail: { visit, name } }) {
    const whole = typeof visit === "string" ? this.#clinic.visit(visit) : visit;
    if (whole) this.#part("visit").show(whole, { name });
  }

  /** @param {CustomEvent<{visit: string, step: import("./columns.js").Step}>} event */
  async #stepped({ detail: { visit, step: name } }) {
    if (this.#moving.has(visit)) return;
    if (!this.#clinic.reachable) return this.#say(text("desk.frozen"));
    this.#moving.add(visit);
    this.#say("");
    try {
      this.#clinic.acknowledge(await step(visit, name));
    } catch (error) {
      this.#say(sentence(error instanceof Refused ? error.code : "internal_error"));
    }
    this.#moving.delete(visit);
    this.requestUpdate();
  }

  /** @param {string} told */
  #say(told) {
    this.#problem = told;
    this.requestUpdate();
  }
}

customElements.define("desk-page", Page);

// @ts-check
/**
 * Choosing a time: those that are free next, with whom and how one likes, or a time that somebody names. Told as the event `time`
 * with `{choice, modality, state}`.
 */

import { Refused, get, serverNow } from "../api.js";
import { sentence, text } from "../texts.js";
import { addDays, clock, dayName, dayOf, instantOf, startOfDay } from "../time.js";
import { LitElement, html, nothing } from "../vendor/lit.js";
import { slotsQuery } from "../writes.js";

/** @typedef {import("./clinic.js").VisitType} VisitType */
/** @typedef {import("../writes.js").Slot} Slot */
/** @typedef {{calendar: string, modality: string, state: string, day: string}} Wishes */

const MINUTE_MS = 60_000;
const SEARCHED_DAYS = 14;
const AT_ONCE = 12;
const SHORT_DAY = /** @type {const} */ ({ weekday: "short", month: "short", day: "numeric" });

export class Times extends LitElement {
  /** @type {import("./clinic.js").Clinic | undefined} */ clinic;
  /** @type {VisitType | undefined} */ type;
  minutes = 0;
  busy = false;
  /** @type {Wishes} */ #wishes = { calendar: "", modality: "", state: "", day: "" };
  /** @type {Slot[]} */ #slots = [];
  #problem = "";
  /** Nothing is offered before. */ #from = 0;
  /** @type {AbortController | undefined} */ #asking;

  createRenderRoot() {
    return this;
  }

  /**
   * Looks for times; the focus goes to the first.
   * @param {VisitType} type @param {{calendar?: string, state?: string, modality?: string, from?: number, minutes?: number}} [wishes]
   */
  begin(type, { calendar = "", state = this.#home, modality = "", from = 0, minutes = type.duration_minutes ?? 60 } = {}) {
    if (!this.clinic) return;
    this.type = type;
    this.minutes = minutes;
    this.#from = from;
    const day = dayOf(Math.max(serverNow(), from), this.clinic.zone);
    this.#wishes = { calendar, state, modality: modality || type.modalities[0], day };
    this.#ask(true);
  }

  /** Where the clinic is. */
  get #home() {
    return [...(this.clinic?.locations.values() ?? [])][0]?.state ?? "";
  }

  /** @param {boolean} focus */
  async #ask(focus) {
    const { clinic, type } = this;
    if (!clinic || !type) return;
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    this.#slots = [];
    this.#problem = "";
    this.requestUpdate();
    const { day, ...wishes } = this.#wishes;
    const from = Math.max(serverNow(), startOfDay(day, clinic.zone), day === dayOf(this.#from, clinic.zone) ? this.#from : 0);
    const query = slotsQuery({
      visitType: type.id,
      ...wishes,
      from,
      to: from + SEARCHED_DAYS * 24 * 60 * MINUTE_MS,
      limit: AT_ONCE,
    });
    try {
      this.#slots = (await get(`/clinics/${clinic.slug}/slots?${query}`, { signal: asking.signal })).items;
    } catch (error) {
      if (asking.signal.aborted) return;
      this.#problem = sentence(error instanceof Refused ? error.code : "internal_error");
    }
    this.#asking = undefined;
    this.requestUpdate();
    await this.updateComplete;
    if (focus && !this.contains(document.activeElement))
      /** @type {HTMLElement | null} */ (this.querySelector(".offers button"))?.focus();
  }

  /** What was offered and is still free, as far as it is known. */
  get #offers() {
    return this.#slots.filter(({ calendar, capacity = 1, ...slot }) => {
      const span = { start: Date.parse(slot.start), end: Date.parse(slot.end) };
      return capacity > 1 || this.clinic?.isFree(calendar, span);
    });
  }

  render() {
    const { clinic, type } = this;
    if (!clinic || !type) return nothing;
    const offers = this.#offers;
    const how = this.#asking ? text("common.loading") : this.#problem || (offers.length ? "" : text("desk.no_times"));
    return html`<div class="row wishes">${this.#selects(type)}</div>
      <h3 id="offers-title">${text("desk.free_next")}</h3>
      <p class="muted progress" role="status" .textContent=${how}></p>
      <ul class="offers" aria-labelledby="offers-title" aria-busy=${String(!!this.#asking)} @keydown=${this.#pressed}>
        ${offers.map((slot) => html`<li>${this.#offer(slot)}</li>`)}
      </ul>
      <details class="named">
        <summary>${text("desk.name_time")}</summary>
        <form class="row" @submit=${this.#named}>
          <p class="field">
            <label for="named-day">${text("desk.day")}</label
            ><input id="named-day" type="date" required .value=${this.#wishes.day} />
          </p>
          <p class="field"><label for="named-time">${text("desk.time")}</label><input id="named-time" type="time" required /></p>
          <p class="field">
            <label for="named-calendar">${text("desk.with")}</label>
            <select id="named-calendar">
              ${clinic.choices(type).map(({ id, name }) => html`<option value=${id} ?selected=${id === this.#wishes.calendar}>${name}</option>`)}
            </select>
          </p>
          <button aria-disabled=${String(this.busy)}>${text("desk.take_time")}</button>
        </form>
      </details>`;
  }

  /** @param {VisitType} type */
  #selects(type) {
    const calendars = this.clinic?.choices(type) ?? [];
    const states = [...new Set([...calendars.flatMap((one) => one.states), this.#home])].filter(Boolean).sort();
    const { calendar, modality, state, day } = this.#wishes;
    return html`${this.#select("calendar", text("desk.with"), calendar, [["", text("desk.anybody")], ...calendars.map(({ id, name }) => [id, name])])}
      ${
        type.modalities.length > 1
          ? this.#select(
              "modality",
              text("desk.how"),
              modality,
              type.modalities.map((one) => [one, text(`desk.modality_${one}`)]),
            )
          : nothing
      }
      ${
        states.length
          ? this.#select(
              "state",
              text("desk.state"),
              state,
              states.map((one) => [one, one]),
            )
          : nothing
      }
      <p class="field">
        <label for="wish-day">${text("desk.from_day")}</label>
        <input
          id="wish-day"
          type="date"
          required
          .value=${day}
          @change=${(/** @type {Event} */ event) => this.#wish("day", event)}
        />
      </p>`;
  }

  /** @param {keyof Wishes} name @param {string} label @param {string} chosen @param {string[][]} options */
  #select(name, label, chosen, options) {
    return html`<p class="field">
      <label for="wish-${name}">${label}</label>
      <select id="wish-${name}" @change=${(/** @type {Event} */ event) => this.#wish(name, event)}>
        ${options.map(([value, shown]) => html`<option value=${value} ?selected=${value === chosen}>${shown}</option>`)}
      </select>
    </p>`;
  }

  /** @param {keyof Wishes} name @param {Event} event */
  #wish(name, { target }) {
    const { value } = /** @type {HTMLInputElement} */ (target);
    if (name === "day" && !value) return;
    this.#wishes[name] = value;
    this.#ask(false);
  }

  /** @param {Slot} slot */
  #offer(slot) {
    const zone = /** @type {string} */ (this.clinic?.zone);
    const start = Date.parse(slot.start);
    return html`<button type="button" aria-disabled=${String(this.busy)} @click=${() => this.#tell({ slot })}>
      <strong>${clock(start, zone)}</strong> <span>${this.#dayText(dayOf(start, zone))}</span>
      <span class="muted">${this.clinic?.calendars.get(slot.calendar)?.name}</span>
    </button>`;
  }

  /** @param {string} day */
  #dayText(day) {
    const today = /** @type {string} */ (this.clinic?.today);
    if (day === today) return text("desk.today");
    return day === addDays(today, 1) ? text("desk.tomorrow") : dayName(day, SHORT_DAY);
  }

  /** The arrows go from time to time. @param {KeyboardEvent} event */
  #pressed(event) {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const all = /** @type {HTMLElement[]} */ ([...this.querySelectorAll(".offers button")]);
    const place = all.findIndex((one) => one === document.activeElement);
    all[Math.max(0, Math.min(all.length - 1, place + by))]?.focus();
  }

  /** @param {SubmitEvent} event */
  #named(event) {
    event.preventDefault();
    const value = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (this.querySelector(`#named-${id}`)).value;
    const start = instantOf(value("day"), value("time"), /** @type {string} */ (this.clinic?.zone));
    this.#tell({ calendar: value("calendar"), start, end: start + this.minutes * MINUTE_MS });
  }

  /** @param {import("../writes.js").Choice} choice */
  #tell(choice) {
    const { modality, state } = this.#wishes;
    this.dispatchEvent(new CustomEvent("time", { detail: { choice, modality, state } }));
  }
}

customElements.define("desk-times", Times);

// @ts-check
/**
 * How the last days went: how much of the open time was booked, who did not come, how long ahead people book and how long they
 * wait. Each as a chart in the page's colours, and as a table that says the same.
 */

import { Refused, get } from "../api.js";
import { sentence, text } from "../texts.js";
import { addDays, dayName } from "../time.js";
import { LitElement, html, nothing } from "../vendor/lit.js";
import { draw } from "./charts.js";

/**
 * @typedef {{utilisation: number | null, no_show_rate: number | null, lead_time_hours: number | null, wait_minutes: number | null,
 *   booked: number, completed: number, cancelled: number, no_show: number}} Figures
 * @typedef {{days: (Figures & {date: string})[], calendars: (Figures & {calendar: string})[], total: Figures}} Answer
 * @typedef {"utilisation" | "no_show_rate" | "lead_time_hours" | "wait_minutes"} Measure
 */

const RANGES = [7, 14, 30];
const SHORT_DAY = /** @type {const} */ ({ weekday: "short", month: "short", day: "numeric" });
const OF_A_WEEK = /** @type {const} */ ({ weekday: "short", day: "numeric" });
const OF_MANY = /** @type {const} */ ({ month: "short", day: "numeric" });
/** `most`: what the axis shows at least. @type {{measure: Measure, kind: "bar" | "line", token: string, most: number}[]} */
const CHARTS = [
  { measure: "utilisation", kind: "bar", token: "--booked", most: 100 },
  { measure: "no_show_rate", kind: "line", token: "--warn", most: 20 },
  { measure: "lead_time_hours", kind: "bar", token: "--arrived", most: 48 },
  { measure: "wait_minutes", kind: "line", token: "--started", most: 30 },
];
const COUNTS = /** @type {const} */ (["booked", "completed", "cancelled", "no_show"]);
const dark = matchMedia("(prefers-color-scheme: dark)");

export class Statistics extends LitElement {
  /** @type {import("./clinic.js").Clinic | undefined} */ clinic;
  #days = RANGES[0];
  /** @type {Answer | undefined} */ #answer;
  #problem = "";
  #busy = false;
  /** What was asked for last. */ #asked = "";
  /** @type {{destroy: () => void}[]} */ #drawn = [];

  #recolour = () => this.#draw();

  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    super.connectedCallback();
    dark.addEventListener("change", this.#recolour);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    dark.removeEventListener("change", this.#recolour);
    this.#wipe();
  }

  /** Asks for the days up to the one on show. */
  async look() {
    const { clinic } = this;
    if (!clinic?.day) return;
    const query = new URLSearchParams({ from: addDays(clinic.day, 1 - this.#days), to: clinic.day });
    const asked = (this.#asked = String(query));
    this.#busy = true;
    this.#problem = "";
    this.requestUpdate();
    try {
      const answer = await get(`/clinics/${clinic.slug}/statistics?${query}`);
      if (asked !== this.#asked) return;
      this.#answer = answer;
    } catch (error) {
      if (asked !== this.#asked) return;
      this.#problem = sentence(error instanceof Refused ? error.code : "internal_error");
    }
    this.#busy = false;
    this.requestUpdate();
    await this.updateComplete;
    await this.#draw();
  }

  async #draw() {
    const days = this.#answer?.days;
    if (!days || !this.isConnected) return;
    this.#wipe();
    const labels = days.map(({ date }) => dayName(date, days.length > 7 ? OF_MANY : OF_A_WEEK));
    for (const { measure, kind, token, most } of CHARTS) {
      const canvas = /** @type {HTMLCanvasElement} */ (this.querySelector(`#chart-${measure}`));
      const values = days.map((day) => valueOf(measure, day[measure]));
      this.#drawn.push(await draw(canvas, { kind, token, labels, values, most }));
    }
    if (!this.isConnected) this.#wipe(); // it left while the library came
  }

  #wipe() {
    for (const chart of this.#drawn.splice(0)) chart.destroy();
  }

  render() {
    const days = (/** @type {Event} */ { target }) => {
      this.#days = Number(/** @type {HTMLSelectElement} */ (target).value);
      this.look();
    };
    return html`<div class="heading">
        <p class="field">
          <label for="statistics-days">${text("desk.statistics_range")}</label>
          <select id="statistics-days" @change=${days}>
            ${RANGES.map((count) => html`<option value=${count}>${text("desk.last_days", { count })}</option>`)}
          </select>
        </p>
        <p class="muted progress" role="status" .textContent=${this.#busy ? text("common.loading") : ""}></p>
      </div>
      ${this.#problem ? html`<p class="problem" role="alert">${this.#problem}</p>` : nothing}
      ${
        this.#answer
          ? html`${this.#totals(this.#answer.total)}
              <div class="charts" aria-busy=${String(this.#busy)}>${CHARTS.map(({ measure }) => this.#chart(measure))}</div>
              ${this.#people(this.#answer)}`
          : nothing
      }`;
  }

  /** @param {Figures} total */
  #totals(total) {
    return html`<dl class="totals">
      ${[...COUNTS, ...CHARTS.map(({ measure }) => measure)].map(
        (name) =>
          html`<div>
            <dt>${text(`desk.measure_${name}`)}</dt>
            <dd>${shown(name, total[name])}</dd>
          </div>`,
      )}
    </dl>`;
  }

  /** @param {Measure} measure */
  #chart(measure) {
    const { days, total } = /** @type {Answer} */ (this.#answer);
    const name = text(`desk.measure_${measure}`);
    return html`<figure class="panel">
      <figcaption>
        <strong>${name}</strong> <span class="muted">${text("desk.in_all", { value: shown(measure, total[measure]) })}</span>
      </figcaption>
      <div class="canvas">
        <canvas id="chart-${measure}" role="img" aria-label=${text("desk.chart_label", { name, count: days.length })}></canvas>
      </div>
      <details>
        <summary>${text("desk.as_table", { name })}</summary>
        <table>
          <thead>
            <tr>
              <th scope="col">${text("desk.day")}</th>
              <th scope="col">${name}</th>
            </tr>
          </thead>
          <tbody>
            ${days.map(
              (day) =>
                html`<tr>
                  <th scope="row">${dayName(day.date, SHORT_DAY)}</th>
                  <td>${shown(measure, day[measure])}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </details>
    </figure>`;
  }

  /** @param {Answer} answer */
  #people({ calendars }) {
    const { clinic } = this;
    return html`<div class="scroll" role="region" aria-label=${text("desk.by_calendar")} tabindex="0">
      <table>
        <caption>
          ${text("desk.by_calendar")}
        </caption>
        <thead>
          <tr>
            <th scope="col">${text("desk.with")}</th>
            ${CHARTS.map(({ measure }) => html`<th scope="col">${text(`desk.measure_${measure}`)}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${calendars.map(
            (one) =>
              html`<tr>
                <th scope="row">${clinic?.calendars.get(one.calendar)?.name}</th>
                ${CHARTS.map(({ measure }) => html`<td>${shown(measure, one[measure])}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }
}

/** @param {Measure} measure */
const isRate = (measure) => measure === "utilisation" || measure === "no_show_rate";

/** Rates in per cent. @param {Measure} measure @param {number | null} value */
const valueOf = (measure, value) => (value !== null && isRate(measure) ? value * 100 : value);

/** @param {Measure | (typeof COUNTS)[number]} name @param {number | null} value */
function shown(name, value) {
  if (value === null) return "–";
  if (name === "utilisation" || name === "no_show_rate") return text("desk.per_cent", { value: Math.round(value * 100) });
  if (name === "lead_time_hours")
    return value < 48 ? text("desk.hours", { count: Math.round(value) }) : text("desk.days", { count: Math.round(value / 24) });
  return name === "wait_minutes" ? text("desk.minutes", { count: Math.round(value) }) : String(value);
}

customElements.define("desk-statistics", Statistics);

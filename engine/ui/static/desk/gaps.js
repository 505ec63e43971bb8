// @ts-check
/** Who is late, and the times that are still free on the day on show and the next; each can be filled in place. */

import { serverNow } from "../api.js";
import { text } from "../texts.js";
import { clock, dayName, dayOf } from "../time.js";
import { LitElement, html, nothing } from "../vendor/lit.js";
import { placeOf, title } from "./card.js";
import { lateBy } from "./columns.js";

/** @typedef {import("./columns.js").Visit} Visit */
/** @typedef {import("./clinic.js").Calendar} Calendar */

const MINUTE_MS = 60_000;

export class Gaps extends LitElement {
  /** @type {import("./clinic.js").Clinic | undefined} */ clinic;
  /** @type {import("../names.js").Names | undefined} */ names;
  /** @type {Visit[]} */ visits = [];
  /** Those that are on show. @type {Calendar[]} */ calendars = [];

  createRenderRoot() {
    return this;
  }

  render() {
    const { clinic } = this;
    if (!clinic) return nothing;
    return html`<section class="panel" aria-labelledby="late-title">
        <h3 id="late-title">${text("desk.late_people")}</h3>
        ${this.#late(clinic)}
      </section>
      <section class="panel" aria-labelledby="gaps-title">
        <h3 id="gaps-title">${text("desk.gaps")}</h3>
        ${this.calendars.map((calendar) => this.#gapsOf(calendar, clinic))}
      </section>`;
  }

  /** @param {import("./clinic.js").Clinic} clinic */
  #late(clinic) {
    const late = this.visits.filter((visit) => lateBy(visit, serverNow()) !== undefined);
    if (!late.length) return html`<p class="muted">${text("desk.nobody_late")}</p>`;
    return html`<ul class="offers wide-offers">
      ${late.map(
        (visit) =>
          html`<li>
            <button type="button" @click=${() => this.#tell("desk-open", { visit: visit.id })}>
              <strong dir="auto">${title(visit, clinic, this.names?.of(visit.id) ?? "")}</strong>
              <span class="muted">${placeOf(visit, clinic)}</span>
              <span class="mark late">${text("desk.late_by", { count: lateBy(visit, serverNow()) ?? 0 })}</span>
            </button>
          </li>`,
      )}
    </ul>`;
  }

  /** @param {Calendar} calendar @param {import("./clinic.js").Clinic} clinic */
  #gapsOf(calendar, clinic) {
    const shortest = shortestOf(calendar, clinic) * MINUTE_MS;
    const gaps = clinic.freeTimes(calendar.id).filter(({ start, end }) => end - start >= shortest);
    return html`<h4 id="gaps-${calendar.id}">${calendar.name}</h4>
      ${gaps.length ? nothing : html`<p class="muted">${text("desk.no_gaps")}</p>`}
      <ul class="offers" aria-labelledby="gaps-${calendar.id}">
        ${gaps.map(
          ({ start, end }) =>
            html`<li>
              <button
                type="button"
                aria-disabled=${String(!clinic.reachable)}
                @click=${() => clinic.reachable && this.#tell("desk-book", { gap: { calendar: calendar.id, from: start } })}
              >
                <strong>${clock(start, clinic.zone)} – ${clock(end, clinic.zone)}</strong>
                <span
                  >${dayOf(start, clinic.zone) === clinic.today ? text("desk.today") : dayName(dayOf(start, clinic.zone), { weekday: "short", day: "numeric", month: "short" })}</span
                >
                <span class="muted">${text("desk.minutes", { count: Math.round((end - start) / MINUTE_MS) })}</span>
              </button>
            </li>`,
        )}
      </ul>`;
  }

  /** @param {string} name @param {object} detail */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Minutes of the shortest visit that people can choose there. @param {Calendar} calendar @param {import("./clinic.js").Clinic} clinic */
function shortestOf(calendar, clinic) {
  const types = [...clinic.types.values()].filter((type) => clinic.choices(type).includes(calendar));
  return Math.min(...types.map(({ duration_minutes }) => duration_minutes ?? Infinity));
}

customElements.define("desk-gaps", Gaps);

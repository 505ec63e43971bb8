// @ts-check
/** `<hf-agenda>`: the same visits as a list, day by day, for a narrow screen and for who would rather read. Tells `hf-open`, `hf-step` and `hf-look` as the sheet does. */

import { html, nothing, repeat } from "../vendor/lit.js";
import { serverNow } from "../api.js";
import { text } from "../texts.js";
import { byStart } from "./layout.js";
import { Part } from "./part.js";
import { longDay, moveName, movesOf, span, statusOf } from "./words.js";

/** @typedef {import("./layout.js").Column} Column */
/** @typedef {import("./diary.js").Item & {others: string[]}} Entry */

const MOST = 100; // as many as names are asked for at once

export class HfAgenda extends Part {
  /** How many are drawn. */ #most = MOST;
  /** @type {Column[] | undefined} */ #drawn;
  /** The visit whose step has the focus. @type {string | undefined} */ #stepping;

  /** All that is on show, day by day; a visit with its room is one entry. @returns {{day: string, items: Entry[]}[]} */
  get days() {
    /** @type {Map<string, Map<string, Entry>>} */ const days = new Map();
    for (const column of this.columns) {
      const day = days.get(column.day) ?? new Map();
      days.set(column.day, day);
      for (const item of this.diary.itemsIn(column.calendar, column)) {
        const known = day.get(item.id);
        if (known) known.others.push(item.calendar);
        else day.set(item.id, { ...item, others: [] });
      }
    }
    return [...days].map(([day, items]) => ({ day, items: [...items.values()].sort(byStart) }));
  }

  render() {
    if (!this.columns.length) return nothing;
    if (this.#drawn !== this.columns) this.#most = MOST;
    this.#drawn = this.columns;
    let left = this.#most;
    const days = this.days;
    const all = days.reduce((sum, { items }) => sum + items.length, 0);
    return html`<div class="agenda" aria-busy=${!this.diary.loaded}>
      ${repeat(
        days,
        ({ day }) => day,
        ({ day, items }) => {
          const shown = items.slice(0, Math.max(0, left));
          left -= items.length;
          return shown.length || !items.length ? this.#day(day, shown) : nothing;
        },
      )}
      ${all > this.#most ? html`<button type="button" @click=${() => this.#more()}>${text("calendar.show_more", { count: all - this.#most })}</button>` : nothing}
    </div>`;
  }

  #more() {
    this.#most += MOST;
    this.requestUpdate();
  }

  /** @param {string} day @param {Entry[]} items */
  #day(day, items) {
    return html`<section aria-labelledby=${`day-${day}`}>
      <h3 id=${`day-${day}`}>${longDay(day)}</h3>
      ${
        items.length
          ? html`<ul>${repeat(
              items,
              ({ id }) => id,
              (item) => this.#entry(item),
            )}</ul>`
          : html`<p class="muted">${this.diary.loaded ? text("calendar.nothing") : text("common.loading")}</p>`
      }
    </section>`;
  }

  /** @param {Entry} item */
  #entry(item) {
    const { id, kind, start, end, visit, note } = item;
    const where = [item.calendar, ...item.others].map(this.nameOf).join(", ");
    const when = html`<span class="time">${span(start, end, this.zone)}</span>`;
    if (kind === "block" || !visit) {
      return html`<li class="entry block" data-key=${id}><button type="button" class="open" @click=${() => this.tell("hf-open", item)}>${when} <span class="type" dir="auto">${note || text("calendar.time_off")}</span>
        <span class="muted where" dir="auto">${where}</span></button></li>`;
    }
    const type = this.typeOf(visit);
    const [next] = this.books ? movesOf(visit) : [];
    return html`<li class="entry visit" data-key=${id} data-status=${visit.status} ?data-now=${start <= serverNow() && serverNow() < end}>
      <button type="button" class="open" @click=${() => this.tell("hf-open", item)}>${when} <span class="type">${type}</span> <span class="patient" dir="auto">${this.patientOf(visit)}</span>
        <span class="muted where" dir="auto">${where}</span> <span class="status">${item.saving ? text("calendar.saving") : statusOf(visit)}</span></button>
      ${next ? html`<button type="button" class="step" aria-label=${`${moveName(next)}, ${span(start, end, this.zone)} ${type}`} @click=${(/** @type {MouseEvent} */ { detail }) => detail > 1 || this.tell("hf-step", { id, move: next })}>${moveName(next)}</button>` : nothing}
    </li>`;
  }

  willUpdate() {
    const step = document.activeElement?.closest("hf-agenda .step");
    this.#stepping = /** @type {HTMLElement | null | undefined} */ (step?.parentElement)?.dataset.key;
  }

  updated() {
    if (!this.columns.length) return;
    if (this.#stepping && !this.contains(document.activeElement)) // there is no next step
      /** @type {HTMLElement | null} */ (this.querySelector(`[data-key="${this.#stepping}"] .open`))?.focus();
    const ids = [...this.querySelectorAll('.visit:not([data-status="held"])')].map(
      (entry) => /** @type {HTMLElement} */ (entry).dataset.key ?? "",
    );
    this.tell("hf-look", ids.slice(-MOST));
  }
}

customElements.define("hf-agenda", HfAgenda);

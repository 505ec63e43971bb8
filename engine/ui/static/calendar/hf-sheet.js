// @ts-check
/** `<hf-sheet>`: what is on show as a list on paper: a table for each day and calendar, and nothing of the page. */

import { html, nothing } from "../vendor/lit.js";
import { text } from "../texts.js";
import { Part } from "./part.js";
import { hoursOf } from "./sheet.js";
import { longDay, span, statusOf } from "./words.js";

const PATIENCE_MS = 4_000; // for names that are on their way
const LOOK_MS = 100;

export class HfSheet extends Part {
  #printing = false;

  connectedCallback() {
    super.connectedCallback();
    // The browser's own print command comes without a warning: what is known then is printed.
    addEventListener("beforeprint", () => {
      this.#printing = true;
      this.requestUpdate();
      this.performUpdate();
    });
    addEventListener("afterprint", () => {
      this.#printing = false;
      this.requestUpdate();
    });
  }

  /** Prints when the names are there, or soon. @param {import("../names.js").Names} names */
  async print(names) {
    names.show([
      ...new Set(
        this.columns
          .flatMap((column) => this.#visits(column))
          .filter(({ visit }) => visit)
          .map(({ id }) => id),
      ),
    ]);
    const until = performance.now() + PATIENCE_MS;
    while (performance.now() < until && names.waiting) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    window.print();
  }

  /** @param {import("./layout.js").Column} column */
  #visits = (column) => this.diary.itemsIn(column.calendar, column).filter(({ visit }) => visit?.status !== "held");

  render() {
    if (!this.#printing || !this.diary) return nothing;
    const busy = this.columns.filter((column) => this.#visits(column).length);
    return (busy.length ? busy : this.columns.slice(0, 1)).map((column) => {
      const items = this.#visits(column);
      return html`<section class="paper"><h2><span dir="auto">${this.nameOf(column.calendar)}</span>, ${longDay(column.day)}</h2>
        <p>${hoursOf(this.diary, column, this.zone)}</p>
        ${
          items.length
            ? html`<table><thead><tr>${["time", "patient", "visit_type", "status"].map((key) => html`<th scope="col">${text(`calendar.${key}`)}</th>`)}</tr></thead>
          <tbody>${items.map((item) => this.#row(item))}</tbody></table>`
            : html`<p>${text("calendar.nothing")}</p>`
        }</section>`;
    });
  }

  /** @param {import("./diary.js").Item} item */
  #row({ start, end, visit, note }) {
    const time = span(start, end, this.zone);
    if (!visit) return html`<tr><td>${time}</td><td></td><td dir="auto">${note || text("calendar.time_off")}</td><td></td></tr>`;
    return html`<tr><td>${time}</td><td dir="auto">${this.patientOf(visit)}</td><td>${this.typeOf(visit)}</td><td>${statusOf(visit)}</td></tr>`;
  }
}

customElements.define("hf-sheet", HfSheet);

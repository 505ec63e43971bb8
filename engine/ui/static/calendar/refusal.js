// @ts-check
/** A no, explained: every conflict, the nearest times that would do, and, where the rules may be set aside, the place for the reason. */

import { html, nothing } from "../vendor/lit.js";
import { sentence, text } from "../texts.js";
import { dayOf } from "../time.js";
import { shortDay, span } from "./words.js";

/** @typedef {import("./changes.js").Refusal} Refusal */
/** @typedef {import("./changes.js").Place} Place */

const REASON = { least: 3, most: 200 };

/**
 * @typedef {{zone: string, nameOf: (calendar: string) => string, wanted: Place, choose: (place: Place) => void, override: (reason: string) => void}} How
 */

/** @param {Refusal} refusal @param {How} how */
export function explained({ code, conflicts, alternatives }, how) {
  const { zone, nameOf } = how;
  const mayOverride = conflicts.length > 0 && conflicts.every(({ overridable }) => overridable);
  return html`<div class="problem refusal" role="alert">
    ${
      conflicts.length
        ? html`<ul>${conflicts.map((conflict) => html`<li>${saying(conflict, { zone, nameOf })}</li>`)}</ul>`
        : html`<p>${sentence(code)}</p>`
    }
    ${alternatives.length ? html`<h3>${text("calendar.nearest")}</h3>` : nothing}
    <div class="choices">${alternatives.map((one) => choice(one, how))}</div>
    ${mayOverride ? form(how.override) : nothing}
  </div>`;
}

/** What is as it was wanted is not said again. @param {import("./changes.js").Alternative} one @param {How} how */
function choice(one, { zone, nameOf, wanted, choose }) {
  const place = { calendar: one.calendar, start: Date.parse(one.start), end: Date.parse(one.end) };
  const day = dayOf(place.start, zone);
  const time = `${day === dayOf(wanted.start, zone) ? "" : `${shortDay(day)}, `}${span(place.start, place.end, zone)}`;
  const name = place.calendar === wanted.calendar ? nothing : html` <span dir="auto">${nameOf(place.calendar)}</span>`;
  return html`<button type="button" @click=${() => choose(place)}>${time}${name}</button>`;
}

/** @param {import("./changes.js").Conflict} conflict @param {{zone: string, nameOf: (calendar: string) => string}} how */
function saying({ reason, calendar, start, end }, { zone, nameOf }) {
  const when = start && end ? ` ${span(Date.parse(start), Date.parse(end), zone)}` : "";
  return html`${text(`calendar.conflict_${reason}`)}<span class="muted" dir="auto"> ${nameOf(calendar)}${when}</span>`;
}

/** @param {(reason: string) => void} override */
const form = (override) => html`<form class="override" @submit=${(/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  event.stopPropagation();
  const reason = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get("reason")).trim();
  if (reason.length >= REASON.least) override(reason);
}}>
  <p class="field"><label for="override-reason">${text("calendar.override_reason")}</label>
    <input id="override-reason" name="reason" required minlength=${REASON.least} maxlength=${REASON.most} autocomplete="off"></p>
  <button class="danger">${text("calendar.override")}</button>
</form>`;

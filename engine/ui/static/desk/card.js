// @ts-check
/** One visit on the board: who comes when for what to whom, how long they wait, and the next steps, each one tap. */

import { serverNow } from "../api.js";
import { text } from "../texts.js";
import { clock } from "../time.js";
import { html, nothing } from "../vendor/lit.js";
import { isLong, lateBy, stepsOf, waitedFor } from "./columns.js";

/** @typedef {import("./columns.js").Visit} Visit */

const BUTTONS = 2; // the others are in the dialog, and have their letters

/**
 * @param {Visit} visit
 * @param {{clinic: import("./clinic.js").Clinic, name: string, isCurrent: boolean, isMoving: boolean}} given  `isCurrent`: it is the
 *   one card of the board that Tab goes to; `name`: of the patient, as far as it is known
 */
export function card(visit, { clinic, name, isCurrent, isMoving }) {
  const late = lateBy(visit, serverNow());
  const waited = waitedFor(visit, serverNow());
  const reachable = isCurrent ? "0" : "-1";
  return html`<button type="button" class="open" data-visit=${visit.id} tabindex=${reachable}>
      <span class="when">${clock(Date.parse(visit.start), clinic.zone)}</span>
      <strong dir="auto">${name || text("desk.patient")}</strong>
      <span>${clinic.typeOf(visit)?.name ?? text("desk.visit")}</span>
      <span class="muted">${placeOf(visit, clinic)}</span>
      ${late === undefined ? nothing : html`<span class="mark late">${text("desk.late_by", { count: late })}</span>`}
      ${
        waited === undefined
          ? nothing
          : html`<span class="mark ${isLong(waited) ? "long" : ""}"
              >${text(isLong(waited) ? "desk.waits_long" : "desk.waits", { count: waited })}</span
            >`
      }
    </button>
    <p class="steps-of-card">
      ${stepsOf(visit)
        .slice(0, BUTTONS)
        .map(
          (step) =>
            html`<button
              type="button"
              data-step=${step}
              data-visit=${visit.id}
              tabindex=${reachable}
              aria-disabled=${String(isMoving || !clinic.reachable)}
              aria-label="${text(`desk.step_${step}`)}, ${title(visit, clinic, name)}"
            >
              ${text(`desk.step_${step}`)}
            </button>`,
        )}
    </p>`;
}

/** "9:00 AM Rosa Marín" @param {Visit} visit @param {import("./clinic.js").Clinic} clinic @param {string} name */
export const title = (visit, clinic, name) =>
  `${clock(Date.parse(visit.start), clinic.zone)} ${name || (clinic.typeOf(visit)?.name ?? text("desk.visit"))}`;

/** With whom, where, how. @param {Visit} visit @param {import("./clinic.js").Clinic} clinic */
export function placeOf(visit, clinic) {
  const [calendar, room] = [clinic.calendarOf(visit), clinic.roomOf(visit)];
  const modality = visit.modality ?? onlyOne(clinic.typeOf(visit)?.modalities);
  const parts = [
    calendar?.name,
    room !== calendar && room?.name,
    modality !== "in_person" && modality && text(`desk.modality_${modality}`),
  ];
  return parts.filter(Boolean).join(" · ");
}

/** @param {string[]} [all] */
const onlyOne = (all) => (all?.length === 1 ? all[0] : undefined);

// @ts-check
/** What happened to a visit: what, when, by whom, and why where somebody said so. */

import { get } from "../api.js";
import { has, text } from "../texts.js";
import { clock, dayName, dayOf } from "../time.js";
import { html, nothing } from "../vendor/lit.js";

/** @typedef {{event: string, at: string, by: string, reason?: string, override?: string}} Entry */

const SHORT_DAY = /** @type {const} */ ({ month: "short", day: "numeric" });

/** Who works here, by person; only some roles may know. @type {Map<string, string>} */
const colleagues = new Map();

/** Reads the names of the colleagues where the reader's role allows it. */
export async function meetColleagues() {
  const { items } = await get("/members?limit=500", { base: "/api/auth/v1" });
  for (const { person, name } of items) colleagues.set(person, name);
}

/** @param {Entry[] | undefined} entries @param {{clinic: import("./clinic.js").Clinic, subject: string}} given */
export function history(entries, { clinic, subject }) {
  const shown = entries?.filter(({ event }) => has(`desk.happened_${event.replace("appointment.", "")}`));
  return html`<section class="history" aria-labelledby="history-title" aria-busy=${String(!shown)}>
    <h3 id="history-title">${text("desk.history")}</h3>
    <ol>
      ${shown?.map(
        ({ event, at, by, reason, override }) =>
          html`<li>
            <span class="muted">${moment(at, clinic.zone)}</span>
            <span>${text(`desk.happened_${event.replace("appointment.", "")}`)}, <span dir="auto">${who(by, subject)}</span></span>
            ${(override ?? reason) ? html`<q dir="auto">${override ?? reason}</q>` : nothing}
          </li>`,
      )}
    </ol>
  </section>`;
}

/** @param {string} at @param {string} zone */
const moment = (at, zone) => `${dayName(dayOf(Date.parse(at), zone), SHORT_DAY)} ${clock(Date.parse(at), zone)}`;

/** @param {string} by @param {string} subject */
function who(by, subject) {
  if (by === subject) return text("desk.you");
  if (has(`desk.by_${by}`)) return text(`desk.by_${by}`);
  return colleagues.get(by) ?? text(/^[0-9a-f-]{36}$/.test(by) ? "desk.by_colleague" : "desk.by_program", { name: by });
}

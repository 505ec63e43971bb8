// @ts-check
/** A new patient's details, typed while they are on the telephone; they leave the page sealed. Told as the event `details`. */

import { canSeal, forget, seal } from "../sealing.js";
import { language, text } from "../texts.js";
import { LitElement, html, nothing } from "../vendor/lit.js";

const FIELDS = /** @type {const} */ ([
  { id: "name", type: "text", required: true, maxlength: 200 },
  { id: "phone", type: "tel", required: true, maxlength: 40 },
  { id: "date_of_birth", type: "date", required: false, maxlength: 10 },
  { id: "email", type: "email", required: false, maxlength: 254 },
]);
const PHONE = "[0-9+\\(\\)\\. x\\/\\-]{5,}";

export class NewPatient extends LitElement {
  /** What was typed into the search. */ name = "";
  /** @type {import("./clinic.js").Clinic | undefined} */ clinic;

  createRenderRoot() {
    return this;
  }

  /** Nothing of it stays in the page. */
  forget() {
    forget();
    this.querySelector("form")?.reset();
  }

  render() {
    if (!canSeal) return html`<p class="problem">${text("desk.cannot_seal")}</p>`;
    return html`<form class="stack" autocomplete="off" @submit=${this.#submitted}>
      ${FIELDS.map(
        ({ id, type, required, maxlength }) =>
          html`<p class="field">
            <label for="new-${id}">${text(`desk.new_${id}`)}</label>
            <input
              id="new-${id}"
              name=${id}
              type=${type}
              dir="auto"
              ?required=${required}
              maxlength=${maxlength}
              pattern=${type === "tel" ? PHONE : nothing}
              title=${type === "tel" ? text("desk.phone_form") : nothing}
              .value=${id === "name" ? this.name : ""}
            />
          </p>`,
      )}
      <button class="primary">${text("desk.next")}</button>
    </form>`;
  }

  /** @param {SubmitEvent} event */
  #submitted(event) {
    event.preventDefault();
    const typed = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const given = [...typed].map(([name, value]) => [name, String(value).trim()]).filter(([, value]) => value);
    const details = { ...Object.fromEntries(given), language, zone: this.clinic?.zone };
    this.dispatchEvent(new CustomEvent("details", { detail: details }));
  }
}

/** The sealed patient of a booking. @param {object} details */
export const sealed = async (details) => ({ sealed: await seal(details) });

customElements.define("desk-new-patient", NewPatient);

// @ts-check
/** The form for the patient's details: what is wrong is said at its field, and the first of them gets the focus. */

import { byId, make } from "./dom.js";

/** @type {Record<string, string>} */
const FIELDS = {
  name: "Please enter your full name.",
  email: "Please enter an email address like name@example.org.",
  phone: "Please enter a phone number, digits are enough.",
  date_of_birth: "Please enter your date of birth.",
  state: "Please choose the state you will be in.",
};

/** @param {string} id */
export const isField = (id) => id in FIELDS;

/** The body that confirms a hold. */
export function details() {
  const { state, ...patient } = Object.fromEntries(Object.keys(FIELDS).map((id) => [id, field(id).value.trim()]));
  return { patient, state };
}

/** Whether everything is there; where not, says so. */
export function checkFields() {
  const wrong = Object.keys(FIELDS).filter((id) => !mark(id));
  if (wrong.length) field(wrong[0]).focus();
  return wrong.length === 0;
}

/** The server did not take what is in this field. @param {string} id */
export function askAgain(id) {
  mark(id, true);
  field(id).focus();
}

/** @param {string} id */
const field = (id) => /** @type {HTMLInputElement | HTMLSelectElement} */ (byId(id));

/** @param {string} id @param {boolean} [wrong] */
function mark(id, wrong = !field(id).checkValidity()) {
  const input = field(id);
  const note = input.parentElement?.querySelector(".wrong");
  input.setAttribute("aria-invalid", String(wrong));
  if (!wrong) {
    note?.remove();
    input.removeAttribute("aria-describedby");
  } else if (!note) {
    input.after(make("span", { className: "wrong", id: `${id}-wrong` }, FIELDS[id]));
    input.setAttribute("aria-describedby", `${id}-wrong`);
  }
  return !wrong;
}

byId("patient").addEventListener("change", ({ target }) => {
  const { id } = /** @type {HTMLElement} */ (target);
  if (field(id).getAttribute("aria-invalid") === "true") mark(id);
});

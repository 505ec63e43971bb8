// @ts-check
/**
 * The form for the patient's details: what is wrong is said at its field, and the first of them gets the focus. What is typed
 * leaves the page sealed to a key that only the service of records has: whatever is between, our own booking included, cannot
 * read it.
 */

import { get } from "./api.js";
import { byId, make } from "./dom.js";
import { visitorZone } from "./time.js";
import { CompactEncrypt } from "./vendor/jose.js";

const SEALED_AS = { alg: "ECDH-ES", enc: "A256GCM", typ: "healthflow-patient+jwe" };

/** Browsers seal only in pages that came over TLS, or from this very machine; then nothing is typed that could not be. */
export const canSeal = globalThis.crypto?.subtle !== undefined;

/** The last envelope: asking again has to send the same one, else it were another request. */
let last = { text: "", kid: "", envelope: "" };

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
export async function details() {
  const typed = Object.fromEntries(Object.keys(FIELDS).map((id) => [id, field(id).value.trim()]));
  const language = navigator.language.slice(0, 2).toLowerCase();
  const sealed = await seal(JSON.stringify({ ...typed, language, zone: visitorZone }));
  return { patient: { sealed }, state: typed.state };
}

/** Nothing of it stays in the page. */
export function forgetDetails() {
  last = { text: "", kid: "", envelope: "" };
  /** @type {HTMLFormElement} */ (byId("patient")).reset();
}

/** @param {string} text */
async function seal(text) {
  const { keys } = await get("/sealing-keys", { asPatient: true });
  const { kid } = keys[0];
  if (last.text !== text || last.kid !== kid) {
    const sealing = new CompactEncrypt(new TextEncoder().encode(text)).setProtectedHeader({ ...SEALED_AS, kid });
    last = { text, kid, envelope: await sealing.encrypt(keys[0]) };
  }
  return last.envelope;
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

// @ts-check
/**
 * The form for the patient's details: what is wrong is said at its field, and the first of them gets the focus. What is typed
 * leaves the page sealed.
 */

import { byId, make } from "../dom.js";
import { forget, seal } from "../sealing.js";
import { language, text } from "../texts.js";
import { currentZone } from "./zones.js";

const FIELDS = ["name", "email", "phone", "date_of_birth"];
const LONGEST_NAME = 200;
const CONTROL = /[\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069]+/g; // nobody's name; the text around keeps its direction
const PHONE = /^[0-9+(). x/-]{5,40}$/;
const FEWEST_DIGITS = 7;
const ZEROS = [..."٠۰०০"].map((zero) => zero.codePointAt(0) ?? 0); // Arabic, Persian, Devanagari and Bengali digits follow on these

/** @param {string} id */
export const isField = (id) => FIELDS.includes(id);

/** The body that confirms a hold. @param {string} state  where the patient will be, if it matters */
export async function details(state) {
  const typed = Object.fromEntries(FIELDS.map((id) => [id, valueOf(id)]));
  const sealed = await seal({ ...typed, ...(state && { state }), language, zone: currentZone() });
  return { patient: { sealed }, state };
}

/** What was sent stays as it is until its outcome is known. @param {boolean} locked */
export function lockDetails(locked) {
  for (const id of FIELDS) field(id).readOnly = locked; // a disabled one would lose the focus
}

/** Nothing of it stays in the page. */
export function forgetDetails() {
  forget();
  /** @type {HTMLFormElement} */ (byId("patient")).reset();
}

// --- the form --------------------------------------------------------------------------------------------------------------

/** Whether everything is there; where not, says so. */
export function checkFields() {
  const wrong = FIELDS.filter((id) => !mark(id));
  if (wrong.length) field(wrong[0]).focus();
  return wrong.length === 0;
}

/** The server did not take what is in this field. @param {string} id */
export function askAgain(id) {
  mark(id, true);
  field(id).focus();
}

/** The first field that still wants something. */
export const firstEmpty = () => FIELDS.map(field).find(({ value }) => !value);

/** @param {string} id */
const field = (id) => /** @type {HTMLInputElement} */ (byId(id));

/** @param {string} id */
const valueOf = (id) => (id === "phone" ? dialled(field(id).value) : field(id).value.replace(CONTROL, " ").trim());

/** A telephone number as it was pasted, in the signs that numbers are kept in: "٢١٢ 555 0100 ext. 3" is "212 555 0100 x3". @param {string} pasted */
export function dialled(pasted) {
  const digits = pasted.normalize("NFKC").replace(/\p{Nd}/gu, (digit) => {
    const code = digit.codePointAt(0) ?? 0;
    const zero = ZEROS.find((zero) => code >= zero && code < zero + 10);
    return zero === undefined ? digit : String(code - zero);
  });
  const extended = digits.replace(/(\d\D*?)\s*(?:extensi[oó]n|ext|x|#)[.:]?\s*(\d+)\D*$/i, "$1 x$2");
  return extended
    .replace(/\p{Pd}/gu, "-")
    .replace(/\s+/g, " ")
    .replace(/[^0-9+(). x/-]|x(?!\d)/g, "")
    .trim();
}

/** @param {string} id */
function isRight(id) {
  const value = valueOf(id);
  if (id === "phone") return PHONE.test(value) && value.replace(/x.*|\D/g, "").length >= FEWEST_DIGITS;
  if (id === "name") return value !== "" && [...value].length <= LONGEST_NAME;
  return field(id).checkValidity();
}

/** @param {string} id @param {boolean} [wrong] */
function mark(id, wrong = !isRight(id)) {
  const input = field(id);
  const note = input.parentElement?.querySelector(".wrong");
  input.setAttribute("aria-invalid", String(wrong));
  if (!wrong) {
    note?.remove();
    input.removeAttribute("aria-describedby");
  } else if (!note) {
    input.after(make("span", { className: "wrong", id: `${id}-wrong` }, text(`booking.wrong_${id}`)));
    input.setAttribute("aria-describedby", `${id}-wrong`);
  }
  return !wrong;
}

// While it is typed and not when the field is left: what moves up then would slip away under a click.
byId("patient").addEventListener("input", ({ target }) => {
  const { id } = /** @type {HTMLElement} */ (target);
  if (field(id).getAttribute("aria-invalid") === "true") mark(id);
});

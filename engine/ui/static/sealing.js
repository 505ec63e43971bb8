// @ts-check
/** Seals a patient's details to a key that only records has: what is between, our own booking included, cannot read them. */

import { get } from "./api.js";

/** Loaded beside the page and not before it: nobody needs it at once. */
const jose = () => import("./vendor/jose.js");
jose().catch(() => {}); // who needs it tries again

const SEALED_AS = { alg: "ECDH-ES", enc: "A256GCM", typ: "healthflow-patient+jwe" };

/** Browsers seal only in pages that came over TLS, or from this very machine. */
export const canSeal = globalThis.crypto?.subtle !== undefined;

/** The last envelope: asking again has to send the same one, else it were another request. */
let last = { text: "", kid: "", envelope: "" };

/** @param {object} details  as `PatientIn` of the API names them @returns {Promise<string>} */
export async function seal(details) {
  const text = JSON.stringify(details);
  const [{ CompactEncrypt }, { keys }] = await Promise.all([jose(), get("/sealing-keys", { asPatient: true })]);
  const { kid } = keys[0];
  if (last.text !== text || last.kid !== kid) {
    const sealing = new CompactEncrypt(new TextEncoder().encode(text)).setProtectedHeader({ ...SEALED_AS, kid });
    last = { text, kid, envelope: await sealing.encrypt(keys[0]) };
  }
  return last.envelope;
}

/** Nothing of it stays in the page. */
export function forget() {
  last = { text: "", kid: "", envelope: "" };
}

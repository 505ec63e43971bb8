// @ts-check
/**
 * Calls of the engine's API, and, with `base`, of another service's. A write carries an Idempotency-Key that stays the same until its outcome is known, so repeating it
 * by itself or by hand cannot do it twice.
 */

const BASE = "/api/engine/v1";
const PAUSES_MS = [300, 1_000, 2_500];
const LONGEST_WAIT_MS = 5_000;
const TIMEOUT_MS = 15_000;
const UNDECIDED_MS = 120_000; // who asks for the same much later means another one

/**
 * @typedef {{method?: string, body?: unknown, headers?: Record<string, string>, asPatient?: boolean, signal?: AbortSignal,
 *   waitS?: number, base?: string}} Options  `asPatient`: without the session of staff who look at a public page; `waitS`: the server may hold
 *   the request this long, and it is not repeated, because who asks that way asks again anyway
 */

/** An answer that is not a success. `code` is the contract's, `fields` the whole problem. */
export class Refused extends Error {
  /** @param {string} code @param {Record<string, any>} fields */
  constructor(code, fields = {}) {
    super(code);
    this.code = code;
    this.fields = fields;
  }
}

/** How far the server's clock is ahead of ours, in milliseconds, to the second. */
let ahead = 0;
export const serverNow = () => Date.now() + ahead;

/** What our last write was told of its place in the log, where reads go to replicas: nothing older is shown to us. */
let freshness = "";
const inOrder = (/** @type {string} */ place) => place.replace(/\w+/g, (part) => part.padStart(8, "0"));

/** Keys of the writes whose outcome is not known yet, and when they were last sent. @type {Map<string, {key: string, at: number}>} */
const undecided = new Map();

/** @param {string} path @param {Options} [options] @returns {Promise<any>} */
export const get = (path, options) => call(path, options);

/** A question whose words belong in no address. It changes nothing, so it needs no key. @param {string} path @param {unknown} body @param {Options} [options] @returns {Promise<any>} */
export const ask = (path, body, options) => call(path, { ...options, method: "POST", body });

/** @param {string} path @param {unknown} body @param {Options} [options] @returns {Promise<any>} */
export async function post(path, body, options = {}) {
  const [action, now] = [`${path} ${JSON.stringify(body)}`, Date.now()];
  // A hold is confirmed once, however long a phone was without a network meanwhile.
  for (const [old, { at }] of undecided) if (now - at > UNDECIDED_MS && !old.startsWith("/holds/")) undecided.delete(old);
  const key = undecided.get(action)?.key ?? randomKey();
  undecided.set(action, { key, at: now });
  try {
    const answer = await call(path, { ...options, method: "POST", body, headers: { ...options.headers, "Idempotency-Key": key } });
    undecided.delete(action);
    return answer;
  } catch (error) {
    if (!(error instanceof Refused && isUncertain(error))) undecided.delete(action);
    throw error;
  }
}

/** It was told how this appointment stands: what is asked for it from now on is a new act. @param {string} id */
export function decided(id) {
  for (const action of undecided.keys()) if (action.startsWith(`/appointments/${id}/`)) undecided.delete(action);
}

/** A write that may be sent twice: it says what shall be. @param {"PUT" | "PATCH" | "DELETE"} method @param {string} path @param {unknown} [body] @param {Options} [options] @returns {Promise<any>} */
export const send = (method, path, body, options) => call(path, { ...options, method, body });

/** Sent even while the page goes away; settled when it is answered, well or not. @param {string} path @param {Record<string, string>} headers */
export function remove(path, headers) {
  return fetch(BASE + path, { method: "DELETE", headers, keepalive: true, credentials: "omit" }).catch(() => {});
}

/** @param {string} path @param {Options} [options] */
async function call(path, options = {}) {
  const pauses = options.waitS === undefined ? PAUSES_MS : [];
  for (let repeats = 0; ; repeats++) {
    try {
      return await once(path, options);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (repeats && options.method === "DELETE" && error.code === "not_found") return null; // an earlier one did it
      const asked = (error.fields.retry_after ?? 0) * 1_000;
      // With a ticket one comes back oneself: without it the next place would be one further behind.
      const over = repeats === pauses.length || asked > LONGEST_WAIT_MS || error.fields.ticket;
      if (!isUncertain(error) || over) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.max(asked, pauses[repeats] * (0.5 + Math.random()))));
    }
  }
}

/** @param {string} path @param {Options} options */
async function once(path, { method = "GET", body, headers = {}, asPatient = false, signal, waitS = 0, base = BASE }) {
  const csrf = /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1];
  const timeout = AbortSignal.timeout(TIMEOUT_MS + 1_000 * waitS);
  let response;
  try {
    response = await fetch(base + path, {
      method,
      headers: {
        Accept: "application/json",
        ...(body !== undefined && { "Content-Type": "application/json" }),
        ...(method !== "GET" && !asPatient && csrf && { "X-CSRFToken": csrf }),
        ...(base === BASE && freshness && { Freshness: freshness }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: asPatient ? "omit" : "same-origin",
      cache: "no-store",
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    ahead = Date.parse(response.headers.get("Date") ?? "") - Date.now() || 0;
    const place = base === BASE ? (response.headers.get("Freshness") ?? "") : "";
    if (inOrder(place) > inOrder(freshness)) freshness = place;
    const answer = response.status === 204 ? null : await response.json();
    if (response.ok) return answer;
    throw new Refused(answer.code ?? "internal_error", answer);
  } catch (error) {
    if (error instanceof Refused || signal?.aborted) throw error;
    throw new Refused(response && !response.ok ? "internal_error" : "unavailable", { retryable: true });
  }
}

/** Whether it may have been done, or may be done if asked again. @param {Refused} error */
const isUncertain = (error) => error.fields.retryable === true;

const randomKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

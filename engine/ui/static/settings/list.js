// @ts-check
/** The things of one kind, each to be opened and changed in place, and one more to be added. */

import { html, nothing, repeat } from "../vendor/lit.js";
import "./form.js";
import { load, write } from "./clinic.js";

/**
 * @typedef {import("./form.js").Field} Field
 * @typedef {import("./form.js").Values} Values
 * @typedef {import("./clinic.js").Kind} Kind
 */

/** Writes changes under the revision that was seen. @param {Kind} kind @param {string} path */
export const saved = (kind, path) => (/** @type {Values} */ changes, /** @type {Values} */ seen) =>
  write(kind, `${path}/${seen.id}`, "PATCH", { revision: seen.revision, ...changes });

/** What the server has of one thing by now. @param {Kind} kind @param {string} id */
export const fresh = (kind, id) => async () => (await load(kind)).find((one) => one.id === id);

/**
 * @param {{kind: Kind, path: string, items: Values[], fields: (item: Values) => Field[], about: (item: Values) => string, note?: (item: Values) => unknown}} list
 */
export const items = ({ kind, path, items: shown, fields, about, note }) =>
  html`<div class="items">${repeat(
    shown,
    (item) => item.id,
    (item) => html`<details class="item">
      <summary><strong dir="auto">${item.name}</strong> <span class="muted">${about(item)}</span></summary>
      ${note?.(item) ?? nothing}
      <hf-form .fields=${fields(item)} .value=${item} .save=${saved(kind, path)} .fresh=${fresh(kind, item.id)}></hf-form>
    </details>`,
  )}</div>`;

/** @param {{title: string, action: string, fields: Field[], value: Values, save: (values: Values) => Promise<Values | void>}} added */
export const adding = ({ title, action, fields, value, save }) =>
  html`<details class="item add">
    <summary>${title}</summary>
    <hf-form .fields=${fields} .value=${value} .save=${save} action=${action}></hf-form>
  </details>`;

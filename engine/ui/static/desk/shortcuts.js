// @ts-check
/**
 * Single letters that do things: never while somebody types, never in a dialog, and only while they are switched on (WCAG 2.1.4).
 * The dialog lists them all.
 */

import { text } from "../texts.js";
import { html } from "../vendor/lit.js";
import { STEP_KEYS } from "./columns.js";
import { Dialog } from "./dialog.js";

const SWITCH = "healthflow-desk-letters"; // how this machine's people like it; nothing of a patient
const TYPED_INTO = "input, select, textarea, [contenteditable]";

/** @typedef {Record<string, {name: string, run: () => void}>} Shortcuts  by key */

export class ShortcutsDialog extends Dialog {
  /** @type {Shortcuts} */ shortcuts = {};
  #on = localStorage.getItem(SWITCH) !== "off";

  connectedCallback() {
    super.connectedCallback();
    document.addEventListener("keydown", (event) => this.#pressed(event));
  }

  /** Whether letters do something. */
  get on() {
    return this.#on;
  }

  get heading() {
    return text("desk.shortcuts");
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const { key, target } = event;
    if (!this.#on || event.repeat || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/** @type {Element} */ (target).matches(TYPED_INTO) || document.querySelector("dialog[open]")) return;
    const shortcut = this.shortcuts[key];
    if (!shortcut) return;
    event.preventDefault();
    shortcut.run();
  }

  content() {
    const change = (/** @type {Event} */ { target }) => {
      this.#on = /** @type {HTMLInputElement} */ (target).checked;
      if (this.#on) localStorage.removeItem(SWITCH);
      else localStorage.setItem(SWITCH, "off");
      this.dispatchEvent(new Event("desk-letters"));
    };
    const steps = Object.entries(STEP_KEYS).map(([step, key]) => [key, text(`desk.step_${step}`)]);
    return html`<label class="switch"
        ><input type="checkbox" .checked=${this.#on} @change=${change} /> <span>${text("desk.letters_on")}</span></label
      >
      <div class="row keys">
        <section aria-labelledby="keys-page">
          <h3 id="keys-page">${text("desk.keys_page")}</h3>
          ${list(Object.entries(this.shortcuts).map(([key, { name }]) => [key, name]))}
        </section>
        <section aria-labelledby="keys-card">
          <h3 id="keys-card">${text("desk.keys_card")}</h3>
          ${list([["← → ↑ ↓", text("desk.keys_arrows")], ["Enter", text("desk.keys_enter")], ...steps])}
        </section>
      </div>`;
  }
}

/** @param {string[][]} keys */
const list = (keys) =>
  html`<dl class="key-list">
    ${keys.map(
      ([key, name]) =>
        html`<div>
          <dt><kbd>${key}</kbd></dt>
          <dd>${name}</dd>
        </div>`,
    )}
  </dl>`;

customElements.define("desk-shortcuts", ShortcutsDialog);

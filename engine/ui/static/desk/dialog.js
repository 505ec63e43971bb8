// @ts-check
/** A modal dialog of the desk: its title gets read, Escape closes it, and the focus goes back to where it was. */

import { LitElement, html, nothing } from "../vendor/lit.js";
import { text } from "../texts.js";

export class Dialog extends LitElement {
  /** Something is under way. */
  busy = false;
  isOpen = false;
  /** Another one whenever it is opened or closed: an answer to what was asked before is none of its business. */ turn = 0;

  createRenderRoot() {
    return this;
  }

  /** What it is called now. @returns {unknown} */
  get heading() {
    return "";
  }

  /** What is in it now. @returns {unknown} */
  content() {
    return nothing;
  }

  /** Whatever was typed is forgotten. */
  closed() {}

  async open() {
    this.isOpen = true;
    this.turn++;
    this.requestUpdate();
    await this.updateComplete;
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  close() {
    this.#dialog?.close();
  }

  /** Draws all that is within, then moves the focus to the first that fits, or to the title. @param {string} selector */
  async focusOn(selector) {
    this.requestUpdate();
    await this.updateComplete;
    await Promise.all([...this.querySelectorAll("*")].map((one) => /** @type {Partial<LitElement>} */ (one).updateComplete));
    /** @type {HTMLElement | null} */ (this.querySelector(selector) ?? this.querySelector("h2"))?.focus();
  }

  render() {
    const id = `${this.localName}-title`;
    return html`<dialog aria-labelledby=${id} aria-busy=${String(this.busy)} @close=${this.#closed}>
      ${
        this.isOpen
          ? html`<div class="heading">
                <h2 id=${id} tabindex="-1">${this.heading}</h2>
                <button type="button" class="quiet" @click=${() => this.close()}>${text("common.close")}</button>
              </div>
              ${this.content()}
              <p class="progress muted" role="status" .textContent=${this.busy ? text("common.loading") : ""}></p>`
          : nothing
      }
    </dialog>`;
  }

  /** What is within is given what it shows, and told so. */
  updated() {
    for (const part of this.querySelectorAll("*")) /** @type {Partial<LitElement>} */ (part).requestUpdate?.();
  }

  /** @returns {HTMLDialogElement} */
  get #dialog() {
    return /** @type {HTMLDialogElement} */ (this.querySelector("dialog"));
  }

  /** @param {Event} event */
  #closed(event) {
    if (event.target !== this.#dialog) return; // one within
    this.isOpen = false;
    this.turn++;
    this.busy = false;
    this.closed();
    this.requestUpdate();
  }
}

// @ts-check
/** What all sections have in common: light DOM, drawn again when the clinic changes, and loaded when they are first shown. */

import { LitElement, html } from "../vendor/lit.js";
import { Refused } from "../api.js";
import { sentence, text } from "../texts.js";
import { changes } from "./clinic.js";

export class Section extends LitElement {
  static properties = { ready: { state: true }, problem: { state: true } };

  constructor() {
    super();
    this.ready = false;
    this.problem = "";
    changes.addEventListener("changed", () => this.requestUpdate());
  }

  createRenderRoot() {
    return this;
  }

  /** Loads what the section needs, the first time. */
  async open() {
    if (this.ready) return;
    this.problem = "";
    try {
      await this.load();
      this.ready = true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.problem = sentence(error.code);
    }
  }

  async load() {}

  /** What is shown when all is loaded. @returns {unknown} */
  content() {
    return "";
  }

  render() {
    if (this.problem) return html`<div class="problem" role="alert"><p>${this.problem}</p><button type="button" @click=${this.open}>${text("settings.try_again")}</button></div>`;
    return this.ready ? this.content() : html`<p class="muted loading" aria-busy="true">${text("common.loading")}</p>`;
  }
}

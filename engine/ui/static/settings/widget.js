// @ts-check
/** The booking widget: what to put into a site, how it will look there, and which sites may show it. */

import { html } from "../vendor/lit.js";
import { get } from "../api.js";
import { text } from "../texts.js";
import { slug } from "./clinic.js";
import { settingsForm } from "./rooms.js";
import { Section } from "./section.js";

const ACCENT = "#0b6e6e";
const SCHEMES = ["auto", "light", "dark"];

class Widget extends Section {
  static properties = { lang: { state: true }, accent: { state: true }, scheme: { state: true }, shown: { state: true }, news: { state: true } };

  constructor() {
    super();
    /** Empty for what the visitor's browser asks for. */ this.lang = "";
    this.accent = ACCENT;
    this.scheme = SCHEMES[0];
    this.shown = false;
    this.news = "";
  }

  async load() {
    this.settings = await get(`/clinics/${slug}/settings`);
  }

  /** The wishes that differ from what the widget does anyway. */
  get #wishes() {
    const wishes = { lang: this.lang, accent: this.accent === ACCENT ? "" : this.accent, scheme: this.scheme === SCHEMES[0] ? "" : this.scheme };
    return Object.entries(wishes).filter(([, value]) => value);
  }

  get #snippet() {
    const attributes = this.#wishes.map(([name, value]) => ` data-${name}="${value}"`).join("");
    return `<script src="${location.origin}/widget/v1/embed.js" data-clinic="${slug}"${attributes} async></script>`;
  }

  get #address() {
    return `/widget/v1/${slug}/?${new URLSearchParams(this.#wishes.map(([name, value]) => [name, value.replace("#", "")]))}`;
  }

  content() {
    const set = (/** @type {"lang" | "accent" | "scheme"} */ name) => (/** @type {Event} */ event) => {
      this[name] = /** @type {HTMLInputElement} */ (event.target).value;
      this.news = "";
    };
    return html`<p class="muted">${text("settings.widget_about")}</p>
      <div class="row">
        <p class="field"><label for="lang">${text("settings.text_language")}</label><select id="lang" @change=${set("lang")}>
          <option value="">${text("settings.visitors_language")}</option><option value="en">English</option><option value="es">Español</option></select></p>
        <p class="field"><label for="scheme">${text("settings.scheme")}</label><select id="scheme" @change=${set("scheme")}>
          ${SCHEMES.map((name) => html`<option value=${name}>${text(`settings.scheme_${name}`)}</option>`)}</select></p>
        <p class="field"><label for="accent">${text("settings.accent")}</label><input id="accent" type="color" .value=${this.accent} @change=${set("accent")} /></p>
      </div>
      <div class="field"><label for="snippet">${text("settings.snippet")}</label><textarea id="snippet" class="code" readonly rows="3" .value=${this.#snippet}></textarea></div>
      <div class="row actions"><button type="button" @click=${this.#copy}>${text("settings.copy_snippet")}</button>
        <a class="button" href="/book/${slug}/">${text("settings.full_page")}</a><span role="status" class="news">${this.news}</span></div>
      ${settingsForm([{ name: "widget_origins", type: "lines" }], /** @type {any} */ (this.settings))}
      <h3>${text("settings.widget_preview")}</h3>
      ${this.shown
        ? html`<iframe class="preview" src=${this.#address} title=${text("settings.widget_preview")}></iframe>`
        : html`<p><button type="button" @click=${() => (this.shown = true)}>${text("settings.show_preview")}</button></p>`}`;
  }

  async #copy() {
    await navigator.clipboard.writeText(this.#snippet);
    this.news = text("settings.copied_snippet");
  }
}

customElements.define("hf-widget", Widget);

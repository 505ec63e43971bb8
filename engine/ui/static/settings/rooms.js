// @ts-check
/** The clinic itself, its places, and the rooms and devices that visits take. */

import { html } from "../vendor/lit.js";
import { get, send } from "../api.js";
import { text } from "../texts.js";
import { kinds, loadRegions, states, zones } from "./choices.js";
import { all, load, slug, write } from "./clinic.js";
import { adding, items } from "./list.js";
import { calendarFields, emptyCalendar, visitsNote } from "./people.js";
import { Section } from "./section.js";

/** @typedef {import("./form.js").Field} Field @typedef {import("./form.js").Values} Values */

/** @param {Values} item @returns {Field[]} */
const placeFields = (item) => [
  { name: "name", required: true, maxlength: 200 },
  { name: "address", maxlength: 200 },
  { name: "city", maxlength: 100 },
  { name: "state", type: "select", options: states() },
  { name: "postal_code", maxlength: 12 },
  { name: "phone", type: "tel", maxlength: 40 },
  { name: "zone", type: "select", options: zones(item.zone) },
];

/** The settings of the clinic itself, by field. @param {Field[]} fields @param {Values} value */
export const settingsForm = (fields, value) =>
  html`<hf-form .fields=${fields} .value=${value} .save=${saveSettings} .fresh=${() => get(`/clinics/${slug}/settings`)}></hf-form>`;

/** @param {Values} changes @param {Values} seen */
const saveSettings = (changes, seen) => send("PATCH", `/clinics/${slug}/settings`, { revision: seen.revision, ...changes });

class Rooms extends Section {
  async load() {
    const [settings] = await Promise.all([get(`/clinics/${slug}/settings`), load("calendars"), load("locations"), loadRegions()]);
    /** @type {Values} */ this.settings = settings;
  }

  content() {
    const rooms = all("calendars").filter(({ kind }) => kind !== "practitioner");
    const names = new Map(kinds());
    const settings = /** @type {Values} */ (this.settings);
    return html`<h3>${text("settings.clinic")}</h3>
      ${settingsForm([{ name: "name", required: true, maxlength: 200 }, { name: "zone", type: "select", options: zones(settings.zone) }], settings)}
      <h3>${text("settings.places")}</h3>
      ${items({ kind: "locations", path: "/locations", items: all("locations"), fields: placeFields, about: (one) => [one.city, one.state].filter(Boolean).join(", ") })}
      ${adding({
        title: text("settings.add_place"),
        action: text("settings.add"),
        fields: placeFields({ zone: settings.zone }),
        value: { name: "", address: "", city: "", state: all("locations")[0]?.state ?? "NY", postal_code: "", phone: "", zone: settings.zone },
        save: (values) => write("locations", "/locations", "POST", values),
      })}
      <h3>${text("settings.rooms")}</h3>
      ${items({
        kind: "calendars",
        path: "/calendars",
        items: rooms,
        fields: calendarFields,
        about: (one) => [names.get(one.kind), one.active ? "" : text("settings.inactive")].filter(Boolean).join(" · "),
        note: visitsNote,
      })}
      ${adding({
        title: text("settings.add_room"),
        action: text("settings.add"),
        fields: [{ name: "kind", type: "select", options: kinds().slice(1) }, ...calendarFields({ kind: "room", zone: settings.zone })],
        value: emptyCalendar("room"),
        save: (values) => write("calendars", "/calendars", "POST", values),
      })}`;
  }
}

customElements.define("hf-rooms", Rooms);

// @ts-check
/** Who works in the clinic, and the calendars of those whom patients can book. */

import { html, nothing, repeat } from "../vendor/lit.js";
import { Refused, post, send } from "../api.js";
import { sentence, text } from "../texts.js";
import { loadRegions, named, regions, states, zones } from "./choices.js";
import { AUTH, all, load, write } from "./clinic.js";
import { adding, items } from "./list.js";
import { Section } from "./section.js";

/** @typedef {import("./form.js").Field} Field @typedef {import("./form.js").Values} Values */

const ROLES = ["practitioner", "front_desk", "clinic_admin", "billing", "auditor"];
/** @returns {[string, string][]} */
const roles = () => ROLES.map((name) => [name, text(`common.role_${name}`)]);

/** The fields of a calendar. @param {Values} item @returns {Field[]} */
export const calendarFields = (item) => [
  { name: "name", required: true, maxlength: 200 },
  ...(item.kind === "practitioner" ? [/** @type {Field} */ ({ name: "specialty", maxlength: 100 })] : []),
  { name: "zone", type: "select", options: zones(item.zone) },
  { name: "location", type: "select", options: named(all("locations"), text("settings.nowhere")) },
  { name: "holidays", type: "select", options: regions(item.holidays) },
  ...(item.kind === "practitioner"
    ? [/** @type {Field} */ ({ name: "join_url", type: "url", maxlength: 500 }), /** @type {Field} */ ({ name: "states", type: "checks", options: states(), ordered: true })]
    : []),
  ...(item.id ? [/** @type {Field} */ ({ name: "active", type: "check" })] : []),
];

/** What stays when a calendar is not bookable any more. @param {Values} item */
export const visitsNote = (item) =>
  item.future_visits ? html`<p class="muted">${text(item.active ? "settings.future_visits" : "settings.future_visits_stay", { count: item.future_visits })}</p>` : nothing;

/** @param {string} kind @returns {Values} */
export const emptyCalendar = (kind) => ({ kind, name: "", specialty: "", zone: zoneOfClinic(), location: all("locations")[0]?.id ?? "", holidays: "", join_url: "", states: [] });

const zoneOfClinic = () => all("calendars")[0]?.zone ?? "America/New_York";

class People extends Section {
  static properties = { leaving: { state: true }, news: { state: true } };

  constructor() {
    super();
    /** Whoever is about to be removed. @type {string | undefined} */ this.leaving = undefined;
    this.news = "";
  }

  async load() {
    await Promise.all([load("members"), load("calendars"), load("locations"), loadRegions()]);
  }

  content() {
    const practitioners = all("calendars").filter(({ kind }) => kind === "practitioner");
    return html`<h3>${text("settings.team")}</h3>
      <div class="items">${repeat(all("members"), ({ id }) => id, (member) => this.#member(member, practitioners))}</div>
      ${adding({
        title: text("settings.invite"),
        action: text("settings.invite_send"),
        fields: memberFields({ role: "practitioner" }, practitioners, true),
        value: { name: "", email: "", role: "front_desk", calendar: "" },
        save: invite,
      })}
      <p role="status" class="news">${this.news}</p>
      <h3>${text("settings.practitioners")}</h3>
      <p class="muted">${text("settings.practitioners_about")}</p>
      ${items({
        kind: "calendars",
        path: "/calendars",
        items: practitioners,
        fields: calendarFields,
        about: (one) => [one.active ? "" : text("settings.inactive"), one.specialty, one.states.join(" ")].filter(Boolean).join(" · "),
        note: visitsNote,
      })}
      ${adding({
        title: text("settings.add_practitioner"),
        action: text("settings.add"),
        fields: calendarFields({ kind: "practitioner", zone: zoneOfClinic() }),
        value: emptyCalendar("practitioner"),
        save: (values) => write("calendars", "/calendars", "POST", values),
      })}`;
  }

  /** @param {Values} member @param {Values[]} practitioners */
  #member(member, practitioners) {
    const calendar = practitioners.find(({ id }) => id === member.calendar)?.name;
    const asked = this.leaving === member.id;
    return html`<details class="item">
      <summary><strong dir="auto">${member.name}</strong> <span class="muted">${[text(`common.role_${member.role}`), calendar !== member.name && calendar].filter(Boolean).join(" · ")}</span></summary>
      <p class="muted">${member.email}</p>
      <hf-form .fields=${memberFields(member, practitioners)} .value=${member} .save=${changeMember}></hf-form>
      <div class="row">
        ${asked
          ? html`<p>${text("settings.remove_sure", { name: member.name })}</p>
              <button type="button" class="danger" @click=${() => this.#remove(member)}>${text("settings.remove")}</button>
              <button type="button" @click=${() => (this.leaving = undefined)}>${text("settings.cancel")}</button>`
          : html`<button type="button" class="quiet" @click=${() => (this.leaving = member.id)}>${text("settings.remove_member")}</button>`}
      </div>
    </details>`;
  }

  /** @param {Values} member */
  async #remove(member) {
    this.leaving = undefined;
    try {
      await send("DELETE", `/members/${member.id}`, undefined, { base: AUTH });
      this.news = text("settings.removed", { name: member.name });
      await load("members");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.news = error.code === "validation_failed" ? text("settings.last_admin") : sentence(error.code);
    }
  }
}

/** @param {Values} member @param {Values[]} practitioners @param {boolean} [invited] @returns {Field[]} */
const memberFields = (member, practitioners, invited = false) => [
  ...(invited ? [/** @type {Field} */ ({ name: "name", required: true, maxlength: 200 }), /** @type {Field} */ ({ name: "email", type: "email", required: true, maxlength: 254 })] : []),
  { name: "role", type: "select", options: roles() },
  ...(member.role === "practitioner" ? [/** @type {Field} */ ({ name: "calendar", type: "select", label: text("settings.own_calendar"), hint: text("settings.own_calendar_hint"), options: named(/** @type {any} */ (practitioners), text("settings.no_calendar")) })] : []),
];

/** @param {Values} changes @param {Values} seen */
async function changeMember(changes, seen) {
  const saved = await send("PATCH", `/members/${seen.id}`, changes, { base: AUTH });
  await load("members");
  return saved;
}

/** @param {Values} values */
async function invite({ name, email, role, calendar }) {
  await post("/invitations", { name, email, role, ...(role === "practitioner" && { calendar }) }, { base: AUTH });
}

customElements.define("hf-people", People);

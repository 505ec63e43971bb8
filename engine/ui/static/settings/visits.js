// @ts-check
/** What can be booked, and under which policy. */

import { html } from "../vendor/lit.js";
import { text } from "../texts.js";
import { kinds, modalities, named } from "./choices.js";
import { all, load, write } from "./clinic.js";
import { adding, items } from "./list.js";
import { Section } from "./section.js";

/** @typedef {import("./form.js").Field} Field @typedef {import("./form.js").Values} Values */

const PATH = "/visit-types";

/** @param {Values} item @returns {Field[]} */
const fields = (item) => [
  { name: "name", required: true, maxlength: 200 },
  ...(item.duration_minutes === null ? [] : [/** @type {Field} */ ({ name: "duration_minutes", type: "number", min: 1, max: 1439 })]),
  { name: "step_minutes", type: "number", min: 1, max: 1440 },
  { name: "before_minutes", type: "number", min: 0, max: 720 },
  { name: "after_minutes", type: "number", min: 0, max: 720 },
  { name: "modalities", type: "checks", options: modalities() },
  { name: "needs", type: "checks", options: kinds(), ordered: true },
  { name: "calendars", type: "checks", options: named(all("calendars").filter(({ active, id }) => active || item.calendars?.includes(id))) },
  ...(item.id ? [/** @type {Field} */ ({ name: "active", type: "check" })] : []),
];

/** @returns {Field[]} */
const policy = () => [
  { name: "notice_minutes", type: "number", min: 0, max: 525600 },
  { name: "change_notice_minutes", type: "number", min: 0, max: 525600 },
  { name: "horizon_days", type: "number", min: 1, max: 730 },
];

/** @param {number} minutes */
const length = (minutes) => (minutes % 60 || !minutes ? text("settings.minutes", { count: minutes }) : text("settings.hours_long", { count: minutes / 60 }));

class Visits extends Section {
  async load() {
    await Promise.all([load("visit-types"), load("calendars")]);
  }

  content() {
    const names = new Map(modalities());
    return html`<p class="muted">${text("settings.visits_about")}</p>
      ${items({
        kind: "visit-types",
        path: PATH,
        items: all("visit-types"),
        fields,
        about: (one) =>
          [one.duration_minutes === null ? text("settings.as_published") : length(one.duration_minutes), one.modalities.map((/** @type {string} */ name) => names.get(name)).join(", "), one.active ? "" : text("settings.inactive")]
            .filter(Boolean)
            .join(" · "),
      })}
      ${adding({
        title: text("settings.add_visit_type"),
        action: text("settings.add"),
        fields: fields({}),
        value: { name: "", duration_minutes: 30, step_minutes: 15, before_minutes: 0, after_minutes: 0, modalities: ["in_person"], needs: ["practitioner"], calendars: [] },
        save: (values) => write("visit-types", PATH, "POST", values),
      })}`;
  }
}

class Policy extends Section {
  async load() {
    await load("visit-types");
  }

  content() {
    return html`<p class="muted">${text("settings.policy_about")}</p>
      ${items({
        kind: "visit-types",
        path: PATH,
        items: all("visit-types").filter(({ active }) => active),
        fields: policy,
        about: (one) => text("settings.policy_short", { notice: length(one.notice_minutes), change: length(one.change_notice_minutes), days: one.horizon_days }),
      })}`;
  }
}

customElements.define("hf-visits", Visits);
customElements.define("hf-policy", Policy);

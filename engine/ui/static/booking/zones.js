// @ts-check
/**
 * The zone that times are shown in: the visitor's own until another one is chosen. Who travels is asked, and never moved without
 * a word: the time that somebody has in mind must stay the time on the screen.
 */

import { byId, make, write } from "../dom.js";
import { text } from "../texts.js";
import { sameClock, visitorZone, zoneName } from "../time.js";

const COMMON = [
  ...["America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles"],
  ...["America/Anchorage", "Pacific/Honolulu", "America/Puerto_Rico"],
];
const OTHER = "";

/** @type {string} */ let zone = visitorZone;
export const currentZone = () => zone;

/** Where the machine said that it is when it was last asked. */
let machine = visitorZone;

const select = /** @type {HTMLSelectElement} */ (byId("zone"));
const search = /** @type {HTMLInputElement} */ (byId("zone-search"));

/** @param {string} clinicZone @param {() => void} onChange */
export function offerZones(clinicZone, onChange) {
  const offered = [...new Set([visitorZone, clinicZone, ...COMMON])];
  select.replaceChildren(...offered.map(option), make("option", { value: OTHER }, text("booking.zone_other")));
  const choose = (/** @type {string} */ chosen) => {
    zone = chosen;
    if (![...select.options].some(({ value }) => value === zone)) select.prepend(option(zone));
    select.value = zone;
    askOther(false);
    onChange();
  };
  select.addEventListener("change", () => (select.value === OTHER ? askOther(true) : choose(select.value)));
  search.addEventListener("change", () => {
    const found = Intl.supportedValuesOf("timeZone").find(
      (name) => labelOf(name).toLowerCase() === search.value.trim().toLowerCase() || name === search.value,
    );
    byId("zone-wrong").hidden = found !== undefined;
    search.setAttribute("aria-invalid", String(found === undefined));
    if (found) choose(found);
  });
  document.addEventListener("visibilitychange", lookAround);
  byId("travel-yes").addEventListener("click", () => {
    byId("travel").hidden = true;
    choose(machine);
  });
  byId("travel-no").addEventListener("click", () => (byId("travel").hidden = true));
}

/** "Eastern Standard Time, New York" @param {string} name */
const labelOf = (name) =>
  `${zoneName(Date.now(), name)}, ${name
    .slice(name.indexOf("/") + 1)
    .replaceAll("_", " ")
    .replaceAll("/", ", ")}`;

/** @param {string} name */
const option = (name) => make("option", { value: name }, labelOf(name));

/** @param {boolean} wanted */
function askOther(wanted) {
  byId("zone-other").hidden = !wanted;
  if (!wanted) return;
  const list = byId("zones");
  if (!list.childElementCount)
    list.append(...Intl.supportedValuesOf("timeZone").map((name) => make("option", { value: labelOf(name) })));
  search.value = "";
  search.focus();
}

function lookAround() {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (document.hidden || here === machine) return;
  machine = here;
  const now = Date.now();
  if (here === zone || sameClock(now, here, zone)) return;
  write(byId("travel-text"), text("booking.travel", { zone: labelOf(here), old: labelOf(zone) }));
  byId("travel").hidden = false;
}

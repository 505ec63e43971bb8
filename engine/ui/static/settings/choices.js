// @ts-check
/** What can be chosen: zones, states, regions with public holidays, kinds and modalities, each as [value, name]. */

import { get } from "../api.js";
import { language, text } from "../texts.js";
import { byId } from "../dom.js";

/** @typedef {[string, string]} Option */

const ZONES = [
  ...["America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles", "America/Anchorage", "Pacific/Honolulu"],
  "America/Puerto_Rico",
];

/** The zones of the United States, and the one that is set if it is another. @param {string} [set] @returns {Option[]} */
export const zones = (set) => [...new Set([...ZONES, ...(set ? [set] : [])])].map((zone) => [zone, zone.replaceAll("_", " ")]);

/** @returns {Option[]} */
export const states = () => [.../** @type {HTMLTemplateElement} */ (byId("states")).content.querySelectorAll("option")].map((one) => [one.value, one.textContent ?? ""]);

/** @type {Option[]} */
let known = [];
const countries = new Intl.DisplayNames([language], { type: "region" });

/** The regions of the United States and all countries whose public holidays are known. */
export async function loadRegions() {
  if (known.length) return;
  const named = new Map(states());
  const { regions } = await get("/holidays");
  const ours = regions.filter((/** @type {string} */ one) => one.length === 2 || (one.startsWith("US-") && named.has(one.slice(3))));
  known = ours.map((/** @type {string} */ one) => [one, one.length === 2 ? (countries.of(one) ?? one) : `${countries.of("US")}: ${named.get(one.slice(3))}`]);
  known.sort(([a, first], [b, second]) => Number(!a.startsWith("US")) - Number(!b.startsWith("US")) || first.localeCompare(second));
}

/** @param {string} [set] @returns {Option[]} */
export const regions = (set) => {
  const others = set && !known.some(([one]) => one === set) ? /** @type {Option[]} */ ([[set, set]]) : [];
  return [["", text("settings.no_holidays")], ...known, ...others];
};

/** @returns {Option[]} */
export const kinds = () => [
  ["practitioner", text("settings.kind_practitioner")],
  ["room", text("settings.kind_room")],
  ["device", text("settings.kind_device")],
];

/** @returns {Option[]} */
export const modalities = () => [
  ["in_person", text("settings.in_person")],
  ["video", text("settings.video")],
  ["phone", text("settings.by_phone")],
];

/** @param {Iterable<{id: string, name: string}>} things @param {string} [none] @returns {Option[]} */
export const named = (things, none) => [...(none === undefined ? [] : /** @type {Option[]} */ ([["", none]])), ...[...things].map(({ id, name }) => /** @type {Option} */ ([id, name]))];

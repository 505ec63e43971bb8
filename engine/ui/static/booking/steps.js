// @ts-check
/**
 * The steps of a booking, one on show at a time. Each has an address in the history, so that Back and Forward go through them;
 * what was chosen and typed lives in the page alone, so a page that is loaded again begins with the first step.
 */

import { byId } from "../dom.js";

/** @typedef {"visit" | "state" | "with" | "when" | "details" | "done"} Step */

const NAMES = /** @type {Step[]} */ (["visit", "state", "with", "when", "details", "done"]);
const title = document.title;

/** @type {Step | undefined} */ let shown;
export const step = () => shown;

/** How many steps Back leads through before it leaves the page. */
let behind = 0;
export const isFirst = () => behind === 0;

/** Shows a step and makes it the next in the history; `instead`: in the place of the one that is there. @param {Step} name */
export function go(name, { instead = false } = {}) {
  if (!instead) behind += 1;
  history[instead ? "replaceState" : "pushState"]({ step: name, behind }, "", `#${name}`);
  show(name);
}

/** @param {Step} name */
export function show(name) {
  const first = shown === undefined;
  shown = name;
  for (const one of NAMES) byId(`step-${one}`).hidden = one !== name;
  const heading = byId(`${name}-title`);
  document.title = `${heading.textContent} · ${title}`;
  if (first) return; // who has just opened the page is at its beginning
  heading.focus({ preventScroll: true });
  byId("main").scrollIntoView();
}

/** @param {(name: Step) => void} moved  Back or Forward led to a step; it is not on show yet */
export function onMove(moved) {
  addEventListener("popstate", ({ state }) => {
    if (!NAMES.includes(state?.step)) return; // a link within the page
    behind = state.behind;
    moved(state.step);
  });
}

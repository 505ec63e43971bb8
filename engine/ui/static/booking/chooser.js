// @ts-check
/** Days and times to choose from, as buttons: for a new visit and for moving one. */

import { make, show } from "../dom.js";
import { text } from "../texts.js";
import { clock, dayName, dayOf } from "../time.js";

/** @typedef {import("./search.js").Slot} Slot */

export const WEEK_DAYS = 7;

/** "Thursday, November 26, 9:00 AM" @param {number} instant @param {string} zone */
export const moment = (instant, zone) => `${dayName(dayOf(instant, zone))}, ${clock(instant, zone)}`;

/** "Thu, Nov 26, 9:00 AM" @param {number} instant @param {string} zone */
export const shortMoment = (instant, zone) =>
  `${dayName(dayOf(instant, zone), { weekday: "short", month: "short", day: "numeric" })}, ${clock(instant, zone)}`;

/** @param {HTMLElement} list @param {string[]} days @param {{chosen: string, countOf: (day: string) => number}} how */
export function drawDays(list, days, { chosen, countOf }) {
  show(
    list,
    days,
    (day) => day,
    () => make("li", {}, make("button", { type: "button" }, make("span"), make("strong"), make("small"))),
    (element, day) => {
      const button = /** @type {HTMLButtonElement} */ (element.firstElementChild);
      const count = countOf(day);
      const [weekday, date, note] = button.children;
      weekday.textContent = dayName(day, { weekday: "short" });
      date.textContent = dayName(day, { month: "short", day: "numeric" });
      note.textContent = count ? text("times.free", { count }) : text("times.none");
      button.dataset.day = day;
      button.disabled = count === 0 && button !== document.activeElement; // which would lose the focus
      button.setAttribute("aria-pressed", String(day === chosen));
      button.setAttribute("aria-label", `${dayName(day)}, ${count ? text("times.free_times", { count }) : text("times.no_times")}`);
    },
  );
}

/**
 * A button for each slot. One that is taken keeps its place, so that nothing moves under a finger.
 * @param {HTMLElement} list @param {Slot[]} slots
 * @param {{labelOf: (slot: Slot) => string, noteOf?: (slot: Slot) => string, keyOf?: (slot: Slot) => string,
 *   isTaken?: (slot: Slot) => boolean, onTurn?: (label: string, taken: boolean) => void, onTake: (slot: Slot) => void}} how
 *   `onTurn`: the one that somebody is at was taken, or is free again
 */
export function drawSlots(
  list,
  slots,
  { labelOf, noteOf = () => "", keyOf = (slot) => slot.slot, isTaken = () => false, onTurn, onTake },
) {
  show(
    list,
    slots,
    keyOf,
    () => make("li", {}, make("button", { type: "button" })),
    (element, slot) => {
      const button = /** @type {HTMLButtonElement} */ (element.firstElementChild);
      const taken = isTaken(slot);
      const [label, note] = [labelOf(slot), taken ? text("times.taken") : noteOf(slot)];
      if (button.getAttribute("aria-disabled") === String(!taken) && button.matches(":focus, :hover")) onTurn?.(label, taken);
      button.setAttribute("aria-disabled", String(taken));
      if (button.textContent !== label + note) button.replaceChildren(label, make("small", { dir: "auto" }, note));
      button.onclick = () => void (taken || onTake(slot));
    },
  );
}

/** The second half of a double click is not for what the first one brought under the pointer. @param {HTMLElement} page */
export function heedFirstClicks(page) {
  /** @type {Element | null | undefined} */ let pressed;
  const heed = (/** @type {MouseEvent} */ event) => {
    const button = /** @type {Element} */ (event.target).closest("button, a");
    if (event.detail <= 1) pressed = button;
    else if (button !== pressed) {
      event.preventDefault();
      event.stopPropagation();
    }
  };
  page.addEventListener("click", heed, { capture: true });
}

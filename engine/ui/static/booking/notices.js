// @ts-check
/** What the page says of a chosen time, and of what went wrong with one: with other times to choose, wherever there are any. */

import { serverNow } from "../api.js";
import { byId, write } from "../dom.js";
import { text } from "../texts.js";
import { clock, sameClock, zoneName } from "../time.js";
import { drawSlots, moment, shortMoment } from "./chooser.js";
import { calendars, profile } from "./search.js";
import { modalityName } from "./wishes.js";
import { currentZone } from "./zones.js";

/** @typedef {import("./search.js").Slot} Slot */

/** @param {"details" | "done"} name  the step @param {import("./search.js").Wish} wish @param {Slot} slot */
export function describe(name, wish, slot) {
  const [zone, start] = [currentZone(), Date.parse(slot.start)];
  const [what, more] = /** @type {HTMLElement[]} */ ([...(byId(`step-${name}`).querySelector(".chosen")?.children ?? [])]);
  const type = profile.visit_types.find(({ id }) => id === wish.visitType);
  const there = { time: clock(start, profile.zone), zone: zoneName(start, profile.zone) };
  const place = sameClock(start, zone, profile.zone) ? zoneName(start, zone) : text("booking.at_clinic", there);
  write(what, moment(start, zone));
  write(more, [type?.name, calendars.get(slot.calendar)?.name, modalityName(slot.modality), place].filter(Boolean).join(" · "));
}

/** @param {string} told @param {{others?: Slot[], onTake?: (slot: Slot) => void, calm?: boolean}} [how]  calm: nothing went wrong */
export function say(told, { others = [], onTake = () => {}, calm = false } = {}) {
  const problem = byId("problem");
  const ahead = others.filter(({ start }) => Date.parse(start) > serverNow());
  drawSlots(byId("alternatives"), ahead, {
    keyOf: ({ start, calendar }) => start + calendar,
    labelOf: ({ start }) => shortMoment(Date.parse(start), currentZone()),
    noteOf: ({ calendar }) => calendars.get(calendar)?.name ?? "",
    onTake,
  });
  problem.classList.toggle("calm", calm);
  problem.hidden = false;
  write(/** @type {HTMLElement} */ (problem.firstElementChild), ahead.length ? `${told} ${text("times.others")}` : told);
  problem.scrollIntoView({ block: "nearest" });
  // Not while somebody types: the next key would press it.
  if (!byId("patient").contains(document.activeElement)) byId("alternatives").querySelector("button")?.focus();
}

export function quiet() {
  byId("problem").hidden = true;
  byId("alternatives").replaceChildren();
}

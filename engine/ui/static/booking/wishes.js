// @ts-check
/** The first questions: which visit, and with whom. Each answer says when it could be at the earliest, as long as that is true. */

import { serverNow } from "../api.js";
import { byId, make, show, write } from "../dom.js";
import { text } from "../texts.js";
import { addDays, clock, dayOf } from "../time.js";
import { shortMoment } from "./chooser.js";
import { peopleFor, visitTypes } from "./search.js";
import { currentZone } from "./zones.js";

/**
 * @typedef {import("./search.js").Slot} Slot
 * @typedef {import("./search.js").Wish} Wish
 * @typedef {{slots: Slot[], sure: boolean}} Firsts  `sure`: what is not among the slots has none
 * @typedef {{id: string, title: string, about: string, first?: Slot, onChoose: () => void}} Card
 */

/** Every kind of visit in every way that it is offered: one tap answers both. */
export const visits = visitTypes.flatMap((type) => type.modalities.map((modality) => ({ type, modality })));

/** @param {string} modality */
export const modalityName = (modality) => text(`times.${modality}`);

/** @param {Firsts} firsts @param {(visit: (typeof visits)[number]) => void} onChoose */
export function drawVisits({ slots, sure }, onChoose) {
  const cards = visits.map((visit) => {
    const { type, modality } = visit;
    const length = type.duration_minutes ? text("booking.minutes", { count: type.duration_minutes }) : "";
    return {
      id: `${type.id} ${modality}`,
      title: type.name,
      about: [modalityName(modality), length].filter(Boolean).join(", "),
      first: slots.find(({ visitType }) => visitType === type.id),
      onChoose: () => onChoose(visit),
    };
  });
  drawCards(byId("visits"), cards, { sure });
}

/** @param {Wish} wish @param {Firsts} firsts @param {(calendar: string, first?: Slot) => void} onChoose */
export function drawPeople(wish, { slots, sure }, onChoose) {
  const people = peopleFor(wish);
  const first = slots.at(0);
  const anyone = {
    id: "",
    title: text("times.anyone"),
    about: text("booking.anyone_help"),
    first,
    onChoose: () => onChoose("", first),
  };
  const cards = people.map(({ id, name, specialty }) => {
    const own = slots.find(({ calendar }) => calendar === id);
    return { id, title: name, about: specialty, first: own, onChoose: () => onChoose(id, own) };
  });
  drawCards(byId("people"), people.length ? [anyone, ...cards] : [], { sure });
  byId("nobody").hidden = people.length > 0;
}

/** @param {HTMLElement} list @param {Card[]} cards @param {{sure: boolean}} how */
function drawCards(list, cards, { sure }) {
  list.setAttribute("aria-busy", String(!sure));
  show(
    list,
    cards,
    ({ id }) => id,
    () =>
      make(
        "li",
        {},
        make("button", { type: "button", className: "card" }, make("strong", { dir: "auto" }), make("span"), make("small")),
      ),
    (element, { title, about, first, onChoose }) => {
      const button = /** @type {HTMLButtonElement} */ (element.firstElementChild);
      const [name, more, soonest] = /** @type {HTMLCollectionOf<HTMLElement>} */ (button.children);
      write(name, title);
      write(more, about);
      write(
        soonest,
        first ? text("booking.first", { when: soon(Date.parse(first.start)) }) : sure ? text("booking.first_none") : "…",
      );
      if (first) firstTimeIsVisible();
      button.onclick = onChoose;
    },
  );
}

/** "today, 3:30 PM" @param {number} instant */
function soon(instant) {
  const zone = currentZone();
  const [today, day] = [dayOf(serverNow(), zone), dayOf(instant, zone)];
  if (day === today) return text("booking.today", { time: clock(instant, zone) });
  if (day === addDays(today, 1)) return text("booking.tomorrow", { time: clock(instant, zone) });
  return shortMoment(instant, zone);
}

let marked = false;

/** Noted once, so that it can be measured. */
export function firstTimeIsVisible() {
  if (!marked) performance.mark("first-time");
  marked = true;
}

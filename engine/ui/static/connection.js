// @ts-check
/** What a page says of its connection: a mark that tells it at once, and, for what lasts, a banner that is read out once. */

import { byId, make, write } from "./dom.js";
import { sentence } from "./problems.js";
import { clock, visitorZone } from "./time.js";

/** @typedef {keyof typeof MARKS} Shown */

const LASTS_MS = 2_000;
const MARKS = {
  connecting: "Connecting",
  live: "Live",
  checked: "Checked", // not live, but looked at again and again
  behind: "Catching up",
  offline: "Offline",
  unauthenticated: "Signed out",
  forbidden: "Not available",
  not_found: "Not available",
};

/** @type {Shown} */ let shown = "connecting";
/** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;

/** @param {string} state @param {number} [at]  when what is on the page was last known to be true */
export function tell(state, at) {
  const next = /** @type {Shown} */ (state in MARKS ? state : "forbidden");
  const since = at === undefined ? "" : clock(at, visitorZone);
  const when = { checked: `at ${since}`, offline: since && `since ${since}` }[/** @type {"checked" | "offline"} */ (next)] ?? "";
  write(byId("connection"), `${MARKS[next]} ${when}`.trim());
  if (next === shown) return;
  shown = next;
  byId("connection").dataset.state = next;
  clearTimeout(timer);
  const text = bannerText(next, since);
  if (!text) return lower();
  timer = setTimeout(() => raise(text), byId("banner").hidden && !isFinal(next) ? LASTS_MS : 0);
}

/** @param {Shown} state */
const isFinal = (state) => ["unauthenticated", "forbidden", "not_found"].includes(state);

/** @param {Shown} state @param {string} since  a time, or nothing */
function bannerText(state, since) {
  if (state === "behind") return "Catching up. What you see may be a little behind.";
  if (state === "unauthenticated") return "You are signed out, so this page does not change any more.";
  if (isFinal(state)) return sentence(state);
  if (state !== "offline") return "";
  return since
    ? `Offline since ${since}. You see what was true then; this page comes right by itself when we are connected again.`
    : "We cannot be reached at the moment. We keep trying.";
}

/** @param {string} text */
function raise(text) {
  const banner = byId("banner");
  banner.hidden = false;
  banner.dataset.state = shown;
  banner.replaceChildren(text);
  if (shown === "unauthenticated") banner.append(" ", make("a", { href: `/login/?${new URLSearchParams({ next: location.pathname + location.search })}` }, "Sign in"));
  write(byId("connection-news"), text);
}

function lower() {
  const banner = byId("banner");
  if (!banner.hidden) write(byId("connection-news"), "Connected again.");
  banner.hidden = true;
}

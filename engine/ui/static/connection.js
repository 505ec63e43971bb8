// @ts-check
/** What a page says of its connection: a mark that tells it at once, and, for what lasts, a banner that is read out once. */

import { byId, make, write } from "./dom.js";
import { has, sentence, text } from "./texts.js";
import { clock, visitorZone } from "./time.js";

/** @typedef {"connecting" | "live" | "checked" | "behind" | "offline" | "unauthenticated" | "forbidden" | "not_found"} Shown */

const LASTS_MS = 2_000;

/** @type {Shown} */ let shown = "connecting";
/** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;

/** @param {string} state @param {number} [at]  when what is on the page was last known to be true */
export function tell(state, at) {
  const next = /** @type {Shown} */ (has(`connection.${state}`) ? state : "forbidden");
  const since = at === undefined ? "" : clock(at, visitorZone);
  write(byId("connection"), text(`connection.${next}${next === "offline" && since ? "_since" : ""}`, { time: since }));
  if (next === shown) return;
  shown = next;
  byId("connection").dataset.state = next;
  clearTimeout(timer);
  const banner = bannerText(next, since);
  if (!banner) return lower();
  timer = setTimeout(() => raise(banner), byId("banner").hidden && !isFinal(next) ? LASTS_MS : 0);
}

/** @param {Shown} state */
const isFinal = (state) => ["unauthenticated", "forbidden", "not_found"].includes(state);

/** @param {Shown} state @param {string} since  a time, or nothing */
function bannerText(state, since) {
  if (state === "behind") return text("connection.behind_banner");
  if (state === "unauthenticated") return text("connection.signed_out_banner");
  if (isFinal(state)) return sentence(state);
  if (state !== "offline") return "";
  return since ? text("connection.offline_banner", { time: since }) : text("connection.unreachable_banner");
}

/** @param {string} told */
function raise(told) {
  const banner = byId("banner");
  banner.hidden = false;
  banner.dataset.state = shown;
  banner.replaceChildren(told);
  if (shown === "unauthenticated") banner.append(" ", make("a", { href: `/login/?${new URLSearchParams({ next: location.pathname + location.search })}` }, text("common.sign_in")));
  write(byId("connection-news"), told);
}

function lower() {
  const banner = byId("banner");
  if (!banner.hidden) write(byId("connection-news"), text("connection.back"));
  banner.hidden = true;
}

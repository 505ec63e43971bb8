// @ts-check
/**
 * In a frame of another site: says how high the page is and that a visit was booked, and nothing else ever, to the one page that
 * greeted us. `embed.js` is at the other end.
 */

import { byId } from "../dom.js";

/** The page that has us in its frame. @type {string | undefined} */ let host;

addEventListener("message", ({ source, origin, data }) => {
  if (source !== parent || parent === window || data !== "healthflow:hello" || origin === "null") return;
  host = origin;
  tellHeight();
});

/** @param {"height" | "booked"} what @param {number} [value] */
export function tellHost(what, value) {
  if (host) parent.postMessage({ healthflow: what, value }, host);
}

const tellHeight = () => tellHost("height", Math.ceil(document.body.getBoundingClientRect().height));

new ResizeObserver(tellHeight).observe(document.body);

// The patient's own page cannot be in a frame: it opens beside it.
if (parent !== window) /** @type {HTMLAnchorElement} */ (byId("manage")).target = "_blank";

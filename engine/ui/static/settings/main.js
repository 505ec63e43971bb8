// @ts-check
/** The page /settings/: one section at a time, each at an address of its own; what was typed in the others stays. */

import { byId } from "../dom.js";
import "./files.js";
import "./hours.js";
import "./messages.js";
import "./people.js";
import "./rooms.js";
import "./visits.js";
import "./widget.js";

const links = /** @type {HTMLAnchorElement[]} */ ([...byId("sections").querySelectorAll("a")]);

/** Shows the section that the address names. @param {boolean} move  the focus goes there too */
function show(move) {
  const named = links.some(({ hash }) => hash === location.hash) ? location.hash : links[0].hash;
  for (const link of links) {
    const here = link.hash === named;
    const section = /** @type {HTMLElement} */ (document.querySelector(`[data-section="${link.hash.slice(1)}"]`));
    section.hidden = !here;
    if (here) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    if (!here) continue;
    /** @type {import("./section.js").Section} */ (section.lastElementChild).open();
    if (move) section.querySelector("h2")?.focus();
  }
}

addEventListener("hashchange", () => show(true));
show(false);

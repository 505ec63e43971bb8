// @ts-check
/** The look that the site around a widget asks for: light or dark, and its own accent, as far as it can be read. */

const READABLE = 4.5; // to one, WCAG 1.4.3
const STEP = 0.04;
const TINT = 0.12;

/** @typedef {[number, number, number]} Colour  red, green, blue, 0 to 255 */

const root = document.documentElement;
const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const { scheme = "auto", accent } = main.dataset;
const systemDark = matchMedia("(prefers-color-scheme: dark)");

/** @param {Colour} wished */
function paint(wished) {
  for (const name of ["--accent", "--on-accent", "--tint", "--booked"]) root.style.removeProperty(name);
  const style = getComputedStyle(root);
  const [ground, surface, ink] = ["--ground", "--surface", "--ink"].map((name) => colourOf(style.getPropertyValue(name)));
  const tint = mixed(surface, wished, TINT);
  const colour = readable(wished, [ground, surface, tint], ink);
  const white = /** @type {Colour} */ ([255, 255, 255]);
  set("--accent", colour);
  set("--booked", colour);
  set("--tint", tint);
  set("--on-accent", contrast(colour, white) >= READABLE ? white : [0, 0, 0]);
}

/** The colour, moved towards the ink until it can be read on all of these. @param {Colour} wished @param {Colour[]} grounds @param {Colour} ink */
export function readable(wished, grounds, ink) {
  for (let share = 0; share < 1; share += STEP) {
    const colour = mixed(wished, ink, share);
    if (grounds.every((ground) => contrast(colour, ground) >= READABLE)) return colour;
  }
  return ink;
}

/** @param {string} name @param {Colour} colour */
const set = (name, colour) => root.style.setProperty(name, `rgb(${colour.map(Math.round).join(" ")})`);

/** "#0b6e6e" or "0b6e6e" @param {string} hex @returns {Colour} */
function colourOf(hex) {
  const number = parseInt(hex.trim().replace("#", ""), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

/** @param {Colour} one @param {Colour} other @param {number} share  of the other @returns {Colour} */
const mixed = (one, other, share) => /** @type {Colour} */ (one.map((value, index) => value * (1 - share) + other[index] * share));

/** WCAG's relative luminance. @param {Colour} colour */
function luminance(colour) {
  const [red, green, blue] = colour.map((value) => (value <= 10 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** @param {Colour} one @param {Colour} other */
function contrast(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

if (scheme !== "auto") {
  root.style.colorScheme = scheme;
  for (const rule of [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]))
    if (rule instanceof CSSMediaRule && rule.conditionText === "(prefers-color-scheme: dark)")
      rule.media.mediaText = scheme === "dark" ? "all" : "not all";
}
if (accent) {
  paint(colourOf(accent));
  systemDark.addEventListener("change", () => paint(colourOf(accent)));
}

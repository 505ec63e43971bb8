// @ts-check
/** Tabs as people know them: one is in the order of Tab, the arrows, Home and End go to the others. */

import { html } from "../vendor/lit.js";

/**
 * The list; each panel has the id `<id>-<key>` and is labelled by `<id>-<key>-tab`.
 * @param {{id: string, label: string, tabs: {key: string, name: unknown}[], selected: string, select: (key: string) => void}} given
 */
export function tabList({ id, label, tabs, selected, select }) {
  /** @param {KeyboardEvent} event */
  const move = (event) => {
    const place = tabs.findIndex(({ key }) => key === selected);
    const next = nextPlace(event.key, place, tabs.length, event.currentTarget);
    if (next === undefined) return;
    event.preventDefault();
    select(tabs[next].key);
    document.getElementById(`${id}-${tabs[next].key}-tab`)?.focus();
  };
  return html`<div class="tab-list" role="tablist" aria-label=${label} @keydown=${move}>
    ${tabs.map(
      ({ key, name }) =>
        html`<button
          type="button"
          role="tab"
          id="${id}-${key}-tab"
          aria-controls="${id}-${key}"
          aria-selected=${String(key === selected)}
          tabindex=${key === selected ? "0" : "-1"}
          @click=${() => select(key)}
        >
          ${name}
        </button>`,
    )}
  </div>`;
}

/** @param {string} key @param {number} place @param {number} count @param {EventTarget | null} within */
function nextPlace(key, place, count, within) {
  const forward = getComputedStyle(/** @type {Element} */ (within)).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  if (key === "ArrowLeft" || key === "ArrowRight") return (place + (key === forward ? 1 : count - 1)) % count;
  return undefined;
}

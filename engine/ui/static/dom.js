// @ts-check
/** The little that both pages need of the document. Text only ever becomes a text node. */

/**
 * The element with this id.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export const byId = (id) => /** @type {T} */ (document.getElementById(id));

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Partial<HTMLElementTagNameMap[K]>} [properties]
 * @param {...(Node | string)} children
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

/** Sets a text; where it stays the same nothing happens, so that nothing is read out twice. @param {HTMLElement} element @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Makes the children of `parent` show `items`, in order. An element stays the same as long as its item does, so that focus and a
 * screen reader's place survive every change; the focus of one that goes away moves to its neighbour.
 * @template T
 * @param {HTMLElement} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {() => HTMLElement} create
 * @param {(element: HTMLElement, item: T) => void} update
 */
export function show(parent, items, keyOf, create, update) {
  const old = new Map(/** @type {HTMLElement[]} */ ([...parent.children]).map((child) => [child.dataset.key, child]));
  const focused = [...parent.children].findIndex((child) => child.contains(document.activeElement));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const element = old.get(key) ?? create();
    old.delete(key);
    element.dataset.key = key;
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const element of old.values()) element.remove();
  if (focused >= 0 && !parent.contains(document.activeElement)) {
    const neighbour = parent.children[Math.min(focused, parent.children.length - 1)];
    /** @type {HTMLElement | null | undefined} */ (neighbour?.querySelector("button, a"))?.focus();
  }
}

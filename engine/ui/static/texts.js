// @ts-check
/** The messages of this page in its language, as the server put them into it (`engine/ui/texts/`). */

/** @typedef {string | Partial<Record<Intl.LDMLPluralRule, string>>} Message  by number where it has a `{count}` */

export const language = document.documentElement.lang;

/** @type {Record<string, Record<string, Message>>} */
const areas = JSON.parse(document.getElementById("texts")?.textContent ?? "{}");
const plural = new Intl.PluralRules(language);

/**
 * The message "area.key" with its places filled in. A key that there is not is a fault of ours, and shows as itself.
 * @param {string} key @param {Record<string, string | number>} [values]
 */
export function text(key, values = {}) {
  const dot = key.indexOf(".");
  const message = areas[key.slice(0, dot)]?.[key.slice(dot + 1)] ?? key;
  const form = typeof message === "string" ? message : (message[plural.select(Number(values.count))] ?? message.other ?? key);
  return form.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** @param {string} key */
export const has = (key) => text(key) !== key;

/** One sentence for every code an answer can carry: what happened, and what to do now. @param {string | undefined} code */
export const sentence = (code) => text(has(`problems.${code}`) ? `problems.${code}` : "problems.internal_error");

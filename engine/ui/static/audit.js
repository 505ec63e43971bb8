// @ts-check
/** The auditor's search: one service at a time, newest first, a page at a time; and the same as a CSV file. */

import { byId, make, write } from "./dom.js";
import { sentence, text } from "./texts.js";
import { visitorZone } from "./time.js";

/** @typedef {Record<string, string> & {details: object}} Entry */

const COLUMNS = ["at", "actor", "role", "action", "object", "patient", "outcome", "address"];
const IN_FILE = ["id", ...COLUMNS, "session", "request_id", "details"];
const PAGE = 100;
const PAGE_IN_FILE = 500;
const MOST_IN_FILE = 50_000;
const FILTERS = ["from", "to", "actor", "patient", "object", "action", "outcome"];

const form = /** @type {HTMLFormElement} */ (byId("search"));
const service = /** @type {HTMLSelectElement} */ (byId("service"));
const table = byId("entries");
const older = /** @type {HTMLButtonElement} */ (byId("next"));
const save = /** @type {HTMLButtonElement} */ (byId("export"));
const when = new Intl.DateTimeFormat("en-CA", { dateStyle: "short", timeStyle: "medium", hourCycle: "h23" });

/** What is on show: its address, and where the next page begins. */
let shown = { address: "", next: /** @type {number | null} */ (null) };

/** The address that answers the form. */
function address() {
  const query = new URLSearchParams();
  for (const name of FILTERS) {
    const { value } = /** @type {HTMLInputElement} */ (form.elements.namedItem(name));
    if (value) query.set(name, name === "from" || name === "to" ? new Date(value).toISOString() : value.trim());
  }
  return `/api/${service.value}/v1/audit?${query}`;
}

/** @param {string} at @param {number} limit @param {number | null} cursor @returns {Promise<{items: Entry[], next: number | null}>} */
async function page(at, limit, cursor) {
  let response, answer;
  try {
    response = await fetch(`${at}&limit=${limit}${cursor === null ? "" : `&cursor=${cursor}`}`, { cache: "no-store" });
    answer = await response.json();
  } catch {
    throw new Error(text("audit.away", { service: service.selectedOptions[0].text }));
  }
  if (!response.ok) throw new Error(sentence(answer.code));
  return answer;
}

/** @param {Entry} entry */
function row(entry) {
  const cells = COLUMNS.map((name) => make("td", { textContent: entry[name] }));
  cells[0].replaceChildren(make("time", { dateTime: entry.at, textContent: when.format(new Date(entry.at)).replace(",", "") }));
  const line = make("tr", {}, ...cells);
  line.dataset.outcome = entry.outcome;
  return line;
}

/** @param {boolean} anew */
async function search(anew) {
  if (anew) shown = { address: address(), next: null };
  const asked = shown;
  const { items, next } = await page(asked.address, PAGE, asked.next);
  if (asked !== shown) return; // somebody searched anew meanwhile
  shown.next = next;
  if (anew) table.replaceChildren();
  table.append(...items.map(row));
  older.hidden = next === null;
  const count = table.childElementCount;
  write(byId("status"), count ? text(next === null ? "audit.count" : "audit.count_more", { count }) : text("audit.none"));
}

/** A field as a spreadsheet shows it and never computes it. @param {unknown} value */
function field(value) {
  const plain = typeof value === "object" ? JSON.stringify(value) : String(value);
  return `"${(/^[=+\-@\t\r]/.test(plain) ? `'${plain}` : plain).replaceAll('"', '""')}"`;
}

async function saveAsFile() {
  const at = address();
  const lines = [IN_FILE.map(field).join(",")];
  let next = null;
  do {
    const found = await page(at, PAGE_IN_FILE, next);
    for (const entry of found.items) lines.push(IN_FILE.map((name) => field(entry[name])).join(","));
    next = found.next;
    write(byId("status"), text("audit.read", { count: lines.length - 1 }));
  } while (next !== null && lines.length <= MOST_IN_FILE);
  const url = URL.createObjectURL(new Blob([lines.join("\r\n"), "\r\n"], { type: "text/csv" }));
  make("a", { href: url, download: `audit-${service.value}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  write(byId("status"), text(next === null ? "audit.saved" : "audit.saved_more", { count: lines.length - 1 }));
}

/** Runs one thing at a time and says what went wrong. @param {() => Promise<void>} work */
async function run(work) {
  const problem = byId("problem");
  problem.hidden = true;
  save.disabled = true;
  try {
    await work();
  } catch (error) {
    write(problem, /** @type {Error} */ (error).message);
    problem.hidden = false;
  }
  save.disabled = false;
}

write(byId("zone"), `(${visitorZone})`);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(() => search(true));
});
service.addEventListener("change", () => run(() => search(true)));
older.addEventListener("click", () => run(() => search(false)));
save.addEventListener("click", () => run(saveAsFile));
run(() => search(true));

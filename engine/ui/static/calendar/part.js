// @ts-check
/** What the parts of the page have in common: they draw into the page itself, so its styles, labels and focus are theirs, from the same facts. */

import { LitElement } from "../vendor/lit.js";
import { text } from "../texts.js";

/** @typedef {import("./diary.js").Visit} Visit */
/** @typedef {{id: string, name: string, needs: string[], calendars: string[], modalities: string[], duration_minutes: number | null, before_minutes?: number, after_minutes?: number}} VisitType */
/** @typedef {import("./diary.js").Calendar & {states: string[], location: string | null}} Calendar */

export class Part extends LitElement {
  /** @type {import("./diary.js").Diary} */ diary = /** @type {any} */ (undefined);
  /** @type {import("./changes.js").Changes} */ changes = /** @type {any} */ (undefined);
  /** @type {Map<string, VisitType>} */ types = new Map();
  /** The clinic's, on show or not. @type {Calendar[]} */ calendars = [];
  /** What is on show. @type {import("./layout.js").Column[]} */ columns = [];
  /** The zone that times are told in. */ zone = "UTC";
  /** Whether the reader's role books and moves. */ books = true;
  /** Whether something may be changed now: the role may, and we are connected. */ writable = false;
  /** Whether the reader may make times off on a calendar and take them back. @type {(calendar: string) => boolean} */ configures =
    () => false;
  /** @type {(visit: Visit) => string} */ patientOf = () => "";

  createRenderRoot() {
    return this;
  }

  /** Fields are plain: who changes some says so with this. @param {object} given */
  set(given) {
    Object.assign(this, given);
    this.requestUpdate();
  }

  /** @param {string} calendar */
  nameOf = (calendar) => this.calendars.find(({ id }) => id === calendar)?.name ?? "";

  /** @param {Visit} visit */
  typeOf = (visit) => this.types.get(visit.visit_type)?.name ?? text("calendar.visit");

  /** @param {string} name @param {unknown} [detail] */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
  }
}

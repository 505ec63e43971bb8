// @ts-check
/**
 * A week of opening hours as blocks. Day 0 is Monday; `start` and `end` are minutes of that day, and an `end` after 1440 lies in the
 * next one. Nothing here changes what it is given.
 */

/** @typedef {{day: number, start: number, end: number}} Block */
/** @typedef {{weekday: number, opens: string, closes: string, valid_from: string | null, valid_until: string | null}} Rule */

export const DAY = 1440;
const WEEK = 7 * DAY;

/** @param {string} time  "09:30" */
const minutesOf = (time) => 60 * Number(time.slice(0, 2)) + Number(time.slice(3, 5));

/** "09:30", of the next day too. @param {number} minutes */
export function timeOf(minutes) {
  const wall = minutes % DAY;
  return `${String(Math.floor(wall / 60)).padStart(2, "0")}:${String(wall % 60).padStart(2, "0")}`;
}

/** A block from two times of the clock; an end at or before the start is in the next day. @param {number} day @param {string} opens @param {string} closes @returns {Block} */
export function blockOf(day, opens, closes) {
  const [start, end] = [minutesOf(opens), minutesOf(closes)];
  return { day, start, end: end <= start ? end + DAY : end };
}

/** @param {Rule} rule */
export const isForever = (rule) => rule.valid_from === null && rule.valid_until === null;

/** @param {Rule[]} rules  without those that hold for a time only */
export const blocksOf = (rules) => sorted(rules.filter(isForever).map((rule) => blockOf(rule.weekday, rule.opens, rule.closes)));

/** @param {Block[]} blocks @returns {Rule[]} */
export const rulesOf = (blocks) =>
  blocks.map(({ day, start, end }) => ({ weekday: day, opens: timeOf(start), closes: timeOf(end), valid_from: null, valid_until: null }));

/** @param {Block[]} blocks */
const sorted = (blocks) => [...blocks].sort((a, b) => a.day - b.day || a.start - b.start);

/** The blocks with one more; those of its day that it touches become one with it. @param {Block[]} blocks @param {Block} added */
export function opened(blocks, added) {
  const touches = (/** @type {Block} */ block) => block.day === added.day && block.start <= added.end && added.start <= block.end;
  const one = blocks.filter(touches).reduce((all, { start, end }) => ({ ...all, start: Math.min(all.start, start), end: Math.max(all.end, end) }), added);
  const end = Math.min(one.end, one.start + DAY);
  return sorted([...blocks.filter((block) => !touches(block)), { ...one, end }]);
}

/** The blocks without this time. @param {Block[]} blocks @param {Block} gone */
export function closed(blocks, gone) {
  return sorted(blocks.flatMap((block) => [-WEEK, 0, WEEK].reduce((pieces, shift) => pieces.flatMap((piece) => without(piece, gone, shift)), [block])));
}

/** @param {Block} block @param {Block} gone @param {number} shift @returns {Block[]} */
function without(block, gone, shift) {
  const from = (gone.day - block.day) * DAY + gone.start + shift;
  const to = from + gone.end - gone.start;
  if (to <= block.start || from >= block.end) return [block];
  const rest = [
    { ...block, end: from },
    { ...block, start: to },
  ].filter(({ start, end }) => start < end);
  return rest.map(({ day, start, end }) => (start < DAY ? { day, start, end } : { day: (day + 1) % 7, start: start - DAY, end: end - DAY }));
}

/** The blocks with one day's on other days as well, instead of theirs. @param {Block[]} blocks @param {number} from @param {number[]} to */
export function copied(blocks, from, to) {
  const source = blocks.filter(({ day }) => day === from);
  const others = blocks.filter(({ day }) => !to.includes(day));
  return sorted([...others, ...to.flatMap((day) => source.map((block) => ({ ...block, day })))]);
}

/** The block that is open in this minute of the week, if any. @param {Block[]} blocks @param {number} day @param {number} minute */
export const blockAt = (blocks, day, minute) =>
  blocks.find(({ day: begins, start, end }) => {
    const at = (day - begins) * DAY + minute;
    return (start <= at && at < end) || (start <= at + WEEK && at + WEEK < end);
  });

/** @param {unknown} one @param {unknown} other */
export const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// @ts-check
/**
 * Keeps the session of a staff page alive: a new access token every two minutes, as a cookie, as long as somebody uses the page.
 * Whether the session has ended is the server's to say; then the page gives way to the sign-in, which leads back to it.
 */

const EVERY_MS = 120_000;
const AGAIN_MS = 10_000; // while nobody answers
const LOOK_MS = 5_000; // a sleep that no event tells of is noticed this soon

let active = true; // opening the page was
let due = performance.now() + EVERY_MS;
let dueAt = Date.now() + EVERY_MS; // a machine that sleeps may stop the monotonic clock
let asking = false;

/** @param {number} ms */
function again(ms) {
  due = performance.now() + ms;
  dueAt = Date.now() + ms;
}

async function renew() {
  if (asking) return;
  asking = true;
  const told = active;
  active = false;
  try {
    const csrf = /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? "";
    const response = await fetch("/api/auth/v1/session/renew", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": csrf },
      body: JSON.stringify({ active: told }),
    });
    if (response.status === 401) {
      location.assign(`/login/?${new URLSearchParams({ next: location.pathname + location.search })}`);
      return;
    }
    if (!response.ok) throw new Error(String(response.status));
    again(EVERY_MS);
    dispatchEvent(new Event("session-renewed"));
  } catch {
    active ||= told;
    again(AGAIN_MS);
  } finally {
    asking = false;
  }
}

const look = () => void ((performance.now() >= due || Date.now() >= dueAt) && renew());

for (const kind of ["pointerdown", "keydown", "wheel", "touchstart"]) {
  addEventListener(kind, () => (active = true), { capture: true, passive: true });
}
for (const kind of ["online", "pageshow"]) addEventListener(kind, look);
document.addEventListener("visibilitychange", () => document.hidden || look());
setInterval(look, LOOK_MS);

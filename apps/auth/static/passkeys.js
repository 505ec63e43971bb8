// @ts-check
/** Passkeys: a form with `data-passkey` asks the browser to make or use one, and sends its answer. Shown only where that can work. */

// A passkey belongs to a name; a page that was opened by a number has none.
const possible = "parseRequestOptionsFromJSON" in (globalThis.PublicKeyCredential ?? {}) && !/^[\d.]+$|^\[/.test(location.hostname);

/** What to say of a browser's refusal, by its name, and of ours, by its code. @type {Record<string, string>} */
const texts = JSON.parse(document.getElementById("passkeys")?.textContent ?? "{}");

/** @param {HTMLFormElement} form @param {string} path @param {unknown} [body] @returns {Promise<any>} */
async function send(form, path, body) {
  const headers = { "Content-Type": "application/json", "X-CSRFToken": String(new FormData(form).get("csrfmiddlewaretoken")) };
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body ?? {}) });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail), { name: answer.code });
  return answer;
}

/** @param {HTMLFormElement} form */
async function run(form) {
  const { passkey, begin = "", finish = "" } = form.dataset;
  const options = await send(form, begin);
  const credential =
    passkey === "make"
      ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
      : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
  const query = new URLSearchParams();
  for (const field of ["name", "next"]) if (new FormData(form).has(field)) query.set(field, String(new FormData(form).get(field)));
  const answer = await send(form, `${finish}?${query}`, /** @type {PublicKeyCredential} */ (credential).toJSON());
  location.assign(answer.next);
}

for (const form of /** @type {NodeListOf<HTMLFormElement>} */ (document.querySelectorAll("form[data-passkey]"))) {
  form.hidden = !possible;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = /** @type {HTMLElement} */ (form.querySelector("[role=alert]"));
    said.textContent = "";
    try {
      await run(form);
    } catch (error) {
      said.textContent = texts[/** @type {Error} */ (error).name] ?? texts.other;
    }
  });
}

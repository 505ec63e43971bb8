// @ts-check
/** Starts the API reader on the document that the page names; says so when that service cannot give it. */

const reader = /** @type {HTMLElement} */ (document.getElementById("reader"));
const { SwaggerUIBundle } = /** @type {any} */ (globalThis);
const answer = await fetch(reader.dataset.document ?? "").catch(() => null);
const spec = answer?.ok ? await answer.json().catch(() => null) : null;
/** @type {HTMLElement} */ (document.getElementById("away")).hidden = spec !== null;
if (spec) SwaggerUIBundle({
  domNode: reader,
  spec,
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  validatorUrl: null, // else it would show the document to somebody else's server
  requestInterceptor: (/** @type {{headers: Record<string, string>}} */ request) => {
    const token = /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1];
    if (token) request.headers["X-CSRFToken"] = token;
    return request;
  },
});

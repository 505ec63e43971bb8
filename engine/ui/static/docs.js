// @ts-check
/** Starts the API reader on the document that the page names. */

const reader = /** @type {HTMLElement} */ (document.getElementById("reader"));
const { SwaggerUIBundle } = /** @type {any} */ (globalThis);
SwaggerUIBundle({
  domNode: reader,
  url: reader.dataset.document,
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  validatorUrl: null, // else it would show the document to somebody else's server
  requestInterceptor: (/** @type {{headers: Record<string, string>}} */ request) => {
    const token = /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1];
    if (token) request.headers["X-CSRFToken"] = token;
    return request;
  },
});

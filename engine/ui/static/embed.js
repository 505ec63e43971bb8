// Puts HealthFlow's booking page for one clinic right after this script, in a frame of its own: what is typed there cannot be read here.
//   <script src="…/widget/v1/embed.js" data-clinic="demo" data-lang="es" data-accent="#0b6e6e" data-scheme="auto" async></script>
// When a visit was booked, the frame gets the DOM event "healthflow:booked"; it bubbles, and says nothing more.
(() => {
  const script = document.currentScript;
  const { clinic, lang, accent, scheme, visitType, title } = script.dataset;
  const { origin } = new URL(script.src);
  const wishes = { lang, accent: accent?.replace("#", ""), scheme, visit_type: visitType };
  const given = Object.entries(wishes).filter(([, value]) => value);
  const frame = document.createElement("iframe");
  frame.title = title ?? (lang === "es" ? "Reservar una cita" : "Book a visit");
  frame.src = `${origin}/widget/v1/${encodeURIComponent(clinic)}/?${new URLSearchParams(given)}`;
  frame.loading = "eager";
  frame.allow = "";
  frame.referrerPolicy = "no-referrer";
  Object.assign(frame.style, { display: "block", width: "100%", height: "36rem", border: "0" });
  addEventListener("message", (event) => {
    if (event.source !== frame.contentWindow || event.origin !== origin) return;
    const { healthflow, value } = event.data ?? {};
    if (healthflow === "height" && value > 0) frame.style.height = `${Math.min(value, 1e4)}px`;
    if (healthflow === "booked") frame.dispatchEvent(new CustomEvent("healthflow:booked", { bubbles: true }));
  });
  frame.addEventListener("load", () => frame.contentWindow.postMessage("healthflow:hello", origin));
  script.after(frame);
})();

// @ts-check
/** One series of numbers as a chart in the colours of the page as it is now. The library comes when the first chart is drawn. */

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{kind: "bar" | "line", token: string, labels: string[], values: (number | null)[], most: number}} series  `token`: of its colour;
 *   `most`: what the axis shows at least
 * @returns {Promise<{destroy: () => void}>}
 */
export async function draw(canvas, { kind, token, labels, values, most }) {
  const { Chart } = await import("../vendor/chart.js");
  const style = getComputedStyle(document.documentElement);
  const [colour, ink, line] = [token, "--muted", "--line"].map((name) => style.getPropertyValue(name).trim());
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const scale = { ticks: { color: ink }, grid: { color: line }, border: { color: line } };
  return new Chart(canvas, {
    type: kind,
    data: {
      labels,
      datasets: [
        {
          data: values,
          backgroundColor: colour,
          borderColor: colour,
          borderRadius: 4,
          borderWidth: kind === "line" ? 3 : 0,
          pointRadius: 4,
          maxBarThickness: 40,
        },
      ],
    },
    options: {
      animation: still ? false : { duration: 200 },
      maintainAspectRatio: false,
      plugins: { legend: { display: false } },
      scales: { x: { ...scale, grid: { display: false } }, y: { ...scale, beginAtZero: true, suggestedMax: most } },
    },
  });
}

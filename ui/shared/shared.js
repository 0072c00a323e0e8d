// Helpers that stand before every widget's script. `element`, `props`, `trigger` and `watch` come from Gradio.
const root = element.querySelector(".widget") || element;

/** make("button.big", {type: "button", onclick}, "text", child): texts become text nodes, never markup. */
function make(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const svg = ["svg", "g", "path", "rect", "line", "circle", "polyline", "polygon", "text", "title", "use", "defs",
    "clipPath", "pattern"].includes(tag) && !attributes.html;
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag || "div");
  if (classes.length) node.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false || name === "html") continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style" && typeof value === "object") for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Seconds as a person says them: 0.84 s, 12.3 s, 4 min 10 s, 1 h 05 min. */
function secondsText(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 99.5) return `${seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  if (seconds < 3570) return `${Math.floor(seconds / 60)} min ${String(Math.round(seconds % 60)).padStart(2, "0")} s`.replace(/(\d+) min 60 s/, (_, m) => `${+m + 1} min 00 s`);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

const bytesText = (bytes) => (bytes === null || bytes === undefined ? "–"
  : bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`);

const accent = (colour) => `var(--run-${colour === 0 ? 0 : 1 + ((colour - 1) % 7)})`;

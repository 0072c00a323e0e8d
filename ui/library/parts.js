// Small parts that cards and the frame around them share: icons, words, dates, a schedule as a glyph.

const ICONS = {
  star: "m8 1.4 2 4.300 4.700.600-3.500 3.200.900 4.700L8 11.900l-4.100 2.300.900-4.700L1.300 6.300 6 5.700z",
  open: "M2 3h6v1.600H3.600v7.800h7.800V8H13v6H2zM9.500 1.500h5v5h-1.600V4.200L8.600 8.500 7.500 7.400l4.300-4.300H9.500z",
  export: "M7.200 1.500h1.600v7l2.600-2.600 1.100 1.100L8 11.500 3.500 7l1.100-1.100 2.600 2.600zM2 11h1.600v2.400h8.800V11H14v4H2z",
  import: "M7.200 11.500h1.600v-7l2.600 2.600L12.500 6 8 1.500 3.500 6l1.100 1.100 2.600-2.600zM2 11h1.600v2.400h8.800V11H14v4H2z",
  remove: "M6 1.500h4v1.300h3.500v1.500h-11V2.800H6zM3.500 5.500h9L12 14.500H4zM6.200 7v5.800h1.200V7zm2.400 0v5.800h1.200V7z",
  back: "M6.500 2v3H10a4.500 4.500 0 0 1 0 9H5v-1.600h5a2.900 2.900 0 0 0 0-5.800H6.500v3L2 5.800z",
  search: "M6.800 1.500a5.300 5.300 0 0 1 4.200 8.500l3.300 3.300-1.100 1.100-3.300-3.300a5.300 5.300 0 1 1-3.100-9.600zm0 1.600a3.700 3.700 0 1 0 0 7.400 3.700 3.700 0 0 0 0-7.400z",
  close: "m3.600 2.500 4.400 4.400 4.400-4.400 1.100 1.100L9.100 8l4.400 4.400-1.100 1.100L8 9.100l-4.400 4.400-1.100-1.100L6.900 8 2.500 3.600z",
};
const STATES = { // a word and a mark each, so that the colour is never alone
  queued: ["Waiting", "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zm0 1.600a4.400 4.400 0 1 0 0 8.800 4.400 4.400 0 0 0 0-8.800zM7.300 5h1.500v2.800l2 1.200-.8 1.300-2.700-1.700z"],
  running: ["Running", "M4.500 2.500 13 8l-8.500 5.500z"],
  done: ["Done", "m3 8.300 1.200-1.200 2.500 2.500 5.100-5.200L13 5.600l-6.300 6.500z"],
  failed: ["Failed", "M8 1.500 15 14H1zM7.300 6l.2 4h1l.2-4zm0 5v1.300h1.400V11z"],
  cancelled: ["Cancelled", "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zm-3 5.200v1.600h6V7.200z"],
  interrupted: ["Interrupted", "M4 3h2.800v10H4zm5.200 0H12v10H9.200z"],
};
const icon = (path) => make("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, make("path", { d: path }));
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
const short = (text, most = 60) => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);

/** Bytes in decimal units, as quotas and disks are sold. */
function sizeText(bytes) {
  for (const [unit, size] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (bytes >= size) return `${(bytes / size).toFixed(bytes / size < 10 ? 1 : 0)} ${unit}`;
  }
  return `${bytes} B`;
}

function when(seconds) {
  const date = new Date(seconds * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const text = today ? `today, ${date.toLocaleTimeString(undefined, { timeStyle: "short" })}`
    : date.toLocaleDateString(undefined, { dateStyle: "medium" });
  return make("time", { datetime: date.toISOString(), title: date.toLocaleString() }, text);
}

/** A schedule as bars: as wide as its stages take steps, as high as their rate. */
function glyph(run) {
  const total = Math.max(1, run.steps);
  const bars = run.stages.map(([first, last, rate]) => make("rect", { x: (first - 1) / total * 100, y: (1 - rate) * 20,
    width: (last - first + 1) / total * 100, height: Math.max(1, rate * 20) }));
  const words = run.stages.map(([first, last, rate]) => `${rate}× in steps ${first} to ${last}`).join(", ");
  return make("svg.glyph", { viewBox: "0 0 100 20", preserveAspectRatio: "none", role: "img", "aria-label": words },
    make("title", {}, words), ...bars);
}

function textButton(label, attributes, path) {
  return make("button.plain", { type: "button", ...attributes }, path ? icon(path) : null, make("span", {}, label));
}

function iconButton(label, path, attributes) {
  return make("button.icon", { type: "button", "aria-label": label, title: label, ...attributes }, icon(path));
}

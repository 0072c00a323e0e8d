// The plot of time against similarity, drawn as SVG; its points are buttons.
const PLOT = { left: 58, right: 18, top: 50, bottom: 46, mark: 6, near: 14 };
const svg = make("svg", { role: "group", "aria-label": "Runs by time and similarity" });
const readout = make("p.readout", { role: "status" });
const unplotted = make("ul.unplotted");
const canvas = make("div.canvas", {}, svg);

function fillChoices() {
  for (const side of ["across", "up"]) {
    const known = (axis) => figures().points.some((point) => point.number && point.at[axis.id] !== null);
    if (!known(axisOf(side))) axes[side] = (figures()[side].find(known) || figures()[side][0]).id;
    choices[side].select.replaceChildren(...figures()[side].map((axis) => make("option",
      { value: axis.id, selected: axis.id === axes[side], disabled: !known(axis) },
      `${axis.label}${axis.unit ? `, ${axis.unit}` : ""}${known(axis) ? "" : " (not measured)"}`)));
    choices[side].select.value = axes[side];
  }
}

/** At most about `count` round numbers inside [low, high]. */
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) * power;
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) {
    found.push([k * step, (k * step).toFixed(decimals)]);
  }
  return found;
}

function range(values, room, ceiling = Infinity) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const span = high - low || Math.abs(high) * 0.2 || 1;
  return [Math.max(0, low - room * span), Math.max(Math.min(high + room * span, ceiling), high)];
}

/** The points that have both values; those that nothing else beats on both are on the front. */
function placed(base) {
  const known = figures().points.filter((p) => p.number && p.at[axes.across] !== null && p.at[axes.up] !== null)
    .map((p) => ({ ...p, x: p.at[axes.across], y: p.at[axes.up] }));
  const beats = (a, b) => a.x <= b.x && a.y >= b.y && (a.x < b.x || a.y > b.y);
  for (const p of known) p.front = !(base !== null && p.x >= base) && !known.some((other) => beats(other, p));
  return known.sort((a, b) => a.x - b.x || a.y - b.y || a.number - b.number);
}

let view = null;

function drawPlot() {
  if (!figures()) return;
  const held = svg.contains(document.activeElement) ? document.activeElement.dataset.number : null;
  const [across, up] = [axisOf("across"), axisOf("up")];
  const base = figures().points[0]?.at[across.id] ?? null;
  const points = placed(base);
  canvas.hidden = readout.hidden = !points.length;
  listUnplotted(points, up);
  const width = Math.round(canvas.clientWidth);
  if (!points.length || !width) return;
  const height = clamp(Math.round(width * 0.48), 300, 420);
  const inner = { left: PLOT.left, right: width - PLOT.right, top: PLOT.top, bottom: height - PLOT.bottom };
  const xs = range([...points.map((p) => p.x), ...(base === null ? [] : [base])], 0.1);
  const ys = range(points.map((p) => p.y), 0.16, up.ceiling ?? Infinity);
  const floor = up.floor !== null && up.floor <= ys[1] + (ys[1] - ys[0]) ? up.floor : null;
  if (floor !== null) ys[1] = Math.max(ys[1], floor + 0.05 * (ys[1] - ys[0]));
  const x = (value) => inner.left + (value - xs[0]) / (xs[1] - xs[0]) * (inner.right - inner.left);
  const y = (value) => inner.bottom - (value - ys[0]) / (ys[1] - ys[0]) * (inner.bottom - inner.top);
  view = { points, base, inner, x, y, across, up };
  for (const p of points) Object.assign(p, { trueX: x(p.x), trueY: y(p.y) });
  spread(points);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  svg.replaceChildren(...grid(xs, ys, height), ...floorBand(floor), ...reference(), ...frontLine(),
    ...points.map((p) => pointNode(p)));
  label(points);
  mark();
  if (held) svg.querySelector(`[data-number="${held}"]`)?.focus();
}

function grid(xs, ys, height) {
  const { inner, x, y, across, up } = view;
  const parts = [];
  for (const [value, text] of ticks(...ys, (inner.bottom - inner.top) / 52)) {
    parts.push(make("line.grid", { x1: inner.left, x2: inner.right, y1: y(value), y2: y(value) }),
      make("text.tick", { x: inner.left - 9, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  for (const [value, text] of ticks(...xs, Math.min(9, (inner.right - inner.left) / 64))) {
    parts.push(make("line.notch", { x1: x(value), x2: x(value), y1: inner.bottom, y2: inner.bottom + 5 }),
      make("text.tick", { x: x(value), y: inner.bottom + 19, "text-anchor": "middle" }, text));
  }
  return [...parts, make("line.axis", { x1: inner.left, x2: inner.right, y1: inner.bottom, y2: inner.bottom }),
    make("text.title", { x: 0, y: 13 }, `↑ closer: ${up.label} to the baseline${up.unit ? `, ${up.unit}` : ""}`),
    make("text.title", { x: inner.left, y: height - 6 }, `← less: ${across.label.toLowerCase()}, ${across.unit}`)];
}

/** What the baseline differs from itself when run twice: points in the band cannot be told from it. */
function floorBand(floor) {
  const { inner, y } = view;
  if (floor === null) return [];
  const height = Math.max(0, y(floor) - inner.top);
  return [make("rect.floor", { x: inner.left, width: inner.right - inner.left, y: inner.top, height }),
    make("line.floor", { x1: inner.left, x2: inner.right, y1: y(floor), y2: y(floor) }),
    make("text.tick", { x: inner.left + 6, y: y(floor) - 5 }, "noise floor: the baseline, run twice")];
}

function reference() {
  const { base, inner, x, across } = view;
  if (base === null) return [];
  const text = `baseline ${withUnit(base, across)}`;
  const side = x(base) > (inner.left + inner.right) / 2 ? "end" : "start";
  return [make("line.base", { x1: x(base), x2: x(base), y1: inner.top - 6, y2: inner.bottom }),
    button({ number: 0, colour: 0, said: text }, ".base",
      make("rect.hit", { x: x(base) - (side === "end" ? 150 : 14), y: 0, width: 164, height: inner.top }),
      make("circle", { cx: x(base), cy: inner.top - 8, r: 4.5 }),
      make("text", { x: x(base) + (side === "end" ? -10 : 10), y: inner.top - 12, "text-anchor": side }, text))];
}

function frontLine() {
  const { points, base, x } = view;
  const front = points.filter((p) => p.front);
  if (!front.length) return [];
  let path = `M${front[0].trueX} ${front[0].trueY}`;
  for (const p of front.slice(1)) path += `H${p.trueX}V${p.trueY}`;
  return [make("path.front", { d: base === null ? path : `${path}H${x(base)}` })];
}

/** Points that would cover each other stand in a ring around the place that they share. */
function spread(points) {
  const groups = [];
  for (const p of points) {
    const group = groups.find(([q]) => Math.hypot(q.trueX - p.trueX, q.trueY - p.trueY) < PLOT.near);
    if (group) group.push(p); else groups.push([p]);
  }
  for (const group of groups) {
    const radius = group.length > 1 ? Math.max(12, PLOT.near * group.length / (2 * Math.PI) + 4) : 0;
    group.forEach((p, k) => {
      const angle = Math.PI * (1 + 2 * k / group.length);
      p.px = p.trueX + radius * Math.cos(angle);
      p.py = p.trueY + radius * Math.sin(angle);
    });
  }
}

function pointNode(p) {
  const { across, up } = view;
  const said = `${p.name}: ${across.label.toLowerCase()} ${withUnit(p.x, across)}, ${up.label} ${withUnit(p.y, up)}`
    + (p.front ? ", on the Pareto front" : "");
  const away = Math.hypot(p.px - p.trueX, p.py - p.trueY) > 1;
  return button({ ...p, said }, p.front ? ".on" : ".off",
    away ? make("line.leader", { x1: p.trueX, y1: p.trueY, x2: p.px, y2: p.py }) : null,
    away ? make("circle.true", { cx: p.trueX, cy: p.trueY, r: 1.8 }) : null,
    make("circle.ring", { cx: p.px, cy: p.py, r: PLOT.mark + 5 }),
    make("circle.mark", { cx: p.px, cy: p.py, r: PLOT.mark }));
}

function button(p, classes, ...parts) {
  return make(`g.point${classes}`, { role: "button", tabindex: 0, "data-number": p.number, "aria-label": p.said,
    style: { "--accent": accent(p.colour) }, onkeydown: (event) => pointKey(event, p.number),
    onfocus: () => tell(p.number), onblur: () => tell(selected) }, ...parts);
}

function pointKey(event, number) {
  const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
  if (event.key === "Enter" || event.key === " ") select(number);
  else if (move) {
    const all = [...svg.querySelectorAll(".point:not(.base)"), ...svg.querySelectorAll(".point.base")];
    const at = all.findIndex((node) => Number(node.dataset.number) === number);
    all[clamp(at + move, 0, all.length - 1)].focus();
  } else return;
  event.preventDefault();
}

/** The point under or nearest to a pointer: fingers are wider than marks. */
function pointed(event) {
  const box = svg.getBoundingClientRect();
  const [px, py] = [event.clientX - box.left, event.clientY - box.top];
  const near = view?.points.map((p) => [Math.hypot(p.px - px, p.py - py), p.number]).sort((a, b) => a[0] - b[0])[0];
  if (near && near[0] <= 22) return near[1];
  const direct = event.target.closest?.(".point");
  return direct ? Number(direct.dataset.number) : null;
}

svg.addEventListener("click", (event) => { const number = pointed(event); if (number !== null) select(number); });
svg.addEventListener("pointermove", (event) => {
  const number = pointed(event);
  svg.classList.toggle("over", number !== null);
  tell(number ?? selected);
});
svg.addEventListener("pointerleave", () => tell(selected));

/** Say in words where a run stands. */
function tell(number) {
  const point = number === null ? null : figures()?.points.find((p) => p.number === number);
  if (!point || !view) { readout.textContent = "Choose a point to bring up its run."; return; }
  const value = (axis, name) => (point.at[axis.id] === null ? null : `${name} ${withUnit(point.at[axis.id], axis)}`);
  const parts = [value(view.across, view.across.label.toLowerCase()),
    point.number ? value(view.up, view.up.label) : "what the others are compared with",
    runNamed(number)?.cells.speedup?.number && number ? `${runNamed(number).cells.speedup.text} as fast` : null];
  readout.replaceChildren(make("b", { style: { color: accent(point.colour) } }, point.name),
    ` ${parts.filter(Boolean).join(" · ")}`);
}

function listUnplotted(points, up) {
  const lost = figures().points.filter((p) => p.number && !points.some((q) => q.number === p.number));
  unplotted.hidden = !lost.length;
  unplotted.replaceChildren(...lost.map((p) => make("li", { style: { "--accent": accent(p.colour) } },
    make("b", {}, p.name), ` is not in the plot: ${p.reasons[axes.across] || p.reasons[up.id] || "not measured"}`)));
}

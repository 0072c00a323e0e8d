const PLOT = { left: 58, right: 18, top: 50, bottom: 46, mark: 6, near: 14 };
let selected = props.selected ?? null;
let sorting = null; // {id, ascending}, or null for the order of the report
const axes = { across: "denoise", up: "psnr" };
const unique = `figures-${Math.random().toString(36).slice(2, 8)}`;
const dash = "–";

const figures = () => props.value || null;
const runNamed = (number) => figures().rows.find((row) => row.number === number);
const axisOf = (side) => figures()[side].find((axis) => axis.id === axes[side]);
const withUnit = (value, axis) => `${value.toFixed(axis.decimals)}${axis.unit ? ` ${axis.unit}` : ""}`;

// ---- the page of the widget: table, footnotes, plot -------------------------------------------------------
const table = make("table");
const scroll = make("div.scroll", { role: "region", "aria-label": "Cost and similarity of all runs", tabindex: 0 }, table);
const notes = make("ol.notes", { "aria-label": "Footnotes" });
const remark = make("p.remark");
const choices = { across: choice("across", "Across"), up: choice("up", "Up") };
const svg = make("svg", { role: "group", "aria-label": "Runs by time and similarity" });
const readout = make("p.readout", { role: "status" });
const unplotted = make("ul.unplotted");
const canvas = make("div.canvas", {}, svg);
const plot = make("section.plot", { "aria-label": "Time against similarity" },
  make("header", {}, make("h3", {}, "Time against similarity"), choices.across.label, choices.up.label),
  canvas, readout, unplotted);
const whole = make("div.figures", {}, scroll, notes, remark, plot);
const empty = make("p.empty", {}, "Figures appear here when a comparison has finished runs.");
root.replaceChildren(empty, whole);

function choice(side, text) {
  const select = make("select", { onchange: () => { axes[side] = select.value; drawPlot(); } });
  return { select, label: make("label", {}, make("span", {}, text), select) };
}

function draw() {
  whole.hidden = !figures();
  empty.hidden = !!figures();
  if (!figures()) return;
  if (!runNamed(selected)) selected = null;
  drawTable();
  notes.hidden = !figures().notes.length;
  notes.replaceChildren(...figures().notes.map((text, k) => make("li", { id: `${unique}-${k + 1}` }, text)));
  remark.textContent = figures().floor_remark;
  fillChoices();
  drawPlot();
}

function select(number) {
  selected = number;
  mark();
  trigger("input", { action: "select", number });
}

/** Show which run is brought up, without drawing anything anew. */
function mark() {
  for (const row of table.querySelectorAll("tbody tr")) {
    const is = Number(row.dataset.number) === selected;
    row.classList.toggle("selected", is);
    row.querySelector(".name").setAttribute("aria-pressed", is);
  }
  for (const point of svg.querySelectorAll(".point")) {
    const is = Number(point.dataset.number) === selected;
    point.classList.toggle("selected", is);
    point.setAttribute("aria-pressed", is);
  }
  tell(selected);
}

// ---- the table --------------------------------------------------------------------------------------------
function drawTable() {
  const { columns, floor } = figures();
  const held = table.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  table.replaceChildren(
    make("caption", {}, "Cost, and similarity to the baseline, of every run"),
    head(columns),
    make("tbody", {}, ...sorted().map((row) => tableRow(row, columns))),
    floor ? make("tfoot", {}, floorRow(columns, floor)) : null || "");
  if (held) table.querySelector(`[data-key="${held}"]`)?.focus();
  mark();
}

/** Neighbours that share a heading, as [heading, columns]. */
function grouped(columns, key) {
  const groups = [];
  for (const column of columns) {
    const last = groups[groups.length - 1];
    if (last && last[0] === column[key] && last[1][0].group === column.group) last[1].push(column);
    else groups.push([column[key], [column]]);
  }
  return groups;
}

const begins = (columns, column) => {
  const before = columns[columns.indexOf(column) - 1];
  return { part: !before || before.group !== column.group, head: !before || before.head !== column.head };
};
const edges = (columns, column) => `${begins(columns, column).part ? ".part" : ""}${begins(columns, column).head ? ".lead" : ""}`;

function head(columns) {
  const across = (count) => ({ colspan: count, scope: "colgroup" });
  return make("thead", {},
    make("tr.parts", {}, sortable({ id: "number", label: "Run", title: "The order of the report" }, { rowspan: 3 }, ".run"),
      sortable({ id: "policy", label: "Policy", title: "How a switch is made" }, { rowspan: 3 }, ".policy"),
      ...grouped(columns, "group").map(([text, inside]) => make("th.part", across(inside.length), make("span", {}, text)))),
    make("tr.heads", {}, ...grouped(columns, "head").map(([text, inside]) =>
      make(`th${edges(columns, inside[0])}`, across(inside.length), text, footnote(inside[0].note)))),
    make("tr.labels", {}, ...columns.map((column) => sortable(column, {}, edges(columns, column)))));
}

function sortable(column, attributes, classes) {
  const active = sorting?.id === column.id;
  const order = active ? (sorting.ascending ? "ascending" : "descending") : "none";
  const button = make("button.sort", { type: "button", title: column.title, onclick: () => sortBy(column.id), "data-key": `sort-${column.id}` },
    make("span", {}, column.label), make("i", { "aria-hidden": "true" }, active ? (sorting.ascending ? "▲" : "▼") : "▲"));
  return make(`th${classes}`, { scope: "col", "aria-sort": order, ...attributes }, button);
}

/** First the best on top, then the reverse, then the order of the report again. */
function sortBy(id) {
  const first = !/^(speedup|bound|share|psnr|ssim|vmaf)/.test(id);
  if (sorting?.id !== id) sorting = { id, ascending: first };
  else sorting = sorting.ascending === first ? { id, ascending: !first } : null;
  drawTable();
}

function sorted() {
  const rows = [...figures().rows];
  if (!sorting) return rows;
  const of = (row) => (sorting.id === "number" ? row.number : sorting.id === "policy" ? row.policy : row.cells[sorting.id]?.number ?? null);
  const turn = sorting.ascending ? 1 : -1;
  return rows.sort((a, b) => {
    const [x, y] = [of(a), of(b)];
    if (x === null || y === null) return (x === null) - (y === null); // what is unknown stands last, either way
    return turn * (typeof x === "string" ? x.localeCompare(y) : x - y) || a.number - b.number;
  });
}

function tableRow(row, columns) {
  const longest = Math.max(...figures().rows.map((other) => other.cells.denoise?.number ?? 0));
  const name = make("button.name", { type: "button", onclick: () => select(row.number), "data-key": `run-${row.number}`,
    title: row.name }, row.name);
  const beside = columns.filter((column) => row.number || column.group === columns[0].group);
  return make("tr", { "data-number": row.number, style: { "--accent": accent(row.colour) } },
    make("th.run", { scope: "row" }, name, glyph(row), row.status === "done" ? null : make("em", {}, row.status, footnote(row.cells.denoise.note)),
      row.remark ? make("small", {}, row.remark) : null),
    make("td.policy", {}, row.policy),
    ...beside.map((column) => figure(row.cells[column.id], `td${edges(columns, column)}`, column.bar && longest
      ? (row.cells[column.id]?.number ?? 0) / longest : null)),
    row.number ? null : make("td.part.reference", { colspan: columns.length - beside.length }, "what the others are compared with"));
}

function floorRow(columns, cells) {
  const similar = columns.filter((column) => cells[column.id]);
  return make("tr", {}, make("th.run", { scope: "row" }, "Noise floor"),
    make("td.policy", { colspan: 1 + columns.length - similar.length }, "the baseline, run twice"),
    ...similar.map((column) => figure(cells[column.id], `td${edges(columns, column)}`, null)));
}

function figure(cell, kind, bar) {
  if (!cell) return make(kind);
  const node = make(kind, { title: cell.reason }, cell.number === null ? make("span.dash", {}, dash) : cell.text, footnote(cell.note));
  if (bar) node.append(make("i.bar", { style: { "--share": bar }, "aria-hidden": "true" }));
  return node;
}

const footnote = (note) => (note ? make("a.note", { href: `#${unique}-${note}`, "aria-label": `footnote ${note}`, onclick: toNote }, `${note}`) : null);

/** The address of the page is the studio's own: a footnote must not change it. */
function toNote(event) {
  event.preventDefault();
  notes.querySelector(event.currentTarget.getAttribute("href"))?.scrollIntoView({ block: "nearest" });
}

function glyph(row) {
  if (!row.glyph.length) return null;
  return make("svg.glyph", { viewBox: "0 0 100 24", preserveAspectRatio: "none", role: "img", "aria-label": row.stages },
    make("title", {}, row.stages),
    ...row.glyph.map((bar) => make("rect", { x: bar.x, y: 24 - bar.height, width: bar.width, height: bar.height })));
}

// ---- the plot ---------------------------------------------------------------------------------------------
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
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push([k * step, (k * step).toFixed(decimals)]);
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
  svg.replaceChildren(...grid(xs, ys, height), ...floorBand(floor), ...reference(), ...frontLine(), ...points.map(pointNode));
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
  return [make("rect.floor", { x: inner.left, width: inner.right - inner.left, y: inner.top, height: Math.max(0, y(floor) - inner.top) }),
    make("line.floor", { x1: inner.left, x2: inner.right, y1: y(floor), y2: y(floor) }),
    make("text.tick", { x: inner.left + 6, y: y(floor) - 5 }, "noise floor: the baseline, run twice")];
}

function reference() {
  const { base, inner, x, across } = view;
  if (base === null) return [];
  const text = `baseline ${withUnit(base, across)}`;
  const side = x(base) > (inner.left + inner.right) / 2 ? "end" : "start";
  return [make("line.base", { x1: x(base), x2: x(base), y1: inner.top - 6, y2: inner.bottom }),
    button({ number: 0, colour: 0, said: text }, ".base", make("rect.hit", { x: x(base) - (side === "end" ? 150 : 14), y: 0, width: 164, height: inner.top }),
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
  const value = (axis) => (point.at[axis.id] === null ? null : `${axis.label.toLowerCase().replace(/^(psnr|ssim|vmaf)$/, (m) => m.toUpperCase())} ${withUnit(point.at[axis.id], axis)}`);
  const parts = [value(view.across), point.number ? value(view.up) : "what the others are compared with",
    runNamed(number)?.cells.speedup?.number && number ? `${runNamed(number).cells.speedup.text} as fast` : null];
  readout.replaceChildren(make("b", { style: { color: accent(point.colour) } }, point.name), ` ${parts.filter(Boolean).join(" · ")}`);
}

function listUnplotted(points, up) {
  const lost = figures().points.filter((p) => p.number && !points.some((q) => q.number === p.number));
  unplotted.hidden = !lost.length;
  unplotted.replaceChildren(...lost.map((p) => make("li", { style: { "--accent": accent(p.colour) } },
    make("b", {}, p.name), ` is not in the plot: ${p.reasons[axes.across] || p.reasons[up.id] || "not measured"}`)));
}

// ---- names beside the points ------------------------------------------------------------------------------
const overlap = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

/** Each name goes where it covers nothing; where no room is left it shows on hover, focus and selection alone. */
function label(points) {
  const { inner, base, x } = view;
  const marks = points.map((p) => ({ x: p.px - 9, y: p.py - 9, w: 18, h: 18 }));
  const lines = [...frontBoxes(points), ...(base === null ? [] : [{ x: x(base) - 1, y: inner.top, w: 2, h: inner.bottom - inner.top }])];
  const taken = [...marks];
  const room = { x: inner.left + 2, y: inner.top, w: inner.right - inner.left + PLOT.right - 6, h: inner.bottom - inner.top };
  for (const p of points) {
    const text = make("text.label", {}, p.name.length > 26 ? `${p.name.slice(0, 25)}…` : p.name);
    const node = svg.querySelector(`.point[data-number="${p.number}"]`);
    node.append(text);
    const w = text.getComputedTextLength() || 7 * p.name.length;
    let best = null;
    for (const candidate of places(p, w)) {
      const inside = candidate.x >= room.x && candidate.x + w <= room.x + room.w && candidate.y >= room.y && candidate.y + 16 <= room.y + room.h;
      if (!inside || taken.some((box) => overlap(candidate, box))) continue;
      const cost = candidate.cost + 3 * lines.filter((box) => overlap(candidate, box)).length;
      if (!best || cost < best.cost) best = { ...candidate, cost };
    }
    const spot = best || { ...places(p, w)[0] };
    spot.x = clamp(spot.x, room.x, Math.max(room.x, room.x + room.w - w));
    text.setAttribute("x", spot.x);
    text.setAttribute("y", spot.y + 12);
    if (!best) node.classList.add("crowded");
    else taken.push(spot);
    if (best?.ring) node.prepend(make("line.leader", { x1: p.px, y1: p.py, x2: clamp(p.px, spot.x, spot.x + w), y2: clamp(p.py, spot.y + 2, spot.y + 14) }));
  }
}

/** The front's path as thin boxes, which names had better not cross. */
function frontBoxes(points) {
  const front = points.filter((p) => p.front);
  return front.flatMap((p, k) => {
    const to = front[k + 1] || { trueX: view.base === null ? p.trueX : view.x(view.base), trueY: p.trueY };
    return [{ x: p.trueX, y: p.trueY - 1, w: to.trueX - p.trueX, h: 2 }, { x: to.trueX - 1, y: to.trueY, w: 2, h: p.trueY - to.trueY }];
  });
}

function places(p, w) {
  const found = [];
  for (const [ring, away] of [11, 20, 32].entries()) {
    for (const [k, [dx, dy]] of [[1, 0], [-1, 0], [0, -1], [0, 1], [1, -1], [1, 1], [-1, -1], [-1, 1]].entries()) {
      const cx = p.px + dx * away * (dy ? 0.75 : 1);
      const cy = p.py + dy * (dx ? away * 0.75 : away);
      found.push({ x: dx > 0 ? cx : dx < 0 ? cx - w : cx - w / 2, y: dy > 0 ? cy - 2 : dy < 0 ? cy - 14 : cy - 8, w, h: 16, ring, cost: ring * 4 + k * 0.4 });
    }
  }
  return found;
}

new ResizeObserver(() => drawPlot()).observe(canvas);
watch("value", draw);
watch("selected", () => { selected = props.selected ?? null; mark(); });
draw();

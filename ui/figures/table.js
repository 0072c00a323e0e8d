// The table of all runs: sorted by any column, its first column always in sight.
let selected = props.selected ?? null;
let sorting = null; // {id, ascending}, or null for the order of the report
const axes = { across: "denoise", up: "psnr" };
const unique = `figures-${Math.random().toString(36).slice(2, 8)}`;

const figures = () => props.value || null;
const runNamed = (number) => figures().rows.find((row) => row.number === number);
const axisOf = (side) => figures()[side].find((axis) => axis.id === axes[side]);
const withUnit = (value, axis) => `${value.toFixed(axis.decimals)}${axis.unit ? ` ${axis.unit}` : ""}`;

const table = make("table");
const scroll = make("div.scroll",
  { role: "region", "aria-label": "Cost and similarity of all runs", tabindex: 0 }, table);
const notes = make("ol.notes", { "aria-label": "Footnotes" });
const remark = make("p.remark");

function drawTable() {
  const { columns, floor } = figures();
  const held = table.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  table.replaceChildren(
    make("caption", {}, "Cost, and similarity to the baseline, of every run"),
    head(columns),
    make("tbody", {}, ...sorted().map((row) => tableRow(row, columns))),
    ...(floor ? [make("tfoot", {}, floorRow(columns, floor))] : []));
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

const begins = (columns, column) => columns[columns.indexOf(column) - 1]?.group !== column.group;
const edges = (columns, column) => (begins(columns, column) ? ".part" : "");

function head(columns) {
  const across = (count) => ({ colspan: count, scope: "colgroup" });
  return make("thead", {},
    make("tr.parts", {},
      sortable({ id: "number", label: "Run", title: "The order of the report" }, { rowspan: 3 }, ".run"),
      sortable({ id: "policy", label: "Policy", title: "How a switch is made" }, { rowspan: 3 }, ".policy"),
      ...grouped(columns, "group").map(([text, inside]) =>
        make("th.part", across(inside.length), make("span", {}, text)))),
    make("tr.heads", {}, ...grouped(columns, "head").map(([text, inside]) =>
      make(`th${edges(columns, inside[0])}`, across(inside.length), text, footnote(inside[0].note)))),
    make("tr.labels", {}, ...columns.map((column) => sortable(column, {}, edges(columns, column)))));
}

function sortable(column, attributes, classes) {
  const active = sorting?.id === column.id;
  const order = active ? (sorting.ascending ? "ascending" : "descending") : "none";
  const arrow = active && !sorting.ascending ? "▼" : "▲";
  const button = make("button.sort",
    { type: "button", title: column.title, onclick: () => sortBy(column.id), "data-key": `sort-${column.id}` },
    make("span", {}, column.label), make("i", { "aria-hidden": "true" }, arrow));
  return make(`th${classes}`, { scope: "col", "aria-sort": order, ...attributes }, button);
}

/** First the best on top, then the reverse, then the order of the report again. */
function sortBy(id) {
  const first = !/^(whole|speedup|bound|share|psnr|ssim|vmaf)/.test(id);
  if (sorting?.id !== id) sorting = { id, ascending: first };
  else sorting = sorting.ascending === first ? { id, ascending: !first } : null;
  drawTable();
}

function sorted() {
  const rows = [...figures().rows];
  if (!sorting) return rows;
  const of = (row) => (sorting.id in row ? row[sorting.id] : row.cells[sorting.id]?.number ?? null);
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
    make("th.run", { scope: "row" }, name, glyph(row),
      row.status === "done" ? null : make("em", {}, row.status, footnote(row.cells.denoise.note)),
      row.remark ? make("small", {}, row.remark) : null),
    make("td.policy", {}, row.policy),
    ...beside.map((column) => figure(row.cells[column.id], `td${edges(columns, column)}`, column.bar && longest
      ? (row.cells[column.id]?.number ?? 0) / longest : null)),
    row.number ? null : make("td.part.reference", { colspan: columns.length - beside.length },
      "what the others are compared with"));
}

function floorRow(columns, cells) {
  const similar = columns.filter((column) => cells[column.id]);
  return make("tr", {}, make("th.run", { scope: "row" }, "Noise floor"),
    make("td.policy", { colspan: 1 + columns.length - similar.length }, "the baseline, run twice"),
    ...similar.map((column) => figure(cells[column.id], `td${edges(columns, column)}`, null)));
}

function figure(cell, kind, bar) {
  if (!cell) return make(kind);
  const text = cell.number === null ? make("span.dash", {}, cell.text) : cell.text;
  const node = make(kind, { title: cell.reason }, text, footnote(cell.note));
  if (bar) node.append(make("i.bar", { style: { "--share": bar }, "aria-hidden": "true" }));
  return node;
}

function footnote(note) {
  if (!note) return null;
  return make("a.note", { href: `#${unique}-${note}`, "aria-label": `footnote ${note}`, onclick: toNote }, `${note}`);
}

/** The address of the page is the studio's own: a footnote must not change it. */
function toNote(event) {
  event.preventDefault();
  notes.querySelector(event.currentTarget.getAttribute("href"))?.scrollIntoView({ block: "nearest" });
}

function glyph(row) {
  if (!row.glyph.length) return null;
  return make("svg.glyph",
    { viewBox: "0 0 100 24", preserveAspectRatio: "none", role: "img", "aria-label": row.stages },
    make("title", {}, row.stages),
    ...row.glyph.map((bar) => make("rect", { x: bar.x, y: 24 - bar.height, width: bar.width, height: bar.height })));
}

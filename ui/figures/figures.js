// The figures of one comparison: the table, its footnotes, and the plot.
const choices = { across: choice("across", "Across"), up: choice("up", "Up") };
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
  remark.textContent = [figures().floor_remark, figures().memory_remark].filter(Boolean).join(" ");
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

new ResizeObserver(() => drawPlot()).observe(canvas);
watch("value", draw);
watch("selected", () => { selected = props.selected ?? null; mark(); });
draw();

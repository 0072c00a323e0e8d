// The pyramid view: takes the value, keeps what a person has chosen, and puts the parts together.

let value = null;
const fresh = () => ({ runs: [null, null], touched: false, tiles: false, seams: false });
let view = fresh();
let levels = new Map(); // LevelView by run and level: a video that stays is not loaded anew

// ---- parts ----------------------------------------------------------------------------------------------
const transport = new Transport({ play: togglePlay, step: (by) => clock.step(by), seek });
const clock = new Lockstep({ onframe: showFrame, onstate: drawState });
const selects = ["Run", "Beside it"].map((text, side) => {
  const select = make("select", { "aria-label": side ? "Run beside it" : "Run", onchange: () => choose(side, select.value === "" ? null : Number(select.value)) });
  return { select, label: make("label", {}, make("span", {}, text), select) };
});
const toggles = {
  tiles: toggle("tiles", "Tiles", "Where the network's patches lie on every level (T)"),
  seams: toggle("seams", "Seams", "How much the picture jumps where tiles meet (S)"),
};
const note = make("p.legend", { hidden: true },
  make("i.scale", { "aria-hidden": "true" }), make("span", {},
    "Strips compare the jump across a line with the two pixels on either side of it: a hairline is 1 or less, the thickest "
    + "2 or more. The seam ratio compares all lines where tiles without overlap meet with the rest of the picture. At 1.0 "
    + "neither stands out; an edge of the picture itself that runs along a line counts too."));
const readout = make("p.readout");
const lost = make("p.lost", { role: "note", hidden: true });
const rows = [0, 1].map(() => {
  const name = make("h4");
  const box = make("div.levels");
  return { name, box, node: make("section.run", {}, name, box) };
});
const stand = make("div.stand.dark", { tabindex: "-1", role: "group", "aria-label": "Levels of the pyramid" },
  make("div.toolbar", {}, ...selects.map(({ label }) => label), make("div.toggles", {}, toggles.tiles, toggles.seams)),
  make("div.rows", {}, ...rows.map(({ node }) => node)), readout, note, transport.node);
const hints = make("p.hints", { "aria-hidden": "true" }, ...[["Space", "play"], ["← →", "frame"], ["T", "tiles"],
  ["S", "seams"], ["Tab, arrows", "from tile to tile"]].flatMap(([key, what]) => [make("kbd", {}, key), ` ${what} `]));
const whole = make("section.pyramid", { "aria-label": "Pyramid", hidden: true },
  make("header", {}, make("h3", {}, "Pyramid"),
    make("p", {}, "Every level is a finished video of the same seconds. All are shown at one size, pixel by pixel.")),
  lost, stand, hints);
root.append(whole);

function toggle(name, text, title) {
  return make("button", { type: "button", "aria-pressed": "false", title, onclick: () => flip(name) }, text);
}

// ---- what a person does -------------------------------------------------------------------------------------
function togglePlay() {
  if (clock.playing) clock.pause();
  else clock.play();
}

function seek(frame) {
  if (clock.playing) clock.pause();
  clock.seek(frame);
}

function flip(name) {
  view[name] = !view[name];
  refresh();
}

function choose(side, number) {
  if (number !== null && view.runs[1 - side] === number) view.runs[1 - side] = view.runs[side];
  view.runs[side] = number;
  view.touched = true;
  refresh();
}

const KEYS = {
  " ": togglePlay,
  ArrowLeft: () => clock.step(-1),
  ArrowRight: () => clock.step(1),
  Home: () => seek(0),
  End: () => seek(clock.frames - 1),
  t: () => flip("tiles"),
  s: () => flip("seams"),
};

stand.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
  if (event.key === " " && event.target.matches("button")) return; // it presses that
  const native = event.target.matches("input") && event.key !== " " && event.key.length > 1;
  const action = native ? null : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  event.preventDefault();
  if (!event.repeat || event.key.startsWith("Arrow")) action();
});
stand.addEventListener("pointerdown", (event) => { // so that the keys work
  if (!event.target.closest("button, select, input, [tabindex='0']")) stand.focus({ preventScroll: true });
});

// ---- what is shown ------------------------------------------------------------------------------------------
const runOf = (number) => value?.runs.find((run) => run.number === number) ?? null;
const chosen = () => view.runs.map(runOf);
const seen = () => chosen().flatMap((run) => (run ? run.levels.map((level) => levels.get(`${run.number} ${level.level}`)) : []));

function showFrame(frame) {
  if (!value) return;
  transport.show(frame, clock.frames, clock.fps);
  for (const level of seen()) level.time(frame, clock.frames);
  drawReadout();
}

function drawState() {
  transport.state(clock.playing, clock.videos.length > 0);
}

/** The finest first: it leads, as its frames are the shortest. */
function gather() {
  clock.use(seen().map(({ media }) => media.video).filter(Boolean).reverse());
  drawState();
}

let hovered = null; // [LevelView, cell]

function active(level, cell) {
  hovered = cell ? [level, cell] : null;
  for (const other of seen()) {
    other.see(cell && other.run === level.run ? level.tiles.below(cell)[other.level.level] : null);
  }
  drawReadout();
}

function drawReadout() {
  readout.hidden = !view.tiles;
  const [level, cell] = hovered || [];
  const below = level?.level.grid.below.length ? ". Dashed: what it sees of the levels below." : ".";
  const dashed = stand.querySelector(".cell[data-between]") ? " Dashed tiles lie half over their neighbours." : "";
  put(readout, hovered ? `Level ${level.level.level}. ${level.tiles.words(cell)}${below}`
    : `Point at a tile, or walk to one with Tab and the arrows.${dashed}`);
}

function refresh() {
  const names = value.runs.map((run) => [run.number, run.name]);
  selects.forEach(({ select, label }, side) => {
    const options = side ? [["", "none"], ...names] : names;
    const text = JSON.stringify(options);
    if (select.dataset.options !== text) {
      select.dataset.options = text;
      select.replaceChildren(...options.map(([number, name]) => make("option", { value: number }, name)));
    }
    select.value = view.runs[side] ?? "";
    label.hidden = side === 1 && names.length < 2;
  });
  selects[0].select.disabled = names.length < 2;
  for (const name of ["tiles", "seams"]) mark(toggles[name], "aria-pressed", String(view[name]));
  note.hidden = !view.seams;
  chosen().forEach((run, side) => drawRow(rows[side], run));
  hovered = null;
  gather();
  showFrame(clock.frame);
}

function drawRow(row, run) {
  row.node.hidden = !run;
  if (!run) return row.box.replaceChildren();
  row.node.style.setProperty("--accent", accent(run.colour));
  mark(row.node, "aria-label", run.name);
  const overlap = { none: "tiles without overlap", spatial: "tiles overlap in space", full: "tiles overlap in space and time" };
  row.name.replaceChildren(make("i"), run.name, make("span", {}, overlap[run.overlap] ?? ""));
  row.box.style.setProperty("--count", Math.max(...value.runs.map((one) => one.levels.length)));
  const shown = run.levels.map((level) => {
    const key = `${run.number} ${level.level}`;
    if (!levels.has(key)) {
      const frame = { now: () => clock.frame, all: () => clock.frames };
      levels.set(key, new LevelView({ onmedia: () => value && gather(), onactive: active, frame }));
    }
    const made = levels.get(key);
    made.update(level, run);
    made.see(null);
    made.show(view);
    return made.node;
  });
  if (shown.some((node, k) => row.box.children[k] !== node) || row.box.children.length > shown.length) row.box.replaceChildren(...shown);
  return undefined;
}

/** The first run, and beside it the first of as many levels whose tiles overlap otherwise: so seams are compared. */
function choice() {
  const [first, ...others] = value.runs;
  const beside = others.find((run) => run.overlap !== first.overlap && run.levels.length === first.levels.length);
  return [first.number, beside?.number ?? null];
}

function begin(next) {
  clock.pause();
  for (const level of levels.values()) level.media.clear();
  levels = new Map();
  for (const { box } of rows) box.replaceChildren();
  Object.assign(clock, { fps: next.fps, frames: next.frames, frame: 0 });
  stand.style.setProperty("--aspect", `${next.width} / ${next.height}`);
}

function render() {
  const [before, next] = [value, props.value || null];
  whole.hidden = !next;
  value = next;
  if (!next) {
    if (before) clock.use([]);
    return;
  }
  if (!before || before.key !== next.key) {
    begin(next);
    view = { ...fresh(), tiles: view.tiles, seams: view.seams };
  }
  if (!runOf(view.runs[0]) || !view.touched) view.runs = choice();
  if (view.runs[1] !== null && !runOf(view.runs[1])) view.runs[1] = null;
  lost.hidden = !next.lost.length;
  put(lost, next.lost.join(" "));
  refresh();
}

restWhileDragged(clock);
watch("value", render);
render();

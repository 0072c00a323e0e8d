// The comparator: takes the value, keeps what a person has chosen, and puts the parts together.

const NARROW = 168; // px: no tile of a grid is narrower
const AROUND = 300; // px of the window's height that controls and curves take
const PHONE = 560; // px: below this width few tiles stand in two columns, many in a strip
const STATUS = {
  queued: "Queued",
  running: "Running",
  done: "Done",
  failed: "Failed",
  cancelled: "Stopped",
  interrupted: "Interrupted",
};
const still = matchMedia("(prefers-reduced-motion: reduce)");

const fresh = () => ({
  mode: "grid",
  solo: null,
  a: 0,
  b: 1,
  flipped: false,
  wipe: 50,
  gain: 4,
  pixels: false,
  metric: null,
  begun: false,
});
let view = fresh();
let value = null;
let views = new Map(); // the tiles by number, in order

// ---- parts ----------------------------------------------------------------------------------------------
const clock = new Lockstep({ onframe: showFrame, onstate: () => transport.update(clock, clock.videos.length > 0) });
const timebar = new Timebar({
  onseek: (frame) => {
    view.begun = true;
    if (clock.playing) clock.pause();
    clock.seek(frame);
  },
  onmetric: (metric) => {
    view.metric = metric;
    refresh();
  },
  onpick: (number) => (isPair(view.mode) ? pick("b", number) : enlarge(number)),
});
const transport = new Transport({
  play: togglePlay,
  back: () => clock.step(-1),
  forward: () => clock.step(1),
  first: () => clock.step(-clock.frame),
  last: () => clock.step(clock.frames),
  loop: () => {
    clock.loop = !clock.loop;
    transport.update(clock, true);
  },
  speed: (speed) => clock.setSpeed(speed),
  worst: goWorst,
});
const toolbar = new Toolbar({
  mode: setMode,
  pick,
  swap,
  flip,
  gain: (gain) => {
    view.gain = gain;
    refresh();
  },
  fit: () => zoom.reset(),
  in: () => zoom.set(zoom.scale * 1.5),
  out: () => zoom.set(zoom.scale / 1.5),
  pixels: () => {
    view.pixels = !view.pixels;
    refresh();
  },
  full: fullScreen,
  help: () => keys.showModal(),
});
const title = make("h2", { dir: "auto" });
const note = make("p.note", { hidden: true });
const state = make("span.state");
const retry = make(
  "button.small",
  { type: "button", hidden: true, onclick: () => ask("retry", firstLost()?.number ?? 0) },
  "Run again",
);
const handle = make("div.handle", {
  role: "slider",
  tabindex: "0",
  "aria-label": "Wipe from A to B",
  "aria-valuemin": "0",
  "aria-valuemax": "100",
  "data-own-drag": "",
  onpointerdown: (event) => {
    handle.setPointerCapture(event.pointerId);
  },
  onpointermove: dragWipe,
  onkeydown: keyWipe,
});
const corners = ["a", "b"].map((side) => make(`p.corner.${side}`, {}, make("b", {}, side.toUpperCase()), make("span")));
const overlay = make("div.overlay", {}, handle, ...corners);
const tilesBox = make("div.tiles");
const stage = make("div.stage", {}, tilesBox, overlay);
const scale = make("p.scale", { hidden: true });
const viewer = make("div.viewer", {}, stage);
const keys = helpDialog();
const live = make("p.unseen", { role: "status" });
const empty = make("p.empty", {}, "Nothing to compare yet.");
const desk = make(
  "section.desk.dark",
  { "aria-label": "Comparison of the runs", tabindex: "-1", hidden: true },
  toolbar.node,
  viewer,
  scale,
  timebar.node,
  transport.node,
  keys,
);
if (props.heat) desk.style.setProperty("--heat", props.heat.join(", "));
root.append(
  make("header.top", {}, make("div", {}, title, note), make("div.side", {}, state, retry)),
  desk,
  empty,
  live,
);
const zoom = new Zoom(viewer, (by) => {
  put(toolbar.percent, `${Math.round(100 * by)} %`);
});
let again = false;

// ---- what a person does -------------------------------------------------------------------------------------
function ask(action, number) {
  trigger("input", { action, number });
}

function setMode(mode) {
  const button = toolbar.modes.find((one) => one.dataset.mode === mode);
  if (!value || button.disabled) return;
  if (isPair(mode) && view.solo !== null && view.solo !== view.a) view.b = view.solo;
  Object.assign(view, { mode, flipped: false, solo: isPair(mode) ? null : view.solo });
  refresh();
  say(`${button.textContent}${isPair(mode) ? `: A ${nameOf(view.a)}, B ${nameOf(view.b)}` : ""}`);
}

function pick(side, number) {
  const other = side === "a" ? "b" : "a";
  if (view[other] === number) view[other] = view[side];
  view[side] = number;
  refresh();
  ask("select", number);
}

function swap() {
  [view.a, view.b] = [view.b, view.a];
  refresh();
}

function flip(shown) {
  if (view.flipped === shown) return;
  view.flipped = shown;
  desk.toggleAttribute("data-flipped", shown);
  mark(toolbar.hold, "aria-pressed", String(shown));
}

function enlarge(number) {
  // the same run again closes
  view.solo = number === null || view.solo === number ? null : number;
  if (isPair(view.mode)) view.mode = "grid";
  refresh();
  if (view.solo !== null) ask("select", view.solo);
}

function togglePlay() {
  view.begun = true;
  if (clock.playing) clock.pause();
  else clock.play();
}

function goWorst() {
  const found = worst();
  if (!found) return;
  const { label, unit } = chosenCurve();
  view.begun = true;
  if (clock.playing) clock.pause();
  clock.seek(found.frame);
  say(
    `Worst frame: ${found.frame + 1}, ${nameOf(found.number)}, ${label} ${figure(found.value)} ${unit}`,
  );
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else desk.requestFullscreen();
}

function wipeTo(percent) {
  view.wipe = clamp(percent, 0, 100);
  desk.style.setProperty("--wipe", `${view.wipe}%`);
  mark(handle, "aria-valuenow", Math.round(view.wipe));
  mark(handle, "aria-valuetext", `${Math.round(view.wipe)} % A`);
}

function dragWipe(event) {
  if (!handle.hasPointerCapture(event.pointerId)) return;
  const box = overlay.getBoundingClientRect();
  wipeTo((100 * (event.clientX - box.left)) / box.width);
}

function keyWipe(event) {
  const by = {
    ArrowLeft: -2,
    ArrowRight: 2,
    ArrowDown: -2,
    ArrowUp: 2,
    PageDown: -10,
    PageUp: 10,
    Home: -100,
    End: 100,
  }[event.key];
  if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  wipeTo(view.wipe + by);
  event.preventDefault();
  event.stopPropagation();
}

// ---- what is shown ------------------------------------------------------------------------------------------
const nameOf = (number) => value.tiles.find((tile) => tile.number === number)?.name ?? "";
const chosenCurve = () => value.curves.find((curve) => curve.id === view.metric) || null;
const firstLost = () => value.tiles.find((tile) => ENDED[tile.status]);
const meant = () => (view.solo !== null ? [view.solo] : isPair(view.mode) ? [view.a, view.b] : []);
const say = (text) => put(live, text);

function worst() {
  const curve = chosenCurve();
  if (!curve) return null;
  const known = [...views.keys()].filter((number) => curve.values[number]);
  const own = meant().filter((number) => known.includes(number));
  return worstOf(curve, own.length ? own : known);
}

/** The tiles that are to be seen now. */
function seen() {
  const all = [...views.values()];
  if (isPair(view.mode)) return all.filter((tile) => tile.number === view.a || tile.number === view.b);
  return view.solo === null ? all : all.filter((tile) => tile.number === view.solo);
}

function showFrame(frame) {
  if (!value) return;
  timebar.show(frame);
  transport.frame(frame, clock.frames);
}

/** Brings everything in line with the value and with what has been chosen. */
function refresh() {
  const curves = value.curves;
  if (!chosenCurve()) view.metric = (curves.find((curve) => Object.keys(curve.values).length) || curves[0])?.id ?? null;
  mark(desk, "data-mode", view.mode);
  desk.toggleAttribute("data-pair", isPair(view.mode));
  desk.toggleAttribute("data-solo", view.solo !== null);
  desk.toggleAttribute("data-pixels", view.pixels);
  desk.toggleAttribute("data-flipped", view.flipped);
  desk.style.setProperty("--gain", view.gain);
  wipeTo(view.wipe);
  const shown = seen();
  for (const tile of views.values()) placeTile(tile, shown.includes(tile));
  corners.forEach((corner, index) => {
    const tile = value.tiles.find((one) => one.number === (index ? view.b : view.a));
    put(corner.lastChild, tile?.name ?? "");
    corner.style.setProperty("--accent", accent(tile?.colour ?? 0));
  });
  toolbar.update(view, value.tiles);
  timebar.update(value, view.metric);
  timebar.focus(meant(), worst());
  transport.lead(worst(), worst() && nameOf(worst().number), chosenCurve());
  drawScale();
  arrange();
  gather();
}

function placeTile(tile, shown) {
  tile.node.hidden = !shown;
  mark(tile.node, "data-side", tile.number === view.a ? "a" : tile.number === view.b ? "b" : null);
  for (const [index, number] of [view.a, view.b].entries())
    mark(tile.pick[index], "aria-pressed", String(number === tile.number));
  mark(tile.enlarge, "aria-pressed", String(view.solo === tile.number));
}

function drawScale() {
  const heat = view.mode === "heat";
  scale.hidden = !heat && view.mode !== "difference";
  const most = value.gain ? `differs by ${Math.round(255 / value.gain)} of 255 or more` : "differs most";
  if (heat) scale.replaceChildren(make("span", {}, "equal to the baseline"), make("i"), make("span", {}, most));
  else put(scale, `Black is equal. Differences are shown ${view.gain} times as bright.`);
}

/** Takes the videos that are seen and loaded into step; starts them once when all is done. */
function gather() {
  const media = seen().map((tile) => tile.media(view.mode === "heat"));
  clock.use(media.filter((one) => one.video).map((one) => one.video));
  transport.update(clock, clock.videos.length > 0);
  const waits = media.some((one) => one.state === "loading");
  if (!view.begun && !waits && clock.videos.length && value.status !== "running" && value.status !== "queued") {
    view.begun = true; // not before: playing would take time from the runs that are being measured
    if (!still.matches) clock.play();
  }
}

function mediaChanged() {
  for (const tile of views.values()) if (tile.tile) tile.drawNotice();
  if (!again) {
    again = true;
    queueMicrotask(() => {
      again = false;
      if (value) gather();
    });
  }
}

/** How many columns give the largest tiles that still fit below each other. */
function arrange() {
  const width = viewer.clientWidth - 2;
  if (!value || width < 10) return;
  const aspect = value.width / value.height;
  const full = Boolean(document.fullscreenElement);
  const tall = full ? viewer.clientHeight : clamp(innerHeight - AROUND, 380, 1100);
  const count = seen().length;
  const single = isPair(view.mode) || view.solo !== null;
  const chrome = single ? (isPair(view.mode) ? 0 : 110) : 130;
  const phone = width < PHONE;
  viewer.toggleAttribute("data-strip", phone && !single && count > 4);
  let columns = 1;
  let tile = Math.min(width, (tall - chrome) * aspect);
  if (!single && phone) {
    columns = count > 4 ? count : 2;
    tile = count > 4 ? Math.max(150, width * 0.44) : width / 2;
  } else if (!single) {
    [columns, tile] = bestColumns(count, width, tall, aspect, chrome);
  }
  stage.style.setProperty("--columns", columns);
  stage.style.setProperty("--tile", `${Math.floor(tile)}px`);
  viewer.style.setProperty("--aspect", `${value.width} / ${value.height}`);
}

function bestColumns(count, width, tall, aspect, chrome) {
  let best = null;
  for (let rows = 1; rows <= count; rows += 1) {
    const columns = Math.ceil(count / rows);
    const tile = Math.min(width / columns, ((tall * 1.12) / rows - chrome) * aspect);
    const worth = tile * (tile === width / columns ? 1.25 : 1); // no empty sides, if that costs little
    if (tile >= NARROW && (!best || worth > best[2])) best = [columns, tile, worth];
  }
  const most = Math.max(1, Math.floor(width / NARROW));
  return best || [most, width / most]; // too many to fit: they scroll
}

// ---- the value ----------------------------------------------------------------------------------------------
function begin(next) {
  clock.pause();
  for (const tile of views.values()) {
    tile.main.clear();
    tile.heat.clear();
  }
  views = new Map();
  tilesBox.replaceChildren();
  view = { ...fresh(), gain: clamp(Math.round(next.gain || 4), 1, 32), b: next.tiles[1]?.number ?? 0 };
  zoom.reset();
  clock.fps = next.fps;
  clock.frames = next.frames;
  clock.set(0);
  stage.scrollTop = 0;
}

function announce(before, next) {
  const told = next.tiles.filter(
    (tile) =>
      tile.status !== "running" &&
      tile.status !== "queued" &&
      before.tiles.find((old) => old.number === tile.number)?.status !== tile.status,
  );
  if (told.length) say(told.map((tile) => `${tile.name}: ${STATUS[tile.status]}`).join(", "));
}

function render() {
  const next = props.value || null;
  desk.hidden = !next;
  empty.hidden = Boolean(next);
  root.querySelector(".top").hidden = !next;
  if (!next) {
    value = null;
    clock.use([]);
    return;
  }
  const before = value;
  value = next;
  if (!before || before.key !== next.key) begin(next);
  else announce(before, next);
  clock.fps = next.fps;
  clock.frames = next.frames;
  for (const tile of next.tiles) {
    if (!views.has(tile.number)) {
      const made = new TileView(tile.number, {
        onskip: (number) => ask("skip", number),
        onpick: pick,
        onenlarge: enlarge,
        onmedia: mediaChanged,
      });
      views.set(tile.number, made);
      tilesBox.append(made.node);
    }
    views.get(tile.number).update(tile);
  }
  const done = next.tiles.filter((tile) => tile.status === "done").length;
  put(title, next.title);
  mark(title, "title", next.title);
  note.hidden = !next.note;
  put(note, next.note || "");
  mark(state, "data-status", next.status);
  put(state, next.status === "running" ? `Running, ${done} of ${next.tiles.length} done` : STATUS[next.status]);
  state.hidden = Boolean(next.note) && next.status === "done";
  retry.hidden = next.status === "running" || next.status === "queued" || Boolean(next.note) || !firstLost();
  transport.frame(clock.frame, clock.frames);
  refresh();
}

function bringUp() {
  // [run, count]: the count makes the same run come up again
  const number = Array.isArray(props.selected) ? props.selected[0] : null;
  if (!value || !views.has(number) || view.solo === number) return;
  view.solo = number;
  if (isPair(view.mode)) view.mode = "grid";
  refresh();
}

listen();
restWhileDragged(clock);
watch("value", render);
watch("selected", bringUp);
new ResizeObserver(arrange).observe(viewer);
render();

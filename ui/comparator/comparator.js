// The comparator: takes the value, keeps what a person has chosen, and puts the parts together.

const STATUS = {
  queued: "Queued",
  running: "Running",
  done: "Done",
  failed: "Failed",
  cancelled: "Stopped",
  interrupted: "Interrupted",
};
const still = matchMedia("(prefers-reduced-motion: reduce)");

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
  { type: "button", hidden: true, onclick: () => ask("retry", (firstLost() || firstDisturbed())?.number ?? 0) },
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

// ---- what is shown ------------------------------------------------------------------------------------------
const say = (text) => put(live, text);

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
  retry.hidden = next.status === "running" || next.status === "queued" || Boolean(next.note) || !(firstLost() || firstDisturbed());
  put(retry, firstLost() ? "Run again" : "Measure again");
  retry.title = firstLost() ? "" : "Other programs disturbed a run: time its steps anew; the videos stay as they are";
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

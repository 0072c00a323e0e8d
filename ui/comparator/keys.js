// The keyboard of the comparator: it listens where the focus is inside, and leaves typing and native controls alone.

const LETTERS = {
  g: () => setMode("grid"),
  w: () => setMode("wipe"),
  d: () => setMode("difference"),
  h: () => setMode(view.mode === "heat" ? "grid" : "heat"),
  x: swap,
  j: goWorst,
  l: () => {
    clock.loop = !clock.loop;
    transport.update(clock, true);
  },
  "[": () => faster(-1),
  "]": () => faster(1),
  "+": () => zoom.set(zoom.scale * 1.5),
  "=": () => zoom.set(zoom.scale * 1.5),
  "-": () => zoom.set(zoom.scale / 1.5),
  0: () => zoom.reset(),
  "?": () => keys.showModal(),
  f: () => {
    if (view.mode === "flip") flip(true);
    else {
      setMode("flip");
      flip(true);
    }
  },
};
const MOVES = {
  ArrowLeft: () => clock.step(-1),
  ArrowRight: () => clock.step(1),
  Home: () => clock.step(-clock.frame),
  End: () => clock.step(clock.frames),
};
const PANS = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };

function faster(by) {
  const next = SPEEDS[clamp(SPEEDS.indexOf(clock.speed) + by, 0, SPEEDS.length - 1)];
  clock.setSpeed(next);
  transport.update(clock, true);
}

function actionOf(event) {
  const { key, code, target } = event;
  if (key === " ") return target.matches("button:not(.enlarge), summary") ? null : togglePlay;
  if (key === "Escape")
    return view.solo !== null || view.mode !== "grid"
      ? () => {
          view.solo = null;
          setMode("grid");
        }
      : null;
  if (event.shiftKey && PANS[key] && zoom.scale > 1) return () => zoom.pan(...PANS[key]);
  const digit = /^Digit([1-9])$/.exec(code)?.[1];
  if (digit) return () => takeNumber(Number(digit), event.shiftKey);
  if (MOVES[key]) return target.matches("input, select") ? null : MOVES[key];
  return LETTERS[key.toLowerCase()] || null;
}

function takeNumber(place, shift) {
  const tile = value.tiles[place - 1];
  if (!tile) return;
  if (isPair(view.mode)) pick(shift ? "a" : "b", tile.number);
  else enlarge(tile.number);
}

function listen() {
  desk.addEventListener("keydown", (event) => {
    if (!value || event.ctrlKey || event.metaKey || event.altKey || keys.open || event.target.matches("textarea"))
      return;
    if (event.target.matches("select") && event.key.length === 1) return; // a letter chooses an option there
    const action = actionOf(event);
    if (!action) return;
    event.preventDefault();
    if (!event.repeat || MOVES[event.key] || PANS[event.key]) action();
  });
  desk.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "f") flip(false);
    // Space plays there, Enter enlarges
    if (event.key === " " && event.target.matches(".enlarge")) event.preventDefault();
  });
  desk.addEventListener("focusout", (event) => {
    if (!desk.contains(event.relatedTarget)) flip(false);
  });
  viewer.addEventListener("pointerdown", (event) => {
    // so that the keys work
    if (!event.target.closest("button, select, input, [tabindex='0']")) desk.focus({ preventScroll: true });
  });
}

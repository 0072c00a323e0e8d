// What a person can do: each function changes what is chosen, and shows it.

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

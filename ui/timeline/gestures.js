// Pointer and keyboard. One set of listeners on the widget's root; the pointer is captured by the handle itself, so
// that double clicks keep their target. A drag draws at most once a frame and is one edit when it ends.

const THRESHOLD = 3; // pixels before a press is a drag, so that double clicks leave everything where it is

class Gestures {
  constructor(board) {
    Object.assign(this, { board, drag: null, frame: 0 });
    const on = (kind, act) => board.node.addEventListener(kind, act);
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.release(event));
    on("pointercancel", () => this.cancel());
    on("lostpointercapture", () => this.cancel());
    on("dblclick", (event) => this.double(event));
    on("keydown", (event) => this.key(event));
  }

  /** The handle under an event: {kind, node, lane, k}. */
  handle(event) {
    const node = event.target.closest?.(".boundary, .level, .stage, .grip");
    const lane = node && this.board.lanes.get(node.closest(".track").dataset.track);
    if (!lane) return null;
    const kind = ["boundary", "level", "stage", "grip"].find((name) => node.classList.contains(name));
    return { kind, node, lane, k: Number(kind === "boundary" ? node.dataset.boundary : node.dataset.stage) };
  }

  press(event) {
    const held = this.handle(event);
    if (!held || this.drag || event.button !== 0 || !event.isPrimary) return;
    if (held.kind === "stage" && event.pointerType === "touch") return; // a swipe there scrolls the page
    const vertical = held.kind === "level" || held.kind === "stage";
    if (vertical) held.node = held.lane.stages[held.k].level;
    held.node.focus({ preventScroll: true });
    if (vertical && held.k === held.lane.track.ends.length) return; // the last stage is locked
    event.preventDefault();
    const target = event.target.closest(".boundary, .level, .stage, .grip");
    target.setPointerCapture(event.pointerId);
    const plot = held.lane.plot.getBoundingClientRect();
    const from = { x: event.clientX, y: event.clientY };
    const before = held.lane.track;
    this.drag = { ...held, target, pointer: event.pointerId, plot, from, at: from, moved: false, before, after: null };
  }

  move(event) {
    const { drag } = this;
    if (!drag || event.pointerId !== drag.pointer) return;
    drag.at = { x: event.clientX, y: event.clientY };
    if (!drag.moved && Math.hypot(drag.at.x - drag.from.x, drag.at.y - drag.from.y) < THRESHOLD) return;
    if (!drag.moved) this.begin(drag);
    this.frame ||= requestAnimationFrame(() => this.apply());
  }

  begin(drag) {
    drag.moved = true;
    dispatchEvent(new CustomEvent("resolute:drag", { detail: true }));
    drag.lane.node.classList.add("dragged");
    drag.node.classList.add("held");
    if (drag.kind === "grip") drag.places = this.board.places();
  }

  apply() {
    this.frame = 0;
    const { drag, board } = this;
    if (!drag?.moved) return;
    if (drag.kind === "grip") return this.carry(drag);
    const after = drag.kind === "boundary" ? this.boundaryAt(drag) : this.levelAt(drag);
    if (after !== drag.after) {
      drag.after = after;
      drag.lane.draw(after, board.board.steps);
      board.guide(drag.kind === "boundary" ? after.ends[drag.k] / runSteps(after, board.board.steps) : null);
    }
    board.tip.pointer(drag.at, this.tipText(drag, after));
  }

  boundaryAt({ at, from, plot, before, after, k }) {
    const { steps } = this.board.board;
    const next = moveBoundary(before, k, before.ends[k] + ((at.x - from.x) / plot.width) * runSteps(before, steps), steps);
    return next.ends[k] === after?.ends[k] ? after : next;
  }

  levelAt({ at, from, plot, before, after, k }) {
    const wanted = before.rates[k] - (at.y - from.y) / plot.height;
    const legal = nearestRate(this.board.context, wanted);
    const stays = Math.abs(wanted - before.rates[k]) < Math.abs(wanted - legal); // a typed rate between two detents
    const rate = stays ? before.rates[k] : legal;
    return rate === after?.rates[k] ? after : setRate(before, k, rate);
  }

  tipText({ kind, k }, track) {
    const { board: { steps }, context } = this.board;
    const cost = comparedCost(track, steps, context);
    const run = cost.timed ? `${secondsText(cost.seconds)} a run, ${(1 / cost.share).toFixed(2)}×`
      : `${cost.arithmetic.toFixed(2)}× by FLOPs`;
    const rate = track.rates[k];
    if (kind !== "boundary") return [`Rate ${rateText(rate)}`, ...stageFacts(sizeOf(context, rate)), run];
    const next = track.rates[k + 1] ?? 1;
    return [`After step ${track.ends[k]} of ${runSteps(track, steps)}`, `${rateText(rate)} → ${rateText(next)}`, run];
  }

  /** Reordering: the lane follows the pointer, a line shows where it will stand. */
  carry(drag) {
    drag.lane.node.style.transform = `translateY(${drag.at.y - drag.from.y}px)`;
    drag.place = drag.places.filter(({ middle }) => middle < drag.at.y).length;
    this.board.dropLine(drag.place);
  }

  release(event) {
    const { drag, board } = this;
    if (!drag || event.pointerId !== drag.pointer) return;
    if (drag.moved) this.apply();
    this.end();
    if (!drag.moved) return;
    if (drag.kind === "grip") board.moveTo(drag.lane.id, drag.place);
    else if (drag.after && !sameShape(drag.after, drag.before)) board.edit(drag.lane.id, () => drag.after);
    else drag.lane.draw(drag.before, board.board.steps);
  }

  cancel() {
    const { drag } = this;
    if (!drag) return;
    this.end();
    drag.lane.draw(drag.before, this.board.board.steps);
    if (drag.moved) this.board.announce("Drag cancelled");
  }

  end() {
    const { drag, board } = this;
    this.drag = null;
    if (drag.moved) dispatchEvent(new CustomEvent("resolute:drag", { detail: false }));
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    drag.lane.node.classList.remove("dragged");
    drag.node.classList.remove("held");
    drag.lane.node.style.transform = "";
    board.dropLine(null);
    board.guide(null);
    board.tip.hide();
    if (drag.target.hasPointerCapture(drag.pointer)) drag.target.releasePointerCapture(drag.pointer);
  }

  double(event) {
    const held = this.handle(event);
    if (!held || held.kind === "grip") return;
    event.preventDefault();
    if (held.kind === "boundary") return this.board.merge(held.lane.id, held.k);
    const plot = held.lane.plot.getBoundingClientRect();
    const steps = runSteps(held.lane.track, this.board.board.steps);
    this.board.split(held.lane.id, held.k, ((event.clientX - plot.left) / plot.width) * steps);
  }

  key(event) {
    if (event.key === "Escape" && this.drag) {
      event.preventDefault();
      return this.cancel();
    }
    if (this.drag || this.history(event)) return;
    const held = this.handle(event);
    if (!held || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = { boundary: boundaryKey, level: levelKey, grip: gripKey }[held.kind];
    if (act?.(this.board, held, event)) event.preventDefault();
  }

  /** Ctrl+Z, Ctrl+Shift+Z, Ctrl+Y; text fields keep their own. */
  history(event) {
    const letter = event.key.toLowerCase();
    const typing = event.target.matches?.("input");
    if (typing || !(event.ctrlKey || event.metaKey) || event.altKey || !["z", "y"].includes(letter)) return false;
    event.preventDefault();
    this.board.travel(letter === "y" || event.shiftKey ? 1 : -1);
    return true;
  }
}

const sameShape = (a, b) => String(a.rates) === String(b.rates) && String(a.ends) === String(b.ends);

function boundaryKey(board, { lane, k }, event) {
  const { steps } = board.board;
  const [low, high] = boundaryRange(lane.track, k, steps);
  const far = Math.max(2, Math.round(runSteps(lane.track, steps) / 10));
  const now = lane.track.ends[k];
  const targets = { ArrowRight: now + 1, ArrowUp: now + 1, ArrowLeft: now - 1, ArrowDown: now - 1,
    PageUp: now + far, PageDown: now - far, Home: low, End: high };
  if (event.key in targets) {
    board.edit(lane.id, (track) => moveBoundary(track, k, targets[event.key], steps), `switch-${k}`);
    return true;
  }
  if (event.key !== "Delete" && event.key !== "Backspace") return false;
  board.merge(lane.id, k);
  return true;
}

function levelKey(board, { lane, k }, event) {
  const { steps } = board.board;
  const locked = k === lane.track.ends.length;
  if (event.key === "Enter") {
    const { first, last } = stagesOf(lane.track, steps)[k];
    board.split(lane.id, k, (first + last - 1) / 2);
    return true;
  }
  if (locked) return event.key.startsWith("Arrow");
  if (event.key === "Delete" || event.key === "Backspace") {
    board.merge(lane.id, k);
    return true;
  }
  const { context } = board;
  const now = lane.track.rates[k];
  const far = Math.max(2, Math.round(context.rates.length / 6));
  const targets = { ArrowUp: [1], ArrowRight: [1], ArrowDown: [-1], ArrowLeft: [-1], PageUp: [far], PageDown: [-far] };
  const rate = event.key === "Home" ? context.rates[0].rate : event.key === "End" ? 1
    : event.key in targets ? steppedRate(context, now, targets[event.key][0]) : null;
  if (rate === null) return false;
  board.edit(lane.id, (track) => setRate(track, k, rate), `rate-${k}`);
  return true;
}

function gripKey(board, { lane }, event) {
  if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return false;
  board.move(lane.id, event.key === "ArrowUp" ? -1 : 1);
  return true;
}

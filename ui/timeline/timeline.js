// The board: toolbar, ruler, lanes, and the value that Python sees.

class Board extends Edits {
  constructor(home) {
    super();
    this.key = `timeline-${Math.random().toString(36).slice(2, 8)}`;
    this.lanes = new Map();
    this.view = { sigma: true, bands: true };
    this.build(home);
    this.gestures = new Gestures(this);
    this.update();
  }

  build(home) {
    this.undoButton = iconButton("undo", "Undo (Ctrl+Z)", () => this.travel(-1));
    this.redoButton = iconButton("redo", "Redo (Ctrl+Shift+Z)", () => this.travel(1));
    this.addButton = make("button.add", { type: "button", onclick: () => this.add() }, icon("add"), "Add track");
    this.menu = new Menu(this.addButton, (k) => this.addLevels(this.context.levels.offered[k]));
    this.subject = make("p.subject");
    this.calibration = make("button.calibration", { type: "button", onclick: () => this.explain() });
    this.note = make("p.noted", { hidden: true });
    this.toggles = { sigma: this.toggle("sigma", "Noise level", "The noise level (sigma) that each step is told"),
      bands: this.toggle("bands", "Settled bands", "Which detail of the baseline settles when") };
    this.ruler = make("div.ruler", { "aria-hidden": "true" });
    this.guideLine = make("div.guide", { hidden: true, "aria-hidden": "true" });
    this.drop = make("div.drop", { hidden: true, "aria-hidden": "true" });
    this.list = make("div.tracks");
    this.stack = make("div.stack", {},
      make("div.head-row", {}, make("div.corner"), this.ruler, make("div.heading", {}, "Predicted")),
      this.list, this.guideLine, this.drop);
    this.bandText = make("p.legend");
    this.voice = make("div.unseen", { role: "status", "aria-live": "polite" });
    this.tip = new Tip();
    this.empty = make("p.empty", {}, "Choose a model to edit schedules for it.");
    this.node = make("div.board", { role: "group", "aria-label": "Resolution schedules" },
      make("div.bar-top", {}, this.undoButton, this.redoButton, make("div.adding", {}, this.addButton, this.menu.node), ...Object.values(this.toggles),
        make("div.spacer"), this.subject, this.calibration), this.note,
      this.stack, this.bandText, this.voice, this.tip.node);
    home.replaceChildren(this.empty, this.node);
    this.tip.home = this.node;
  }

  toggle(name, label, help) {
    return make(`button.toggle.by-${name}`, { type: "button", "aria-pressed": "true", title: help, onclick: () => {
      this.view[name] = !this.view[name];
      this.toggles[name].setAttribute("aria-pressed", String(this.view[name]));
      this.drawAll();
    } }, make("i", { "aria-hidden": "true" }), label);
  }

  // ---- values ---------------------------------------------------------------------------------------------

  /** What Python holds, as plain data: Gradio's own objects are watched at every access, too slow for a drag. */
  update() {
    const context = JSON.stringify(props.context ?? null);
    let value = JSON.stringify(props.value || null);
    if (value !== this.seen?.value && this.belated(JSON.parse(value), JSON.parse(context))) value = this.seen.value;
    if (context === this.seen?.context && value === this.seen?.value) return;
    this.gestures.cancel();
    const before = Boolean(this.context?.levels);
    if (context !== this.seen?.context) {
      this.context = JSON.parse(context);
      this.note.hidden = true;
    }
    const wasSeen = this.seen;
    this.seen = { context, value };
    if (value !== wasSeen?.value) this.receive(JSON.parse(value));
    if (before !== Boolean(this.context?.levels)) Object.assign(this, { past: [], future: [] }); // lanes of another kind
    this.drawAll();
    this.snap();
  }

  /** Whether a value is of the other kind of model than the context: an answer that came late. It is put right again. */
  belated(value, context) {
    const strange = (tracks) => tracks.some(({ levels }) => Boolean(levels) !== Boolean(context?.levels));
    if (!this.board || !strange(value?.tracks ?? []) || strange(this.board.tracks)) return false;
    clearTimeout(this.righting);
    this.righting = setTimeout(() => { // the context that belongs to it may be on its way
      if (JSON.stringify(props.value || null) !== this.seen.value && strange(props.value?.tracks ?? [])) this.send();
    }, 500);
    return true;
  }

  /** Rates that the context cannot run go to the smallest that it can, and the board says so. */
  snap() {
    if (!this.context?.rates?.length) return;
    const smallest = this.context.rates[0].rate;
    const fitted = (track) => (track.rates.some((rate) => rate < smallest)
      ? { ...track, rates: track.rates.map((rate) => Math.max(rate, smallest)) } : track);
    const changed = this.board.tracks.filter((track) => fitted(track) !== track);
    if (!changed.length) return;
    const named = changed.map((track) => `“${track.name}”`).join(", ");
    this.note.textContent = `${named}: rates under ${rateText(smallest)} leave less than one patch at this size `
      + `and became ${rateText(smallest)}.`;
    this.note.hidden = false;
    this.commit({ ...this.board, tracks: this.board.tracks.map(fitted) }, this.note.textContent);
  }

  /** A value from Python. It can be undone like an edit, except where the number of steps is another. */
  receive(value) {
    const next = boardFrom(value, this.board);
    if (this.board?.steps === next.steps) this.remember(next);
    else Object.assign(this, { past: [], future: [], board: next });
    this.burst = null;
  }

  send() {
    const value = valueFrom(this.board);
    this.seen.value = JSON.stringify(value);
    props.value = value;
    this.sending ??= Promise.resolve().then(() => { // edits made at once are one event: Gradio chokes on hundreds
      this.sending = null;
      trigger("input", {});
    });
  }

  // ---- drawing --------------------------------------------------------------------------------------------

  drawAll() {
    const ready = Boolean(this.context?.rates?.length || this.context?.levels);
    this.empty.hidden = ready;
    this.node.hidden = !ready;
    if (!ready) return;
    this.fitLanes();
    this.drawFrame();
    for (const [id, lane] of this.lanes) {
      const track = id === "" ? this.baseline : this.track(id);
      lane.drawBack(this.board.steps, track);
      lane.draw(track, this.board.steps);
    }
  }

  get baseline() { return this.context.levels ? levelTrack(this.context, this.board.steps) : FLAT; }

  fitLanes() {
    const { activeElement } = document;
    const Kind = this.context.levels ? LevelLane : Lane;
    if (this.kind !== Kind) { // the other kind of model: no lane can be kept
      for (const lane of this.lanes.values()) lane.node.remove();
      this.lanes.clear();
      this.kind = Kind;
    }
    const wanted = ["", ...this.board.tracks.map((track) => track.id)];
    for (const [id, lane] of this.lanes) {
      if (wanted.includes(id)) continue;
      lane.node.remove();
      this.lanes.delete(id);
    }
    wanted.forEach((id, at) => {
      if (!this.lanes.has(id)) this.lanes.set(id, new Kind(this, id));
      const { node } = this.lanes.get(id);
      if (this.list.children[at] !== node) this.list.insertBefore(node, this.list.children[at] ?? null);
    });
    const lost = this.list.contains(activeElement) && document.activeElement !== activeElement; // by moving its lane
    if (lost) activeElement.focus({ preventScroll: true });
  }

  drawFrame() {
    const { context, board: { steps } } = this;
    say(this.subject, `${context.model} · ${context.width}×${context.height} · ${context.frames} frames · ${steps} steps`);
    say(this.calibration, { measured: "measured here", estimated: "estimated" }[context.calibrated] ?? "not measured yet");
    this.undoButton.disabled = !this.past.length;
    this.redoButton.disabled = !this.future.length;
    this.addButton.disabled = this.full;
    this.drawKind();
    this.toggles.bands.hidden = !context.bands;
    const bands = context.bands ? settledBands(context, steps) : [];
    this.ruler.replaceChildren(...rulerMarks(steps, this.view.bands ? bands : []));
    this.ruler.classList.toggle("flagged", Boolean(bands.length && this.view.bands));
    this.bandText.hidden = !context.levels && (!bands.length || !this.view.bands);
    say(this.bandText, context.levels ? levelLegend(context.levels) : bands.length ? `Hatched: what the baseline was still working on at each step. ${bandSentence(bands)} `
      + "Steps that stay above the hatching lose nothing that was settling then." : "");
  }

  /** What else tells a level board from one of schedules: its menu, no curves behind the lanes, a sentence below them. */
  drawKind() {
    const { levels } = this.context;
    set(this.node, "aria-label", levels ? "Level tracks" : "Resolution schedules");
    this.toggles.sigma.hidden = Boolean(levels);
    if (this.menuOf === levels) return;
    this.menuOf = levels;
    this.menu.close();
    for (const name of ["aria-haspopup", "aria-expanded"]) this.addButton.removeAttribute(name);
    if (!levels) return;
    set(this.addButton, "aria-haspopup", "menu");
    set(this.addButton, "aria-expanded", "false");
    this.menu.fill(levels.offered);
  }

  explain() {
    const text = this.context.calibration_note ?? "";
    this.tip.at(this.calibration, text);
    this.calibration.onblur = this.tip.hide;
  }

  /** The line through all lanes at a share of the steps; null: none. */
  guide(share) {
    this.guideLine.hidden = share === null;
    if (share === null) return;
    const plot = this.lanes.get("").plot.getBoundingClientRect();
    const home = this.stack.getBoundingClientRect();
    this.guideLine.style.transform = `translateX(${plot.left - home.left + share * plot.width}px)`;
  }

  places() {
    return this.board.tracks.map(({ id }) => {
      const { top, bottom } = this.lanes.get(id).node.getBoundingClientRect();
      return { top, bottom, middle: (top + bottom) / 2 };
    });
  }

  dropLine(place) {
    this.drop.hidden = place === null;
    if (place === null) return;
    const { places } = this.gestures.drag;
    const y = place < places.length ? places[place].top : places.at(-1).bottom;
    this.drop.style.transform = `translateY(${y - this.stack.getBoundingClientRect().top}px)`;
  }

  announce(text) { this.voice.textContent = text; }
}

function levelLegend({ patch: [frames, height, width] }) {
  return `Hierarchical patch diffusion: one network denoises tiles of ${frameText({ frames, height, width })}, level by `
    + "level from coarse to fine, and never runs at full size. Every level is a finished video, and the next one's context.";
}

const board = new Board(root);
watch(["value", "context"], () => board.update()); // together: a value is judged by the context that came with it

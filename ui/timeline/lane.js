// One lane: its head, its plot with stages and boundaries, and what it costs. `draw` only sets attributes and texts, so
// that a drag touches one lane; nodes are made when the number of stages changes.

const ICONS = {
  undo: "M6 5H10.5A3.5 3.5 0 0 1 10.5 12H5M6 5 8.5 2.5M6 5 8.5 7.5",
  redo: "M10 5H5.5A3.5 3.5 0 0 0 5.5 12H11M10 5 7.5 2.5M10 5 7.5 7.5",
  add: "M8 3V13M3 8H13",
  copy: "M5.5 5.5H13V13H5.5ZM10.5 5.5V3H3V10.5H5.5",
  remove: "M4 4 12 12M12 4 4 12",
  numbers: "M3 4.5H13M3 8H13M3 11.5H13M6 3V6M10 6.5V9.5M5 10V13",
  up: "M8 13V3M4 7 8 3 12 7",
  down: "M8 3V13M4 9 8 13 12 9",
  flat: "M2.5 13.5V5H13.5V13.5",
  two: "M2.5 13.5V9H8V4H13.5V13.5",
  u: "M2.5 13.5V4H5.5V9.5H10.5V4H13.5V13.5",
  lock: "M4.5 7.5H11.5V13H4.5ZM6 7.5V5.5A2 2 0 0 1 10 5.5V7.5",
};
const icon = (name) =>
  make("svg.icon", { viewBox: "0 0 16 16", "aria-hidden": "true" }, make("path", { d: ICONS[name] }));

const say = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const set = (node, name, value) => { if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value); };
const percent = (share) => `${(100 * share).toFixed(4)}%`;
const hidden = (text) => make("span.unseen", {}, text);

function iconButton(name, label, act, extra = {}) {
  return make("button.tool", { type: "button", "aria-label": label, title: label, onclick: act, ...extra }, icon(name));
}

class Lane {
  /** `host` is the board: context, view, edits, tip. A lane without id is the baseline's. */
  constructor(host, id) {
    Object.assign(this, { host, id, stages: [], boundaries: [], track: null });
    this.grid = make("path.grid");
    this.sigma = make("path.sigma");
    this.bands = make("div.bands");
    this.drawings = [this.grid, this.sigma].map((path) =>
      make("svg", { preserveAspectRatio: "none", "aria-hidden": "true" }, path));
    this.axis = make("div.axis", { "aria-hidden": "true", hidden: true });
    this.plot = make("div.plot", {}, this.bands, ...this.drawings, this.axis);
    this.time = make("b.time");
    this.speed = make("span.speed");
    this.arithmetic = make("span.flops");
    this.bar = make("i");
    this.chips = make("ul.chips", { "aria-label": "Warnings" });
    const scale = make("div.scale", { "aria-hidden": "true" }, ...[1, 0.5].map((rate) =>
      make("span", { style: { top: percent(1 - rate) } }, rateText(rate))));
    this.head = make("div.head", {}, ...(id ? this.controls() : this.baselineHead()));
    this.node = make(id ? "div.track" : "div.track.baseline",
      { role: "group", "aria-label": "Baseline", "data-track": id },
      this.head, make("div.lane", {}, scale, this.plot),
      make("div.cost", {}, make("div.figures", {}, this.time, this.speed),
        make("div.bar", { "aria-hidden": "true" }, this.bar), this.arithmetic, this.chips));
    if (id) this.node.append(this.numbers.node);
  }

  baselineHead() {
    return [make("div.name.fixed", {}, icon("lock"), "Baseline"), make("p.note", {}, "Full resolution at every step")];
  }

  nameAndGrip() {
    const { host, id } = this;
    this.name = make("input.name", { type: "text", maxlength: MAX_NAME, spellcheck: "false", autocomplete: "off",
      "aria-label": "Name of the track", onchange: () => host.rename(id, this.name.value),
      onkeydown: (event) => this.nameKey(event) });
    this.grip = make("button.grip", { type: "button", title: "Drag to reorder, or use the arrow keys" },
      make("svg.icon", { viewBox: "0 0 16 16", "aria-hidden": "true" },
        make("path", { d: "M6 3.5V3.6M6 8V8.1M6 12.5V12.6M10 3.5V3.6M10 8V8.1M10 12.5V12.6" })));
  }

  /** The buttons that every kind of lane ends with; `numbers` must be there. */
  closingTools() {
    const { host, id } = this;
    this.more = iconButton("numbers", "Numbers", () => this.numbers.toggle(this.more), { "aria-expanded": "false" });
    this.copyButton = iconButton("copy", "Copy", () => host.copy(id));
    this.removeButton = iconButton("remove", "Remove", () => host.remove(id));
  }

  controls() {
    const { host, id } = this;
    this.nameAndGrip();
    this.policy = make("select.policy", { onchange: () => host.setPolicy(id, this.policy.value) });
    this.caching = new Caching(host, id);
    this.shapes = Object.entries(SHAPES).map(([shape, { label, help }]) =>
      iconButton(shape, `${label}: ${help.toLowerCase()}`, () => host.shape(id, shape)));
    this.numbers = new Numbers(host, id);
    this.closingTools();
    return [
      make("div.title", {}, this.grip, this.name),
      make("div.choices", {}, this.policy, this.caching.node),
      make("div.tools", {}, make("div.shapes", { role: "group", "aria-label": "Shape" }, ...this.shapes), this.more,
        this.copyButton, this.removeButton),
    ];
  }

  nameKey(event) {
    if (event.key === "Enter") this.name.blur();
    if (event.key !== "Escape") return;
    this.name.value = this.track.name;
    this.name.blur();
    event.stopPropagation();
  }

  /** What depends on context and steps but on nothing else of the track: grid, its own axis, bands, policies. */
  drawBack(boardSteps, track) {
    const { context, view } = this.host;
    const steps = runSteps(track, boardSteps);
    this.drawAxis(track.steps);
    const seen = [context, steps, view.sigma, view.bands];
    if (this.seen?.every((each, k) => each === seen[k])) return; // an open menu of policies stays open
    this.seen = seen;
    for (const drawing of this.drawings) set(drawing, "viewBox", `0 0 ${steps} 1`);
    const every = rulerEvery(steps);
    const lines = [0, 0.25, 0.5, 0.75].map((y) => `M0 ${y}H${steps}`);
    for (let step = every; step < steps; step += every) lines.push(`M${step} 0V1`);
    this.grid.setAttribute("d", lines.join(""));
    this.sigma.style.display = view.sigma ? "" : "none";
    this.bands.hidden = !view.bands || !context.bands;
    if (context.bands) this.bands.style.clipPath = bandShape(settledBands(context, steps), steps);
    if (!this.id) return;
    this.policy.replaceChildren(...context.policies.map(({ name, summary }) =>
      make("option", { value: name, title: summary }, name)));
    this.caching.drawBack();
  }

  /** The steps of a lane that has its own: they do not stand under those of the ruler. */
  drawAxis(own) {
    if (this.own === own) return;
    this.own = own;
    this.axis.hidden = !own;
    this.axis.replaceChildren(...(own ? axisMarks(own) : []));
  }

  /** Show a track (the baseline's: FLAT); also called at every frame of a drag. */
  draw(track, steps) {
    const { context } = this.host;
    const before = this.track;
    this.track = track;
    this.fitNodes(track.ends.length);
    const count = runSteps(track, steps);
    stagesOf(track, steps).forEach((stage, k) => this.drawStage(stage, k, count));
    track.ends.forEach((end, k) => this.drawBoundary(track, end, k, count));
    set(this.sigma, "d", sigmaPath(this.id ? track : { ...FLAT, policy: "coherent" }, steps, context));
    this.drawCost(track, steps);
    if (this.id) this.drawHead(track, before, steps);
  }

  /** The name, where it stands. */
  drawName(track, before) {
    set(this.node, "aria-label", `Track ${track.name}`);
    if (!before || before.colour !== track.colour) this.node.style.setProperty("--accent", accent(track.colour));
    if (document.activeElement !== this.name && this.name.value !== track.name) this.name.value = track.name;
    this.name.title = track.name;
    set(this.grip, "aria-label", `Move ${track.name}: arrow keys up and down`);
    set(this.name, "aria-label", `Name of track ${this.host.place(this.id)}`);
    for (const button of [this.more, this.copyButton, this.removeButton]) {
      set(button, "aria-label", `${button.title}: ${track.name}`);
    }
  }

  drawHead(track, before, steps) {
    const { context } = this.host;
    this.drawName(track, before);
    const summary = context.policies.find(({ name }) => name === track.policy.split("@")[0])?.summary ?? "";
    if (![...this.policy.options].some(({ value }) => value === track.policy)) { // one with a rule of the shift
      this.policy.append(make("option", { value: track.policy, title: summary }, track.policy));
    }
    this.policy.value = track.policy;
    this.policy.title = `${track.policy}: ${summary}`;
    set(this.policy, "aria-label", `Policy of ${track.name}`);
    this.caching.draw(track);
    this.numbers.draw(track, steps, summary);
  }

  fitNodes(boundaries) {
    while (this.stages.length > boundaries + 1) this.stages.pop().node.remove();
    while (this.boundaries.length > boundaries) this.boundaries.pop().node.remove();
    while (this.stages.length <= boundaries) this.addStage();
    while (this.boundaries.length < boundaries) this.addBoundary();
  }

  addStage() {
    const k = this.stages.length;
    const rate = make("b");
    const pixels = make("span");
    const level = this.id && make("div.level",
      { role: "slider", tabindex: "0", "aria-orientation": "vertical", "data-stage": k }, make("i"));
    const label = make("div.label", { "aria-hidden": "true" }, icon("lock"), rate, pixels);
    const node = make("div.stage", { "data-stage": k }, label, level || null);
    this.stages.push({ node, rate, pixels, level });
    this.plot.append(node); // sliders follow each other as in time: stage, boundary, stage, …
  }

  addBoundary() {
    const k = this.boundaries.length;
    const node = make("div.boundary",
      { role: "slider", tabindex: "0", "aria-orientation": "horizontal", "data-boundary": k }, make("i"));
    this.boundaries.push({ node });
    this.stages[k].node.after(node);
  }

  drawStage({ rate, first, last }, k, steps) {
    const { context } = this.host;
    const { node, rate: rateNode, pixels, level } = this.stages[k];
    const size = sizeOf(context, rate);
    const locked = k === this.track.ends.length;
    node.style.left = percent((first - 1) / steps);
    node.style.width = percent((last - first + 1) / steps);
    node.style.height = percent(rate);
    node.classList.toggle("last", locked);
    node.classList.toggle("low", rate < 0.3);
    say(rateNode, rateText(rate));
    say(pixels, pixelsText(size));
    if (!this.id) return;
    set(level, "aria-label", `Rate of stage ${k + 1} of ${this.track.name}${locked ? ", the last stage, always 1.0" : ""}`);
    set(level, "aria-valuemin", locked ? 1 : context.rates[0].rate);
    set(level, "aria-valuemax", 1);
    set(level, "aria-valuenow", rate);
    set(level, "aria-valuetext", `rate ${rateText(rate)}, ${stageFacts(size).join(", ")}, ${stepsText({ first, last })}`);
    if (locked) set(level, "aria-readonly", "true"); else level.removeAttribute("aria-readonly");
  }

  drawBoundary(track, end, k, steps) {
    const { node } = this.boundaries[k];
    const [low, high] = boundaryRange(track, k, steps);
    const narrow = Math.min(end - (track.ends[k - 1] ?? 0), (track.ends[k + 1] ?? steps) - end);
    node.style.left = percent(end / steps);
    node.style.setProperty("--room", percent((0.6 * narrow) / steps)); // a stage of one step can still be taken hold of
    set(node, "aria-label", `Switch ${k + 1} of ${track.name}`);
    set(node, "aria-valuemin", low);
    set(node, "aria-valuemax", high);
    set(node, "aria-valuenow", end);
    set(node, "aria-valuetext", switchText(track, k, steps));
  }

  drawCost(track, steps) {
    const { context } = this.host;
    const cost = comparedCost(track, steps, context);
    const [most, least] = track.cache ? ["≤ ", "≥ "] : ["", ""]; // what a cache skips is not known before it has run
    const arithmetic = `${least}${cost.arithmetic.toFixed(2)}×`;
    say(this.time, cost.timed ? `${most}${secondsText(cost.seconds)}` : arithmetic);
    say(this.speed, cost.timed ? `${least}${(1 / cost.share).toFixed(2)}×` : "by FLOPs");
    const memory = cost.memory === null ? "" : ` · ${bytesText(cost.memory)}`;
    say(this.arithmetic, `${cost.timed ? `FLOPs ${arithmetic}` : "time not measured yet"}${memory}`);
    this.bar.style.transform = `scaleX(${Math.min(1.15, cost.share) / 1.15})`;
    if (this.id) this.drawChips(warningsOf(track, steps, context));
  }

  drawChips(warnings) {
    const key = JSON.stringify(warnings);
    if (this.warned === key) return;
    this.warned = key;
    this.chips.replaceChildren(...warnings.map(([short, sentence]) => {
      const chip = make("button.chip", { type: "button", "aria-label": `${short}: ${sentence}` }, make("span", {}, short));
      const show = () => this.host.tip.at(chip, sentence);
      for (const [kind, act] of [["pointerenter", show], ["focus", show], ["click", show], ["pointerleave", this.host.tip.hide],
        ["blur", this.host.tip.hide]]) chip.addEventListener(kind, act);
      return make("li", {}, chip);
    }));
  }
}

/** What one step of a stage is: pixels, tokens, seconds. */
function stageFacts(size) {
  if (!size) return ["too small for this model"];
  const time = size.seconds === null ? "time not measured yet" : `${stepText(size.seconds)} a step`;
  const latent = `latent ${size.latent[1]}×${size.latent[0]}`;
  return [`${pixelsText(size)} pixels (${latent})`, `${size.tokens.toLocaleString("en")} tokens`, time];
}

const stepText = (seconds) =>
  (seconds !== null && seconds < 0.1 ? `${(1000 * seconds).toPrecision(2)} ms` : secondsText(seconds));

function switchText(track, k, steps) {
  const next = track.rates[k + 1] ?? 1;
  return `after step ${track.ends[k]} of ${runSteps(track, steps)}: rate ${rateText(track.rates[k])} until there, then ${rateText(next)}`;
}

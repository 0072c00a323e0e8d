// The exact alternative to dragging: every rate and switch step of a track as a field, checked where it stands.

class Numbers {
  constructor(host, id) {
    Object.assign(this, { host, id, rows: [], track: null });
    this.policy = make("p.summary");
    this.body = make("tbody");
    this.message = make("p.message", { role: "alert", id: `${host.key}-${id}-message` });
    this.own = make("input.own", { type: "number", min: 1, max: MAX_STEPS, step: 1, autocomplete: "off",
      "aria-describedby": this.message.id, title: "Steps of this track's own; empty: the same as the others",
      oninput: () => this.complain(this.own, this.ownFault(this.own.value)), onchange: () => this.commitOwn() });
    const names = ["Stage", "Rate", "Until step", "Size", "Tokens", "One step", ""];
    this.node = make("div.numbers", { hidden: true },
      make("table", {}, make("thead", {}, make("tr", {}, ...names.map((name) => (name
        ? make({ Tokens: "th.minor", "One step": "th.minor", Size: "th.size" }[name] ?? "th", { scope: "col" }, name)
        : make("td"))))), this.body),
      this.message,
      make("div.actions", {}, make("label.own-steps", {}, "Steps of its own", this.own), this.policy,
        make("button", { type: "button", onclick: () => host.move(id, -1) }, icon("up"), "Move up"),
        make("button", { type: "button", onclick: () => host.move(id, 1) }, icon("down"), "Move down")));
  }

  toggle(button) {
    this.node.hidden = !this.node.hidden;
    button.setAttribute("aria-expanded", String(!this.node.hidden));
    if (!this.node.hidden) this.draw(this.track, this.steps, this.summary);
  }

  draw(track, steps, summary) {
    Object.assign(this, { track, steps, summary });
    if (this.node.hidden) return;
    say(this.policy, `${track.policy}: ${summary}`);
    set(this.own, "placeholder", steps);
    set(this.own, "aria-label", `Steps of ${track.name}'s own`);
    if (document.activeElement !== this.own || this.own.dataset.sound) this.own.value = track.steps ?? "";
    if (this.own.value === String(track.steps ?? "")) this.complain(this.own, null);
    while (this.rows.length > track.ends.length + 1) this.rows.pop().node.remove();
    while (this.rows.length <= track.ends.length) this.addRow();
    stagesOf(track, steps).forEach((stage, k) => this.drawRow(stage, k));
  }

  addRow() {
    const k = this.rows.length;
    const field = (label, attributes, check) => make("input", { type: "number", "aria-label": label, ...attributes,
      onkeydown: (event) => this.step(event, k),
      "aria-describedby": this.message.id,
      oninput: (event) => this.complain(event.target, check(event.target.value)),
      onchange: (event) => this.commit(event.target, check) });
    const rate = field(`Rate of stage ${k + 1}`, { step: "any", "data-kind": "rate" }, (text) => this.rateFault(text));
    const end = field(`Last step of stage ${k + 1}`, { step: 1, "data-kind": "end" }, (text) => this.endFault(text, k));
    const [size, tokens, time] = ["td.size", "td.minor", "td.minor"].map((kind) => make(kind));
    const split = make("button", { type: "button", onclick: () => this.host.split(this.id, k) }, "Split");
    const merge = make("button", { type: "button", onclick: () => this.host.merge(this.id, k) }, "Merge");
    const cells = [rate, end].map((input) => make("td", {}, input, make("span.fixed")));
    const node = make("tr", { "data-row": k }, make("th", { scope: "row" }, String(k + 1)), ...cells, size, tokens, time,
      make("td.do", {}, split, merge));
    this.rows.push({ node, rate, end, size, tokens, time, split, merge, cells });
    this.body.append(node);
  }

  drawRow({ rate, first, last }, k) {
    const row = this.rows[k];
    const size = sizeOf(this.host.context, rate);
    const locked = k === this.track.ends.length;
    for (const [input, value] of [[row.rate, rate], [row.end, last]]) {
      input.hidden = locked;
      if (document.activeElement !== input || input.dataset.sound) input.value = value;
      if (input.value === String(value)) this.complain(input, null);
    }
    row.cells.forEach((cell, at) => say(cell.lastChild, locked ? [rateText(rate), String(last)][at] : ""));
    const facts = stageFacts(size);
    say(row.size, size ? `${pixelsText(size)} px` : facts[0]);
    say(row.tokens, size ? size.tokens.toLocaleString("en") : "–");
    say(row.time, size ? stepText(size.seconds) : "–");
    const range = boundaryRange(this.track, k, this.steps);
    [[row.rate, this.host.context.rates[0].rate, 1], [row.end, ...range]].forEach(([input, low, high]) => {
      set(input, "min", low);
      set(input, "max", high);
    });
    row.split.disabled = first === last;
    row.merge.hidden = locked;
    set(row.split, "aria-label", `Split stage ${k + 1}`);
    set(row.merge, "aria-label", `Merge stage ${k + 1} into the next`);
  }

  /** Arrow keys go to the next rate that the model can run, or the next step. */
  step(event, k) {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const { kind } = event.target.dataset;
    event.target.dataset.sound = "yes";
    this.host.edit(this.id, (track, steps) => (kind === "rate"
      ? setRate(track, k, steppedRate(this.host.context, track.rates[k], by))
      : moveBoundary(track, k, track.ends[k] + by, steps)), `field-${kind}-${k}`);
  }

  complain(input, sentence) {
    input.dataset.sound = sentence ? "" : "yes";
    if (sentence) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
    const any = this.node.querySelector("[aria-invalid]");
    say(this.message, sentence ?? (any ? this.message.textContent : ""));
  }

  commit(input, check) {
    const fault = check(input.value);
    this.complain(input, fault);
    if (fault) return;
    const k = this.rows.findIndex((row) => row.rate === input || row.end === input);
    const value = Number(input.value);
    if (input.dataset.kind === "rate") this.host.edit(this.id, (track) => setRate(track, k, value));
    else this.host.edit(this.id, (track, steps) => moveBoundary(track, k, value, steps));
  }

  ownFault(text) {
    const value = Number(text);
    if (!text.trim() || (Number.isInteger(value) && value >= 1 && value <= MAX_STEPS)) return null;
    return `Steps must be a whole number from 1 to ${MAX_STEPS}, or empty for the board's ${this.steps}.`;
  }

  commitOwn() {
    const fault = this.own.validity.badInput ? this.ownFault("none") : this.ownFault(this.own.value);
    this.complain(this.own, fault);
    if (!fault) this.host.setSteps(this.id, this.own.value.trim() ? Number(this.own.value) : undefined);
  }

  rateFault(text) {
    const low = this.host.context.rates[0].rate;
    const value = Number(text);
    if (text.trim() && value >= low && value <= 1) return null;
    return `A rate must be a number from ${rateText(low)}, the smallest that this model can run at this size, to 1.`;
  }

  endFault(text, k) {
    const [low, high] = boundaryRange(this.track, k, this.steps);
    const value = Number(text);
    if (text.trim() && Number.isInteger(value) && value >= low && value <= high) return null;
    return `Stage ${k + 1} must end at a whole step from ${low} to ${high}.`;
  }
}

// A lane of a hierarchical patch model: its levels as locked blocks, and what can be chosen of them. The schedule itself
// is the model's: nothing here is dragged.

class LevelLane extends Lane {
  constructor(host, id) {
    super(host, id);
    this.node.classList.add("by-level");
    this.blocks = [];
    this.plot.setAttribute("role", "list");
    for (const drawing of [this.bands, ...this.drawings.slice(1)]) drawing.remove();
  }

  baselineHead() {
    return [make("div.name.fixed", {}, icon("lock"), "Baseline"), make("p.note", {}, "All levels, spatial overlap")];
  }

  controls() {
    const { host, id } = this;
    this.nameAndGrip();
    const choice = (key, said) => make("select.policy", { "data-choice": key,
      onchange: ({ target }) => host.setLevels(id, { [key]: key === "levels" ? Number(target.value) : target.value },
        said(target.selectedOptions[0].textContent)) });
    this.selects = {
      levels: choice("levels", (text) => text),
      overlap: choice("overlap", (text) => text.toLowerCase()),
      context: choice("context", (text) => text.replace("Cache", "cache")),
    };
    this.heun = make("input", { type: "checkbox", onchange: () => host.setLevels(id, { heun: this.heun.checked },
      this.heun.checked ? "Heun’s second order at the coarsest level" : "first order") });
    this.numbers = new LevelNumbers(host, id);
    this.closingTools();
    return [
      make("div.title", {}, this.grip, this.name),
      make("div.choices", {}, ...Object.values(this.selects),
        make("label.check", { title: "Second order at the coarsest level: nearly twice its passes" }, this.heun, "Heun")),
      make("div.tools", {}, this.more, this.copyButton, this.removeButton),
    ];
  }

  /** What depends on context and steps but not on the track. */
  drawBack(steps) {
    const { context } = this.host;
    const seen = [context, steps];
    if (this.seen?.every((each, k) => each === seen[k])) return; // an open list stays open
    this.seen = seen;
    const { each, overlaps, contexts } = context.levels;
    set(this.drawings[0], "viewBox", `0 0 ${steps} 1`);
    this.grid.setAttribute("d", each.map(({ rate }) => `M0 ${1 - rate}H${steps}`).join(""));
    this.node.querySelector(".scale").replaceChildren(...each.map((level) =>
      make("span", { style: { top: percent(1 - level.rate) } }, squareText(level))));
    if (!this.id) return;
    const options = {
      levels: each.map((level, k) => make("option", { value: k + 1, title: `up to ${frameText(level)}` },
        countText(k + 1, "level"))),
      overlap: overlaps.map(({ name, title, note }) => make("option", { value: name, title: note }, title)),
      context: contexts.map(({ name, title, note }) => make("option", { value: name, title: note }, title)),
    };
    for (const [key, list] of Object.entries(options)) this.selects[key].replaceChildren(...list);
  }

  draw(track, steps) {
    const { context } = this.host;
    const before = this.track;
    this.track = track;
    const levels = levelsOf(track, steps, context);
    while (this.blocks.length > levels.length) this.blocks.pop().node.remove();
    while (this.blocks.length < levels.length) this.addBlock();
    levels.forEach((level, k) => this.drawBlock(level, k, steps));
    this.drawCost(track, steps);
    if (this.id) this.drawHead(track, before, steps, levels);
  }

  addBlock() {
    const [name, steps, tiles] = [make("b"), make("span"), make("span")];
    const label = make("div.label", { "aria-hidden": "true" }, icon("lock"), name, steps, tiles);
    const node = make("div.block", { role: "listitem" }, label);
    this.blocks.push({ node, name, steps, tiles });
    this.plot.append(node);
  }

  drawBlock(level, k, steps) {
    const { node, name, steps: stepsNode, tiles } = this.blocks[k];
    node.style.left = percent((level.first - 1) / steps);
    node.style.width = percent(level.steps / steps);
    node.style.height = percent(level.rate);
    node.classList.toggle("idle", !level.run);
    node.classList.toggle("low", level.rate <= 0.5); // more room above it than in it
    say(name, squareText(level));
    say(stepsNode, level.run ? countText(level.steps, "step") : "not run");
    say(tiles, level.run ? countText(level.tiles, "tile") : "");
    set(node, "aria-label", levelText(level, k));
    node.title = levelText(level, k);
  }

  drawHead(track, before, steps, levels) {
    this.drawName(track, before);
    const choice = choiceOf(track);
    const words = { levels: "Levels", overlap: "Overlap", context: "Features of finished levels" };
    for (const [key, select] of Object.entries(this.selects)) {
      select.value = String(choice[key]);
      set(select, "aria-label", `${words[key]} of ${track.name}`);
      select.title = `${words[key]}: ${select.selectedOptions[0]?.title ?? ""}`;
    }
    this.heun.checked = choice.heun;
    set(this.heun, "aria-label", `Heun of ${track.name}`);
    this.numbers.draw(track, levels);
  }

  drawCost(track, steps) {
    const { context } = this.host;
    const cost = comparedLevels(track, steps, context);
    say(this.time, cost.timed ? secondsText(cost.seconds) : `${cost.arithmetic.toFixed(2)}×`);
    say(this.speed, cost.timed ? `${(1 / cost.share).toFixed(2)}×` : "by FLOPs");
    const kept = cost.kept ? ` · keeps ${keptText(cost.kept)} of features` : "";
    say(this.arithmetic, `${cost.timed ? `FLOPs ${cost.arithmetic.toFixed(2)}×` : "time not measured yet"}${kept}`);
    this.bar.style.transform = `scaleX(${Math.min(1.15, cost.share) / 1.15})`;
    if (this.id) this.drawChips(levelWarnings(track, steps, context));
  }
}

const keptText = (bytes) => (bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : bytesText(bytes));

/** The same as figures: a table of the levels, which a screen reader can walk. */
class LevelNumbers {
  constructor(host, id) {
    Object.assign(this, { host, id });
    this.body = make("tbody");
    const names = ["Level", "Video", "Steps", "Tiles", "Network passes", "Time"];
    const head = names.map((name) => make(name === "Time" ? "th.minor" : "th", { scope: "col" }, name));
    this.sentence = make("p.summary");
    this.node = make("div.numbers", { hidden: true },
      make("table", {}, make("thead", {}, make("tr", {}, ...head)), this.body),
      make("div.actions", {}, this.sentence,
        make("button", { type: "button", onclick: () => host.move(id, -1) }, icon("up"), "Move up"),
        make("button", { type: "button", onclick: () => host.move(id, 1) }, icon("down"), "Move down")));
  }

  toggle(button) {
    this.node.hidden = !this.node.hidden;
    button.setAttribute("aria-expanded", String(!this.node.hidden));
    if (!this.node.hidden) this.draw(this.track, this.levels);
  }

  draw(track, levels) {
    Object.assign(this, { track, levels });
    if (this.node.hidden) return;
    this.body.replaceChildren(...levels.map((level, k) => {
      const cells = [frameText(level), ...(level.run ? [String(level.steps), level.tiles.toLocaleString("en"),
        level.passes.toLocaleString("en")] : ["not run", "–", "–"])];
      const time = level.run && level.seconds !== null ? secondsText(level.seconds) : "–";
      return make("tr", { class: level.run ? null : "idle" }, make("th", { scope: "row" }, String(k + 1)),
        ...cells.map((text) => make("td", {}, text)), make("td.minor", {}, time));
    }));
    const { patch: [frames, height, width], rows } = this.host.context.levels;
    say(this.sentence, `A tile is ${frameText({ frames, height, width })}`
      + `${twiceText(rows)}.`);
  }
}

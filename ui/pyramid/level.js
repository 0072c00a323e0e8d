// One level of one run: its video, the tiles and the seams over it, and what is to be known of it.

const HOTTEST = 2; // times the jump beside the line: a strip of this is drawn at its full thickness
const [THIN, THICK] = [0.35, 2.4]; // of a strip, in percent of the picture

class LevelView {
  constructor({ onmedia, onactive, frame }) {
    this.level = null;
    this.media = new Media("main", () => {
      this.notice();
      onmedia();
    });
    this.tiles = new TileGrid({
      onactive: (cell) => onactive(this, cell),
      frame: () => frameOf(this.level, frame.now(), frame.all()),
    });
    this.seams = make("svg.seams", { preserveAspectRatio: "none", "aria-hidden": "true" });
    this.seen = make("i.seen", { hidden: true });
    this.told = make("p.notice", { role: "status" });
    this.again = make("button.small", { type: "button", onclick: () => this.media.again() }, "Try again");
    this.fault = make("div.fault", { hidden: true }, this.told, this.again);
    this.picture = make("div.picture", {}, this.media.node, this.seen, this.tiles.node, this.seams, this.fault);
    this.pips = make("i.pips", { "aria-hidden": "true" });
    this.title = make("b");
    this.size = make("span");
    this.facts = make("p.facts");
    this.ratio = make("p.ratio");
    this.node = make(
      "figure.level",
      {},
      this.picture,
      this.pips,
      make("figcaption", {}, make("p.what", {}, this.title, " ", this.size), this.facts, this.ratio),
    );
  }

  update(level, run) {
    this.level = level;
    this.run = run;
    mark(this.node, "data-level", level.level);
    put(this.title, `Level ${level.level}`);
    put(this.size, `${counted(level.frames, "frame")} of ${level.width}×${level.height}`);
    put(this.facts, this.words());
    this.pips.style.setProperty("--frames", level.frames);
    this.media.show(level.video, `Level ${level.level} of ${run.name}, ${this.size.textContent}`);
    this.tiles.update(level, `Tiles of level ${level.level} of ${run.name}`);
    this.drawSeams();
    this.notice();
  }

  words() {
    const { level } = this;
    const patch = level.grid ? ` of ${level.grid.patch[0]}×${level.grid.patch[2]}×${level.grid.patch[1]}` : "";
    const tiles = level.tiles ? `${counted(level.tiles, "tile")}${patch}` : "tiles unknown";
    return `${tiles}, ${counted(level.steps, "step")}, ${secondsText(level.seconds)}`;
  }

  drawRatio(strips) {
    const { seam, seam_reason: reason } = this.level;
    const more = strips ? [`, strips ${strips.mean.toFixed(2)} (up to ${strips.most.toFixed(1)})`] : [];
    this.ratio.replaceChildren(...(seam === null ? [reason] : ["Seam ratio ", make("b", {}, seam.toFixed(2)), ...more]));
  }

  /** Strips on the lines where tiles begin or end: hairlines where the jump is as beside it, thick where it is larger. */
  drawSeams() {
    const { level } = this;
    const text = JSON.stringify(level.strips);
    if (text === this.drawn) return;
    this.drawn = text;
    this.seams.replaceChildren();
    if (!level.strips) return;
    const [down, right] = level.strips.spacing.map((pixels, axis) => (100 * pixels) / [level.height, level.width][axis]);
    this.seams.setAttribute("viewBox", "0 0 100 100");
    level.strips.vertical.forEach((line, k) => line.forEach((ratio, piece) =>
      this.strip(ratio, (k + 1) * right, piece * down, down, true)));
    level.strips.horizontal.forEach((line, k) => line.forEach((ratio, piece) =>
      this.strip(ratio, (k + 1) * down, piece * right, right, false)));
  }

  strip(ratio, across, along, length, upright) {
    const heat = clamp((ratio - 1) / (HOTTEST - 1), 0, 1);
    const thick = THIN + (THICK - THIN) * heat;
    const box = [across - thick / 2, along, thick, length];
    const [x, y, width, height] = upright ? box : [box[1], box[0], box[3], box[2]];
    this.seams.append(make(heat ? "rect.hot" : "rect", { x, y, width, height, style: { "--heat": heat.toFixed(3) },
      "data-ratio": ratio }));
  }

  /** Toggles of the whole view: both say when this level has nothing to draw. */
  show({ tiles, seams }) {
    this.tiles.node.hidden = !tiles || !this.level.grid;
    this.seams.style.display = seams && this.level.strips ? "" : "none";
    this.drawRatio(seams ? this.level.strips : null);
    const missing = [tiles ? this.level.grid_reason : null, seams && this.level.level > 1 ? this.level.strips_reason : null];
    for (const reason of missing) if (reason) this.ratio.append(make("span.missing", {}, ` ${reason}`));
  }

  /** Marks the patch of this level that a tile of a higher one sees; null for none. */
  see(box) {
    this.seen.hidden = !box;
    if (!box) return;
    const [top, left, height, width] = box;
    Object.assign(this.seen.style, {
      top: `${(100 * top) / this.level.height}%`, left: `${(100 * left) / this.level.width}%`,
      height: `${(100 * height) / this.level.height}%`, width: `${(100 * width) / this.level.width}%` });
  }

  time(frame, all) {
    if (!this.level) return;
    this.pips.style.setProperty("--at", frameOf(this.level, frame, all));
    this.tiles.moved();
  }

  notice() {
    const { state, reason } = this.media;
    this.fault.hidden = state === "ready";
    this.again.hidden = state !== "failed";
    mark(this.picture, "data-state", state);
    put(this.told, state === "failed" ? `Level ${this.level.level}: ${reason}` : state === "loading" ? "Loading…" : "");
  }
}

// The frames as a bar one can seek in, with the similarity of every run by frame, and the worst frame marked.

const RULER_TICKS = 60;

/** Digits worth reading at a glance: 28.8, 3.14, 0.9871. */
const figure = (value) =>
  Math.abs(value) >= 10 ? value.toFixed(1) : Math.abs(value) >= 1 ? value.toFixed(2) : value.toFixed(4);

/** The frame where a curve lies furthest from the baseline, over the given runs. Null where nothing is known. */
function worstOf(curve, numbers) {
  const sign = curve.better === "higher" ? 1 : -1;
  let worst = null;
  for (const number of numbers) {
    (curve.values[number] || []).forEach((value, frame) => {
      if (value !== null && (!worst || sign * value < sign * worst.value)) worst = { number, frame, value };
    });
  }
  return worst;
}

/** What the axis spans. Identical frames (100 dB) are drawn at the edge, not allowed to flatten the rest. */
function span(curve) {
  const all = Object.values(curve.values)
    .flat()
    .filter((value) => value !== null);
  const telling = curve.unit === "dB" ? all.filter((value) => value < 99.9) : all;
  const values = telling.length ? telling : all;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low) * 0.12 || Math.abs(high) * 0.01 || 1;
  return [low - room, high + room];
}

class Timebar {
  constructor({ onseek, onmetric, onpick }) {
    Object.assign(this, { onseek, onmetric, onpick, frames: 1, frame: 0, curve: null, tiles: [], lines: new Map() });
    this.tabs = make("div.tabs", { role: "group", "aria-label": "Similarity metric" });
    this.legend = make("ul.legend");
    this.svg = make("svg", { preserveAspectRatio: "none", "aria-hidden": "true" });
    this.playhead = make("i.playhead");
    this.hover = make("i.hover", { hidden: true });
    this.flag = make("i.flag", { hidden: true });
    this.plot = make("div.plot", {}, this.svg, this.flag);
    this.bounds = [make("span.bound.high"), make("span.bound.low")];
    this.reason = make("p.reason", { hidden: true });
    this.track = make(
      "div.track",
      {
        role: "slider",
        tabindex: "0",
        "aria-label": "Frame",
        "aria-valuemin": "1",
        onpointerdown: (event) => this.down(event),
        onpointermove: (event) => this.move(event),
        onpointerleave: () => {
          this.hover.hidden = true;
          this.values(this.frame);
        },
      },
      this.hover,
      this.playhead,
      this.plot,
      ...this.bounds,
      this.reason,
    );
    this.node = make("div.timebar", {}, make("div.readout", {}, this.tabs, this.legend), this.track);
  }

  /** Takes the curves of a comparison and which of them is chosen. */
  update({ frames, curves, tiles }, metric) {
    const text = JSON.stringify([frames, curves, metric, tiles.map((tile) => [tile.number, tile.name, tile.colour])]);
    if (text === this.text) return;
    this.text = text;
    this.frames = frames;
    this.tiles = tiles;
    this.curve = curves.find((curve) => curve.id === metric) || null;
    this.track.style.setProperty("--frames", frames);
    this.track.style.setProperty("--tick", Math.ceil(frames / RULER_TICKS));
    mark(this.track, "aria-valuemax", frames);
    this.tabs.replaceChildren(
      ...curves.map((curve) =>
        make(
          "button",
          {
            type: "button",
            "data-metric": curve.id,
            "aria-pressed": String(curve.id === metric),
            title: curve.reason,
            onclick: () => this.onmetric(curve.id),
          },
          curve.unit ? `${curve.label}, ${curve.unit}` : curve.label,
        ),
      ),
    );
    this.draw();
    this.show(this.frame);
  }

  draw() {
    const { curve } = this;
    const known = curve && Object.keys(curve.values).length > 0;
    this.node.toggleAttribute("data-curves", Boolean(known));
    this.reason.hidden = !curve || Boolean(known);
    put(this.reason, curve && !known ? `${curve.label} is not known: ${curve.reason || "it was not measured."}` : "");
    this.lines.clear();
    this.svg.replaceChildren();
    this.legend.replaceChildren();
    for (const bound of this.bounds) put(bound, "");
    if (!known) return;
    const [low, high] = span(curve);
    put(this.bounds[0], figure(high));
    put(this.bounds[1], figure(low));
    this.level = (value) => clamp((value - low) / (high - low), 0, 1);
    this.svg.setAttribute("viewBox", `0 0 ${this.frames} 1`);
    for (const tile of this.tiles) {
      if (curve.values[tile.number]) this.line(tile, curve.values[tile.number]);
    }
  }

  line(tile, values) {
    let pen = "M";
    const path = values
      .map((value, frame) => {
        if (value === null) {
          pen = "M";
          return "";
        }
        const point = `${pen}${frame + 0.5} ${(1 - this.level(value)).toFixed(4)}`;
        pen = "L";
        return point;
      })
      .join("");
    const line = make("path", {
      d: path,
      fill: "none",
      stroke: accent(tile.colour),
      "vector-effect": "non-scaling-stroke",
    });
    const value = make("b", {}, "–");
    const chip = make(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        style: { "--accent": accent(tile.colour) },
        onclick: () => this.onpick(tile.number),
      },
      make("i"),
      make("span", {}, tile.name),
      value,
    );
    this.svg.append(line);
    this.legend.append(make("li", {}, chip));
    this.lines.set(tile.number, { line, value, chip, values });
  }

  /** Which runs are meant just now: the others step back. Marks the worst frame of these. */
  focus(numbers, worst) {
    const some = numbers.length > 0;
    for (const [number, { line, chip }] of this.lines) {
      const meant = !some || numbers.includes(number);
      line.toggleAttribute("data-back", !meant);
      chip.setAttribute("aria-pressed", String(some && meant));
    }
    this.flag.hidden = !worst;
    if (!worst) return;
    const tile = this.tiles.find((one) => one.number === worst.number);
    this.flag.style.setProperty("--accent", accent(tile?.colour ?? 0));
    this.flag.style.left = `${(100 * (worst.frame + 0.5)) / this.frames}%`;
    this.flag.style.top = `${100 * (1 - this.level(worst.value))}%`;
    this.flag.title = `Worst: frame ${worst.frame + 1}, ${tile?.name}`;
  }

  show(frame) {
    this.frame = frame;
    this.playhead.style.left = `${(100 * frame) / this.frames}%`;
    mark(this.track, "aria-valuenow", frame + 1);
    mark(this.track, "aria-valuetext", `frame ${frame + 1} of ${this.frames}`);
    if (this.hover.hidden) this.values(frame);
  }

  values(frame) {
    for (const { value, values } of this.lines.values()) {
      const known = values[frame] !== null && values[frame] !== undefined;
      put(value, known ? figure(values[frame]) : "–");
    }
  }

  at(event) {
    const box = this.track.getBoundingClientRect();
    return clamp(Math.floor(((event.clientX - box.left) / box.width) * this.frames), 0, this.frames - 1);
  }

  down(event) {
    if (event.button !== 0) return;
    this.track.setPointerCapture(event.pointerId);
    this.onseek(this.at(event), true);
  }

  move(event) {
    const frame = this.at(event);
    if (this.track.hasPointerCapture(event.pointerId)) {
      this.onseek(frame, true);
    } else if (event.pointerType === "mouse") {
      this.hover.hidden = false;
      this.hover.style.left = `${(100 * (frame + 0.5)) / this.frames}%`;
      this.values(frame);
    }
  }
}

// The controls: ways of looking above the pictures, the transport below them, and the page of keys.

Object.assign(PATHS, {
  grid: "M2 2h5v5H2zM9 2h5v5H9zM2 9h5v5H2zM9 9h5v5H9z",
  wipe: "M2 3h5v10H2zM8 1h1v14H8zM10 3h4v1h-4zM13 4h1v8h-1zM10 12h4v1h-4z",
  flip: "M2 5h8V2l4 4-4 4V7H2zM14 12H6v2l-4-3 4-3v2h8z",
  difference:
    "M6 3a5 5 0 1 0 1.5 9.8A6.5 6.5 0 0 1 7.5 3.2 5 5 0 0 0 6 3zM10 3a5 5 0 1 1-1.5 9.8A6.5 6.5 0 0 0 8.5 3.2 5 5 0 0 1 10 3z",
  heat: "M8 1c1 3 4 4.500 4 8.500A4 4 0 0 1 4 9.500C4 8 5 7 5.500 5.500 6.500 6.500 7 7 7 8c1-1.500 1.500-4 1-7z",
  first: "M2 3h2v10H2zm6.500 0v10L4 8zM14 3v10L9 8z",
  last: "M12 3h2v10h-2zM7.500 3v10L12 8zM2 3v10l5-5z",
  loop: "M4 4h7V2l3 3-3 3V6H5v3H3V5a1 1 0 0 1 1-1zm8 8H5v2l-3-3 3-3v2h6V7h2v4a1 1 0 0 1-1 1z",
  swap: "M5 2 1 5.500 5 9V6.500h6v-2H5zm6 5v2.500H5v2h6V14l4-3.500z",
  worst: "M8 14 2 4h12zM7.300 6.500l.2 3.500h1l.2-3.500zM7.400 11v1.200h1.200V11z",
  full: "M2 2h5v2H4v3H2zm7 0h5v5h-2V4H9zM2 9h2v3h3v2H2zm10 0h2v5H9v-2h3z",
  minus: "M3 7h10v2H3z",
  plus: "M7 3h2v4h4v2H9v4H7V9H3V7h4z",
});

const MODES = [
  ["grid", "Grid", "G"],
  ["wipe", "Wipe", "W"],
  ["flip", "Flip", "F"],
  ["difference", "Difference", "D"],
  ["heat", "Heat-map", "H"],
];
const SPEEDS = [0.1, 0.25, 0.5, 1, 2];
const KEYS = [
  ["Space", "play or pause"],
  ["← →", "one frame back or on"],
  ["Home End", "first or last frame"],
  ["J", "worst frame"],
  ["L", "loop on or off"],
  ["[ ]", "slower, faster"],
  ["G W F D H", "grid, wipe, flip, difference, heat-map"],
  ["F held", "shows B in flip"],
  ["1 … 9", "enlarge a run; in a pair, take it as B (with Shift as A)"],
  ["X", "swap A and B"],
  ["+ − 0", "zoom in, out, back"],
  ["Ctrl + wheel", "zoom where the pointer is; drag to move"],
  ["Shift + arrows", "move the zoomed picture"],
  ["Esc", "back to the grid"],
  ["?", "this list"],
];

function modeButton(mode, label, key, act) {
  return make(
    "button",
    {
      type: "button",
      "data-mode": mode,
      "aria-pressed": "false",
      title: `${label} (${key})`,
      onclick: () => act.mode(mode),
    },
    icon(mode),
    make("span", {}, label),
  );
}

class Toolbar {
  // ways of looking
  constructor(act) {
    this.modes = MODES.map(([mode, label, key]) => modeButton(mode, label, key, act));
    this.node = make(
      "div.toolbar",
      { role: "group", "aria-label": "Ways of looking" },
      make("div.modes", { role: "group", "aria-label": "Mode" }, ...this.modes),
      this.zoomButtons(act),
      (this.pairbar = make("div.pairbar", {}, this.pairPicker(act), this.holdButton(act), this.gainSlider(act))),
    );
  }

  pairPicker(act) {
    this.sides = ["a", "b"].map((side) =>
      make("select", {
        "aria-label": `Run ${side.toUpperCase()}`,
        onchange: (event) => act.pick(side, Number(event.target.value)),
      }),
    );
    return make(
      "div.pair",
      { role: "group", "aria-label": "The two runs" },
      make("label.a", {}, make("b", {}, "A"), this.sides[0]),
      iconButton("swap", "Swap A and B (X)", act.swap),
      make("label.b", {}, make("b", {}, "B"), this.sides[1]),
    );
  }

  gainSlider(act) {
    this.gain = make("input", {
      type: "range",
      min: "1",
      max: "32",
      step: "1",
      "aria-label": "Gain of the difference",
      oninput: (event) => act.gain(Number(event.target.value)),
    });
    this.gainText = make("output");
    this.gainBox = make("label.gain", {}, make("span", {}, "Gain"), this.gain, this.gainText);
    return this.gainBox;
  }

  zoomButtons(act) {
    this.percent = make(
      "button.percent",
      { type: "button", title: "Back to the whole picture (0)", onclick: act.fit },
      "100 %",
    );
    this.pixels = make(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        title: "Show the pixels as they are, not smoothed",
        onclick: act.pixels,
      },
      "Pixels",
    );
    return make(
      "div.zoom",
      { role: "group", "aria-label": "Zoom" },
      iconButton("minus", "Zoom out (−)", act.out),
      this.percent,
      iconButton("plus", "Zoom in (+)", act.in),
      this.pixels,
      iconButton("full", "Full screen", act.full, { hidden: !document.fullscreenEnabled }),
      make(
        "button.icon.help",
        { type: "button", "aria-label": "Keys (?)", title: "Keys (?)", onclick: act.help },
        "?",
      ),
    );
  }

  holdButton({ flip }) {
    // pressed is B, let go is A: by pointer, or with Space or Enter on the button
    const hold = make(
      "button.hold",
      { type: "button", "aria-pressed": "false" },
      make("span", {}, "Hold for B"),
      make("kbd", { "aria-hidden": "true" }, "F"),
    );
    this.hold = hold;
    hold.addEventListener("pointerdown", (event) => {
      hold.setPointerCapture(event.pointerId);
      flip(true);
    });
    for (const name of ["pointerup", "pointercancel", "blur"]) hold.addEventListener(name, () => flip(false));
    hold.addEventListener("keydown", (event) => {
      if (event.key === " " || event.key === "Enter") {
        event.preventDefault();
        flip(true);
      }
    });
    hold.addEventListener("keyup", (event) => {
      if (event.key === " " || event.key === "Enter") flip(false);
    });
    hold.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch is no menu here
    return hold;
  }

  update(view, tiles) {
    for (const button of this.modes) {
      const { mode } = button.dataset;
      mark(button, "aria-pressed", mode === view.mode ? "true" : "false");
      button.disabled = (mode === "heat" && !tiles.some((tile) => tile.heatmap)) || (isPair(mode) && tiles.length < 2);
    }
    const names = JSON.stringify(tiles.map((tile) => tile.name));
    if (names !== this.names) {
      this.names = names;
      for (const select of this.sides)
        select.replaceChildren(...tiles.map((tile) => make("option", { value: tile.number }, tile.name)));
    }
    this.sides.forEach((select, index) => {
      const number = index ? view.b : view.a;
      if (select.value !== String(number)) select.value = String(number);
      const tile = tiles.find((one) => one.number === number);
      select.parentNode.style.setProperty("--accent", accent(tile?.colour ?? 0));
    });
    this.pairbar.hidden = !isPair(view.mode);
    this.hold.hidden = view.mode !== "flip";
    mark(this.hold, "aria-pressed", view.flipped ? "true" : "false");
    this.gainBox.hidden = view.mode !== "difference";
    if (this.gain.value !== String(view.gain)) this.gain.value = view.gain;
    put(this.gainText, `${view.gain}×`);
    mark(this.pixels, "aria-pressed", view.pixels ? "true" : "false");
  }
}

class Transport {
  constructor(act) {
    this.play = iconButton("play", "Play (Space)", act.play);
    this.loop = iconButton("loop", "Loop (L)", act.loop, { "aria-pressed": "true" });
    this.speed = make(
      "select",
      { "aria-label": "Speed", onchange: (event) => act.speed(Number(event.target.value)) },
      ...SPEEDS.map((speed) => make("option", { value: speed, selected: speed === 1 }, `${speed}×`)),
    );
    this.count = make("b");
    this.total = make("span");
    this.worstText = make("span");
    this.worst = make(
      "button.worst",
      { type: "button", onclick: act.worst, title: "Go to the worst frame (J)" },
      icon("worst"),
      this.worstText,
    );
    this.moving = [
      iconButton("first", "First frame (Home)", act.first),
      iconButton("back", "One frame back (←)", act.back),
      this.play,
      iconButton("forward", "One frame on (→)", act.forward),
      iconButton("last", "Last frame (End)", act.last),
    ];
    this.node = make(
      "div.transport",
      { role: "group", "aria-label": "Playback of all videos" },
      make("div.moving", {}, ...this.moving),
      make("output.counter", { "aria-label": "Frame" }, this.count, this.total),
      make("div.options", {}, this.loop, this.speed),
      this.worst,
    );
  }

  frame(frame, frames) {
    put(this.count, String(frame + 1).padStart(String(frames).length, "\u2007")); // a figure space keeps the place
    put(this.total, ` / ${frames}`);
  }

  update(clock, some) {
    const label = clock.playing ? "Pause (Space)" : "Play (Space)";
    if (this.play.getAttribute("aria-label") !== label) {
      mark(this.play, "aria-label", label);
      mark(this.play, "title", label);
      this.play.replaceChildren(icon(clock.playing ? "pause" : "play"));
    }
    for (const button of [...this.moving, this.loop, this.speed]) button.disabled = !some;
    mark(this.loop, "aria-pressed", clock.loop ? "true" : "false");
    this.speed.value = String(clock.speed);
  }

  /** What the worst-frame button leads to. */
  lead(worst, name, curve) {
    this.worst.disabled = !worst;
    const unit = curve?.unit ? ` ${curve.unit}` : "";
    put(
      this.worstText,
      worst ? `Worst frame ${worst.frame + 1}: ${name}, ${figure(worst.value)}${unit}` : "Worst frame",
    );
  }
}

function helpDialog() {
  const close = make("button.small", { type: "button" }, "Close");
  const dialog = make(
    "dialog.keys",
    { "aria-label": "Keys" },
    make("h3", {}, "Keys"),
    make(
      "dl",
      {},
      ...KEYS.map(([key, what]) => make("div", {}, make("dt", {}, make("kbd", {}, key)), make("dd", {}, what))),
    ),
    close,
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  return dialog;
}

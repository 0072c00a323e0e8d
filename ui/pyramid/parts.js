// Small parts of the pyramid view: words for places, the transport.

/** "1 frame", "4 frames". */
const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

/** From a first place (0-based) and a length: "5 to 8", as people count frames, or pixels where `from` is 0. */
const span = (first, length, from = 0) =>
  length === 1 ? `${first + from}` : `${first + from} to ${first + from + length - 1}`;

/** The frame of a level that is on the screen while the finest level's `frame` of `all` is. */
const frameOf = (level, frame, all) => Math.min(level.frames - 1, Math.floor(((frame + 0.5) * level.frames) / all));

/** Play, one frame back or on, and the scrubber: one for all videos. */
class Transport {
  constructor({ play, step, seek }) {
    this.play = iconButton("play", "Play (Space)", play);
    this.range = make("input", {
      type: "range",
      min: "0",
      step: "1",
      value: "0",
      "aria-label": "Frame of the finest level",
      oninput: () => seek(Number(this.range.value)),
    });
    this.told = make("output");
    this.node = make(
      "div.transport",
      { role: "group", "aria-label": "Playback of all levels" },
      this.play,
      iconButton("back", "One frame back (←)", () => step(-1)),
      iconButton("forward", "One frame on (→)", () => step(1)),
      this.range,
      this.told,
    );
  }

  show(frame, frames, fps) {
    mark(this.range, "max", frames - 1);
    this.range.value = frame;
    mark(this.range, "aria-valuetext", `frame ${frame + 1} of ${frames}`);
    const seconds = (count) => `${(count / fps).toFixed(2)} s`;
    put(this.told, `${String(frame + 1).padStart(String(frames).length, "\u2007")} / ${frames}, ${seconds(frame)}`);
  }

  state(playing, able) {
    for (const button of this.node.querySelectorAll("button")) button.disabled = !able;
    this.range.disabled = !able;
    const label = playing ? "Pause (Space)" : "Play (Space)";
    if (this.play.title === label) return;
    mark(this.play, "aria-label", label);
    mark(this.play, "title", label);
    this.play.replaceChildren(icon(playing ? "pause" : "play"));
  }
}

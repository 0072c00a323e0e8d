// One run's tile: its picture, where it stands while it runs, its figures when it is done. Updated in place.

const WAITS = "Waits for its turn.";
const ENDED = { failed: "failed", cancelled: "stopped", interrupted: "interrupted" };

/** What a run does just now, in a few words. */
function doing(tile) {
  if (tile.phase && tile.phase !== "denoising") return `${tile.phase[0].toUpperCase()}${tile.phase.slice(1)}…`;
  return tile.step ? `Step ${tile.step} of ${tile.steps}` : "Starts…";
}

/** What is left is a guess: whole seconds are enough. */
const soon = (seconds) => (seconds < 99.5 ? `${Math.ceil(seconds)} s` : secondsText(seconds));

function doingMore(tile) {
  const parts = [];
  if (tile.stage && tile.stages > 1) parts.push(`stage ${tile.stage} of ${tile.stages}`);
  if (tile.rate) parts.push(`at ${tile.rate}×`);
  return parts.join(" ");
}

class TileView {
  constructor(number, { onskip, onpick, onenlarge, onmedia }) {
    this.number = number;
    this.live = null;
    this.main = new Media("main", onmedia);
    this.heat = new Media("heat", onmedia);
    this.preview = make("img.preview", { alt: "", draggable: "false", hidden: true });
    this.picture = make("div.picture", {}, this.preview, this.main.node, this.heat.node);
    this.sentence = make("p");
    this.headline = make("b");
    this.again = make(
      "button.small",
      {
        type: "button",
        hidden: true,
        onclick: () => {
          this.main.again();
          onmedia();
        },
      },
      "Load again",
    );
    this.notice = make("div.notice", { hidden: true }, this.headline, this.sentence, this.again);
    this.enlarge = make("button.enlarge", { type: "button", onclick: () => onenlarge(number) });
    this.well = make("div.well", {}, this.picture, this.notice, this.enlarge);
    this.name = make("h3");
    this.policy = make("span.policy");
    this.pick = ["a", "b"].map((side) =>
      make(
        `button.pick.${side}`,
        {
          type: "button",
          "aria-pressed": "false",
          onclick: (event) => {
            event.stopPropagation();
            onpick(side, number);
          },
        },
        side.toUpperCase(),
      ),
    );
    this.head = make(
      "header",
      { onclick: () => onpick("b", number) },
      make("kbd", { "aria-hidden": "true", hidden: number > 8 }, String(number + 1)),
      make("div.names", {}, this.name, this.policy),
      make("span.picks", {}, ...this.pick),
    );
    this.plan = make("div.plan");
    this.now = make("span.now");
    this.left = make("span.left");
    this.more = make("span.more");
    this.skip = make("button.small", { type: "button", onclick: () => onskip(number) }, "Skip");
    this.running = make("div.running", { hidden: true }, make("p", {}, this.now, this.left, this.more), this.skip);
    this.facts = make("dl");
    this.reused = make("p.reused", { hidden: true });
    this.foot = make("footer", {}, this.plan, this.running, this.facts, this.reused);
    this.node = make("article.tile", { "data-number": number }, this.head, this.well, this.foot);
  }

  /** Takes the run's newest state; only what has changed is touched. */
  update(tile) {
    const text = JSON.stringify(tile);
    if (text === this.text) return;
    this.text = text;
    this.tile = tile;
    this.node.style.setProperty("--accent", accent(tile.colour));
    mark(this.node, "data-status", tile.status);
    put(this.name, tile.name);
    mark(this.name, "title", tile.name);
    put(this.policy, tile.policy || (tile.number === 0 ? "full resolution" : ""));
    for (const [index, side] of ["A", "B"].entries())
      mark(this.pick[index], "aria-label", `Take ${tile.name} as ${side}`);
    mark(this.enlarge, "aria-label", `Enlarge ${tile.name}`);
    mark(this.node, "aria-label", tile.name);
    this.main.show(tile.video, tile.name);
    if (!tile.heatmap) this.heat.clear();
    if (tile.preview && this.preview.getAttribute("src") !== tile.preview) this.preview.src = tile.preview;
    mark(this.preview, "alt", tile.preview ? `${tile.name}, emerging` : "");
    this.drawPlan(tile);
    this.drawRunning(tile);
    this.drawFacts(tile);
    this.drawNotice();
  }

  /** The picture's state: what stands in the well in place of a video. */
  drawNotice() {
    const { tile } = this;
    const failed = this.main.state === "failed";
    const showsPreview = Boolean(tile.preview) && this.main.state !== "ready";
    this.preview.hidden = !showsPreview;
    const headline = ENDED[tile.status] || (failed ? "no video" : tile.status === "queued" ? "queued" : "");
    const sentence = ENDED[tile.status]
      ? tile.error || `The run was ${ENDED[tile.status]}.`
      : failed
        ? this.main.reason
        : tile.status === "queued"
          ? WAITS
          : tile.status === "done" && !tile.video
            ? "No video was kept."
            : "";
    put(this.headline, headline);
    put(this.sentence, sentence);
    this.again.hidden = !failed;
    this.notice.hidden = !sentence || (this.main.state === "ready" && !ENDED[tile.status]);
    mark(this.notice, "data-tone", (ENDED[tile.status] && tile.status !== "cancelled") || failed ? "bad" : null);
    mark(this.well, "data-busy", tile.status === "running" && !tile.preview ? "" : null);
  }

  drawPlan(tile) {
    const stages = tile.stages_plan || [];
    this.plan.hidden = !stages.length;
    if (!stages.length) return;
    if (JSON.stringify(stages) !== this.planned) {
      this.planned = JSON.stringify(stages);
      this.fills = stages.map(() => make("b"));
      this.plan.replaceChildren(
        ...stages.map((stage, index) =>
          make(
            "i",
            {
              style: {
                "flex-grow": stage.last - stage.first + 1,
                "--rate": stage.rate,
              },
            },
            this.fills[index],
          ),
        ),
      );
    }
    const total = stages[stages.length - 1].last;
    const after = tile.phase && tile.phase !== "denoising" && tile.step === tile.steps;
    const done = tile.status === "done" || after ? total : tile.step || 0;
    stages.forEach((stage, index) =>
      this.fills[index].style.setProperty(
        "width",
        `${100 * clamp((done - stage.first + 1) / (stage.last - stage.first + 1), 0, 1)}%`,
      ),
    );
    const words = stages.map((stage) => `${stage.rate}× to step ${stage.last}`).join(", ");
    mark(this.plan, "title", `Resolution by step: ${words}`);
    const running = tile.status === "running";
    mark(this.plan, "role", running ? "progressbar" : "img");
    mark(this.plan, "aria-label", running ? `Progress of ${tile.name}` : `Resolution by step: ${words}`);
    mark(this.plan, "aria-valuemin", running ? 0 : null);
    mark(this.plan, "aria-valuemax", running ? total : null);
    mark(this.plan, "aria-valuenow", running ? done : null);
    mark(this.plan, "aria-valuetext", running ? `${doing(tile)} ${doingMore(tile)}` : null);
  }

  drawRunning(tile) {
    const waits = tile.status === "queued" || tile.status === "running";
    this.running.hidden = !waits;
    if (!waits) return;
    put(this.now, tile.status === "queued" ? "Queued" : doing(tile));
    put(this.left, tile.seconds_left === null || tile.status === "queued" ? "" : `${soon(tile.seconds_left)} left`);
    put(this.more, tile.status === "queued" ? "" : doingMore(tile));
    mark(this.skip, "aria-label", `Skip ${tile.name}`);
  }

  drawFacts(tile) {
    this.facts.hidden = !tile.facts.length;
    this.facts.replaceChildren(
      ...tile.facts.map(([label, text, reason]) =>
        make(
          "div",
          { title: reason },
          make("dt", {}, label),
          make("dd", {}, text, reason && text === "–" ? make("span.unseen", {}, `, ${reason}`) : null),
        ),
      ),
    );
    this.reused.hidden = !tile.reused;
    put(this.reused, tile.reused || "");
  }

  /** The moving picture that is to be seen: the heat-map where it is asked for and there is one. */
  media(heat) {
    const wanted = heat && this.tile.heatmap ? this.heat : this.main;
    if (wanted === this.heat) this.heat.show(this.tile.heatmap, `Difference of ${this.tile.name} to the baseline`);
    mark(this.node, "data-heat", wanted === this.heat ? "" : null);
    return wanted;
  }
}

// One job of the library: what was asked, its runs as pictures that move under the pointer, and what can be done.

const PLACEHOLDERS = { queued: "Waits for its turn", running: "Is being made", cancelled: "Stopped", interrupted: "Interrupted", done: "Its picture is gone" };

class Card {
  /** `act` has open, change, choose, chosen; it hears what a person does here. */
  constructor(job, act, manage = true) {
    Object.assign(this, { job, act, manage, text: JSON.stringify(job), boxes: new Map() });
    this.kin = make("span.kin", { hidden: true }, "Same prompt and seed as what is chosen");
    this.node = make("li.job", { "data-id": job.id, "data-status": job.status, "data-bare": !job.runs.some((run) => run.poster), style: { "--aspect": job.width / job.height } },
      make("article", { "aria-label": short(job.prompt) }, this.head(), make("ul.runs", {}, ...job.runs.map((run) => this.run(run)))));
  }

  head() {
    const { job } = this;
    const [word, mark] = STATES[job.status];
    const title = job.deleted ? make("span", {}, job.prompt)
      : make("a", { href: `?job=${job.id}`, "data-key": `open-${job.id}`, title: "Open in the studio", onclick: (event) => this.follow(event) }, job.prompt);
    return make("header", {},
      make("div.what", {}, make("h3", {}, title),
        make("p.meta", {}, make("span.state", { "data-status": job.status }, icon(mark), word), make("span", {}, job.model),
          make("span", {}, `Seed ${job.seed}`), make("span", {}, job.size), when(job.created),
          job.bytes ? make("span", {}, sizeText(job.bytes)) : null, this.kin), this.told()),
      make("div.does", {}, ...this.actions()));
  }

  /** A plain click opens here; with a key held the browser opens a tab as with every link. */
  follow(event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.act.open(this.job.id);
  }

  actions() {
    const { job } = this;
    const change = (action) => () => this.act.change(action, { job: job.id });
    const about = `“${short(job.prompt, 40)}”`;
    if (job.deleted) {
      return [textButton("Bring back", { onclick: change("restore"), "data-key": `restore-${job.id}`, "aria-label": `Bring back ${about}` }, ICONS.back),
        !this.manage ? null : textButton("Remove for good", { onclick: change("purge"), "aria-label": `Remove ${about} for good`, class: "plain bad" }, ICONS.remove)];
    }
    const star = iconButton(`Pin ${about}: it stays whatever the disk holds`, ICONS.star, { "aria-pressed": String(job.pinned), "data-key": `pin-${job.id}`,
      onclick: change(job.pinned ? "unpin" : "pin") });
    star.classList.add("star");
    const mine = job.yours !== false;
    const busy = job.status === "running";
    return [make("a.plain", { href: `?job=${job.id}`, "aria-label": `Open ${about} in the studio`, onclick: (event) => this.follow(event) }, icon(ICONS.open), "Open"), mine ? star : null,
      job.archive ? make("a.icon", { href: job.archive, download: "", "aria-label": `Export ${about} as one archive`, title: "Export as one archive" }, icon(ICONS.export)) : null,
      !mine ? null : iconButton(busy ? `${about} is running; stop it first` : `Delete ${about}`, ICONS.remove, { onclick: change("delete"), disabled: busy, "data-key": `delete-${job.id}` })];
  }

  /** What went wrong, or how far it is; nothing where all went well. */
  told() {
    return this.job.status === "done" && this.job.runs.every((run) => run.status === "done") ? null
      : make("p.told", { "data-status": this.job.status }, this.job.sentence);
  }

  run(run) {
    const box = run.video ? make("input", { type: "checkbox", "data-key": `run-${this.job.id}-${run.number}`,
      "aria-label": `Choose ${run.name} of “${short(this.job.prompt, 40)}” for a comparison`, onchange: () => this.act.choose(this.job, run, box.checked) }) : null;
    const well = make("span.well", {}, run.poster ? this.poster(run) : this.missing(run), box ? make("span.tick", { "aria-hidden": "true" }) : null);
    const node = make("li.run", { style: { "--accent": accent(run.colour) }, "data-status": run.status },
      make(box ? "label.pick" : "div.pick", {}, box, well), this.caption(run));
    if (box) {
      this.boxes.set(run.number, { box, node });
      this.moves(node, well, run);
    }
    return node;
  }

  poster(run) {
    const picture = make("img", { src: run.poster, alt: "", loading: "lazy", decoding: "async" });
    picture.addEventListener("error", () => picture.replaceWith(this.missing({ status: "done" })));
    return picture;
  }

  missing(run) {
    const text = this.job.deleted ? "In the trash" : run.status === "failed" ? "Failed" : PLACEHOLDERS[run.status];
    return make("span.missing", {}, text);
  }

  caption(run) {
    const facts = run.facts.map(([label, text, reason]) => make("div", { title: reason },
      make("dt", {}, label), make("dd", {}, text, reason && text === "–" ? make("span.unseen", {}, `: ${reason}`) : null)));
    return make("div.caption", {}, make("h4", { title: run.name }, run.name), glyph(run),
      facts.length ? make("dl", {}, ...facts) : run.error ? make("p.why", { title: run.error }, run.error) : null);
  }

  /** The video plays while the pointer or the focus is on it, unless motion is not wanted. */
  moves(node, well, run) {
    let video = null;
    const stop = () => { video?.pause(); video?.remove(); video = null; };
    const start = () => {
      if (video || calm.matches) return;
      video = make("video", { src: run.video, playsinline: true, loop: true, tabindex: "-1", "aria-hidden": "true", disablepictureinpicture: true });
      video.muted = true;
      video.addEventListener("error", stop);
      video.addEventListener("playing", (event) => event.target.classList.add("seen"));
      well.append(video);
      video.play().catch(stop);
    };
    node.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") start(); });
    node.addEventListener("pointerleave", () => { if (!node.matches(":focus-within")) stop(); });
    node.addEventListener("focusin", start);
    node.addEventListener("focusout", stop);
  }

  /** Which runs are chosen, whether more may be, and whether this job has the prompt and seed of those. */
  mark(chosen, full) {
    for (const [number, { box, node }] of this.boxes) {
      box.checked = chosen.has(`${this.job.id}.${number}`);
      box.disabled = full && !box.checked;
      node.classList.toggle("chosen", box.checked);
    }
    const picks = [...chosen.values()];
    const own = picks.some((pick) => pick.job === this.job.id);
    this.kin.hidden = !picks.length || own || !this.boxes.size
      || !picks.every((pick) => pick.prompt === this.job.prompt && pick.seed === this.job.seed);
  }
}

// A track's feature cache: which one, and its main figure. How much it skips is known only once it has run.

const figureText = (value) => SHOWN_RATE.format(value);

class Caching {
  constructor(host, id) {
    Object.assign(this, { host, id, track: null });
    this.choice = make("select.policy", { onchange: () => this.choose(this.choice.value) });
    this.figure = make("input.figure", { type: "number", step: "any", autocomplete: "off",
      onkeydown: (event) => this.step(event), oninput: () => this.complain(this.fault(this.figure.value)),
      onchange: () => this.commit(), onblur: () => this.draw(this.track) });
    this.node = make("div.caching");
  }

  get offered() { return this.host.context.caches ?? []; }

  get technique() { return this.offered.find(({ name }) => name === this.track.cache?.name); }

  /** The choices, when the context is another: what the model cannot take is shown with its reason, and cannot be chosen. */
  drawBack() {
    this.node.replaceChildren(...(this.offered.length ? [this.choice, this.figure] : []));
    this.choice.replaceChildren(make("option", { value: "" }, "No cache"), ...this.offered.map((each) => {
      const option = make("option", { value: each.name, title: each.refused ?? each.summary }, each.title);
      option.disabled = Boolean(each.refused);
      return option;
    }));
  }

  draw(track) {
    this.track = track;
    const { technique } = this;
    this.choice.value = technique ? technique.name : "";
    this.choice.title = technique ? `${technique.title}: ${technique.summary}` : "Every evaluation is computed";
    set(this.choice, "aria-label", `Cache of ${track.name}`);
    this.figure.hidden = !technique;
    if (!technique) return;
    set(this.figure, "min", technique.low);
    set(this.figure, "max", technique.high);
    set(this.figure, "aria-label", `${technique.title} of ${track.name}, ${technique.figure}: ${technique.meaning}`);
    this.figure.title = `${technique.figure}: ${technique.meaning}`;
    if (document.activeElement === this.figure && this.figure.hasAttribute("aria-invalid")) return;
    this.figure.value = figureText(this.value);
    this.complain(null);
  }

  get value() { return this.track.cache[this.technique.figure] ?? this.technique.default; }

  choose(name) {
    const technique = this.offered.find((each) => each.name === name);
    const cache = technique ? { name, [technique.figure]: technique.default } : undefined;
    this.host.setCache(this.id, cache, technique ? `${technique.title}, ${technique.figure} ${technique.default}` : "no cache");
  }

  put(value) {
    const { technique, track } = this;
    const cache = { ...track.cache, [technique.figure]: value };
    this.host.setCache(this.id, cache, `${technique.title}, ${technique.figure} ${figureText(value)}`, "figure");
  }

  /** Arrow keys take steps that fit the figure: whole ones, or hundredths where they matter. */
  step(event) {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const { low, high, whole } = this.technique;
    const fine = this.value + by * 1e-9 < 0.2 ? 0.01 : 0.05;
    const next = clamp(Math.round(1000 * (this.value + by * (whole ? 1 : fine))) / 1000, low, high);
    this.complain(null);
    if (next !== this.value) this.put(next);
  }

  fault(text) {
    const { low, high, whole, figure, title } = this.technique;
    const value = Number(text);
    if (text.trim() && value >= low && value <= high && (!whole || Number.isInteger(value))) return null;
    return `${figure} of ${title} must be ${whole ? "a whole number" : "a number"} from ${low} to ${high}.`;
  }

  complain(sentence) {
    if (sentence) {
      this.figure.setAttribute("aria-invalid", "true");
      this.host.tip.at(this.figure, sentence);
    } else if (this.figure.hasAttribute("aria-invalid")) {
      this.figure.removeAttribute("aria-invalid");
      this.host.tip.hide();
    }
  }

  commit() {
    const fault = this.fault(this.figure.value);
    if (fault) {
      this.host.announce(fault); // what was typed is given up when the field is left
      return;
    }
    if (Number(this.figure.value) !== this.value) this.put(Number(this.figure.value));
  }
}

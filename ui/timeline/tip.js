/** The line of facts at the pointer or beside a chip. */
class Tip {
  constructor() {
    this.node = make("div.tip", { role: "tooltip", hidden: true });
    this.hide = () => { this.node.hidden = true; };
  }

  show(lines, x, y) {
    const text = lines.join("\n");
    if (this.text !== text || this.node.hidden) {
      this.node.replaceChildren(...lines.map((line, k) => make(k ? "span" : "b", {}, line)));
      this.text = text;
      this.node.hidden = false;
      this.size = [this.node.offsetWidth, this.node.offsetHeight];
    }
    const [width, height] = this.size;
    const left = clamp(x - width / 2, 4, this.home.clientWidth - width - 4);
    const above = y - height - 18;
    this.node.style.transform = `translate(${left}px, ${above < -40 ? y + 28 : above}px)`;
  }

  pointer({ x, y }, lines) {
    const home = this.home.getBoundingClientRect();
    this.show(lines, x - home.left, y - home.top);
  }

  at(node, sentence) {
    const [home, box] = [this.home.getBoundingClientRect(), node.getBoundingClientRect()];
    this.show(["", sentence], box.left + box.width / 2 - home.left, box.top - home.top + 8);
  }
}

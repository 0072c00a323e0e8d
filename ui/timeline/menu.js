// The menu of tracks that can be added to a level board: opened by its button, walked by arrow keys.

class Menu {
  /** `choose` takes the index of an item. */
  constructor(button, choose) {
    Object.assign(this, { button, choose });
    this.node = make("div.menu", { role: "menu", "aria-label": "Tracks to add", hidden: true,
      onkeydown: (event) => this.key(event) });
    this.outside = (event) => {
      const inside = event.composedPath();
      if (!inside.includes(this.node) && !inside.includes(button)) this.close();
    };
    this.node.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !this.node.contains(event.relatedTarget) && event.relatedTarget !== button) this.close();
    });
  }

  get items() { return [...this.node.children]; }

  fill(offered) {
    this.node.replaceChildren(...offered.map(({ name, why }, k) => make("button.item",
      { type: "button", role: "menuitem", tabindex: "-1", onclick: () => { this.close(); this.choose(k); } },
      make("b", {}, name), make("span", {}, why))));
  }

  toggle() {
    if (this.node.hidden) this.open(); else this.close();
  }

  open() {
    this.node.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", this.outside);
    this.items[0]?.focus({ preventScroll: true });
  }

  close() {
    if (this.node.hidden) return;
    this.node.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", this.outside);
  }

  key(event) {
    const { items } = this;
    const at = items.indexOf(event.target.closest(".item"));
    const to = { ArrowDown: (at + 1) % items.length, ArrowUp: (at - 1 + items.length) % items.length, Home: 0,
      End: items.length - 1 }[event.key];
    if (to !== undefined) items[to].focus({ preventScroll: true });
    if (event.key === "Escape") {
      this.close();
      this.button.focus({ preventScroll: true });
    }
    if (event.key === "Tab") this.close();
    if (to === undefined && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
  }
}

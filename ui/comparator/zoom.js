// One zoom and one place for all pictures. Places are fractions of the picture, so every size of tile shows the same.

const LARGEST = 16;
const SLACK_PX = 4; // a press that moves less is a click

class Zoom {
  constructor(area, onchange) {
    Object.assign(this, { area, onchange, scale: 1, x: 0.5, y: 0.5 });
    this.pointers = new Map();
    this.moved = false;
    area.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    area.addEventListener("pointerdown", (event) => this.down(event));
    area.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      area.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
    area.addEventListener(
      "click",
      (event) => {
        // the end of a drag is no click
        if (!this.moved || !event.detail) return; // nor is Enter, which has no detail, its end
        event.stopPropagation();
        event.preventDefault();
      },
      { capture: true },
    );
    this.apply();
  }

  reset() {
    this.set(1);
  }

  /** Zooms so that the point at (u, v), fractions of the well, keeps its place. */
  set(scale, u = 0.5, v = 0.5) {
    const next = clamp(scale, 1, LARGEST);
    const [pointX, pointY] = [this.x + (u - 0.5) / this.scale, this.y + (v - 0.5) / this.scale];
    this.scale = next < 1.01 ? 1 : next;
    this.x = pointX - (u - 0.5) / this.scale;
    this.y = pointY - (v - 0.5) / this.scale;
    this.apply();
  }

  /** Moves the view by fractions of the well. */
  pan(u, v) {
    this.x += u / this.scale;
    this.y += v / this.scale;
    this.apply();
  }

  apply() {
    const edge = 0.5 / this.scale;
    this.x = clamp(this.x, edge, 1 - edge);
    this.y = clamp(this.y, edge, 1 - edge);
    this.area.style.setProperty("--zoom", this.scale);
    this.area.style.setProperty("--left", `${100 * (0.5 - this.x * this.scale)}%`);
    this.area.style.setProperty("--top", `${100 * (0.5 - this.y * this.scale)}%`);
    this.area.toggleAttribute("data-zoomed", this.scale > 1);
    this.onchange(this.scale);
  }

  place(event) {
    const well = event.target.closest?.(".well") || this.area.querySelector(".well");
    const box = well.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, box];
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
    if (!event.target.closest(".well")) return;
    event.preventDefault();
    const [u, v] = this.place(event);
    this.set(this.scale * Math.exp(-clamp(event.deltaY, -60, 60) / 120), u, v);
  }

  down(event) {
    this.moved = false;
    if (event.button !== 0 || !event.target.closest(".well") || event.target.closest("[data-own-drag]")) return;
    this.pointers.set(event.pointerId, event);
    if (this.scale > 1 || this.pointers.size === 2) event.target.setPointerCapture(event.pointerId);
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const far = Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY);
    if (!this.moved && far < SLACK_PX) return;
    const others = [...this.pointers.values()].filter((other) => other.pointerId !== event.pointerId);
    const [, , box] = this.place(event);
    if (others.length === 1) this.pinch(before, event, others[0], box);
    else if (this.scale > 1)
      this.pan((before.clientX - event.clientX) / box.width, (before.clientY - event.clientY) / box.height);
    else return;
    this.moved = true;
    this.pointers.set(event.pointerId, event);
  }

  pinch(before, now, other, box) {
    const was = Math.hypot(before.clientX - other.clientX, before.clientY - other.clientY);
    const is = Math.hypot(now.clientX - other.clientX, now.clientY - other.clientY);
    const u = ((now.clientX + other.clientX) / 2 - box.left) / box.width;
    const v = ((now.clientY + other.clientY) / 2 - box.top) / box.height;
    this.set((this.scale * is) / Math.max(was, 1), u, v);
  }
}

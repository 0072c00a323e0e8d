// The tile grid over one level's picture: every tile a cell that can be pointed at or walked to with arrows.

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** The place in `offsets` of the patch whose middle lies nearest to `at`. */
function nearest(offsets, length, at) {
  let best = 0;
  offsets.forEach((offset, place) => {
    if (Math.abs(offset + length / 2 - at) < Math.abs(offsets[best] + length / 2 - at)) best = place;
  });
  return best;
}

class TileGrid {
  /** `onactive(cell)`: [row, column] or null; `frame()`: the level's frame that is on the screen. */
  constructor({ onactive, frame }) {
    Object.assign(this, { onactive, frame, level: null, active: null, cells: [] });
    this.node = make("div.grid", {
      role: "grid",
      hidden: true,
      onpointermove: (event) => this.activate(this.under(event)),
      onpointerleave: () => this.activate(this.focused()),
      onpointerdown: (event) => {
        const cell = this.under(event);
        this.cells[cell[0]][cell[1]].focus({ preventScroll: true });
      },
      onkeydown: (event) => this.key(event),
      onfocusin: () => this.activate(this.focused()),
      onfocusout: () => this.activate(null),
    });
  }

  /** Draws the tiles of a level; the same tiles are left as they are. */
  update(level, label) {
    const text = JSON.stringify([level.grid, level.width, level.height, label]);
    if (text === this.text) return;
    Object.assign(this, { text, level, active: null, cells: [] });
    mark(this.node, "aria-label", label);
    const { grid } = level;
    this.node.replaceChildren();
    if (!grid) return;
    const [, height, width] = grid.patch;
    const overlaps = (offsets, length) => offsets.length > 1 && offsets[1] - offsets[0] < length;
    const odd = [overlaps(grid.rows, height), overlaps(grid.columns, width)];
    this.cells = grid.rows.map((top, row) =>
      grid.columns.map((left, column) => {
        const cell = make("div.cell", {
          role: "gridcell",
          tabindex: row || column ? "-1" : "0",
          style: { left: `${(100 * left) / level.width}%`, top: `${(100 * top) / level.height}%`,
            width: `${(100 * width) / level.width}%`, height: `${(100 * height) / level.height}%` },
        });
        cell.toggleAttribute("data-between", (odd[0] && row % 2 === 1) || (odd[1] && column % 2 === 1));
        return cell;
      }),
    );
    this.node.append(...this.cells.map((cells) => make("div.row", { role: "row" }, ...cells)));
    this.name();
  }

  /** The tile under the pointer; where tiles overlap, the one whose middle is nearest. */
  under(event) {
    const box = this.node.getBoundingClientRect();
    const { grid, width, height } = this.level;
    const x = ((event.clientX - box.left) / box.width) * width;
    const y = ((event.clientY - box.top) / box.height) * height;
    return [nearest(grid.rows, grid.patch[1], y), nearest(grid.columns, grid.patch[2], x)];
  }

  focused() {
    for (const [row, cells] of this.cells.entries()) {
      const column = cells.indexOf(document.activeElement);
      if (column >= 0) return [row, column];
    }
    return null;
  }

  activate(cell) {
    if (String(cell) === String(this.active)) return;
    if (this.active) this.cells[this.active[0]][this.active[1]].removeAttribute("data-active");
    this.active = cell;
    this.node.toggleAttribute("data-chosen", Boolean(cell));
    if (cell) this.cells[cell[0]][cell[1]].setAttribute("data-active", "");
    this.onactive(cell);
  }

  key(event) {
    const at = this.focused();
    const step = STEPS[event.key];
    if (!at || event.ctrlKey || event.metaKey || event.altKey) return;
    const [rows, columns] = [this.cells.length, this.cells[0].length];
    let to = null;
    if (step) to = [clamp(at[0] + step[0], 0, rows - 1), clamp(at[1] + step[1], 0, columns - 1)];
    else if (event.key === "Home") to = [at[0], 0];
    else if (event.key === "End") to = [at[0], columns - 1];
    else if (event.key === "Escape") document.activeElement.blur();
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    this.cells[at[0]][at[1]].tabIndex = -1;
    const next = this.cells[to[0]][to[1]];
    next.tabIndex = 0;
    next.focus();
  }

  /** Where a tile of these overlapping in time stands just now: the one whose middle is nearest to the frame. */
  time() {
    const { grid } = this.level;
    return nearest(grid.times, grid.patch[0], this.frame() + 0.5);
  }

  /** Another frame is on the screen: where tiles follow each other in time, the cells now stand for others. */
  moved() {
    if (this.level?.grid && this.time() !== this.named) this.name();
  }

  /** Names every cell for who cannot see it. */
  name() {
    this.named = this.time();
    this.cells.forEach((cells, row) => cells.forEach((cell, column) => mark(cell, "aria-label", this.words([row, column]))));
  }

  words([row, column]) {
    const { grid, frames } = this.level;
    const [count, height, width] = grid.patch;
    return `Tile in row ${row + 1} of ${grid.rows.length}, column ${column + 1} of ${grid.columns.length}: `
      + `pixels x ${span(grid.columns[column], width)}, y ${span(grid.rows[row], height)}, `
      + `frames ${span(grid.times[this.time()], count, 1)} of ${frames}`;
  }

  /** The patches of the levels below that the tile sees, by level: {level: [top, left, height, width]} in their pixels. */
  below([row, column]) {
    const { grid } = this.level;
    const [, height, width] = grid.patch;
    return Object.fromEntries(grid.below.map((one) => [one.level, [one.rows[row], one.columns[column], height, width]]));
  }
}

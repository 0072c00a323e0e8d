// Where the names of points go.
const overlap = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
const LINE = 16; // height of a name
const ALL_AROUND = [[1, 0], [-1, 0], [0, -1], [0, 1], [1, -1], [1, 1], [-1, -1], [-1, 1]];

/** Each name goes where it covers nothing; where no room is left it shows on hover, focus and selection alone. */
function label(points) {
  const { inner } = view;
  const taken = points.map((p) => ({ x: p.px - 9, y: p.py - 9, w: 18, h: 18 }));
  const room = { left: inner.left + 2, right: inner.right + PLOT.right - 4, top: inner.top, bottom: inner.bottom };
  const lines = [...frontBoxes(points), ...referenceBox()];
  for (const p of points) {
    const text = make("text.label", {}, p.name.length > 26 ? `${p.name.slice(0, 25)}…` : p.name);
    const node = svg.querySelector(`.point[data-number="${p.number}"]`);
    node.append(text);
    const w = text.getComputedTextLength();
    const best = freest(places(p, w), room, taken, lines);
    const spot = best || places(p, w)[0];
    text.setAttribute("x", clamp(spot.x, room.left, Math.max(room.left, room.right - w)));
    text.setAttribute("y", spot.y + 12);
    if (best) taken.push(best);
    else node.classList.add("crowded");
    if (best?.ring) node.prepend(leader(p, best));
  }
}

/** The place of least cost among those inside the plot that cover nothing; crossing a line costs, too. */
function freest(candidates, room, taken, lines) {
  let best = null;
  for (const box of candidates) {
    const wide = box.x >= room.left && box.x + box.w <= room.right;
    const high = box.y >= room.top && box.y + box.h <= room.bottom;
    if (!wide || !high || taken.some((other) => overlap(box, other))) continue;
    const cost = box.cost + 3 * lines.filter((line) => overlap(box, line)).length;
    if (!best || cost < best.cost) best = { ...box, cost };
  }
  return best;
}

/** The front's path as thin boxes, which names had better not cross. */
function frontBoxes(points) {
  const front = points.filter((p) => p.front);
  return front.flatMap((p, k) => {
    const to = front[k + 1] || { trueX: view.base === null ? p.trueX : view.x(view.base), trueY: p.trueY };
    return [{ x: p.trueX, y: p.trueY - 1, w: to.trueX - p.trueX, h: 2 },
      { x: to.trueX - 1, y: to.trueY, w: 2, h: p.trueY - to.trueY }];
  });
}

function referenceBox() {
  const { base, inner, x } = view;
  return base === null ? [] : [{ x: x(base) - 1, y: inner.top, w: 2, h: inner.bottom - inner.top }];
}

/** Boxes around a point, near ones first. */
function places(p, w) {
  return [11, 20, 32].flatMap((away, ring) => ALL_AROUND.map(([dx, dy], k) => {
    const cx = p.px + dx * away * (dy ? 0.75 : 1);
    const cy = p.py + dy * away * (dx ? 0.75 : 1);
    const x = dx > 0 ? cx : dx < 0 ? cx - w : cx - w / 2;
    const y = dy > 0 ? cy - 2 : dy < 0 ? cy - LINE + 2 : cy - LINE / 2;
    return { x, y, w, h: LINE, ring, cost: ring * 4 + k * 0.4 };
  }));
}

function leader(p, box) {
  return make("line.leader", { x1: p.px, y1: p.py, x2: clamp(p.px, box.x, box.x + box.w),
    y2: clamp(p.py, box.y + 2, box.y + LINE - 2) });
}

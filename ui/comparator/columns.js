// How many columns the tiles stand in, and how large they are.

const NARROW = 168; // px: no tile of a grid is narrower
const AROUND = 300; // px of the window's height that controls and curves take
const PHONE = 560; // px: below this width few tiles stand in two columns, many in a strip

/** How many columns give the largest tiles that still fit below each other. */
function arrange() {
  const width = viewer.clientWidth - 2;
  if (!value || width < 10) return;
  const aspect = value.width / value.height;
  const full = Boolean(document.fullscreenElement);
  const tall = full ? viewer.clientHeight : clamp(innerHeight - AROUND, 380, 1100);
  const count = seen().length;
  const single = isPair(view.mode) || view.solo !== null;
  const chrome = single ? (isPair(view.mode) ? 0 : 110) : 130;
  const phone = width < PHONE;
  viewer.toggleAttribute("data-strip", phone && !single && count > 4);
  let columns = 1;
  let tile = Math.min(width, (tall - chrome) * aspect);
  if (!single && phone) {
    columns = count > 4 ? count : 2;
    tile = count > 4 ? Math.max(150, width * 0.44) : width / 2;
  } else if (!single) {
    [columns, tile] = bestColumns(count, width, tall, aspect, chrome);
  }
  stage.style.setProperty("--columns", columns);
  stage.style.setProperty("--tile", `${Math.floor(tile)}px`);
  viewer.style.setProperty("--aspect", `${value.width} / ${value.height}`);
}

function bestColumns(count, width, tall, aspect, chrome) {
  let best = null;
  for (let rows = 1; rows <= count; rows += 1) {
    const columns = Math.ceil(count / rows);
    const tile = Math.min(width / columns, ((tall * 1.12) / rows - chrome) * aspect);
    const worth = tile * (tile === width / columns ? 1.25 : 1); // no empty sides, if that costs little
    if (tile >= NARROW && (!best || worth > best[2])) best = [columns, tile, worth];
  }
  const most = Math.max(1, Math.floor(width / NARROW));
  return best || [most, width / most]; // too many to fit: they scroll
}

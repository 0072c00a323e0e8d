// What a person has chosen to look at, and which runs are meant by it.

const isPair = (mode) => mode === "wipe" || mode === "flip" || mode === "difference";
const fresh = () => ({
  mode: "grid",
  solo: null,
  a: 0,
  b: 1,
  flipped: false,
  wipe: 50,
  gain: 4,
  pixels: false,
  metric: null,
  begun: false,
});
let view = fresh();
let value = null;
let views = new Map(); // the tiles by number, in order

const nameOf = (number) => value.tiles.find((tile) => tile.number === number)?.name ?? "";
const chosenCurve = () => value.curves.find((curve) => curve.id === view.metric) || null;
const firstLost = () => value.tiles.find((tile) => ENDED[tile.status]);
const firstDisturbed = () => value.tiles.find((tile) => tile.disturbed);
const meant = () => (view.solo !== null ? [view.solo] : isPair(view.mode) ? [view.a, view.b] : []);

function worst() {
  const curve = chosenCurve();
  if (!curve) return null;
  const known = [...views.keys()].filter((number) => curve.values[number]);
  const own = meant().filter((number) => known.includes(number));
  return worstOf(curve, own.length ? own : known);
}

/** The tiles that are to be seen now. */
function seen() {
  const all = [...views.values()];
  if (isPair(view.mode)) return all.filter((tile) => tile.number === view.a || tile.number === view.b);
  return view.solo === null ? all : all.filter((tile) => tile.number === view.solo);
}

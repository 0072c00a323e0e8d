// What a track is, how it is edited, and what it costs. No DOM here; every edit returns a new track.
// A track: {id, name, policy, colour, rates, ends, cache?, levels?, steps?}. Stage k runs at rates[k] until step ends[k]; the
// last one at 1.0. `steps` are those of its own; where a function takes steps, they are the board's.

const MAX_STAGES = 32;
const MAX_STEPS = 1000;
const MAX_NAME = 80;
const COLOURS = 7;
const SHOWN_RATE = new Intl.NumberFormat("en", { maximumFractionDigits: 3, useGrouping: false });
const rateText = (rate) => (rate === 1 ? "1.0" : SHOWN_RATE.format(rate));

/** How many steps a track runs: its own, or the board's. */
const runSteps = (track, steps) => track.steps ?? steps;

/** Stages with their first and last step, counted from 1 and both inside. */
function stagesOf(track, steps) {
  const first = (k) => (k ? track.ends[k - 1] : 0) + 1;
  return [...track.rates, 1].map((rate, k) => ({ rate, first: first(k), last: track.ends[k] ?? runSteps(track, steps) }));
}

const without = (list, k) => list.filter((_, at) => at !== k);
const inserted = (list, k, item) => [...list.slice(0, k), item, ...list.slice(k)];
const replaced = (list, k, item) => list.map((old, at) => (at === k ? item : old));

/** The steps that boundary k may stand at: between its neighbours, each stage keeping one step. */
const boundaryRange = (track, k, steps) => [(track.ends[k - 1] ?? 0) + 1,
  (track.ends[k + 1] ?? runSteps(track, steps)) - 1];

function moveBoundary(track, k, step, steps) {
  const [low, high] = boundaryRange(track, k, steps);
  return { ...track, ends: replaced(track.ends, k, clamp(Math.round(step), low, high)) };
}

const setRate = (track, k, rate) => ({ ...track, rates: replaced(track.rates, k, rate) });

/** Cut stage k after a step of it; null where it has one step only or there are too many stages. */
function splitStage(track, k, after, steps) {
  const { rate, first, last } = stagesOf(track, steps)[k];
  if (first === last || track.rates.length >= MAX_STAGES - 1) return null;
  const end = clamp(Math.round(after), first, last - 1);
  return { ...track, rates: inserted(track.rates, k, rate), ends: inserted(track.ends, k, end) };
}

/** Take boundary k away: the stage on its right takes over the steps on its left. */
const mergeStages = (track, k) => ({ ...track, rates: without(track.rates, k), ends: without(track.ends, k) });

/** The track over `own` steps (undefined: the board's), scaled as Python does it; stages without a step left go. */
function withSteps(track, own, steps) {
  const [from, to] = [runSteps(track, steps), own ?? steps];
  const { steps: _, ...rest } = track;
  const after = { ...rest, rates: [], ends: [], ...(own ? { steps: own } : {}) };
  track.ends.forEach((end, k) => {
    const scaled = Math.min(Math.floor((end * to) / from + 0.5), to - 1);
    if (scaled <= (after.ends.at(-1) ?? 0)) return;
    after.rates.push(track.rates[k]);
    after.ends.push(scaled);
  });
  return after;
}

const SHAPES = {
  flat: { label: "Flat", help: "Full resolution at every step", rates: [], ends: [] },
  two: { label: "Two-stage", help: "Low resolution first, full resolution for the rest", rates: ["low"], ends: [0.5] },
  u: { label: "U", help: "Full resolution, then low, then full again", rates: [1, "low"], ends: [0.2, 0.7] },
};

/** The track in a named shape; its lowest rate is kept, else the one nearest to 0.75 is taken. */
function shaped(track, shape, steps, context) {
  const lowest = Math.min(1, ...track.rates);
  const low = lowest < 1 ? lowest : nearestRate(context, 0.75);
  const rates = SHAPES[shape].rates.map((rate) => (rate === "low" ? low : rate));
  const count = runSteps(track, steps);
  const ends = SHAPES[shape].ends.map((share) => Math.round(share * count));
  const sound = ends.every((end, k) => end > (ends[k - 1] ?? 0) && end < count);
  return sound ? { ...track, rates, ends } : null;
}

/** What a track is called while nobody has named it. */
function autoName(track) {
  if (track.levels) return levelName(track);
  return track.steps ? `${shapeName(track)}, ${countText(track.steps, "step")}` : shapeName(track);
}

function shapeName(track) {
  const levels = [...track.rates, 1].filter((rate, k, all) => k === 0 || rate !== all[k - 1]);
  if (levels.length === 1) return "Flat";
  if (levels.length === 2) return `Two-stage ${rateText(levels[0])}`;
  if (levels.length === 3 && levels[0] === 1) return `U ${rateText(levels[1])}`;
  return `${levels.length} stages from ${rateText(levels[0])}`;
}

function uniqueName(wanted, others) {
  let name = wanted.slice(0, MAX_NAME);
  for (let copy = 2; others.some((other) => other.name === name); copy += 1) {
    name = `${wanted.slice(0, MAX_NAME - 4)} ${copy}`;
  }
  return name;
}

/** After an edit: a name that said what the track was says what it is now; a name given by a person stays. */
function renamedByShape(before, after, others) {
  const old = autoName(before);
  const rest = before.name.startsWith(`${old} `) && before.name.slice(old.length + 1);
  const own = before.name === old || (rest && /^\d+$/.test(rest));
  return own && autoName(after) !== old ? { ...after, name: uniqueName(autoName(after), others) } : after;
}

// ---- sizes ------------------------------------------------------------------------------------------------

const nearestRate = (context, wanted) => context.rates.reduce(
  (best, { rate }) => (Math.abs(rate - wanted) < Math.abs(best - wanted) ? rate : best), 1);

/** The entry of `context.rates` that a rate runs at: as the engine rounds, down to whole patches. Null: too small. */
function sizeOf(context, rate) {
  const full = context.rates.at(-1).latent;
  const [height, width] = full.map((side) => Math.floor(side * rate));
  return context.rates.findLast(({ latent }) => latent[0] <= height && latent[1] <= width) ?? null;
}

const pixelsText = (size) => (size ? `${size.pixels[1]}×${size.pixels[0]}` : "too small");

/** The next legal rate above or below, `jump` detents away. */
function steppedRate(context, rate, jump) {
  const rates = context.rates.map((entry) => entry.rate);
  const at = jump > 0 ? rates.findIndex((each) => each > rate + 1e-9) : rates.findLastIndex((each) => each < rate - 1e-9);
  if (at < 0) return rate;
  return rates[clamp(at + jump - Math.sign(jump), 0, rates.length - 1)];
}

// ---- cost -------------------------------------------------------------------------------------------------

const switchesOf = (track) => track.rates.filter((rate, k) => rate !== (track.rates[k + 1] ?? 1)).length;

/** Predicted cost: seconds of the whole run (null: not measured yet), peak memory, FLOPs of the denoising loop. */
function costOf(track, steps, context) {
  let [seconds, flops, memory, known] = [0, 0, 0, true];
  for (const { rate, first, last } of stagesOf(track, steps)) {
    const size = sizeOf(context, rate) ?? context.rates[0];
    const count = last - first + 1;
    seconds = size.seconds === null || seconds === null
      ? null : seconds + count * size.seconds + (size.condition_s ?? 0);
    flops += count * size.flops;
    known &&= size.memory_bytes !== null;
    memory = Math.max(memory, size.memory_bytes ?? 0);
  }
  const extra = (context.fixed_s ?? 0) + switchesOf(track) * (context.switch_s ?? 0);
  // decoding at full size is part of every run, and mostly its peak
  if (context.peak_bytes) [memory, known] = [Math.max(memory, context.peak_bytes), true];
  return { seconds: seconds === null ? null : seconds + extra, flops, memory: known ? memory : null };
}

const FLAT = { rates: [], ends: [] };

/** A track's cost beside the baseline's: `share` of its time, or of its FLOPs where time is not known. */
function comparedCost(track, steps, context) {
  const [own, base] = [costOf(track, steps, context), costOf(FLAT, steps, context)];
  const timed = own.seconds !== null && base.seconds !== null;
  const share = timed ? own.seconds / base.seconds : own.flops / base.flops;
  return { ...own, timed, share, arithmetic: base.flops / own.flops };
}

// ---- noise levels -----------------------------------------------------------------------------------------

/** What each stage's shift is, by the policy's rule: its own, or the one behind an @ (engine/switching/policies.py). */
function shiftsOf(track, steps, context) {
  const stages = stagesOf(track, steps);
  const sizes = stages.map(({ rate }) => sizeOf(context, rate) ?? context.rates[0]);
  const [way, rule = { lightx2v: "+1", jenga: "+2" }[way] ?? "exact"] = track.policy.split("@");
  if (rule === "none") return stages.map(() => context.shift);
  if (rule.startsWith("+")) return stages.map((_, k) => context.shift + Number(rule) * k);
  if (way === "pyramid") return blockRatios(sizes).map((ratio) => context.shift * ratio);
  return sizes.map(({ ratio }) => context.shift * ratio);
}

/** Pyramid: from the last stage backwards, growing by blocks of at most m copies divides the shift by sqrt(m). */
function blockRatios(sizes) {
  const ratios = [sizes.at(-1).ratio];
  for (let k = sizes.length - 2; k >= 0; k -= 1) {
    const [small, large] = [sizes[k].latent, sizes[k + 1].latent];
    const copies = Math.ceil(large[0] / small[0]) * Math.ceil(large[1] / small[1]);
    if (small[0] === large[0] && small[1] === large[1]) ratios.unshift(ratios[0]);
    else ratios.unshift(small[0] * small[1] < large[0] * large[1] ? ratios[0] / Math.sqrt(copies) : sizes[k].ratio);
  }
  return ratios;
}

const sigmaAt = (step, steps, shift) => {
  const u = 1 - step / steps;
  return (shift * u) / (1 + (shift - 1) * u);
};

/** SVG path of sigma over the steps, x in steps and y from 0 (sigma 1) to 1; a gap where a switch moves the level. */
function sigmaPath(track, steps, context) {
  if (context.shift === null) return ""; // the model's own table is not known before it is loaded
  const shifts = shiftsOf(track, steps, context);
  const count = runSteps(track, steps);
  return stagesOf(track, steps).map(({ first, last }, k) => {
    const points = [];
    for (let step = first - 1; step <= last; step += 1) {
      points.push(`${step} ${(1 - sigmaAt(step, count, shifts[k])).toFixed(4)}`);
    }
    return `M${points.join("L")}`;
  }).join("");
}

// ---- what to warn of --------------------------------------------------------------------------------------

const stepsText = ({ first, last }) => (first === last ? `step ${first}` : `steps ${first} to ${last}`);

function warningsOf(track, steps, context) {
  const found = [];
  const [nativeHeight, nativeWidth] = context.native ?? [0, 0];
  const native = `${nativeWidth}×${nativeHeight}`;
  if (context.height < nativeHeight || context.width < nativeWidth) {
    found.push(["Below native", `The full size ${context.width}×${context.height} is below the ${native} that the model `
      + "is made for: even full resolution may look wrong, and lower stages more so."]);
  }
  const low = stagesOf(track, steps).filter(({ rate }) => rate < 0.5);
  if (low.length) {
    const worst = low.reduce((a, b) => (b.rate < a.rate ? b : a));
    const size = sizeOf(context, worst.rate);
    const verb = low.length === 1 && low[0].first === low[0].last ? "runs" : "run";
    const where = low.map(stepsText).join(" and ").replace(/^s/, "S");
    found.push([`Rate ${rateText(worst.rate)}`, `${where} ${verb} under rate 0.5`
      + `${size ? ` (${pixelsText(size)}, against the model's native ${native})` : ""}: `
      + "so few pixels often change the layout of the picture."]);
  }
  const lastSwitch = track.ends.findLast((_, k) => track.rates[k] !== (track.rates[k + 1] ?? 1));
  const count = runSteps(track, steps);
  if (lastSwitch > 0.8 * count) {
    const left = count - lastSwitch;
    found.push(["Late switch", `The last switch comes after step ${lastSwitch} of ${count}, in the last fifth: `
      + `${left === 1 ? "one step is" : `${left} steps are`} left to draw fine detail.`]);
  }
  const refused = context.caches?.find(({ name }) => name === track.cache?.name)?.refused;
  if (refused && !track.cache.coefficients) found.push(["Cache refused", refused]);
  if (context.cache && !context.cache.follows && switchesOf(track)) {
    found.push(["Cache", `The cache ${context.cache.name} keeps results of one size and cannot follow a switch: `
      + "its savings are lost or its results wrong at every change of resolution."]);
  }
  return found;
}

// ---- what the baseline's bands say ------------------------------------------------------------------------

/** Where each band of the picture is settled: [{upTo: 0.5, step: 9}, …] in steps of this board. */
function settledBands(context, steps) {
  const { edges, settled, error } = context.bands;
  const measured = error?.[0]?.length || steps;
  let latest = 0;
  return settled.map((step, k) => {
    latest = Math.max(latest, clamp(Math.round(((step ?? measured) * steps) / measured), 0, steps));
    return { upTo: edges[k + 1], step: latest };
  });
}

const FRACTIONS = { 0.125: "⅛", 0.25: "¼", 0.375: "⅜", 0.5: "½", 0.625: "⅝", 0.75: "¾", 0.875: "⅞" };
const fractionText = (share) => FRACTIONS[share] ?? (share === 1 ? "full" : rateText(share));

// ---- values to and from Python ----------------------------------------------------------------------------

let lastId = 0;
const newId = () => `t${(lastId += 1)}`;

/** The board of a value; tracks keep the ids of those they take the place of, so that their lanes stay open. */
function boardFrom(value, old) {
  const tracks = (value?.tracks ?? []).map((track, k) => ({
    id: old?.tracks[k]?.id ?? newId(), name: track.name, policy: track.policy, colour: track.colour,
    rates: track.resolution_rate, ends: track.changing_resolution_steps, cache: track.cache ?? undefined,
    levels: track.levels ?? undefined, steps: track.steps ?? undefined,
  }));
  return { steps: value?.infer_steps ?? 30, tracks };
}

const valueFrom = (board) => ({
  infer_steps: board.steps,
  tracks: board.tracks.map(({ name, policy, colour, rates, ends, cache, levels, steps }) => ({
    name, policy, colour, resolution_rate: rates, changing_resolution_steps: ends, ...(cache ? { cache } : {}),
    ...(levels ? { levels } : {}), ...(steps ? { steps } : {}),
  })),
});

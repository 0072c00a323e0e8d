// What a track of a hierarchical patch model is and costs: levels in place of rates, tiles in place of one large pass.
// No DOM here. A choice: {levels, overlap, context, heun}; FLOPs are exact, by the tables of `context.levels`.

const DEFAULT_LEVELS = { overlap: "spatial", context: "device", heun: false };
const OVERLAP_WORDS = { none: "no overlap", spatial: "spatial overlap", full: "full overlap" };
const CONTEXT_WORDS = { device: "cache on the device", cpu: "cache on the CPU", off: "cache off" };
const capital = (words) => words[0].toUpperCase() + words.slice(1);
const countText = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** The choice of a track, with what it leaves out; a level track has a rate for every level but the last. */
const choiceOf = (track) => ({ levels: track.rates.length + 1, ...DEFAULT_LEVELS, ...track.levels });

/** How a choice differs from the baseline's: the name of a track while nobody has named it (as LevelChoice.name). */
function levelName(track) {
  const { levels, overlap, context, heun } = choiceOf(track);
  const words = [];
  if (levels <= track.rates.length) words.push(countText(levels, "level"));
  if (overlap !== DEFAULT_LEVELS.overlap) words.push(OVERLAP_WORDS[overlap]);
  if (context !== DEFAULT_LEVELS.context) words.push(CONTEXT_WORDS[context]);
  if (heun) words.push("Heun");
  return capital(words.join(", ") || "all levels");
}

/** The step after which each level but the last ends: every level has half the steps of the one below (level_schedule). */
function levelEnds(count, steps) {
  const total = 2 ** count - 1;
  return Array.from({ length: count - 1 }, (_, k) => {
    const share = (total - (2 ** (count - 1 - k) - 1)) / total;
    return Math.min(Math.max(k + 1, Math.round(steps * share)), steps - count + 1 + k);
  });
}

const levelRates = (context) => context.levels.each.slice(0, -1).map(({ rate }) => rate);

/** A new track with a choice; the baseline's where there is none. */
const levelTrack = (context, steps, levels = {}) => ({
  policy: "anchored", rates: levelRates(context), ends: levelEnds(context.levels.each.length, steps), levels,
});

/** What each level of a track does: {run, first, last, steps, tiles, passes, flops, seconds, …}; all levels, also those not run. */
function levelsOf(track, steps, context) {
  const { each, rows, overlaps } = context.levels;
  const choice = choiceOf(track);
  const overlap = overlaps.find(({ name }) => name === choice.overlap);
  const fitting = track.rates.length === each.length - 1 ? track : levelTrack(context, steps);
  return stagesOf(fitting, steps).map(({ first, last }, k) => {
    const count = last - first + 1;
    const turns = choice.heun && k === 0 ? 2 * count - 1 : count;
    const passes = rows[k] * turns * overlap.tiles[k];
    const below = choice.context === "off" ? count * overlap.every[k] : overlap.once[k];
    const flops = passes * each[k].pass_flops + below;
    const seconds = each[k].flop_seconds === null ? null : flops * each[k].flop_seconds;
    return { ...each[k], run: k < choice.levels, first, last, steps: count, tiles: overlap.tiles[k], passes, flops, seconds };
  });
}

/** Predicted cost beside the baseline's, as `comparedCost`; `kept`: bytes of features, null where none are kept. */
function comparedLevels(track, steps, context) {
  const [own, base] = [levelCost(track, steps, context), levelCost(levelTrack(context, steps), steps, context)];
  const timed = own.seconds !== null;
  return { ...own, timed, share: timed ? own.seconds / base.seconds : own.flops / base.flops,
    arithmetic: base.flops / own.flops };
}

function levelCost(track, steps, context) {
  const run = levelsOf(track, steps, context).filter((level) => level.run);
  const choice = choiceOf(track);
  const flops = run.reduce((sum, level) => sum + level.flops, 0);
  const known = run.every(({ seconds }) => seconds !== null);
  const seconds = known ? run.reduce((sum, level) => sum + level.seconds, context.fixed_s ?? 0) : null;
  const overlap = context.levels.overlaps.find(({ name }) => name === choice.overlap);
  return { seconds, flops, kept: choice.context === "off" ? null : overlap.kept_bytes[run.length - 1] };
}

/** Of network rows by level: which levels' tiles guidance runs twice, in words; nothing where none. */
function twiceText(rows) {
  const twice = rows.flatMap((count, k) => (count > 1 ? [k + 1] : []));
  if (!twice.length) return "";
  const where = twice.length === rows.length ? "" : ` at level ${twice.join(", ")}`;
  return `; each${where} runs twice, with the prompt and without`;
}

const frameText = ({ frames, width, height }) => `${countText(frames, "frame")} of ${width}×${height}`;
const squareText = ({ width, height }) => (width === height ? `${width}²` : `${width}×${height}`);

/** A level in a sentence, as a screen reader says it. */
function levelText(level, k) {
  const what = `Level ${k + 1}: ${frameText(level)}`;
  if (!level.run) return `${what}, not run`;
  return `${what}, ${stepsText(level)}, ${countText(level.tiles, "tile")} a step, ${countText(level.passes, "network pass",
    "network passes")} in all`;
}

function levelWarnings(track, steps, context) {
  const choice = choiceOf(track);
  const { each } = context.levels;
  const found = [];
  if (levelName(track) === "All levels") {
    found.push(["As the baseline", "This track is what the baseline is: change one of its choices."]);
  }
  if (choice.levels < each.length) {
    found.push([`Ends at ${squareText(each[choice.levels - 1])}`, `Ends with ${frameText(each[choice.levels - 1])}, `
      + `enlarged to ${frameText(each.at(-1))} to be compared: the difference holds what the levels above would have drawn.`]);
  }
  if (choice.overlap === "none" && choice.levels > 1) {
    found.push(["Seams", "Tiles lie side by side and do not see each other: seams can show where they meet."]);
  }
  return found;
}

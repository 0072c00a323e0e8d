// The shared ruler of steps, and the bands that settle behind the lanes.

/** Distance of the ruler's labelled steps: 1, 2 or 5 times a power of ten, about ten of them. */
function rulerEvery(steps) {
  const nice = [1, 2, 5, 10, 20, 50, 100, 200];
  return nice.find((every) => steps / every <= 10.5) ?? 200;
}

/** The steps on which labels stand: none so near to the last that it has no room beside it. */
function labelled(steps) {
  const every = rulerEvery(steps);
  const found = [];
  for (let step = 0; step < steps; step += every) if (step + every <= steps || steps - step >= every / 2) found.push(step);
  return [...found, steps];
}

const markAt = (step, steps, text = String(step)) => make("span.mark", { style: { left: percent(step / steps) } }, text);

/** Labels of a lane's own steps; the last says what they count. */
const axisMarks = (steps) => labelled(steps).filter((step) => step)
  .map((step) => markAt(step, steps, step === steps ? countText(steps, "step") : String(step)));

function rulerMarks(steps, bands) {
  const every = rulerEvery(steps);
  const minor = (step) => (steps <= 120 ? `M${step} 4V6` : "");
  const ticks = Array.from({ length: steps + 1 }, (_, step) => (step % every ? minor(step) : `M${step} 0V6`)).join("");
  const marks = [make("svg", { viewBox: `0 0 ${steps} 6`, preserveAspectRatio: "none" }, make("path", { d: ticks })),
    ...labelled(steps).map((step) => markAt(step, steps))];
  for (const { upTo, step } of bands) {
    marks.push(make("span.flag", { style: { left: percent(step / steps) },
      title: `Up to ${fractionText(upTo)} of the resolution settled at step ${step}` }, fractionText(upTo)));
  }
  return marks;
}

const bandSentence = (bands) => `${bands.map(({ upTo, step }) =>
  `${upTo === 1 ? "All of it" : `Up to ${fractionText(upTo)} of the resolution`} settled at step ${step}`).join(", ")
  .replace(/, (?=[^,]*$)/, ", and ").replace(/, Up to/g, ", up to").replace(/and All/, "and all")}.`;

/** The staircase of settling bands as a clip-path: until a band settles, its resolution is what the steps work on. */
function bandShape(bands, steps) {
  const points = ["0% 100%"];
  let from = 0;
  for (const { upTo, step } of bands) {
    points.push(`${percent(from / steps)} ${percent(1 - upTo)}`, `${percent(step / steps)} ${percent(1 - upTo)}`);
    from = step;
  }
  points.push(`${percent(from / steps)} 100%`);
  return `polygon(${points.join(",")})`;
}

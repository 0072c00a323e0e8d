"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const tiles = $$(".tile");
  const controls = $(".controls");
  const range = $("input", controls);
  const button = (name) => $(`[data-do="${name}"]`, controls);

  // ---- player: every video shows the frame of one clock -------------------------------------------------
  const last = data.frames - 1;
  let frame = 0;
  let playing = false;
  let heat = false;

  for (const video of $$("video")) { // a blob seeks at once in every browser, a data URI does not
    const [head, body] = video.src.split(",");
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([bytes], { type: head.slice(5, head.indexOf(";")) }));
  }

  const shown = () => tiles
    .filter((tile) => !document.body.classList.contains("enlarged") || tile.classList.contains("large"))
    .map((tile) => (heat && $("video.heat", tile)) || $("video.main", tile))
    .concat(document.body.classList.contains("enlarged") ? [] : $$("video.level"))
    .filter(Boolean);
  const middle = (index) => (index + 0.5) / data.fps; // the edge of a frame may show its neighbour

  function draw() {
    range.value = frame;
    range.setAttribute("aria-valuetext", `frame ${frame + 1} of ${data.frames}`);
    $("output", controls).textContent = `${frame + 1} / ${data.frames}`;
    placePlayhead();
  }

  function seek(index) {
    frame = Math.max(0, Math.min(last, index));
    for (const video of shown()) video.currentTime = middle(frame);
    draw();
  }

  function pause() {
    playing = false;
    for (const video of $$("video")) video.pause();
    seek(frame);
    state();
  }

  function play() {
    if (!shown().length) return;
    playing = true;
    const speed = Number($("select", controls).value);
    for (const video of $$("video")) video.pause();
    for (const video of shown()) {
      video.playbackRate = speed;
      video.currentTime = middle(frame === last ? 0 : frame);
      video.play().catch(() => { if (playing) pause(); });
    }
    state();
    requestAnimationFrame(follow);
  }

  function follow() {
    if (!playing) return;
    const [leader, ...others] = shown();
    if (!leader || leader.ended || leader.currentTime >= (last + 0.98) / data.fps) {
      frame = 0;
      return play();
    }
    for (const video of others) {
      if (!video.seeking && Math.abs(video.currentTime - leader.currentTime) > 0.4 / data.fps) {
        video.currentTime = leader.currentTime;
      }
    }
    const now = Math.min(last, Math.floor(leader.currentTime * data.fps));
    if (now !== frame) { frame = now; draw(); }
    requestAnimationFrame(follow);
  }

  function state() {
    controls.classList.toggle("playing", playing);
    button("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  const resume = () => (playing ? play() : seek(frame));

  function toggleHeat() {
    if (button("heat").hidden) return;
    heat = !heat;
    document.body.classList.toggle("heated", heat);
    button("heat").setAttribute("aria-pressed", heat);
    $(".legend").hidden = !heat;
    resume();
  }

  function enlarge(index) { // null closes; another index flips to that run at the same frame
    const before = $(".tile.large");
    const next = index === null || tiles[index] === before ? null : tiles[index];
    if (next && !$("button.screen", next)) return;
    document.body.classList.toggle("enlarged", Boolean(next));
    for (const tile of tiles) {
      tile.classList.toggle("large", tile === next);
      $("button.screen", tile)?.setAttribute("aria-pressed", tile === next);
    }
    for (const part of [$(".masthead"), ...$$("main > section:not(.player)")]) part.inert = Boolean(next);
    $("button.screen", next || before || tiles[0])?.focus({ preventScroll: Boolean(next) });
    resume();
  }

  const actions = {
    play: () => (playing ? pause() : play()),
    back: () => { pause(); seek(frame - 1); },
    forward: () => { pause(); seek(frame + 1); },
    heat: toggleHeat,
    close: () => enlarge(null),
  };
  controls.addEventListener("click", (event) => actions[event.target.closest("button")?.dataset.do]?.());
  range.addEventListener("input", () => { const at = Number(range.value); pause(); seek(at); });
  $("select", controls).addEventListener("change", resume);
  tiles.forEach((tile, index) => $("button.screen", tile)?.addEventListener("click", () => enlarge(index)));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, textarea")) return;
    const typed = { " ": "play", ArrowLeft: "back", ArrowRight: "forward", d: "heat", D: "heat", Escape: "close" };
    if (event.key === " " && event.target.matches("button:not(.screen), summary, a")) return; // it presses that
    if (event.key === "Escape" && !$(".tile.large")) return;
    if (/^[1-9]$/.test(event.key) && tiles[event.key - 1]) enlarge(event.key - 1);
    else if (typed[event.key]) actions[typed[event.key]]();
    else return;
    event.preventDefault();
  });
  document.addEventListener("keyup", (event) => { // on a picture Space plays and Enter enlarges
    if (event.key === " " && event.target.matches("button.screen")) event.preventDefault();
  });
  button("heat").hidden = !$(".heat");

  // ---- charts -------------------------------------------------------------------------------------------
  const dashes = ["dash", "solid", "solid", "solid", "dot", "dashdot", "longdash", "solid"];
  const symbols = ["circle", "circle", "square", "diamond", "triangle-up", "cross", "x", "star"];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const chosen = { cost: "seconds", similarity: "psnr" };
  const costs = { seconds: ["Seconds", "s"], memory: ["Memory", "MiB"] };
  const plots = {};

  function trace(run, y, extra = {}) {
    const colour = css(`--run-${run.colour}`);
    return {
      name: run.name, x: y.map((_, index) => index + 1), y, mode: "lines+markers", connectgaps: false,
      line: { color: colour, width: run === data.runs[0] ? 1.5 : 2, dash: dashes[run.colour] },
      marker: { color: colour, size: 5, symbol: symbols[run.colour] },
      hovertemplate: "%{y:.4~g}", ...extra,
    };
  }

  function drawChart(name, values, title, unit, extra = () => ({}), runs = data.runs, axes = {}) {
    const figure = $(`[data-chart="${name}"]`);
    const traces = runs
      .filter((run) => values(run).some((value) => value !== null))
      .map((run) => trace(run, values(run), extra(run)));
    figure.hidden = !traces.length;
    if (!traces.length) return;
    const points = Math.max(...traces.map((line) => line.y.length)); // one tick a step while they fit, never between
    const axis = { gridcolor: css("--line"), linecolor: css("--line"), zeroline: false, fixedrange: true,
      automargin: true, tickfont: { size: 11 } };
    const layout = {
      margin: { l: 48, r: 8, t: 8, b: 40 }, showlegend: false, hovermode: "x unified", dragmode: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: css("--sans"), color: css("--soft"), size: 12 },
      hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--ink") }, namelength: 40 },
      xaxis: { ...axis, title: { text: title, standoff: 6 }, showgrid: false, tickformat: "d",
        tick0: 1, dtick: Math.ceil(points / 16),
        hoverformat: "d" },
      yaxis: { ...axis, title: { text: unit, standoff: 4 }, ...(name === "resolution" || name === "cost"
        ? { rangemode: "tozero" } : {}), ...(name === "resolution"
        ? { tickvals: [0, ...new Set(data.runs.flatMap((run) => run.resolution))] } : {}), ...axes.yaxis },
      shapes: axes.shapes ?? [], ...axes.layout,
    };
    plots[name] = $(".plot", figure);
    return Plotly.react(plots[name], traces, layout, { displayModeBar: false, responsive: true });
  }

  function drawCharts() {
    drawChart("resolution", (run) => run.resolution, "step", "height, px", (run) => ({
      line: { ...trace(run, []).line, shape: "hvh" }, mode: "lines", text: run.sizes,
      hovertemplate: "%{text}",
    }));
    drawChart("cost", (run) => run[chosen.cost], "step", costs[chosen.cost][1]);
    drawChart("sigma", (run) => run.sigma, "step", "sigma");
    const settling = data.bands ?? { curves: [], threshold: 1 };
    const errors = (band) => band.error.map((value) => value || null); // a logarithm has no 0
    drawChart("bands", errors, "step", "error", () => ({}), settling.curves, {
      layout: { showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
        margin: { l: 48, r: 8, t: 40, b: 40 } },
      yaxis: { type: "log", tickformat: ".2~%" },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: settling.threshold, y1: settling.threshold,
        line: { color: css("--soft"), width: 1, dash: "dot" } }],
    });
    const kind = data.kinds[chosen.similarity];
    drawChart("similarity", (run) => run.similarity[chosen.similarity], "frame",
      kind.unit ? `${kind.label}, ${kind.unit}` : kind.label)?.then(placePlayhead);
  }

  function placePlayhead() {
    const plot = plots.similarity;
    const layout = plot?._fullLayout;
    if (!layout?.xaxis) return;
    let line = $(".playhead", plot.parentNode);
    if (!line) {
      line = plot.parentNode.appendChild(document.createElement("i"));
      line.className = "playhead";
    }
    const { l, t } = layout._size;
    line.style.left = `${plot.offsetLeft + l + layout.xaxis.l2p(frame + 1)}px`;
    line.style.top = `${plot.offsetTop + t}px`;
    line.style.height = `${layout._size.h}px`;
  }

  function tabs(name, choices) {
    const place = $(`[data-chart="${name}"] .tabs`);
    if (choices.length < 2) return;
    for (const [key, label] of choices) {
      const tab = place.appendChild(document.createElement("button"));
      tab.type = "button";
      tab.textContent = label;
      tab.setAttribute("aria-pressed", key === chosen[name]);
      tab.addEventListener("click", () => {
        chosen[name] = key;
        for (const other of place.children) other.setAttribute("aria-pressed", other === tab);
        drawCharts();
      });
    }
  }

  const measured = Object.entries(data.kinds)
    .filter(([name]) => data.runs.some((run) => run.similarity[name].length))
    .map(([name, kind]) => [name, kind.label]);
  if (measured.length) chosen.similarity = measured[0][0];
  tabs("similarity", measured);
  tabs("cost", Object.entries(costs)
    .filter(([name]) => data.runs.some((run) => run[name].some((value) => value !== null)))
    .map(([name, [label]]) => [name, label]));
  drawCharts();
  plots.similarity?.on("plotly_click", (event) => { pause(); seek(event.points[0].x - 1); });
  addEventListener("resize", () => setTimeout(placePlayhead, 200));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);

  draw();
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) seek(0);
  else play();
})();

// The library: searching, choosing and changing. Python holds the list; this asks for it and draws what comes.
const MOST = 8, PAGE = 24, PAUSE_MS = 180;
const SORTS = [["newest", "Newest first"], ["oldest", "Oldest first"], ["prompt", "Prompt, A to Z"], ["model", "Model"], ["largest", "Largest first"]];
const SHELVES = [["all", "All"], ["pinned", "Pinned"], ["deleted", "Deleted"]];
const query = { search: "", sort: "newest", shelf: "all", count: PAGE };
const chosen = new Map(); // `job.number` -> the run, also of jobs that are not shown just now
let cards = new Map();
let asked = null; // the last query that was asked for

const ask = (action = "show", more = {}) => { asked = JSON.stringify(query); trigger("input", { action, query: { ...query }, ...more }); };
const act = {
  open: (job) => trigger("select", { action: "open", job }),
  change: (action, more) => ask(action, more),
  choose(job, run, on) {
    const key = `${job.id}.${run.number}`;
    if (on && chosen.size < MOST) chosen.set(key, { job: job.id, number: run.number, name: run.name, prompt: job.prompt, seed: job.seed, colour: run.colour, poster: run.poster });
    else chosen.delete(key);
    drawChosen();
  },
};

// ---- the frame ---------------------------------------------------------------------------------------------
const unique = `library-${Math.random().toString(36).slice(2, 8)}`;
const count = make("p.count", { role: "status" });
const words = make("input", { type: "search", placeholder: "Search prompts, models, schedules", "aria-label": "Search the library", maxlength: 200, oninput: typed });
const order = make("select", { "aria-label": "Order", onchange: () => { query.sort = order.value; fresh(); } }, ...SORTS.map(([id, text]) => make("option", { value: id }, text)));
const shelves = SHELVES.map(([id, text]) => make("label", {}, make("input", { type: "radio", name: unique, value: id, checked: id === "all",
  onchange: () => { query.shelf = id; fresh(); } }), make("span", {}, text)));
const importing = textButton("Import", { title: "Add a run from an archive that was exported here or elsewhere", onclick: () => document.querySelector("#library-import input[type=file]")?.click() }, ICONS.import);
const tools = make("div.tools", {}, make("label.search", {}, icon(ICONS.search), words),
  make("fieldset.shelves", {}, make("legend.unseen", {}, "Shelf"), ...shelves), order, importing);
const notices = make("ul.notices", { "aria-label": "What happened on this server" });
const toast = make("div.toast", { role: "status" });
const list = make("ol.jobs");
const nothing = make("div.nothing", { hidden: true });
const more = make("button.more", { type: "button", onclick: () => { query.count += PAGE; ask(); } });
const disk = make("footer.disk");
const bar = make("div.chosen", { role: "region", "aria-label": "Runs chosen for a comparison", hidden: true });
root.replaceChildren(make("div.top", {}, make("h2", {}, "Library"), count), tools, notices, toast, list, nothing, more, disk, bar);

let typing = 0;
function typed() {
  clearTimeout(typing);
  typing = setTimeout(() => { query.search = words.value.slice(0, 200); fresh(); }, PAUSE_MS);
}

function fresh() {
  query.count = PAGE;
  ask();
}

// ---- drawing -------------------------------------------------------------------------------------------------
function draw() {
  const value = props.value;
  if (!value || typeof value !== "object") return;
  if (asked === null && JSON.stringify(value.query) !== JSON.stringify(query)) Object.assign(query, value.query);
  else if (value.said?.job) settle(value.query);
  else if (JSON.stringify(value.query) !== JSON.stringify(query)) return; // an answer to an older question
  const held = root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  drawJobs(value);
  drawNotices(value);
  drawDisk(value.disk);
  drawSaid(value.said);
  drawChosen();
  if (held && !root.contains(document.activeElement)) focusOn(held);
}

/** After an import the whole library is shown, with the new job on top. */
function settle(wanted) {
  Object.assign(query, wanted);
  words.value = query.search;
  order.value = query.sort;
  for (const label of shelves) label.firstChild.checked = label.firstChild.value === query.shelf;
}

function drawJobs(value) {
  const next = new Map();
  for (const job of value.jobs) {
    const before = cards.get(job.id);
    next.set(job.id, before && before.text === JSON.stringify(job) ? before : new Card(job, act, value.manage !== false));
  }
  cards = next;
  const nodes = [...cards.values()].map((card) => card.node);
  if (nodes.length !== list.children.length || nodes.some((node, k) => list.children[k] !== node)) place(nodes);
  const filtered = query.search || query.shelf !== "all";
  count.textContent = filtered ? `${value.total} of ${plural(value.every, "comparison")}` : value.total ? plural(value.total, "comparison") : "";
  if (query.shelf === "deleted") count.textContent = `${plural(value.total, "comparison")} in the trash`;
  const rest = value.total - value.jobs.length;
  more.hidden = rest <= 0;
  more.textContent = `Show ${Math.min(PAGE, rest)} more of ${rest}`;
  tools.hidden = !value.every && !filtered && !value.disk.trash;
  drawNothing(value);
}

/** The nodes in this order; those that stay are not moved, so that a playing video and the focus stay too. */
function place(nodes) {
  for (const old of [...list.children]) if (!nodes.includes(old)) old.remove();
  nodes.forEach((node, k) => { if (list.children[k] !== node) list.insertBefore(node, list.children[k] ?? null); });
}

function drawNothing(value) {
  nothing.hidden = value.total > 0;
  if (value.total) return;
  if (query.search) {
    nothing.replaceChildren(make("h3", {}, `Nothing matches “${query.search}”`),
      textButton("Show all", { onclick: () => { words.value = query.search = ""; fresh(); words.focus(); } }));
  } else if (query.shelf === "pinned") {
    nothing.replaceChildren(make("h3", {}, "Nothing is pinned"), make("p", {}, "Press the star of a comparison to keep it whatever the disk holds."));
  } else if (query.shelf === "deleted") {
    nothing.replaceChildren(make("h3", {}, "The trash is empty"), make("p", {}, "What is deleted stays here for a week and can be brought back."));
  } else {
    nothing.replaceChildren(filmstrip(), make("h3", {}, "Every comparison you run is kept here"),
      make("p", {}, "With its videos, schedules and figures: to search, to pin, to put side by side with any other, and to hand on as one file."),
      make("div.ways", {}, make("button.primary", { type: "button", onclick: () => trigger("select", { action: "studio" }) }, "Go to the studio"),
        textButton("Import an archive", { onclick: () => importing.click() }, ICONS.import)));
  }
}

function filmstrip() {
  const frames = [0, 1, 2, 3].map((k) => make("rect", { x: 2 + k * 44, y: 10, width: 40, height: 30, rx: 2, style: { fill: `var(--run-${k})` } }));
  return make("svg.strip", { viewBox: "0 0 176 62", "aria-hidden": "true" }, ...frames,
    ...[0, 1, 2, 3].map((k) => make("rect", { x: 2 + k * 44, y: 46, width: 40 * (1 - k * 0.18), height: 4, style: { fill: `var(--run-${k})` } })));
}

function drawNotices(value) {
  const told = value.notices.map((notice) => make("li", { "data-kind": notice.kind }, make("p", {}, notice.text, " ", when(notice.created)),
    value.manage === false ? null : iconButton("Do not show this any more", ICONS.close, { onclick: () => ask("dismiss", { notice: notice.id }) })));
  if (value.worker) told.unshift(make("li", { "data-kind": "stopped", role: "alert" }, make("p", {}, value.worker), value.manage === false ? null : textButton("Start it again", { onclick: () => ask("restart") })));
  if (value.ephemeral) told.unshift(make("li", {}, make("p", {}, value.ephemeral)));
  notices.hidden = !told.length;
  notices.replaceChildren(...told);
}

function drawDisk(state) {
  const share = clamp(state.used / state.quota, 0, 1);
  const parts = [make("p", {}, make("b", {}, `${sizeText(state.used)} of ${sizeText(state.quota)}`), " taken by results",
    state.trash ? `, ${sizeText(state.trash)} of it in the trash` : "", state.baselines ? `; ${sizeText(state.baselines)} of baselines kept for reuse` : "", `; ${sizeText(state.free)} free on the disk.`)];
  const first = state.next ? [" The first would be “", short(state.next.prompt, 48), "”, ", when(state.next.created), "."] : [];
  parts.push(make("p.rule", {}, "When that is full, the trash goes first, then the oldest that is not pinned.", ...first));
  disk.replaceChildren(make("div.gauge", { role: "meter", "aria-label": "Disk taken by results", "aria-valuemin": 0, "aria-valuemax": 100,
    "aria-valuenow": Math.round(share * 100), "aria-valuetext": `${sizeText(state.used)} of ${sizeText(state.quota)}` },
  make("i", { style: { width: `${share * 100}%` }, "data-full": share > 0.9 })), make("div", {}, ...parts));
}

function drawSaid(said) {
  if (!said) return;
  const undo = said.undo ? textButton("Undo", { onclick: () => { toast.replaceChildren(); ask("restore", { job: said.undo }); } }, ICONS.back) : null;
  mark(toast, said.bad);
  toast.replaceChildren(make("p", {}, said.text), ...(undo ? [undo] : []), iconButton("Close this message", ICONS.close, { onclick: () => toast.replaceChildren() }));
  if (said.undo) { for (const key of [...chosen.keys()]) if (key.startsWith(`${said.undo}.`)) chosen.delete(key); }
  if (undo && !root.contains(document.activeElement)) undo.focus({ preventScroll: true }); // the button that was pressed is gone
  if (said.job) cards.get(said.job)?.node.scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function mark(node, bad) {
  node.toggleAttribute("data-bad", !!bad);
  node.setAttribute("role", bad ? "alert" : "status");
}

const focusOn = (key) => root.querySelector(`[data-key="${key}"]`)?.focus({ preventScroll: true });

// ---- choosing runs for a comparison ----------------------------------------------------------------------
function drawChosen() {
  for (const card of cards.values()) card.mark(chosen, chosen.size >= MOST);
  const picks = [...chosen.entries()];
  bar.hidden = !picks.length;
  if (!picks.length) return;
  const held = bar.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const thumbs = picks.map(([key, pick]) => make("button.thumb", { type: "button", "data-key": `drop-${key}`, style: { "--accent": accent(pick.colour) },
    "aria-label": `Leave out ${pick.name} of “${short(pick.prompt, 40)}”`, title: `${pick.name}: ${short(pick.prompt)}`,
    onclick: () => { chosen.delete(key); drawChosen(); } }, pick.poster ? make("img", { src: pick.poster, alt: "" }) : null, icon(ICONS.close)));
  const ready = picks.length >= 2;
  const compare = make("button.primary", { type: "button", "data-key": "compare", disabled: !ready,
    onclick: () => trigger("select", { action: "compare", runs: picks.map(([, pick]) => [pick.job, pick.number]) }) }, "Compare");
  bar.replaceChildren(make("div.thumbs", {}, ...thumbs), make("p", { role: "status" }, make("b", {}, plural(picks.length, "run")), " ", likeness(picks.map(([, pick]) => pick))),
    make("div.ways", {}, textButton("Clear", { "data-key": "clear", onclick: () => { chosen.clear(); drawChosen(); } }), compare));
  if (held) focusOn(held);
}

function likeness(picks) {
  const same = (name) => new Set(picks.map((pick) => pick[name])).size === 1;
  if (picks.length < 2) return "chosen; choose one more to compare.";
  const most = picks.length >= MOST ? " No more fit side by side." : "";
  if (same("prompt") && same("seed")) return `chosen: same prompt and seed.${most}`;
  if (same("prompt")) return `chosen: same prompt, different seeds.${most}`;
  return `chosen: different prompts.${most}`;
}

watch("value", draw);
watch("revision", () => ask());
watch("address", () => {
  if (!props.address) return;
  window.resolute?.address(props.address[0]);
  const place = props.address[0].startsWith("compare=") ? "#comparator" : "#views";
  requestAnimationFrame(() => document.querySelector(place)?.scrollIntoView({ block: "start" })); // the list may have been long
});
watch("refusal", () => { if (props.refusal) drawSaid({ text: sentence(props.refusal[0]), bad: true }); });
if (props.value) draw();
if (props.revision) ask();

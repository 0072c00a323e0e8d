// What a person does to the tracks of a board, each as one edit that can be undone.

const DEPTH = 100; // how many edits can be undone
const BURST_MS = 700; // key presses on one handle within this time are one step of the history

/** The edits of a board: `this.board` is replaced, never changed in place. */
class Edits {
  remember(next, tag = null) {
    const now = performance.now();
    const same = tag && this.burst?.tag === tag && now - this.burst.time < BURST_MS;
    if (!same) this.past = [...this.past, this.board].slice(-DEPTH);
    this.burst = tag ? { tag, time: now } : null;
    this.future = [];
    this.board = next;
  }

  /** One finished edit of a person. */
  commit(next, said, tag = null) {
    this.remember(next, tag);
    this.send();
    this.drawAll();
    this.announce(said);
  }

  travel(direction) {
    const [from, to] = direction < 0 ? [this.past, this.future] : [this.future, this.past];
    const next = from.pop();
    if (!next) return;
    to.push(this.board);
    this.board = next;
    this.burst = null;
    this.send();
    this.drawAll();
    this.announce(direction < 0 ? "Undone" : "Redone");
  }

  // ---- edits ----------------------------------------------------------------------------------------------

  track(id) { return this.board.tracks.find((track) => track.id === id); }

  place(id) { return 1 + this.board.tracks.findIndex((track) => track.id === id); }

  others(id) { return this.board.tracks.filter((track) => track.id !== id); }

  replace(id, track, said, tag) {
    this.commit({ ...this.board, tracks: this.board.tracks.map((old) => (old.id === id ? track : old)) }, said, tag);
  }

  edit(id, change, tag) {
    const before = this.track(id);
    const after = change(before, this.board.steps);
    if (!after || sameShape(before, after)) {
      this.lanes.get(id).draw(before, this.board.steps);
      return false;
    }
    const named = renamedByShape(before, after, this.others(id));
    this.replace(id, named, this.costSentence(named), tag && `${id}-${tag}`);
    return true;
  }

  costSentence(track) {
    if (this.context.levels) return this.levelSentence(track);
    const cost = comparedCost(track, this.board.steps, this.context);
    const stages = stagesOf(track, this.board.steps).map((stage) => `${rateText(stage.rate)} in ${stepsText(stage)}`);
    const [most, least] = track.cache ? ["at most ", "at least "] : ["", ""];
    const fast = `${least}${(1 / cost.share).toFixed(2)} times as fast as the baseline`;
    const time = cost.timed ? `${most}${secondsText(cost.seconds)}, ${fast}`
      : `${least}${cost.arithmetic.toFixed(2)} times fewer operations than the baseline`;
    return `${track.name}: ${stages.join(", ")}. Predicted: ${time}.`;
  }

  split(id, k, after) {
    if (!this.edit(id, (track, steps) => splitStage(track, k, after ?? middle(track, k, steps), steps))) return;
    this.lanes.get(id).boundaries[k].node.focus({ preventScroll: true });
  }

  merge(id, k) {
    if (k >= this.track(id).ends.length) return;
    if (!this.edit(id, (track) => mergeStages(track, k))) return;
    this.lanes.get(id).stages[k].level.focus({ preventScroll: true });
  }

  shape(id, shape) {
    const after = shaped(this.track(id), shape, this.board.steps, this.context);
    if (after) this.edit(id, () => after);
    else this.announce(`${SHAPES[shape].label} does not fit into ${runSteps(this.track(id), this.board.steps)} steps`);
  }

  rename(id, text) {
    const name = text.replace(/[\u0000-\u001f]/g, " ").trim().slice(0, MAX_NAME);
    const before = this.track(id);
    if (!name || name === before.name) return this.lanes.get(id).draw(before, this.board.steps);
    this.replace(id, { ...before, name }, `Renamed to ${name}`);
  }

  setPolicy(id, policy) {
    const track = { ...this.track(id), policy };
    this.replace(id, track, `${track.name}: policy ${policy}`);
  }

  setCache(id, cache, said, tag) {
    const track = { ...this.track(id), cache };
    this.replace(id, track, `${track.name}: ${said}. ${this.costSentence(track)}`, tag && `${id}-${tag}`);
  }

  /** Steps of a track's own, or with undefined none; its shape stays as far as they have room for it. */
  setSteps(id, own, tag) {
    const before = this.track(id);
    if (before.steps === own) return;
    const after = renamedByShape(before, withSteps(before, own, this.board.steps), this.others(id));
    const said = own ? `${countText(own, "step")} of its own` : `the board's ${countText(this.board.steps, "step")}`;
    this.replace(id, after, `${after.name}: ${said}. ${this.costSentence(after)}`, tag && `${id}-${tag}`);
  }

  setLevels(id, change, said) {
    const before = this.track(id);
    const after = renamedByShape(before, { ...before, levels: { ...choiceOf(before), ...change } }, this.others(id));
    this.replace(id, after, `${after.name}: ${said}. ${this.levelSentence(after)}`);
  }

  levelSentence(track) {
    const cost = comparedLevels(track, this.board.steps, this.context);
    const time = cost.timed ? `${secondsText(cost.seconds)}, ${(1 / cost.share).toFixed(2)} times as fast as the baseline`
      : `${cost.arithmetic.toFixed(2)} times fewer operations than the baseline`;
    return `Predicted: ${time}.`;
  }

  get full() { return this.board.tracks.length >= (this.context.max_tracks ?? 8); }

  freeColour() {
    const used = this.board.tracks.map((track) => track.colour);
    const all = Array.from({ length: COLOURS }, (_, k) => k + 1);
    return all.find((colour) => !used.includes(colour)) ?? 1 + (used.length % COLOURS);
  }

  insert(track, at, said) {
    if (this.full) return this.announce(`At most ${this.board.tracks.length} tracks can be compared`);
    this.commit({ ...this.board, tracks: inserted(this.board.tracks, at, track) }, said);
    this.lanes.get(track.id).name.focus({ preventScroll: true });
    this.lanes.get(track.id).name.select();
  }

  addLevels({ name, levels }) {
    const { steps, tracks } = this.board;
    const track = { id: newId(), colour: this.freeColour(), ...levelTrack(this.context, steps, levels) };
    this.insert({ ...track, name: uniqueName(name, tracks) }, tracks.length, "Track added");
  }

  add() {
    if (this.context.levels) return this.menu.toggle();
    const { steps, tracks } = this.board;
    const policy = tracks.at(-1)?.policy ?? this.context.policies[0].name;
    const start = { id: newId(), policy, colour: this.freeColour(), ...FLAT };
    const track = shaped(start, "two", steps, this.context) ?? start;
    this.insert({ ...track, name: uniqueName(autoName(track), tracks) }, tracks.length, "Track added");
  }

  copy(id) {
    const track = this.track(id);
    const twin = { ...track, id: newId(), colour: this.freeColour(), name: uniqueName(track.name, this.board.tracks) };
    this.insert(twin, this.board.tracks.indexOf(track) + 1, `${track.name} copied`);
  }

  remove(id) {
    const at = this.board.tracks.indexOf(this.track(id));
    const { name } = this.track(id);
    this.commit({ ...this.board, tracks: without(this.board.tracks, at) }, `${name} removed`);
    const next = this.board.tracks[at] ?? this.board.tracks[at - 1];
    (next ? this.lanes.get(next.id).grip : this.addButton).focus({ preventScroll: true });
  }

  move(id, by) {
    const at = this.board.tracks.indexOf(this.track(id));
    this.moveTo(id, at + by + (by > 0 ? 1 : 0));
  }

  /** Put a track before the one that is now at `place`. */
  moveTo(id, place) {
    const { tracks } = this.board;
    const at = tracks.findIndex((track) => track.id === id);
    const to = clamp(place > at ? place - 1 : place, 0, tracks.length - 1);
    if (to === at) return;
    this.commit({ ...this.board, tracks: inserted(without(tracks, at), to, tracks[at]) },
      `${tracks[at].name} is now track ${to + 1} of ${tracks.length}`);
  }
}

function middle(track, k, steps) {
  const { first, last } = stagesOf(track, steps)[k];
  return (first + last - 1) / 2;
}

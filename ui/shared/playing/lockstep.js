// One clock for many videos: exact when paused, within a frame while playing.

const MIDDLE = 0.5; // a frame is addressed at its middle, (n + 0.5) / fps: at its edge the neighbour may show
const EARLY = 0.1; // where a loop begins: inside the first frame, with most of its time still to come
const REACH = 1; // in frames: a follower further off than this is sought, a nearer one is nudged
const NUDGE = 0.5; // how much faster or slower than asked a follower may play
const PATIENCE_MS = 2000; // a video that does not answer a seek is not waited for any longer

/** Puts a video onto a time; while one seek lasts only the latest wish is kept. Resolves when it stands there. */
class Seeker {
  constructor(video) {
    this.video = video;
    this.wish = null; // what is to be reached, null at rest
    this.asked = null; // what the video has been told last
    this.waiting = [];
    video.addEventListener("seeked", () => this.arrived());
  }

  to(time) {
    if (this.wish === null && !this.video.seeking && Math.abs(this.video.currentTime - time) < 1e-4)
      return Promise.resolve();
    this.wish = time;
    if (!this.video.seeking) this.ask();
    return new Promise((done) => {
      this.waiting.push(done);
      setTimeout(done, PATIENCE_MS);
    });
  }

  ask() {
    this.asked = this.wish;
    this.video.currentTime = this.wish;
  }

  arrived() {
    if (this.wish === null) return;
    if (this.asked !== this.wish) {
      this.ask();
      return;
    }
    this.wish = null;
    this.asked = null;
    for (const done of this.waiting.splice(0)) done();
  }
}

class Lockstep {
  constructor({ onframe, onstate }) {
    Object.assign(this, { onframe, onstate, fps: 8, frames: 1, frame: 0, speed: 1, loop: true, playing: false });
    this.videos = [];
    this.leader = null;
    this.presented = null; // the leader's frame that was last put on the screen, where the browser tells
    this.turn = 0; // counts starts and stops, so that what waited for an older one gives up
    this.seekers = new WeakMap();
    this.covers = new Map(); // pictures that lie over videos on their way
  }

  /** The videos to keep together, loaded ones only; those that leave are paused. */
  use(videos) {
    const before = this.videos;
    for (const video of before) if (!videos.includes(video)) video.pause();
    this.videos = videos;
    if (!this.playing) return this.rest();
    if (!videos.length) return this.pause();
    if (!videos.includes(this.leader)) return this.start();
    for (const video of videos) {
      if (before.includes(video)) continue;
      video.currentTime = this.leader.currentTime; // the others play on; it is nudged into step
      this.run(video);
    }
    return undefined;
  }

  /** Shows a frame; while playing it goes on from there. Resolves when every video stands on it. */
  seek(frame) {
    this.set(clamp(Math.round(frame), 0, this.frames - 1));
    return this.playing ? this.start() : this.rest();
  }

  step(by) {
    if (this.playing) this.pause();
    return this.seek(this.frame + by);
  }

  play() {
    if (this.playing || !this.videos.length) return;
    this.playing = true;
    this.onstate();
    if (this.frame === this.frames - 1) this.set(0);
    this.start();
  }

  pause() {
    const at = this.now();
    this.turn += 1;
    const was = this.playing;
    this.playing = false;
    for (const video of this.videos) video.pause();
    this.uncover();
    this.set(at);
    if (was) this.onstate();
    this.leader = null;
    return this.rest();
  }

  setSpeed(speed) {
    this.speed = speed;
    if (this.playing) for (const video of this.videos) video.playbackRate = speed;
  }

  set(frame) {
    this.frame = frame;
    this.onframe(frame);
  }

  /** Every video onto the clock's frame. */
  rest(inside = MIDDLE) {
    return Promise.all(this.videos.map((video) => this.seeker(video).to((this.frame + inside) / this.fps)));
  }

  seeker(video) {
    if (!this.seekers.has(video)) this.seekers.set(video, new Seeker(video));
    return this.seekers.get(video);
  }

  /** From the clock's frame on: all stand there before any plays. */
  async start(inside = MIDDLE) {
    this.turn += 1;
    const { turn } = this;
    this.leader = null;
    this.presented = null;
    for (const video of this.videos) video.pause();
    this.cover();
    await this.rest(inside);
    if (turn !== this.turn) return;
    this.uncover();
    this.onframe(this.frame);
    for (const video of this.videos) this.run(video);
    [this.leader] = this.videos;
    if (this.leader?.requestVideoFrameCallback) this.watchLeader(this.leader, turn);
    requestAnimationFrame(() => this.follow(turn));
  }

  /** Keeps the picture of every video until all have arrived, so that they jump in the same instant. */
  cover() {
    this.uncover();
    for (const video of this.videos) {
      const canvas = make("canvas.cover", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      video.after(canvas);
      this.covers.set(video, canvas);
    }
  }

  uncover() {
    for (const canvas of this.covers.values()) canvas.remove();
    this.covers.clear();
  }

  run(video) {
    video.playbackRate = this.speed;
    video.play().catch((error) => {
      if (error.name === "NotAllowedError" && this.playing) this.pause();
    });
  }

  watchLeader(leader, turn) {
    leader.requestVideoFrameCallback((_, { mediaTime }) => {
      if (turn !== this.turn || leader !== this.leader) return;
      this.presented = Math.round(mediaTime * this.fps);
      this.watchLeader(leader, turn);
    });
  }

  /** The frame that is on the screen now. On a busy machine the browser tells late; the time knows better then. */
  now() {
    if (!this.playing || !this.leader) return this.frame;
    const due = Math.floor((this.leader.currentTime - 0.02) * this.fps);
    return clamp(Math.max(this.presented ?? 0, due), 0, this.frames - 1);
  }

  follow(turn) {
    if (turn !== this.turn || !this.leader || !root.isConnected) return;
    const { leader } = this;
    if (leader.ended || leader.currentTime >= (this.frames - 0.02) / this.fps) {
      this.finished();
      return;
    }
    for (const video of this.videos) if (video !== leader) this.correct(video, leader.currentTime);
    const now = this.now();
    if (now !== this.frame) this.set(now);
    requestAnimationFrame(() => this.follow(turn));
  }

  correct(video, time) {
    if (video.seeking || video.ended) return;
    const ahead = (video.currentTime - time) * this.fps;
    if (Math.abs(ahead) > (video.instant ? 0.1 : REACH)) {
      video.currentTime = time;
      return;
    }
    const rate = Math.abs(ahead) < 0.04 ? this.speed : this.speed * (1 - clamp(ahead, -NUDGE, NUDGE));
    if (Math.abs(video.playbackRate - rate) > 0.005 * this.speed) video.playbackRate = rate;
    if (video.paused) this.run(video); // a browser may pause a video that was out of sight
  }

  finished() {
    if (this.loop) {
      this.frame = 0; // told when the videos stand there
      this.start(EARLY);
      return;
    }
    this.presented = this.frames - 1;
    this.pause();
  }
}

/** While a schedule is dragged the videos rest: where no graphics card draws them they would halve its frame rate. */
function restWhileDragged(clock) {
  let resting = false;
  addEventListener("resolute:drag", ({ detail }) => {
    if (!element.isConnected) return;
    if (detail && clock.playing) {
      resting = true;
      clock.pause();
    } else if (!detail && resting) {
      resting = false;
      clock.play();
    }
  });
}

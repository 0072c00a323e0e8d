// An animated picture (kept where ffmpeg is missing) as a canvas that answers like a video, so that it keeps step.

/** All frames of an animated WebP. Null where this browser cannot take one apart. */
async function framesOf(data) {
  if (!window.ImageDecoder || !(await ImageDecoder.isTypeSupported("image/webp"))) return null;
  const decoder = new ImageDecoder({ data: await data.arrayBuffer(), type: "image/webp" });
  await decoder.tracks.ready;
  const frames = [];
  for (let frameIndex = 0; frameIndex < decoder.tracks.selectedTrack.frameCount; frameIndex += 1) {
    const { image } = await decoder.decode({ frameIndex });
    frames.push({ picture: await createImageBitmap(image), seconds: (image.duration ?? 0) / 1e6 });
    image.close();
  }
  decoder.close();
  return frames.length > 1 ? frames : null;
}

/** Where an animation of `end` seconds stands: it rests at a time, or runs on from there. */
class Position {
  constructor(end) {
    Object.assign(this, { end, at: 0, since: null, rate: 1 }); // seconds into it; when it began to run from there
  }

  get time() {
    return Math.min(
      this.end,
      this.since === null ? this.at : this.at + ((performance.now() - this.since) / 1000) * this.rate,
    );
  }

  set time(start) {
    this.at = start;
    if (this.since !== null) this.since = performance.now();
  }

  run() {
    this.since = performance.now();
  }

  rest() {
    this.at = this.time;
    this.since = null;
  }

  setRate(next) {
    this.time = this.time;
    this.rate = next;
  }
}

/** A canvas with the parts of a video element that the lockstep uses. */
function slides(frames) {
  const [{ picture, seconds }] = frames;
  const canvas = make("canvas.slides", { width: picture.width, height: picture.height, role: "img" });
  const pen = canvas.getContext("2d");
  const position = new Position(seconds * frames.length);
  let shown = null;
  const draw = () => {
    const index = clamp(Math.floor(position.time / seconds + 1e-6), 0, frames.length - 1);
    if (index !== shown) pen.drawImage(frames[index].picture, 0, 0);
    shown = index;
  };
  const tick = () => {
    if (position.since === null || !canvas.isConnected) return;
    draw();
    requestAnimationFrame(tick);
  };
  Object.defineProperties(canvas, {
    currentTime: {
      get: () => position.time,
      set: (start) => {
        position.time = start;
        draw();
        queueMicrotask(() => canvas.dispatchEvent(new Event("seeked")));
      },
    },
    playbackRate: { get: () => position.rate, set: (next) => position.setRate(next) },
    paused: { get: () => position.since === null },
    ended: { get: () => position.time >= position.end },
    instant: { value: true }, // a seek costs nothing
    seeking: { value: false },
    readyState: { value: 4 },
    videoWidth: { value: picture.width },
    videoHeight: { value: picture.height },
    play: {
      value: async () => {
        if (position.since !== null) return;
        position.run();
        tick();
      },
    },
    pause: { value: () => position.rest() },
  });
  draw();
  return canvas;
}

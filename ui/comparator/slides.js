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

/** A canvas with the parts of a video element that the lockstep uses. */
function slides(frames) {
  const [{ picture, seconds }] = frames;
  const canvas = make("canvas.slides", { width: picture.width, height: picture.height, role: "img" });
  const pen = canvas.getContext("2d");
  const end = seconds * frames.length;
  let [at, since, rate, shown] = [0, null, 1, null]; // seconds into it; when it began to play from there
  const time = () => Math.min(end, since === null ? at : at + ((performance.now() - since) / 1000) * rate);
  const draw = () => {
    const index = clamp(Math.floor(time() / seconds + 1e-6), 0, frames.length - 1);
    if (index !== shown) pen.drawImage(frames[index].picture, 0, 0);
    shown = index;
  };
  const from = (start) => {
    at = start;
    if (since !== null) since = performance.now();
  };
  const tick = () => {
    if (since === null || !canvas.isConnected) return;
    draw();
    requestAnimationFrame(tick);
  };
  Object.defineProperties(canvas, {
    currentTime: {
      get: time,
      set: (start) => {
        from(start);
        draw();
        queueMicrotask(() => canvas.dispatchEvent(new Event("seeked")));
      },
    },
    playbackRate: {
      get: () => rate,
      set: (next) => {
        from(time());
        rate = next;
      },
    },
    paused: { get: () => since === null },
    ended: { get: () => time() >= end },
    instant: { value: true }, // a seek costs nothing
    seeking: { value: false },
    readyState: { value: 4 },
    videoWidth: { value: picture.width },
    videoHeight: { value: picture.height },
    play: {
      value: async () => {
        if (since === null) {
          since = performance.now();
          tick();
        }
      },
    },
    pause: {
      value: () => {
        at = time();
        since = null;
      },
    },
  });
  draw();
  return canvas;
}

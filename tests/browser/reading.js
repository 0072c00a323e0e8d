// What a person sees in the comparator: the number that the bars of a frame spell, lowest bit leftmost.
(() => {
  const BITS = 6;
  const canvas = new OffscreenCanvas(1, 1);
  const pen = canvas.getContext("2d", { willReadFrequently: true });

  function number(video) {
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    pen.drawImage(video.parentNode.querySelector(".cover") ?? video, 0, 0); // a cover lies on top
    const row = pen.getImageData(0, canvas.height >> 1, canvas.width, 1).data;
    let found = 0;
    for (let bar = 0; bar < BITS; bar += 1) found += (row[4 * Math.floor(((bar + 0.5) * canvas.width) / BITS)] > 127) << bar;
    return found;
  }

  const videos = (kind = "main") => [...document.querySelectorAll(`.tile:not([hidden]) .${kind} :is(video, .slides)`)];
  const shown = (kind) => videos(kind).map(number);

  /** Readings while playing, the counter last in each, taken just after the browser has drawn. On a machine so busy
   * that nothing was drawn for a while a video still shows what it last got: such moments are passed over. */
  async function playing(count, stall) {
    const samples = [];
    const gate = new MessageChannel();
    let last = await new Promise(requestAnimationFrame);
    let calm = 0;
    while (samples.length < count) {
      const now = await new Promise(requestAnimationFrame);
      calm = now - last < stall ? calm + 1 : 0;
      last = now;
      await new Promise((done) => { gate.port1.onmessage = done; gate.port2.postMessage(0); });
      if (calm < 3 || performance.now() - now > stall / 2) continue;
      samples.push([...shown(), Number(document.querySelector(".counter b").textContent) - 1]);
    }
    return samples;
  }

  /** Readings once no video is on its way: a key is heard a drawing later, and a busy browser says that a seek has
   * ended before it shows its frame. So they must stay the same over some drawings. */
  async function settled(kind) {
    let last = null;
    for (let same = 0; same < 5; ) {
      await new Promise(requestAnimationFrame);
      await new Promise((done) => setTimeout(done, 20));
      const still = videos(kind).every((video) => video.paused && !video.seeking);
      const now = still ? shown(kind).join() : null;
      same = now !== null && now === last ? same + 1 : 0;
      last = now;
    }
    return shown(kind);
  }

  window.reading = { videos, shown, settled, playing };
})();

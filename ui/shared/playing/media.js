// One moving picture of a tile. The file is fetched whole, so that it seeks at once and a refusal has a reason.

const REFUSED = { 404: "The video is no longer there (404).", 403: "The server refuses this video (403)." };

class Media {
  constructor(kind, onchange) {
    this.node = make("div.media." + kind);
    Object.assign(this, { onchange, label: "", url: null, state: "empty", video: null, reason: null, blob: null });
  }

  /** Shows the file of this address; one that is shown already is not touched. */
  show(url, label) {
    this.label = label;
    if (this.video) this.video.setAttribute("aria-label", label);
    if (url === this.url) return;
    this.clear();
    this.url = url;
    if (url) this.load();
  }

  clear() {
    const { blob, video } = this;
    video?.pause();
    Object.assign(this, { url: null, state: "empty", video: null, reason: null, blob: null });
    for (const shown of this.node.querySelectorAll("video, img")) {
      shown.removeAttribute("src"); // one that is still loading would miss what is revoked below, and log it
      shown.load?.();
    }
    this.node.replaceChildren();
    if (blob) URL.revokeObjectURL(blob);
  }

  again() {
    const { url, label } = this;
    this.clear();
    this.show(url, label);
  }

  async load() {
    const { url } = this;
    this.state = "loading";
    try {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(REFUSED[answer.status] || `The server answers ${answer.status} for this video.`);
      const data = await answer.blob();
      if (url !== this.url) return;
      this.blob = URL.createObjectURL(data);
      if (data.type.startsWith("image/") || /\.webp$/i.test(url)) await this.image(data);
      else this.film();
    } catch (error) {
      if (url !== this.url) return;
      this.end("failed", error instanceof TypeError ? "The server cannot be reached for this video." : error.message);
    }
  }

  film() {
    const video = make("video", {
      muted: true,
      playsinline: true,
      preload: "auto",
      "aria-label": this.label,
      tabindex: "-1",
      disablepictureinpicture: true,
    });
    video.muted = true; // the attribute alone does not let a video that was made by a script play by itself
    const { blob } = this;
    video.addEventListener(
      "loadeddata",
      () => {
        if (blob !== this.blob) return;
        this.video = video;
        this.end("ready", null);
      },
      { once: true },
    );
    video.addEventListener("error", () => {
      if (blob !== this.blob) return;
      this.video = null;
      this.end("failed", "This browser cannot play the video.");
    });
    this.node.replaceChildren(video);
    video.src = blob;
  }

  async image(data) {
    const { blob } = this;
    const frames = await framesOf(data);
    if (blob !== this.blob) return;
    if (frames) {
      this.video = slides(frames);
      this.video.setAttribute("aria-label", this.label);
      this.node.replaceChildren(this.video);
      this.end("ready", null);
      return;
    }
    const picture = make("img", { alt: this.label, draggable: "false" }); // it moves by itself, out of step
    picture.addEventListener("load", () => this.end("ready", null));
    picture.addEventListener("error", () => this.end("failed", "This browser cannot show the picture."));
    this.node.replaceChildren(picture);
    picture.src = this.blob;
  }

  end(state, reason) {
    Object.assign(this, { state, reason });
    this.onchange();
  }
}

// What a page of another site does, given [address of the studio, number of the library's event, id of a job].
({
  /** Everything that a page can send and read; what could be read comes back, null where nothing could. */
  async tries([target, shows, job]) {
    const json = { "content-type": "application/json" }, plain = { "content-type": "text/plain" };
    const body = (action, more = {}) => JSON.stringify({ fn_index: shows, data: [], session_hash: "z", event_data: { action, query: {}, ...more } });
    const run = target + "/gradio_api/run/predict", form = new FormData();
    form.append("files", new Blob(["x"]), "x.txt");
    const read = async (url, options = {}) => {
      try {
        const answer = await fetch(url, { credentials: "include", ...options });
        return answer.ok ? await answer.text() : null;
      } catch {
        return null;
      }
    };
    const loads = (node, url) => new Promise((done) => {
      node.onload = () => done("loaded");
      node.onerror = () => done(null);
      node.src = url;
      document.documentElement.append(node);
    });
    return {
      config: await read(target + "/config"),
      info: await read(target + "/gradio_api/info"),
      report: await read(`${target}/media/${job}/report.json`),
      library: await read(run, { method: "POST", headers: json, body: body("show") }),
      simple: await read(run, { method: "POST", headers: plain, body: body("show") }),
      upload: await read(target + "/gradio_api/upload", { method: "POST", body: form }),
      pinned: await read(run, { method: "POST", headers: json, body: body("pin", { job }) }),
      blind: await fetch(run, { method: "POST", mode: "no-cors", headers: plain, body: body("pin", { job }) }).then(() => null, () => null),
      still: await loads(document.createElement("img"), `${target}/media/${job}/00.png`),
    };
  },

  /** Forms need nobody's leave to be sent: two of a deletion that reads as JSON, one with a file. */
  async forms([target, shows, job]) {
    const text = JSON.stringify({ fn_index: shows, data: [], session_hash: "z", event_data: { action: "delete", job, query: {} } });
    const files = new DataTransfer();
    files.items.add(new File(["x"], "x.txt"));
    for (const [enctype, path] of [["text/plain", "run/predict"], ["application/x-www-form-urlencoded", "run/predict"], ["multipart/form-data", "upload"]]) {
      const frame = document.createElement("iframe"), form = document.createElement("form"), field = document.createElement("input");
      frame.name = enctype;
      Object.assign(form, { method: "post", enctype, target: enctype, action: `${target}/gradio_api/${path}` });
      if (path === "upload") Object.assign(field, { type: "file", name: "files" }).files = files.files;
      else Object.assign(field, { name: text.slice(0, -1) + ',"x":"', value: '"}' });
      form.append(field);
      (document.body ?? document.documentElement).append(frame, form);
      const done = new Promise((loaded) => frame.addEventListener("load", loaded, { once: true }));
      form.submit();
      await Promise.race([done, new Promise((late) => setTimeout(late, 3000))]);
    }
  },

  /** The studio in a frame, where a click of ours would land on it. */
  frame([target]) {
    return new Promise((loaded) => {
      const frame = document.createElement("iframe");
      Object.assign(frame, { src: target, width: 1200, height: 800, onload: () => loaded() });
      document.body.append(frame);
    });
  },
})

// One picture or control video: chosen, dropped or pasted; read by the server, which answers with its name.
const film = !!props.film, MAX_BYTES = 24 * 2 ** 20;
const TYPES = film ? ["video/mp4"] : ["image/png", "image/jpeg", "image/webp"];
const HINT = film ? "MP4" : "PNG, JPEG or WebP";
const THING = film ? "video" : "picture";
const unique = `picture-${Math.random().toString(36).slice(2, 8)}`;
let busy = 0; // counts uploads: only the last one counts

const input = make("input", { type: "file", accept: TYPES.join(","), tabindex: -1, "aria-hidden": "true", onchange: () => { send(input.files[0]); input.value = ""; } });
const name = make("span.label", { id: `${unique}-label` }, props.label || "Picture");
const image = film ? make("video", { muted: true, playsInline: true, preload: "metadata", tabindex: -1 }) : make("img", { alt: "" });
image.addEventListener("error", () => { if (current()) lost(); });
image.addEventListener(film ? "loadeddata" : "load", () => frame.classList.remove("lost"));
const plus = make("span.plus", { "aria-hidden": "true" }, "+");
const frame = make("button.frame", { type: "button", title: film ? "Its first frames are used, one for one; their middle, in the shape of the result" : "Its middle is used, in the shape of the result", onclick: choose, "aria-describedby": `${unique}-size ${unique}-said` }, image, plus);
const size = make("p.size", { id: `${unique}-size` });
const replace = make("button.text", { type: "button", onclick: choose }, "Replace");
const remove = make("button.text", { type: "button", onclick: () => { put(null); frame.focus(); } }, "Remove");
const said = make("p.said", { id: `${unique}-said`, role: "status" });
const area = make("div.picture", { role: "group", "aria-labelledby": `${unique}-label` }, frame,
  make("div.words", {}, name, size, make("div.ways", {}, replace, remove), said), input);
root.replaceChildren(area);

const current = () => (props.value && typeof props.value === "object" && props.value.sha256 ? props.value : null);
function choose() { input.click(); }

function tell(text, fault = false) {
  said.textContent = text;
  said.classList.toggle("fault", fault);
}

function lost() {
  frame.classList.add("lost");
  tell(`This ${THING} is not on this server: a link or a file only names it. Add it again.`, true);
}

function put(value) {
  busy += 1;
  props.value = value;
  tell("");
  draw();
  trigger("input", {});
}

function draw() {
  const value = current();
  const what = props.label || "Picture";
  name.textContent = what;
  frame.setAttribute("aria-label", value ? `Replace: ${what}` : `Add: ${what}`);
  size.textContent = value ? `${value.width} × ${value.height}${film ? `, ${value.frames} frames` : ""}` : HINT;
  replace.hidden = remove.hidden = !value;
  image.hidden = !value;
  plus.hidden = !!value;
  const source = value ? `inputs/${value.sha256}.${film ? "mp4" : "png"}` : "";
  if (image.getAttribute("src") !== source) {
    frame.classList.remove("lost");
    if (source) image.setAttribute("src", source);
    else image.removeAttribute("src");
  }
}

async function send(file) {
  if (!file) return;
  if (file.size > MAX_BYTES) return tell(`${file.name} has ${(file.size / 2 ** 20).toFixed(0)} MiB; at most 24 MiB are read.`, true);
  const number = busy += 1;
  area.setAttribute("aria-busy", "true");
  tell(`Reading the ${THING}…`);
  let answer;
  try {
    const told = await fetch("inputs", { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
    answer = await told.json();
  } catch {
    answer = { error: "The server did not answer; try again." };
  }
  if (number !== busy) return;
  area.removeAttribute("aria-busy");
  if (answer.sha256 && film === "frames" in answer) return put(answer);
  tell(answer.error || (answer.sha256 ? `This takes a ${film ? "video" : "picture"}: ${HINT}.` : `The ${THING} was not taken.`), true);
}

const files = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
let depth = 0;
area.addEventListener("dragenter", (event) => { if (files(event)) { depth += 1; area.classList.add("over"); } });
area.addEventListener("dragleave", () => { if ((depth -= 1) <= 0) { depth = 0; area.classList.remove("over"); } });
area.addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
area.addEventListener("drop", (event) => {
  if (!files(event)) return;
  event.preventDefault(); // and the page's own drop leaves it alone
  depth = 0;
  area.classList.remove("over");
  send(event.dataTransfer.files[0]);
});
area.addEventListener("paste", (event) => { const [file] = event.clipboardData?.files || []; if (file) { event.preventDefault(); send(file); } });

let shown = JSON.stringify(current());
watch("value", () => {
  const next = JSON.stringify(current());
  if (next !== shown && !area.hasAttribute("aria-busy")) tell(""); // the same value again takes back no word
  shown = next;
  draw();
});
watch("label", draw);
draw();

// Theme, files dropped anywhere, and the address of the page. No request is made from here.
(() => {
  const stored = (() => { try { return localStorage.getItem("resolute-theme"); } catch { return null; } })();
  const wanted = new URLSearchParams(location.search).get("__theme") || stored;
  let dark = null; // what was chosen; Gradio sets the class too, from the system alone
  const apply = (now) => { dark = now; document.body.classList.toggle("dark", now); };
  const prefers = matchMedia("(prefers-color-scheme: dark)");

  window.resolute = {
    toggleTheme() {
      apply(!document.body.classList.contains("dark"));
      try { localStorage.setItem("resolute-theme", dark ? "dark" : "light"); } catch { /* private window */ }
    },
    /** Put a query into the address without loading the page again; a Space's outer page is told too. */
    address(query) {
      history.replaceState(null, "", query ? `?${query}` : location.pathname);
      if (parent !== window) parent.postMessage({ queryString: query }, "https://huggingface.co");
    },
    /** The whole link of a query, copied where the browser allows it. */
    async copyLink(query) {
      const url = `${location.origin}${location.pathname}?${query}`;
      try { await navigator.clipboard.writeText(url); } catch { /* the box beside the button shows it */ }
      return url;
    },
  };

  const start = () => {
    if (wanted) apply(wanted === "dark");
    else if (prefers.matches) apply(true);
    prefers.addEventListener("change", (event) => { if (!stored) apply(event.matches); });
    new MutationObserver(() => {
      if (dark !== null && document.body.classList.contains("dark") !== dark) apply(dark);
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    const target = () => document.querySelector("#edit input[type=file]");
    let depth = 0;
    const files = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
    addEventListener("dragenter", (event) => { if (files(event)) { depth += 1; document.body.classList.add("dropping"); } });
    addEventListener("dragleave", (event) => { if (files(event) && (depth -= 1) <= 0) document.body.classList.remove("dropping"); });
    addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
    addEventListener("drop", (event) => {
      if (!files(event)) return;
      depth = 0;
      document.body.classList.remove("dropping");
      const picture = event.dataTransfer.files[0]?.type.startsWith("image/");
      const input = (picture && document.querySelector("#image input[type=file]")) || target();
      if (!input || event.defaultPrevented) return;
      event.preventDefault();
      const given = new DataTransfer();
      if (event.dataTransfer.files[0]) given.items.add(event.dataTransfer.files[0]);
      input.files = given.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    });
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start(); // Gradio puts this script into the page late
})();

// What the controls of videos are made of: texts and attributes that change in place, icons, buttons.

const put = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};
const mark = (node, name, value) => {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
};

const PATHS = {
  play: "M4 2.500v11l9.500-5.500z",
  pause: "M3.500 2.500h3v11h-3zm6 0h3v11h-3z",
  back: "M4 3h2v10H4zm9 0v10L6.500 8z",
  forward: "M10 3h2v10h-2zM3 3v10l6.500-5z",
};
const icon = (name) => make("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, make("path", { d: PATHS[name] }));
const iconButton = (name, label, onclick, attributes = {}) =>
  make(
    `button.icon.${name}`,
    { type: "button", "aria-label": label, title: label, onclick, ...attributes },
    icon(name),
  );

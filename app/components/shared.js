// What the components share: elements, dark or light, and which ink reads on a colour.

export const SVG = "http://www.w3.org/2000/svg";
export const THIN = "\u202f"; // the space between a number and its unit

// An element with attributes and children, those that are null left out; "svg:path" makes one of SVG.
export function element(tag, attributes = {}, ...children) {
  const node = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// An element of HTML with a class and children, those that are null left out.
export function classed(tag, name = "", ...children) {
  return element(tag, { class: name || null }, ...children);
}

// Relative luminance of #rrggbb (WCAG), 0..1.
export function luminance(hex) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// Black or white, whichever is read more easily on a colour.
export function inkOn(colour) {
  return luminance(colour) > 0.24 ? "#15181e" : "#ffffff";
}

// Whether the page around a component is dark.
export function isDark(host) {
  const background = getComputedStyle(host.host ?? host).getPropertyValue("--st-background-color").trim();
  return /^#[0-9a-f]{6}$/i.test(background) && luminance(background) < 0.2;
}

// Sets the class and the colours of dark or light on a component's root; true where it is dark.
export function theme(root, parent, { palette }) {
  const dark = isDark(parent);
  root.classList.toggle("dark", dark);
  const { wrong, accent } = palette[dark ? "dark" : "light"];
  root.style.setProperty("--wrong", wrong);
  root.style.setProperty("--accent", accent);
  return dark;
}

// What the network sees with each exit's heat map over it. Hover or focus a picture to see it bare.
import { THIN, element, theme } from "./shared.js";

const strengths = new WeakMap(); // what the visitor chose, per place on the page

export default function mount({ data, parentElement }) {
  const root = parentElement.querySelector(".attention");
  const find = (selector) => root.querySelector(selector);
  const dark = theme(root, parentElement, data);
  const palette = data.palette[dark ? "dark" : "light"];
  root.style.setProperty("--n", data.exits.length);
  root.style.setProperty("--k", (window.innerWidth >= 2900 ? 1.7 : window.innerWidth >= 1800 ? 1.2 : 1) * (data.present ? 1.5 : 1));
  find(".row").replaceChildren(...data.exits.map((exit, n) => column(data, exit, n, palette)));
  const first = find(".seen");
  const ratio = () => root.style.setProperty("--ratio", `${first.naturalWidth} / ${first.naturalHeight}`);
  if (first.complete) ratio();
  else first.onload = ratio;
  const strength = find("input");
  const set = () => root.style.setProperty("--strength", strength.value / 100);
  if (strengths.has(parentElement)) strength.value = strengths.get(parentElement);
  strength.oninput = () => {
    strengths.set(parentElement, strength.value);
    set();
  };
  set();
  find(".legend i").style.background = `linear-gradient(90deg, ${data.ramp.join(", ")})`;
  const whose = data.chosen === null ? "its answer" : `“${data.chosen}”`;
  find("p").textContent = `Grad-CAM: where the features that an exit reads speak for ${whose}. It shows where, not why, and each picture has a scale of its own: compare places, not strengths. Point at one to see it bare.`;
  Object.assign(root.dataset, { ready: "true", image: data.image, chosen: data.chosen ?? "" });
}

function column(data, exit, n, palette) {
  const miss = exit.right === false;
  const text = `Exit ${n + 1}, ${exit.state}: what speaks for ${exit.class}${exit.heat ? "" : ": nothing"}`;
  const figure = element("figure", { class: `${n === data.taken ? "taken" : ""} ${exit.executed ? "" : "unrun"}`, "data-exit": n + 1 });
  figure.style.setProperty("--ink", palette.exits[n]);
  const chance = exit.p > 0.999 ? `> 99.9${THIN}%` : exit.p < 0.001 ? `< 0.1${THIN}%` : `${(100 * exit.p).toFixed(1)}${THIN}%`;
  figure.append(
    element("div", { class: "head" }, element("b", {}, `Exit ${n + 1}`), element("span", {}, exit.state)),
    element("div", { class: "frame", tabindex: 0, role: "img", "aria-label": text },
      element("img", { class: "seen", src: data.url, alt: "" }),
      exit.heat ? element("img", { class: "heat", src: exit.heat, alt: "" }) : element("div", { class: "nowhere" }, `looks nowhere: nothing speaks for “${exit.class}”`)),
    element("figcaption", {},
      element("div", { class: `answer${miss ? " miss" : ""}`, title: exit.answer }, exit.executed ? null : element("small", {}, "would say "), exit.answer, element("small", {}, miss ? " wrong" : exit.right ? " right" : "")),
      element("div", { class: "chance" }, data.chosen === null ? `${chance} likely` : `gives “${exit.class}” ${chance}`)));
  return figure;
}

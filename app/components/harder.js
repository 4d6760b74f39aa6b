// One picture at six severities, and what becomes of all test images. The slider moves here, without the server.
import { THIN, element, inkOn, theme } from "./shared.js";

const severities = new WeakMap(); // what the visitor chose, per place on the page
const LINES = [["accuracy", "right"], ["certainty", "sure (mean probability of its answer)"], ["cost", "cost (1.00 = the network without exits)"]];

export default function mount({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".harder");
  const find = (selector) => root.querySelector(selector);
  const dark = theme(root, parentElement, data);
  const ink = data.palette[dark ? "dark" : "light"].exits;
  const colours = { ink, on: ink.map(inkOn) };
  root.style.setProperty("--k", (window.innerWidth >= 2900 ? 1.7 : window.innerWidth >= 1800 ? 1.2 : 1) * (data.present ? 1.5 : 1));
  const slider = find(".track input");
  const choose = (severity) => {
    severities.set(parentElement, severity);
    slider.value = severity;
    one(root, data, severity, colours);
    if (data.all) moveCharts(root, data, severity, colours);
    Object.assign(root.dataset, { severity, exit: data.severities[severity].exit + 1, score: data.severities[severity].score, answer: data.severities[severity].answer });
  };
  slider.oninput = () => choose(Number(slider.value));
  find(".tiles").replaceChildren(...data.severities.map((step, severity) => tile(data, step, severity, colours, choose)));
  all(root, data, (name) => setTriggerValue("pick", name));
  choose(severities.get(parentElement) ?? data.start);
  Object.assign(root.dataset, { ready: "true", corruption: data.corruption, image: data.image });
}

const percent = (share) => `${(100 * share).toFixed(1)}${THIN}%`;
const score = (s) => (s > 0.9999 ? "> 0.9999" : (Math.floor(s * 10 ** (s > 0.95 ? (s > 0.995 ? 4 : 3) : 2) + 1e-9) / 10 ** (s > 0.95 ? (s > 0.995 ? 4 : 3) : 2)).toFixed(s > 0.95 ? (s > 0.995 ? 4 : 3) : 2));

// the last exit takes whatever is left: there the probability of the answer says how sure it is
const sure = (step, exits) => (step.exit === exits - 1 ? `${percent(step.p)} likely` : `sure ${score(step.score)}`);

function tile(data, step, severity, { ink, on }, choose) {
  const exits = data.palette.light.exits.length;
  const wrong = step.right === false;
  const button = element("button", { class: "tile", type: "button", "data-severity": severity, "aria-label": `Severity ${severity}, ${step.words}: exit ${step.exit + 1}, ${step.answer}${wrong ? ", wrong" : step.right ? ", right" : ""}` },
    element("img", { src: step.url, alt: "" }),
    element("span", { class: "words", title: step.words }, severity === 0 ? "unchanged" : step.words),
    element("span", { class: "exit" }, `exit ${step.exit + 1}`),
    element("span", { class: `answer${wrong ? " miss" : ""}`, title: step.answer }, step.answer),
    element("span", { class: "numbers" }, sure(step, exits)),
    element("span", { class: "numbers" }, `cost ${step.cost.toFixed(2)}`));
  button.style.setProperty("--ink", ink[step.exit]);
  button.style.setProperty("--on", on[step.exit]);
  button.onclick = () => choose(severity);
  return button;
}

function one(root, data, severity, { ink }) {
  const step = data.severities[severity], exits = ink.length;
  const wrong = step.right === false;
  const image = root.querySelector(".large img");
  image.src = step.url;
  image.alt = `What the network sees at severity ${severity}`;
  root.querySelector(".large figcaption").replaceChildren(element("b", {}, "What the network sees"), ` · severity ${severity}`);
  const coloured = (text, colour) => {
    const part = element("b", {}, text);
    part.style.color = colour;
    return part;
  };
  const first = severity === 0 ? "Unchanged it " : `${data.label}, ${step.words}: it `;
  const words = element("span", {},
    first, step.exit === exits - 1 ? "goes all the way to " : "leaves at ", coloured(`exit ${step.exit + 1}`, ink[step.exit]), " as ",
    coloured(`“${step.answer}”`, wrong ? "var(--wrong)" : ink[step.exit]), wrong ? ", wrong, " : step.right ? ", right, " : ", ",
    `${sure(step, exits)}, for ${step.cost.toFixed(2)} of the computation`);
  root.querySelector(".steps h3").replaceChildren(words);
  root.querySelector(".track input").setAttribute("aria-valuetext", `${severity}, ${step.words}`);
  for (const [i, button] of [...root.querySelectorAll(".tile")].entries()) button.setAttribute("aria-pressed", i === severity);
}

function all(root, data, pick) {
  const section = root.querySelector(".all");
  section.classList.toggle("none", !data.all);
  section.querySelector("h3").textContent = data.all ? `${data.all.n.toLocaleString("en")} test images: does the network know that it got harder?` : "All test images";
  section.querySelector(".keys").hidden = !data.all;
  if (!data.all) {
    section.querySelector(".verdict").textContent = data.line;
    section.querySelector(".charts").replaceChildren();
    return;
  }
  section.querySelector(".keys").replaceChildren(
    ...LINES.map(([name, text]) => element("span", {}, sample(name), text)),
    element("span", {}, element("i"), "surer than right"),
    element("span", {}, `bar: exits taken · n = ${data.all.n.toLocaleString("en")}, test`));
  section.querySelector(".charts").replaceChildren(...data.all.charts.map((chart) => plot(chart, data, pick)));
}

const sample = (name) => element("svg:svg", { viewBox: "0 0 18 10", "aria-hidden": "true" }, element("svg:line", { class: name, x1: 0, x2: 18, y1: 5, y2: 5 }));

function plot(chart, data, pick) {
  const last = chart.accuracy.length - 1;
  const top = Math.max(1, ...data.all.charts.flatMap((c) => c.cost));
  const x = (severity) => (100 * severity) / last;
  const y = (value) => 100 - (100 * value) / top;
  const points = (values) => values.map((value, s) => `${x(s)},${y(value)}`);
  const svg = element("svg:svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const value of [0, 0.5, 1]) svg.append(element("svg:line", { class: "grid", x1: 0, x2: 100, y1: y(value), y2: y(value) }));
  // only where it is surer than right: the upper edge never falls below the line of accuracy
  const above = chart.certainty.map((value, s) => Math.max(value, chart.accuracy[s]));
  svg.append(
    element("svg:path", { class: "oversure", d: `M${points(above).join("L")}L${points(chart.accuracy).reverse().join("L")}Z` }),
    element("svg:line", { class: "here", y1: 0, y2: 100 }),
    ...LINES.map(([name]) => element("svg:polyline", { class: name, points: points(chart[name]).join(" ") })));
  const button = element("button", { class: "chart", type: "button", "data-name": chart.name, "aria-pressed": chart.name === data.corruption },
    element("span", { class: "name" }, chart.label, element("small", {}, percent(top).replace(".0", ""))),
    element("span", { class: "plot" }, svg),
    element("span", { class: "ends" }, element("span", {}, "severity 0"), element("span", {}, String(last))),
    ...LINES.map(([name]) => element("span", { class: "row", "data-line": name }, sample(name), element("span", { class: "value" }))),
    element("span", { class: "shares", role: "img" }));
  button.onclick = () => pick(chart.name);
  return button;
}

function moveCharts(root, data, severity, { ink }) {
  root.querySelector(".verdict").textContent = data.all.sentences[severity];
  for (const [i, button] of [...root.querySelectorAll(".chart")].entries()) {
    const chart = data.all.charts[i];
    const here = button.querySelector(".here");
    const x = (100 * severity) / (chart.accuracy.length - 1);
    here.setAttribute("x1", x);
    here.setAttribute("x2", x);
    const texts = { accuracy: `${percent(chart.accuracy[severity])} right`, certainty: `${percent(chart.certainty[severity])} sure`, cost: `cost ${chart.cost[severity].toFixed(2)}` };
    for (const [name, text] of Object.entries(texts)) button.querySelector(`[data-line="${name}"] .value`).textContent = text;
    const shares = chart.shares[severity];
    const bar = button.querySelector(".shares");
    bar.setAttribute("aria-label", shares.map((share, n) => `exit ${n + 1}: ${percent(share)}`).join(", "));
    bar.title = shares.map((share, n) => `exit ${n + 1}: ${percent(share)}`).join("\n");
    bar.replaceChildren(...shares.map((share, n) => {
      const part = element("i");
      Object.assign(part.style, { width: `${100 * share}%`, background: ink[n] });
      return part;
    }));
  }
}

// One image's way through the network: what it sees, the blocks it runs, what each exit says, where the image leaves.
import { THIN, element, inkOn, isDark } from "./shared.js";

const instances = new WeakMap();

export default function mount({ data, parentElement, setTriggerValue }) {
  let journey = instances.get(parentElement);
  if (!journey) instances.set(parentElement, (journey = new Journey(parentElement)));
  journey.show(data);
  clearTimeout(journey.asking);
  // timing keeps the processor busy: the story is painted first
  if (!data.timing) journey.asking = setTimeout(() => setTriggerValue("time", true), 400);
  return () => {
    journey.stop();
    instances.delete(parentElement);
  };
}

const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}${THIN}%`;
const chance = (p) => (p > 0.999 ? `> 99.9${THIN}%` : p < 0.001 && p > 0 ? `< 0.1${THIN}%` : percent(p, 1));
const macs = (n) => (n >= 1e9 ? `${(n / 1e9).toFixed(2)}${THIN}G` : n >= 1e6 ? `${(n / 1e6).toFixed(1)}${THIN}M` : `${(n / 1e3).toFixed(0)}${THIN}k`);
const time = (s) => (s >= 1 ? `${s.toFixed(2)}${THIN}s` : `${(1e3 * s).toFixed(s >= 0.01 ? 1 : 2)}${THIN}ms`);
// more digits only where the threshold needs them, and never "1" for a score below it
const score = (s, threshold = 0) => {
  if (s > 0.9999 && s < 1 && threshold < 0.9995) return "> 0.9999";
  const digits = 1 - s >= 0.05 || s === 1 ? 2 : Math.min(8, Math.ceil(-Math.log10(Math.max(1 - s, 1e-7))) + 1);
  return (Math.floor(s * 10 ** digits + 1e-9) / 10 ** digits).toFixed(digits);
};
// a difference is only told where the middle halves of the two do not overlap
const faster = ({ early, full }) => {
  if (early[2] < full[0]) return `leaving is ${(full[1] / early[1]).toFixed(1)}${THIN}× as fast`;
  return early[0] > full[2] ? `leaving takes ${(early[1] / full[1]).toFixed(1)}${THIN}× as long, for the exits tried` : "no clear difference";
};
const written = (t) => String(Number(t.toFixed(6)));

class Journey {
  constructor(host) {
    this.host = host;
    this.root = host.querySelector(".journey");
    this.find = (selector) => this.root.querySelector(selector);
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(this.root);
    this.onWindow = () => this.layout();
    window.addEventListener("resize", this.onWindow);
  }

  stop() {
    clearTimeout(this.asking);
    this.observer.disconnect();
    window.removeEventListener("resize", this.onWindow);
    cancelAnimationFrame(this.frame);
  }

  show(data) {
    this.travels = this.data?.id !== data.id; // the image sets out again only when it, or where it leaves, is another
    this.data = data;
    this.colours();
    this.pictures();
    this.figures();
    this.exits();
    this.strip();
    this.width = 0;
    this.layout();
    Object.assign(this.root.dataset, { ready: "true", exit: data.taken + 1, image: data.image });
  }

  colours() {
    const dark = isDark(this.host);
    const palette = this.data.palette[dark ? "dark" : "light"];
    this.root.classList.toggle("dark", dark);
    this.root.style.setProperty("--wrong", palette.wrong);
    this.root.style.setProperty("--accent", palette.accent);
    this.ink = palette.exits;
    this.on = palette.exits.map(inkOn);
  }

  pictures() {
    const { original, seen } = this.data;
    const frame = this.find(".original .frame");
    const image = element("img", { src: original.url, alt: original.name, class: original.pixels ? "pixels" : "" });
    frame.replaceChildren(image);
    const longest = Math.max(original.width, original.height);
    const [w, h] = [original.width / longest, original.height / longest];
    if (original.width !== original.height) {
      const side = Math.min(w, h);
      const place = { left: (1 - side) / 2, top: (1 - side) / 2, width: side, height: side };
      const cut = element("div", { class: "cut", title: "The part that is cut out" });
      for (const [name, value] of Object.entries(place)) cut.style[name] = `${100 * value}%`;
      // the shade ends where the picture ends
      cut.style.clipPath = w > h ? `inset(-1px -400px)` : `inset(-400px -1px)`;
      frame.append(cut);
    }
    this.find(".original figcaption").replaceChildren(element("b", {}, original.name), ` ${original.width}${THIN}×${THIN}${original.height}${original.about}`);
    this.find(".seen .frame").replaceChildren(element("img", { src: seen.url, class: "pixels", alt: "What the network sees" }));
    this.find(".seen figcaption").replaceChildren(element("b", {}, "What the network sees"), ` ${seen.width}${THIN}×${THIN}${seen.height}, ${seen.channels === 1 ? "grey" : "colour"}`);
    const steps = seen.steps.length ? seen.steps : ["its pixels go in as they are"];
    this.find(".steps ol").replaceChildren(...steps.map((step) => element("li", {}, step)));
    const note = this.find(".note");
    note.hidden = !this.data.note;
    note.classList.toggle("unusual", this.data.unusual);
    note.textContent = this.data.note ?? "";
  }

  figures() {
    const { exits, taken, plainMacs, device, kind, timing } = this.data;
    const end = exits[taken];
    const saved = 1 - end.macs / plainMacs;
    const figure = (value, small, text, title = null) => element("div", { class: "figure", title }, element("strong", {}, value, element("small", {}, small)), element("span", {}, text));
    const list = [
      saved >= 0
        ? figure(percent(saved), " saved", `of the computation: ${macs(end.macs)} of ${macs(plainMacs)} MACs`, "1 MAC = 2 FLOPs. Counted: the blocks that ran and every exit tried on the way, against the network without exits.")
        : figure(`+${percent(-saved, 1)}`, " extra", `computation: ${macs(end.macs)} instead of ${macs(plainMacs)} MACs, for exits that were tried`, "1 MAC = 2 FLOPs"),
      element("div", { class: "figure device" }, element("strong", {}, kind), element("span", {}, timing ? `${device}, measured just now` : `${device}, measuring …`)),
      figure(timing ? time(timing.early[1]) : "…", " to its exit", timing ? `median of ${timing.repeats} runs, half of them in ${time(timing.early[0])} to ${time(timing.early[2])}` : "and back"),
      figure(timing ? time(timing.full[1]) : "…", " in full", timing ? `the network without exits; ${faster(timing)}` : "the network without exits"),
    ];
    this.find(".figures").replaceChildren(...list);
  }

  exits() {
    const { exits, taken, rule } = this.data;
    const last = exits.length - 1;
    const container = this.find(".exits");
    container.style.setProperty("--n", exits.length);
    container.replaceChildren(...exits.map((exit, n) => {
      const unrun = n > taken;
      const state = n === taken ? (n === last ? "takes it: the last one" : "leaves here") : unrun ? "not executed" : exit.off ? "switched off" : "goes on";
      const [[name, p]] = exit.top;
      const miss = exit.right === false;
      const column = element("section", { class: `exit${n === taken ? " taken" : ""}${unrun ? " unrun" : ""}`, "data-exit": n + 1, "aria-label": `Exit ${n + 1}, ${state}` });
      column.style.setProperty("--ink", this.ink[n]);
      const answer = element("div", { class: "answer" },
        unrun ? element("small", {}, "would say") : null,
        element("span", { class: `name${miss ? " miss" : ""}`, title: name }, name),
        element("small", {}, miss ? "wrong" : exit.right ? "right" : ""));
      column.append(element("div", { class: "head" }, element("b", {}, `Exit ${n + 1}`), element("span", { class: "state", title: unrun ? "The image has left before. This exit was asked only to compare; its cost is not counted." : null }, state)), answer);
      const meter = element("div", { class: "meter" });
      if (n < last) {
        const bound = exit.off ? "off" : exit.threshold >= 1 ? "never leaves" : `leaves from ${written(exit.threshold)}`;
        meter.append(element("div", { class: "label", title: `${rule.label}: ${rule.formula}` }, element("span", {}, "sure ", element("b", { class: "score" }, score(exit.score, exit.threshold))), element("span", {}, bound)));
        const fill = element("i"), tick = element("u");
        fill.style.width = percent(exit.score, 3).replace(THIN, "");
        tick.style.left = percent(exit.threshold, 3).replace(THIN, "");
        meter.append(element("div", { class: "track", role: "img", "aria-label": `sure ${score(exit.score, exit.threshold)}, ${bound}` }, fill, exit.off ? null : tick));
      } else {
        meter.append(element("div", { class: "label" }, element("span", {}, "takes whatever is left")), element("div", { class: "track", style: "visibility:hidden" }));
      }
      const bars = element("div", { class: "classes" });
      for (const [i, [label, value]] of exit.top.entries()) {
        const amount = element("div", { class: `amount${i === 0 && miss ? " miss" : ""}` });
        amount.style.width = `${100 * value}%`;
        bars.append(element("span", { class: "name", title: label }, label), element("div", {}, amount), element("span", { class: "value" }, chance(value)));
      }
      column.append(meter, bars, element("div", { class: "spent" }, `cost ${exit.cost.toFixed(2)} · ${macs(exit.macs)} MACs`));
      return column;
    }));
    this.find(".wide").style.minWidth = `${exits.length * 132}px`;
  }

  strip() {
    const { strip, thresholds, rule, exits } = this.data;
    const section = this.find(".strip");
    section.hidden = exits.length < 2;
    this.find(".caption").textContent = `Where this image leaves for every threshold T, one for all exits (${rule.label.toLowerCase()})`;
    const bar = this.find(".bar");
    bar.replaceChildren(...strip.map(([from, to, exit]) => {
      const part = element("div", { title: `T from ${score(from, from)} to ${score(to, to)}: exit ${exit + 1}` }, to - from > 0.07 ? `exit ${exit + 1}` : to - from > 0.02 ? `${exit + 1}` : "");
      Object.assign(part.style, { width: `${100 * (to - from)}%`, background: this.ink[exit], color: this.on[exit] });
      return part;
    }));
    if (thresholds.length === 1) {
      const mark = element("u", { title: `T = ${written(thresholds[0])}` });
      mark.style.left = `${100 * thresholds[0]}%`;
      bar.append(mark);
    }
  }

  layout() {
    const width = this.root.clientWidth;
    if (!this.data || !width) return;
    const size = `${width}x${window.innerWidth}`;
    if (size === this.width) return;
    this.width = size;
    this.k = (window.innerWidth >= 2900 ? 1.7 : window.innerWidth >= 1800 ? 1.2 : 1) * (this.data.present ? 1.5 : 1);
    this.root.style.setProperty("--k", this.k);
    this.line(Math.max(width, this.data.exits.length * 132));
  }

  // Blocks as wide as their MACs, exits on the line where they stand, a curve down to what each of them says.
  line(width) {
    const { blocks, exits, taken, seen, plainMacs } = this.data;
    const k = this.k, middle = 66 * k, height = 122 * k, thick = 16 * k, radius = 14 * k;
    const start = 12 * k, end = width - radius - 12 * k, gap = 3 * k, least = 5 * k;
    const total = blocks.reduce((sum, block) => sum + block.macs, 0);
    let sizes = blocks.map((block) => Math.max(least, ((end - start) * block.macs) / total));
    const stretch = (end - start) / sizes.reduce((a, b) => a + b, 0);
    sizes = sizes.map((s) => s * stretch);
    const svg = element("svg:svg", { width, height, viewBox: `0 0 ${width} ${height}` });
    const at = [];
    let x = start;
    blocks.forEach((block, i) => {
      const rect = element("svg:rect", { x, y: middle - thick / 2, width: Math.max(1, sizes[i] - gap), height: thick, rx: 3 * k, fill: this.ink[block.exit], class: block.exit > taken ? "skipped" : "" });
      rect.append(element("svg:title", {}, `${block.name}: ${macs(block.macs)} MACs${block.exit > taken ? ", not run" : ""}`));
      svg.append(rect);
      x += sizes[i];
      at[block.exit] = x - gap / 2;
    });
    exits.forEach((exit, n) => {
      const skipped = n > taken ? "skipped" : "";
      const center = ((n + 0.5) * width) / exits.length;
      const y = middle + radius;
      svg.append(element("svg:path", { class: `connector ${skipped}`, stroke: this.ink[n], d: `M${at[n]} ${y}C${at[n]} ${(y + height) / 2 + 6 * k} ${center} ${(y + height) / 2 - 6 * k} ${center} ${height}` }));
      if (n === taken) svg.append(element("svg:circle", { class: "halo", cx: at[n], cy: middle, r: radius + 6 * k, fill: this.ink[n] }));
      svg.append(element("svg:circle", { cx: at[n], cy: middle, r: radius + 2, fill: "var(--page)" }));
      svg.append(element("svg:circle", { class: skipped, cx: at[n], cy: middle, r: radius, fill: this.ink[n] }));
      const number = element("svg:text", { class: "number", x: at[n], y: middle + 4.5 * k, "text-anchor": "middle", style: `--on:${skipped ? "var(--muted)" : this.on[n]}` }, String(n + 1));
      svg.append(number);
    });
    this.labels(svg, at, start, end, middle - 52 * k);
    svg.append(this.token(seen.url, start, at[taken], middle - radius - 8 * k));
    this.find(".line").replaceChildren(svg);
    this.find(".line").setAttribute("aria-label", `${taken + 1} of ${exits.length} exits reached; ${percent(exits[taken].macs / plainMacs)} of the computation executed`);
  }

  labels(svg, at, start, end, y) {
    const { exits, taken, plainMacs } = this.data;
    const k = this.k, done = exits[taken];
    const write = (x, anchor, strong, text) => {
      const label = element("svg:text", { x, y, "text-anchor": anchor }, element("svg:tspan", { class: "strong" }, strong), text);
      svg.append(label);
    };
    const left = plainMacs - done.macs;
    write(start, "start", `executed ${percent(done.macs / plainMacs)}`, ` · ${macs(done.macs)} MACs`);
    if (taken < exits.length - 1 && left > 0) write(end + 14 * k, "end", `not executed`, ` · ${macs(left)} MACs saved`);
  }

  token(url, from, to, bottom) {
    const size = 24 * this.k;
    const group = element("svg:g", { class: "token" });
    group.append(
      element("svg:image", { href: url, x: -size / 2, y: bottom - size, width: size, height: size, style: "image-rendering:pixelated" }),
      element("svg:rect", { x: -size / 2, y: bottom - size, width: size, height: size, rx: 2 }));
    const place = (x) => (group.style.transform = `translateX(${x}px)`);
    const travels = this.travels && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    place(travels ? from + size / 2 : to);
    cancelAnimationFrame(this.frame);
    if (travels) this.frame = requestAnimationFrame(() => requestAnimationFrame(() => place(to)));
    this.travels = false;
    return group;
  }
}

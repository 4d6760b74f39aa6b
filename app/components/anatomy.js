// A network drawn to cost: everything an image runs on its way to the end, in that order, as wide as its MACs.
import { element, inkOn, isDark, THIN } from "./shared.js";

const LEAST = 2.5; // pixels: an exit block thinner than this would not be seen
const instances = new WeakMap();

export default function mount({ data, parentElement }) {
  let anatomy = instances.get(parentElement);
  if (!anatomy) instances.set(parentElement, (anatomy = new Anatomy(parentElement)));
  anatomy.show(data);
  return () => {
    anatomy.stop();
    instances.delete(parentElement);
  };
}

const macs = (n) => (n >= 1e9 ? `${(n / 1e9).toFixed(2)}${THIN}G` : n >= 1e6 ? `${(n / 1e6).toFixed(n >= 1e7 ? 1 : 2)}${THIN}M` : n >= 1e3 ? `${(n / 1e3).toFixed(n >= 1e4 ? 0 : 1)}${THIN}k` : `${n}`);
const percent = (share) => `${(100 * share).toFixed(share >= 0.0995 ? 0 : share >= 0.00095 ? 1 : 3)}${THIN}%`;

class Anatomy {
  constructor(host) {
    this.host = host;
    this.root = host.querySelector(".anatomy");
    this.drawing = this.root.querySelector(".drawing");
    this.detail = this.root.querySelector(".detail");
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(this.root);
    this.drawing.onpointerover = (event) => this.pick(event.target.closest?.(".part") ?? null);
    this.drawing.onpointerleave = () => this.pick(null);
  }

  stop() {
    this.observer.disconnect();
  }

  show(data) {
    this.data = data;
    const dark = isDark(this.host);
    const palette = data.palette[dark ? "dark" : "light"];
    this.root.classList.toggle("dark", dark);
    this.ink = palette.exits;
    this.on = palette.exits.map(inkOn);
    this.width = null;
    this.layout();
    Object.assign(this.root.dataset, { ready: "true", model: data.name });
  }

  layout() {
    const room = this.root.clientWidth;
    if (!this.data || !room || this.width === `${room} ${window.innerWidth}`) return;
    this.width = `${room} ${window.innerWidth}`;
    this.k = (window.innerWidth >= 2900 ? 1.7 : window.innerWidth >= 1800 ? 1.2 : 1) * (this.data.present ? 1.5 : 1);
    this.root.style.setProperty("--k", this.k);
    this.draw(Math.max(room - 2, 560, this.data.exits.length * 40));
    this.pick(null);
  }

  // What is run in order: blocks on the line, each early exit block hanging where it is tried.
  parts() {
    const { blocks, exits } = this.data;
    const list = [];
    let spent = 0, early = 0;
    blocks.forEach((block, i) => {
      list.push({ ...block, from: spent, to: (spent += block.macs) });
      if (early < exits.length - 1 && exits[early].after === i) {
        list.push({ name: `exit block ${early + 1}`, macs: exits[early].macs, exit: early, hangs: true, from: spent, to: (spent += exits[early].macs) });
        early += 1;
      }
    });
    return { list, spent };
  }

  draw(width) {
    const { exits, plainMacs, accuracy } = this.data;
    const k = this.k, last = exits.length - 1;
    const start = 4 * k, end = width - 26 * k, top = 26 * k, thick = 26 * k, hang = top + thick + 7 * k, deep = 22 * k;
    const paperRow = last > 0;
    const axis = hang + deep + 30 * k, paper = axis + 62 * k, radius = Math.min(12 * k, Math.max(7 * k, (end - start) / (exits.length * 2.4)));
    const height = (paperRow ? paper + 34 * k : axis + 40 * k);
    const { list, spent } = this.parts();
    const x = (amount) => start + ((end - start) * amount) / Math.max(spent, plainMacs);
    const svg = element("svg:svg", { width, height, viewBox: `0 0 ${width} ${height}` });
    const write = (at, y, text, anchor = "middle", kind = "") => {
      const node = element("svg:text", { x: at, y, "text-anchor": anchor, class: kind });
      node.textContent = text;
      svg.append(node);
      return node;
    };
    this.titles(write, start, end, top - 11 * k, list);
    svg.append(element("svg:line", { class: "rail", x1: start, x2: x(spent), y1: top + thick / 2, y2: top + thick / 2 }));
    for (const part of list) {
      const wide = x(part.to) - x(part.from);
      const gap = Math.min(2 * k, wide / 5);
      const shape = part.hangs
        ? { x: x(part.to) - Math.max(wide, LEAST), width: Math.max(wide, LEAST), y: hang, height: deep, rx: Math.min(2 * k, wide / 3) }
        : { x: x(part.from), width: Math.max(wide - gap, 0.75), y: top, height: thick, rx: Math.min(3 * k, wide / 4) };
      const rect = element("svg:rect", { ...shape, fill: this.ink[part.exit], class: "part" });
      rect.told = part;
      if (part.hangs) svg.append(element("svg:line", { class: "drop", stroke: this.ink[part.exit], x1: x(part.to) - 0.75, x2: x(part.to) - 0.75, y1: top + thick / 2, y2: hang }));
      svg.append(rect);
    }
    svg.append(element("svg:line", { class: "axis", x1: start, x2: end, y1: axis, y2: axis }));
    if (paperRow) svg.append(element("svg:line", { class: "axis", x1: start, x2: end, y1: paper, y2: paper }));
    const whole = (y1, y2) => svg.append(element("svg:line", { class: "whole", x1: x(plainMacs), x2: x(plainMacs), y1, y2 }));
    whole(top - 6 * k, axis + 6 * k);
    if (paperRow) whole(axis + 36 * k, paper + 8 * k); // the words below the disc stand between
    let before = -Infinity, low = false, paperBefore = -Infinity, paperLow = false;
    exits.forEach((exit, n) => {
      const at = x(exit.executed), there = x(exit.paper);
      svg.append(element("svg:line", { class: "drop", stroke: this.ink[n], x1: at - 0.75, x2: at - 0.75, y1: n < last ? hang + deep : top + thick, y2: axis }));
      // one below the other where two stand too close for their words
      low = at - before < 62 * k && !low;
      before = at;
      paperLow = there - paperBefore < 34 * k && !paperLow;
      paperBefore = there;
      if (paperRow) {
        const clear = (low ? 50 : 36) * k; // below the words
        svg.append(element("svg:line", { class: "shift", stroke: this.ink[n], x1: at + ((there - at) * clear) / (paper - axis), x2: there, y1: axis + clear, y2: paper }));
        svg.append(element("svg:circle", { cx: there, cy: paper, r: 4.5 * k, fill: this.ink[n], stroke: "var(--page)", "stroke-width": 1.5 }));
        const words = write(there, paper + (paperLow ? 32 : 18) * k, (exit.paper / plainMacs).toFixed(2));
        if (there > end - 16 * k) words.setAttribute("text-anchor", "middle");
      }
      const disc = element("svg:g", { class: "part" },
        element("svg:circle", { cx: at, cy: axis, r: radius + 2, fill: "var(--page)" }),
        element("svg:circle", { cx: at, cy: axis, r: radius, fill: this.ink[n] }),
        element("svg:text", { class: "number", x: at, y: axis + 4.5 * k, "text-anchor": "middle", style: `--on:${this.on[n]}` }));
      disc.lastChild.textContent = n + 1;
      disc.told = { stands: n };
      const label = write(at + (n === last ? 12 * k : 0), axis + (low ? 44 : 28) * k, "", n === last ? "end" : "middle");
      const share = element("svg:tspan", { class: "strong" });
      share.textContent = (exit.executed / plainMacs).toFixed(2);
      label.append(share, accuracy ? ` · ${(100 * accuracy[n]).toFixed(1)}${THIN}%` : "");
      label.setAttribute("style", "paint-order:stroke;stroke:var(--page);stroke-width:4px");
      svg.append(disc);
    });
    this.drawing.replaceChildren(svg);
    this.drawing.setAttribute("aria-label", `${this.data.blocks.length} parts of ${macs(plainMacs)} MACs` + exits.map((exit, n) => `, exit ${n + 1} at ${(exit.executed / plainMacs).toFixed(2)}`).join(""));
  }

  titles(write, start, end, y, list) {
    const extra = list.filter((part) => part.hangs).reduce((sum, part) => sum + part.macs, 0);
    const { plainMacs, blocks } = this.data;
    const left = write(start, y, "", "start");
    const strong = element("svg:tspan", { class: "strong" });
    strong.textContent = `${macs(plainMacs)} MACs`;
    left.append(strong, ` in ${blocks.length - 1} blocks and the last classifier`);
    if (extra) write(end, y, `all exit blocks together +${macs(extra)} MACs, ${percent(extra / plainMacs)}`, "end");
  }

  pick(node) {
    const { exits, plainMacs, unit } = this.data ?? { exits: [] };
    this.root.querySelectorAll(".picked").forEach((old) => old.classList.remove("picked"));
    this.root.classList.toggle("picking", Boolean(node));
    const bold = (text) => Object.assign(document.createElement("b"), { textContent: text });
    if (!node) {
      const words = ["As wide as its MACs: all that an image runs on its way to the end, in that order (1 MAC = 2 FLOPs)."];
      if (exits.length > 1) words.push(` On the line of discs what is executed, ${unit}; below it the paper's accounting, which charges only the exit taken.`);
      this.detail.replaceChildren(...words);
      return;
    }
    node.classList.add("picked");
    const part = node.told;
    if (part.stands !== undefined) {
      const exit = exits[part.stands];
      this.detail.replaceChildren(bold(`Exit ${part.stands + 1}`), `: leaving here has cost ${macs(exit.executed)} MACs, ${percent(exit.executed / plainMacs)} of the network without exits; as in the paper ${macs(exit.paper)}, ${percent(exit.paper / plainMacs)}.`);
    } else {
      const name = part.name[0].toUpperCase() + part.name.slice(1);
      this.detail.replaceChildren(bold(name), `: ${macs(part.macs)} MACs (${macs(2 * part.macs)} FLOPs), ${percent(part.macs / plainMacs)} of the network without exits; runs from ${(part.from / plainMacs).toFixed(3)} to ${(part.to / plainMacs).toFixed(3)}.`);
    }
  }
}

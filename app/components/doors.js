// Marks that open onto images. Every mark is a button that says its numbers; a click names it to Python, shift adds it.
import { THIN, element, inkOn, isDark } from "./shared.js";

const BODY = 274; // height of what a panel draws, at k = 1
const instances = new WeakMap();

export default function mount({ data, parentElement, setTriggerValue }) {
  let doors = instances.get(parentElement);
  if (!doors) instances.set(parentElement, (doors = new Doors(parentElement)));
  doors.send = setTriggerValue;
  doors.show(data);
  return () => {
    doors.stop();
    instances.delete(parentElement);
  };
}

const count = (n) => n.toLocaleString("en-US");
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}${THIN}%`;
// whole per cent that say neither none nor all where some are left
const rough = (share) => (share > 0 && share < 0.005 ? `<${THIN}1` : share >= 0.995 && share < 1 ? `>${THIN}99` : (100 * share).toFixed(0)) + `${THIN}%`;
const sum = (list) => list.reduce((a, b) => a + b, 0);
const score = (s) => String(Number(s.toFixed(s > 0.99 ? 5 : 3)));

class Doors {
  constructor(host) {
    this.host = host;
    this.root = host.querySelector(".doors");
    this.list = this.root.querySelector(".panels");
    this.tip = this.root.querySelector(".tip");
    this.observer = new ResizeObserver(() => {
      if (this.data && Math.abs(this.root.clientWidth - this.width) > 1) this.draw();
    });
    this.observer.observe(this.root);
    this.root.addEventListener("click", (event) => this.click(event));
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("pointerover", (event) => this.tell(event.target.closest("[data-mark]")));
    this.root.addEventListener("focusin", (event) => {
      if (event.target.matches(":focus-visible")) this.tell(event.target.closest("[data-mark]"));
    });
    this.onScroll = () => this.tell(null);
    window.addEventListener("scroll", this.onScroll, { capture: true, passive: true });
    for (const name of ["pointerleave", "focusout"]) this.root.addEventListener(name, () => this.tell(null));
  }

  stop() {
    this.observer.disconnect();
    window.removeEventListener("scroll", this.onScroll, { capture: true });
  }

  show(data) {
    this.data = data;
    this.on = new Set(data.on);
    this.draw();
    this.root.dataset.ready = "true";
  }

  colours() {
    const dark = isDark(this.host);
    const palette = this.data.palette[dark ? "dark" : "light"];
    this.root.classList.toggle("dark", dark);
    this.root.style.setProperty("--wrong", palette.wrong);
    this.root.style.setProperty("--accent", palette.accent);
    this.wrong = palette.wrong;
    this.accent = palette.accent;
    this.ink = palette.exits;
    this.onInk = inkOn;
  }

  draw() {
    this.colours();
    const focused = this.root.getRootNode().activeElement;
    const kept = focused?.dataset?.mark ?? focused?.dataset?.control;
    const width = this.root.clientWidth;
    this.width = width;
    // by the window, not by its own width: rows of panels side by side are alike
    const stage = this.data.present ? 1.35 : 1;
    this.k = (window.innerWidth >= 2900 ? 1.7 : window.innerWidth >= 2150 ? 1.35 : window.innerWidth >= 1800 ? 1.15 : 1) * stage;
    this.root.style.setProperty("--k", this.k);
    this.body = BODY * this.k;
    const columns = width < 700 ? 1 : this.data.panels.length;
    this.list.style.setProperty("--columns", columns);
    const gap = 36 * this.k;
    this.panelWidth = (width - gap * (columns - 1)) / columns;
    this.leaving = this.data.panels.find((panel) => panel.kind === "classes");
    this.list.replaceChildren(...this.data.panels.map((panel) => {
      const section = element("section", { "data-panel": panel.kind });
      section.append(...this[panel.kind](panel));
      return section;
    }));
    for (const section of this.list.children) {
      const marks = [...section.querySelectorAll("[data-mark]")];
      for (const mark of marks) mark.setAttribute("tabindex", "-1");
      (marks.find((mark) => mark.getAttribute("aria-pressed") === "true") ?? marks[0])?.setAttribute("tabindex", "0");
    }
    if (kept) [...this.root.querySelectorAll("[data-mark], [data-control]")].find((node) => (node.dataset.mark ?? node.dataset.control) === kept)?.focus({ preventScroll: true });
    if (!kept) this.tell(null);
  }

  // ---- what marks have in common

  get filtered() {
    return this.data.panels.some((panel) => panel.shown || panel.filtered);
  }

  mark(node, name, text) {
    node.dataset.mark = name;
    node.setAttribute("aria-label", text);
    node.setAttribute("aria-pressed", String(this.on.has(name)));
    if (node instanceof SVGElement) node.setAttribute("role", "button");
    else node.type = "button";
    node.classList.add("mark");
    return node;
  }

  passing(shown) {
    return this.filtered ? `; ${count(shown)} in the filter` : "";
  }

  click(event) {
    const mark = event.target.closest("[data-mark]");
    if (!mark || this.dragged) {
      this.dragged = false;
      return;
    }
    this.send("click", { mark: mark.dataset.mark, add: event.shiftKey || event.metaKey || event.ctrlKey });
  }

  key(event) {
    const mark = event.target.closest("[data-mark]");
    if (!mark) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.send("click", { mark: mark.dataset.mark, add: event.shiftKey || event.metaKey || event.ctrlKey });
      return;
    }
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const next = nearest(mark, [...mark.closest("section").querySelectorAll("[data-mark]")], way);
    if (next) {
      mark.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    }
  }

  tell(mark) {
    this.tip.hidden = !mark;
    if (!mark) return;
    this.tip.textContent = mark.getAttribute("aria-label");
    const box = mark.getBoundingClientRect();
    const size = this.tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - size.width / 2), window.innerWidth - size.width - 8);
    const above = box.top - size.height - 6;
    this.tip.style.left = `${left}px`;
    this.tip.style.top = `${above > 60 ? above : box.bottom + 6}px`;
  }

  head(title, hint, ...controls) {
    const head = element("div", { class: "head" }, element("h3", {}, title));
    head.append(...controls);
    head.append(element("p", {}, hint));
    return head;
  }

  choice(name, label, options, value, act) {
    if (this.data.present) return element("b", {}, options.find(([key]) => key === String(value))[1]);
    const select = element("select", { "aria-label": label, "data-control": name });
    for (const [key, text] of options) {
      const option = element("option", { value: key }, text);
      option.selected = key === String(value);
      select.append(option);
    }
    select.onchange = () => act(select.value);
    return select;
  }

  // a square whose area is a share, its wrong part at the bottom
  square(full, share, wrong, colour, faint) {
    const side = share > 0 ? Math.max(2, full * Math.sqrt(share)) : 0;
    const node = element("i", { class: faint ? "faint" : "" });
    node.style.cssText = `width:${side}px;height:${side}px;background:linear-gradient(to top, var(--wrong) ${100 * wrong}%, ${colour} 0)`;
    return node;
  }

  // ---- class x exit

  classes({ order, all, shown }) {
    const { exits, names } = this.data;
    const row = Math.max(14 * this.k, Math.min(30 * this.k, (this.body - 24 * this.k) / order.length));
    const full = Math.min(row - 3, 23 * this.k);
    const roomy = this.panelWidth / (exits + 1.6) > 50 * this.k && row > 17 * this.k;
    const grid = element("div", { class: "squares" });
    grid.style.gridTemplateColumns = `minmax(0, ${names.some((name) => name.length > 4) ? 1.35 : 0.5}fr) repeat(${exits}, minmax(0, 1fr))`;
    grid.style.gridAutoRows = `${row}px`;
    grid.style.maxHeight = `${this.body}px`;
    grid.append(element("span"));
    for (let n = 0; n < exits; n++) {
      const here = order.map((c) => sum(all[c][n]));
      const passing = shown ? sum(order.map((c) => sum(shown[c][n]))) : 0;
      const button = this.mark(element("button", { class: "exit" }, exits > 8 ? `${n + 1}` : `Exit ${n + 1}`), `leave:x_${n + 1}`, `Exit ${n + 1}: ${count(sum(here))} of ${count(this.data.n)} leave here${this.passing(passing)}`);
      button.style.color = this.ink[n];
      grid.append(button);
    }
    for (const c of order) {
      const total = sum(all[c].flat());
      const some = shown ? sum(shown[c].flat()) : 0;
      grid.append(this.mark(element("button", { class: shown && !some ? "name off" : "name" }, names[c]), `leave:${c}_x`, `${names[c]}: ${count(total)} images${this.passing(some)}`));
      for (let n = 0; n < exits; n++) {
        const [wrong, right] = all[c][n];
        const here = wrong + right;
        const passing = shown ? sum(shown[c][n]) : 0;
        const button = this.mark(element("button", { class: shown && !passing ? "cell off" : "cell" }), `leave:${c}_${n + 1}`, `${names[c]} at exit ${n + 1}: ${count(here)} of ${count(total)} leave here (${percent(here / total)}), ${count(wrong)} wrong${this.passing(passing)}`);
        const box = element("span");
        box.style.width = box.style.height = `${full}px`;
        if (here) box.append(this.square(full, here / total, wrong / here, this.ink[n], Boolean(shown)));
        if (passing) box.append(this.square(full, passing / total, shown[c][n][0] / passing, this.ink[n], false));
        button.append(box);
        if (roomy) button.append(element("small", {}, here ? rough(here / total).replace(`${THIN}%`, "") : "·"));
        grid.append(button);
      }
    }
    return [this.head("Who leaves where", `${roomy ? "per cent of each class" : "area = share of the class"}, orange = wrong · click to filter, shift adds`), grid];
  }

  // ---- class -> exit -> right or wrong

  flow() {
    const { order, all, shown } = this.leaving;
    const { exits, names, n } = this.data;
    const k = this.k;
    const width = this.panelWidth;
    const height = this.body;
    const longest = Math.max(...names.map((name) => name.length));
    const left = Math.min(width * 0.25, (8 + 7 * longest) * k);
    const right = width - 78 * k;
    const middle = left + (right - left) * 0.52;
    const bar = 9 * k;
    const gap = Math.min(3 * k, (0.25 * height) / order.length);
    const scale = (height - gap * order.length) / n;
    const spare = height - n * scale;
    const svg = element("svg:svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "Flow from class to exit to right or wrong" });
    const layers = { faint: element("svg:g"), ribbons: element("svg:g"), nodes: element("svg:g") };
    svg.append(layers.faint, layers.ribbons, layers.nodes);
    const perExit = [...Array(exits).keys()].map((e) => [0, 1].map((r) => sum(order.map((c) => all[c][e][r]))));
    const perExitShown = shown && [...Array(exits).keys()].map((e) => [0, 1].map((r) => sum(order.map((c) => shown[c][e][r]))));
    const stack = (sizes, space) => {
      let y = (height - sum(sizes) * scale - space * (sizes.length - 1)) / 2;
      return sizes.map((size) => {
        const top = y;
        y += size * scale + space;
        return top;
      });
    };
    const classTop = stack(order.map((c) => sum(all[c].flat())), gap);
    const exitTop = stack(perExit.map(sum), exits > 1 ? spare / (exits - 1) : 0);
    const ends = [1, 0].map((r) => sum(perExit.map((both) => both[r])));
    const endTop = stack(ends, Math.min(spare, 16 * k));
    const ribbon = (x0, y0, x1, y1, size, colour, passing, name, text) => {
      if (!size) return;
      const shape = (h) => {
        const mid = (x0 + x1) / 2;
        return `M${x0} ${y0}C${mid} ${y0} ${mid} ${y1} ${x1} ${y1}v${h}C${mid} ${y1 + h} ${mid} ${y0 + h} ${x0} ${y0 + h}Z`;
      };
      const group = this.mark(element("svg:g", { class: "ribbon" }), name, text);
      group.append(element("svg:path", { d: shape(Math.max(size * scale, 0.6)), fill: colour, class: shown ? "faint" : "half" }));
      if (shown && passing) group.append(element("svg:path", { d: shape(Math.max(passing * scale, 0.8)), fill: colour, class: "strong" }));
      layers.ribbons.append(group);
    };
    const node = (x, y, size, colour, passing, name, text, labels) => {
      const group = this.mark(element("svg:g", { class: "node" }), name, text);
      group.append(element("svg:rect", { x, y, width: bar, height: Math.max(size * scale, 1), fill: colour, class: shown ? "faint" : "", rx: 1.5 }));
      if (shown && passing) group.append(element("svg:rect", { x, y, width: bar, height: Math.max(passing * scale, 1), fill: colour, rx: 1.5 }));
      group.append(...labels);
      layers.nodes.append(group);
    };
    const fromClass = classTop.slice();
    const intoExit = exitTop.slice();
    order.forEach((c, i) => {
      for (let e = 0; e < exits; e++) {
        const size = sum(all[c][e]);
        const passing = shown ? sum(shown[c][e]) : 0;
        ribbon(left + bar, fromClass[i], middle, intoExit[e], size, this.ink[e], passing, `leave:${c}_${e + 1}`, `${names[c]} to exit ${e + 1}: ${count(size)} images${this.passing(passing)}`);
        fromClass[i] += size * scale;
        intoExit[e] += size * scale;
      }
    });
    const fromExit = exitTop.slice();
    const intoEnd = endTop.slice();
    for (const r of [1, 0]) {
      for (let e = 0; e < exits; e++) {
        const size = perExit[e][r];
        const passing = shown ? perExitShown[e][r] : 0;
        const word = r ? "right" : "wrong";
        ribbon(middle + bar, fromExit[e], right, intoEnd[1 - r], size, r ? this.ink[e] : this.wrong, passing, `leave:x_${e + 1}_${word[0]}`, `Exit ${e + 1}, ${word}: ${count(size)} images${this.passing(passing)}`);
        fromExit[e] += size * scale;
        intoEnd[1 - r] += size * scale;
      }
    }
    const label = (x, y, text, attributes) => element("svg:text", { x, y, "dominant-baseline": "central", ...attributes }, text);
    const step = (height / order.length) >= 12 * k;
    order.forEach((c, i) => {
      const size = sum(all[c].flat());
      const passing = shown ? sum(shown[c].flat()) : 0;
      node(left, classTop[i], size, "var(--muted)", passing, `leave:${c}_x`, `${names[c]}: ${count(size)} images${this.passing(passing)}`, step ? [label(left - 6 * k, classTop[i] + (size * scale) / 2, names[c], { "text-anchor": "end" })] : []);
    });
    let floor = 0;
    perExit.forEach((both, e) => {
      const size = sum(both);
      const passing = shown ? sum(perExitShown[e]) : 0;
      const y = Math.min(Math.max(exitTop[e] + (size * scale) / 2, floor + 8 * k), height - 8 * k);
      floor = size ? y + 6 * k : floor;
      const text = size ? [label(middle + bar + 6 * k, y, `Exit ${e + 1}`, { class: "halo", style: `fill:${this.ink[e]}`, "font-weight": 700 })] : [];
      node(middle, exitTop[e], size, this.ink[e], passing, `leave:x_${e + 1}`, `Exit ${e + 1}: ${count(size)} of ${count(n)} leave here${this.passing(passing)}`, text);
    });
    [1, 0].forEach((r, i) => {
      const passing = shown ? sum(perExitShown.map((both) => both[r])) : 0;
      const word = r ? "right" : "wrong";
      const y = Math.min(endTop[i] + (ends[i] * scale) / 2, height - 14 * k);
      node(right, endTop[i], ends[i], r ? "var(--muted)" : this.wrong, passing, `leave:x_x_${word[0]}`, `${word}: ${count(ends[i])} of ${count(n)} images${this.passing(passing)}`, [
        label(right + bar + 6 * k, y - 8 * k, word, { "font-weight": 600, class: r ? "dark" : "miss" }),
        label(right + bar + 6 * k, y + 8 * k, percent(ends[i] / n), {}),
      ]);
    });
    return [this.head("From class to exit to answer", "thickness = images"), element("div", { class: "flow" }, svg)];
  }

  // ---- confusion matrix of one exit

  answers({ exit, leaving, all, shown }) {
    const { names, exits } = this.data;
    const classes = names.length;
    const totals = all.map(sum);
    const words = classes <= 25;
    const short = Math.max(...names.map((name) => name.length)) <= 3;
    const top = words ? (short ? 20 : 66) * this.k : 4;
    const side = (this.body - top) / classes;
    const grid = element("div", { class: "matrix" });
    grid.style.gridTemplateColumns = `${words ? "minmax(0, max-content)" : "0"} repeat(${classes}, minmax(0, 1fr))`;
    grid.style.gridTemplateRows = `${top}px repeat(${classes}, ${side}px)`;
    grid.append(element("span"));
    for (const name of names) grid.append(element("span", { class: short ? "over" : "over turned", title: name }, words ? name : ""));
    const numbers = this.panelWidth / (classes + 2) > 30 * this.k && side > 15 * this.k;
    names.forEach((name, label) => {
      grid.append(element("span", { class: "row" }, words ? name : ""));
      names.forEach((said, column) => {
        const here = all[label][column];
        const passing = shown ? shown[label][column] : here;
        const right = label === column;
        const share = here / Math.max(totals[label], 1);
        const colour = right ? this.ink[exit] : this.wrong;
        const button = this.mark(
          element("button", { class: "cell" }),
          `cell:${exit + 1}_${label}_${column}${leaving ? "_h" : ""}`,
          `Exit ${exit + 1} says ${said} of a ${name}: ${count(here)} of ${count(totals[label])}${leaving ? " that leave there" : ""}${this.passing(passing)}`,
        );
        const strength = here ? Math.round(8 + 92 * Math.sqrt(share)) : 0;
        button.style.background = `color-mix(in srgb, ${colour} ${shown ? strength * 0.25 : strength}%, transparent)`;
        if (shown && passing) {
          const part = element("i");
          part.style.cssText = `height:${Math.max(12, (100 * passing) / here)}%;background:color-mix(in srgb, ${colour} ${strength}%, var(--page))`;
          button.append(part);
        }
        const dense = shown ? passing / Math.max(here, 1) > 0.5 : true;
        if (numbers && passing) {
          const text = element("b", {}, count(passing));
          text.style.color = strength > 55 && dense ? this.onInk(colour) : "var(--text)";
          button.append(text);
        }
        grid.append(button);
      });
    });
    const send = (change) => this.send("wish", { exit, leaving, ...change });
    const among = leaving ? sum(totals) : this.data.n;
    const hint = `rows: true class, columns: answer · ${percent(sum(names.map((_, c) => all[c][c])) / Math.max(among, 1))} right of ${count(among)}`;
    return [
      this.head("What it says", hint,
        this.choice("exit", "Exit", [...Array(exits).keys()].map((e) => [String(e), `exit ${e + 1}`]), exit, (value) => send({ exit: Number(value) })),
        this.choice("leaving", "Which images", [["all", "all images"], ["here", "those that leave there"]], leaving ? "here" : "all", (value) => send({ leaving: value === "here" }))),
      grid,
    ];
  }

  // ---- prediction depth

  depth({ all, shown }) {
    const n = this.data.n;
    const most = Math.max(...all.map(sum), 1);
    const bars = element("div", { class: "bars" });
    bars.style.height = `${this.body}px`;
    all.forEach(([wrong, right], e) => {
      const here = wrong + right;
      const passing = shown ? sum(shown[e]) : here;
      const button = this.mark(element("button", { class: "bar" }), `depth:${e + 1}`, `Settled at exit ${e + 1}: ${count(here)} images (${percent(here / n)}), ${count(wrong)} of them wrong in the end${this.passing(passing)}`);
      const room = this.body - 46 * this.k;
      const stack = (both, className) => {
        const total = sum(both);
        const node = element("i", { class: className });
        node.style.cssText = `height:${(room * total) / most}px;background:linear-gradient(to top, var(--wrong) ${(100 * both[0]) / Math.max(total, 1)}%, ${this.ink[e]} 0)`;
        return node;
      };
      const column = element("span", { class: "column" });
      column.style.height = `${room}px`;
      column.append(stack([wrong, right], shown ? "faint" : ""));
      if (shown) column.append(stack(shown[e], ""));
      const name = element("b", {}, `Exit ${e + 1}`);
      name.style.color = this.ink[e];
      button.append(element("small", {}, shown ? `${count(passing)} of ${count(here)}` : percent(here / n)), column, name);
      bars.append(button);
    });
    const title = element("span", {}, "Where answers settle");
    title.title = "Prediction depth: the first exit from which on every exit gives the last exit's answer (Baldock et al. 2021)";
    return [this.head(title, "the first exit from which on every exit agrees with the last · orange: wrong in the end"), bars];
  }

  // ---- overthinking

  groups({ groups, all, shown, cost, oracleCost, now, oracle }) {
    const n = this.data.n;
    const most = Math.max(...all.map(sum), 1);
    const list = element("div", { class: "groups" });
    list.style.height = `${this.body}px`;
    groups.forEach(([name, words], g) => {
      const [wrong, right] = all[g];
      const here = wrong + right;
      const passing = shown ? sum(shown[g]) : here;
      const button = this.mark(element("button", { class: "group" }), `group:${name}`, `${words}: ${count(here)} images (${percent(here / n)}), ${count(wrong)} end wrong; mean cost ${cost[g].toFixed(2)}, an oracle's ${oracleCost[g].toFixed(2)}${this.passing(passing)}`);
      const line = element("span", { class: "line" }, element("b", {}, words), element("small", {}, shown ? `${count(passing)} of ${count(here)}` : `${percent(here / n)} · ${count(here)}`));
      const track = element("span", { class: "track" });
      const part = (both, faint) => {
        const total = sum(both);
        const bar = element("i", { class: faint ? "faint" : "" });
        bar.style.cssText = `width:${(100 * total) / most}%;background:linear-gradient(to right, var(--accent) ${(100 * both[1]) / Math.max(total, 1)}%, var(--wrong) 0)`;
        return bar;
      };
      track.append(part([wrong, right], Boolean(shown)));
      if (shown) track.append(part(shown[g], false));
      const price = element("small", { class: "price" }, here ? `cost ${cost[g].toFixed(2)}, an oracle's ${oracleCost[g].toFixed(2)}` : "nobody");
      button.append(line, track, price);
      list.append(button);
    });
    const gain = 100 * (oracle[0] - now[0]);
    const saved = 1 - oracle[1] / now[1];
    list.append(element("p", { class: "foot" }, `An oracle that leaves at the first right exit: ${percent(oracle[0])} right (${gain >= 0 ? "+" : "−"}${Math.abs(gain).toFixed(1)} points) at cost ${oracle[1].toFixed(2)}, ${saved >= 0 ? `${percent(saved, 0)} less` : `${percent(-saved, 0)} more`} than now.`));
    return [this.head("Thinking too long, or too short", "over all exits · orange: the exit taken is wrong"), list];
  }

  // ---- scores of two exits

  scores({ pair, edges, crowded, limits, filtered, bins }) {
    const k = this.k;
    const [width, height] = [this.panelWidth, this.body];
    const [left, bottom, top, right] = [46 * k, height - 36 * k, 20 * k, width - 10 * k];
    const size = edges[0].length - 1;
    const [dx, dy] = [(right - left) / size, (bottom - top) / size];
    const svg = element("svg:svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": `Score at exit ${pair[0] + 1} against score at exit ${pair[1] + 1}` });
    const place = (s, axis) => {
      const found = Math.max(0, edges[axis].findLastIndex((edge) => edge <= s));
      const [a, b] = [edges[axis][found], edges[axis][Math.min(found + 1, size)]];
      const at = found + (b > a ? Math.min(1, (s - a) / (b - a)) : 0);
      return axis ? bottom - at * dy : left + at * dx;
    };
    const plane = element("svg:rect", { x: left, y: top, width: right - left, height: bottom - top, class: "plane" });
    svg.append(plane);
    const ticks = (axis) => (crowded[axis] ? [0, 0.9, 0.99, 0.999] : [0, 0.25, 0.5, 0.75, 1]);
    for (const t of ticks(0)) {
      svg.append(element("svg:line", { x1: place(t, 0), x2: place(t, 0), y1: top, y2: bottom, class: "grid" }));
      svg.append(element("svg:text", { x: place(t, 0), y: bottom + 13 * k, "text-anchor": "middle" }, String(t)));
    }
    for (const t of ticks(1)) {
      svg.append(element("svg:line", { x1: left, x2: right, y1: place(t, 1), y2: place(t, 1), class: "grid" }));
      svg.append(element("svg:text", { x: left - 6 * k, y: place(t, 1), "text-anchor": "end", "dominant-baseline": "central" }, String(t)));
    }
    svg.append(element("svg:text", { x: right, y: bottom + 30 * k, "text-anchor": "end", style: `fill:${this.ink[pair[0]]}`, class: "axis" }, `score at exit ${pair[0] + 1} →`));
    svg.append(element("svg:text", { x: left, y: top - 8 * k, style: `fill:${this.ink[pair[1]]}`, class: "axis" }, `↑ score at exit ${pair[1] + 1}`));
    const most = Math.max(...bins.map(([, , wrong, fine]) => wrong + fine), 1);
    const full = Math.min(dx, dy) - 1;
    for (const [i, j, wrong, fine, shownWrong, shownRight] of bins) {
      const here = wrong + fine;
      const passing = shownWrong + shownRight;
      const range = (axis, at) => `${score(edges[axis][at])} to ${score(edges[axis][at + 1])}`;
      const name = `box:${pair[0] + 1}_${pair[1] + 1}_${edges[0][i]}_${edges[0][i + 1]}_${edges[1][j]}_${edges[1][j + 1]}`;
      const group = this.mark(element("svg:g", { class: "bin" }), name, `Exit ${pair[0] + 1} ${range(0, i)}, exit ${pair[1] + 1} ${range(1, j)}: ${count(here)} images, ${count(wrong)} end wrong${filtered ? `; ${count(passing)} in the filter` : ""}`);
      const [x, y] = [left + (i + 0.5) * dx, bottom - (j + 0.5) * dy];
      group.append(element("svg:rect", { x: x - dx / 2, y: y - dy / 2, width: dx, height: dy, class: "catch" }));
      const draw = (amount, bad, faint) => {
        if (!amount) return;
        const side = Math.max(2, full * (amount / most) ** 0.3);
        const part = (side * bad) / amount;
        if (part < side) group.append(element("svg:rect", { x: x - side / 2, y: y - side / 2, width: side, height: side - part, fill: this.accent, class: faint ? "faint" : "" }));
        if (part > 0) group.append(element("svg:rect", { x: x - side / 2, y: y + side / 2 - part, width: side, height: part, fill: this.wrong, class: faint ? "faint" : "" }));
      };
      draw(here, wrong, filtered);
      if (filtered) draw(passing, shownWrong, false);
      svg.append(group);
    }
    limits.forEach((limit, axis) => {
      if (limit === null || limit >= 1) return;
      const at = place(limit, axis);
      svg.append(axis ? element("svg:line", { x1: left, x2: right, y1: at, y2: at, class: "limit" }) : element("svg:line", { x1: at, x2: at, y1: top, y2: bottom, class: "limit" }));
    });
    const outline = (ends) => {
      const [x0, x1, y0, y1] = [place(ends[0], 0), place(ends[1], 0), place(ends[3], 1), place(ends[2], 1)];
      return { x: x0, y: y0, width: Math.max(1, x1 - x0), height: Math.max(1, y1 - y0) };
    };
    for (const name of this.on) {
      const parts = name.split(":");
      const ends = (parts[1] ?? "").split("_").map(Number);
      if (parts[0] === "box" && ends[0] === pair[0] + 1 && ends[1] === pair[1] + 1) svg.append(element("svg:rect", { ...outline(ends.slice(2)), class: "box" }));
    }
    this.drawBox(svg, { left, top, right, bottom, dx, dy, size, edges, pair, outline });
    const send = (axis, value) => this.send("wish", { pair: axis ? [pair[0], value] : [value, pair[1]] });
    const options = [...Array(this.data.exits).keys()].map((e) => [String(e), `exit ${e + 1}`]);
    const against = element("span", { class: "between" }, "against");
    return [
      this.head("How sure two exits are", "draw a box, or pick a square · orange: ends wrong · dashed: T",
        this.choice("along", "Exit along", options, pair[0], (value) => send(0, Number(value))), against,
        this.choice("up", "Exit upwards", options, pair[1], (value) => send(1, Number(value)))),
      element("div", { class: "plot" }, svg),
    ];
  }

  // a box drawn with the pointer, its sides on the edges of bins
  drawBox(svg, frame) {
    const { left, top, bottom, dx, dy, size, edges, pair, outline } = frame;
    const bin = (event) => {
      const box = svg.getBoundingClientRect();
      const clamp = (value) => Math.min(size - 1, Math.max(0, Math.floor(value)));
      return [clamp((event.clientX - box.left - left) / dx), clamp((bottom - (event.clientY - box.top)) / dy)];
    };
    let start = null;
    let drawn = null;
    let ends = null;
    svg.onpointerdown = (event) => {
      const box = svg.getBoundingClientRect();
      const inside = event.clientX - box.left >= left && event.clientY - box.top <= bottom && event.clientY - box.top >= top - 4;
      if (event.button === 0 && inside) start = { at: bin(event), x: event.clientX, y: event.clientY };
    };
    svg.onpointermove = (event) => {
      if (!start || (!drawn && Math.hypot(event.clientX - start.x, event.clientY - start.y) < 5)) return;
      if (!drawn) {
        svg.setPointerCapture(event.pointerId);
        drawn = element("svg:rect", { class: "box" });
        svg.append(drawn);
        this.tell(null);
      }
      const here = bin(event);
      const low = [0, 1].map((axis) => Math.min(here[axis], start.at[axis]));
      const high = [0, 1].map((axis) => Math.max(here[axis], start.at[axis]) + 1);
      ends = [edges[0][low[0]], edges[0][high[0]], edges[1][low[1]], edges[1][high[1]]];
      for (const [name, value] of Object.entries(outline(ends))) drawn.setAttribute(name, value);
    };
    svg.onpointerup = (event) => {
      if (drawn && ends) {
        this.dragged = true; // the click that follows belongs to the box
        setTimeout(() => { this.dragged = false; }, 0);
        this.send("click", { mark: `box:${pair[0] + 1}_${pair[1] + 1}_${ends.join("_")}`, add: event.shiftKey || event.metaKey || event.ctrlKey });
      }
      start = drawn = ends = null;
    };
    svg.onpointercancel = () => {
      drawn?.remove();
      start = drawn = ends = null;
    };
  }

  // ---- the current point against the pinned one

  moves({ all, shown, points, changed, turned }) {
    const { exits } = this.data;
    const table = element("table", {}, element("tr", {}, element("th"), element("th", {}, "right"), element("th", {}, "cost")));
    points.forEach(([words, accuracy, cost], i) => table.append(element("tr", {}, element("th", { scope: "row" }, element("b", {}, i ? "now " : "pinned "), words), element("td", {}, percent(accuracy)), element("td", {}, cost.toFixed(2)))));
    const flat = (cells) => cells && cells.flat();
    const turnedShown = (to) => (shown ? sum(flat(shown).map((cell) => cell[1 - to][to])) : 0);
    const movedShown = shown ? sum(shown.flatMap((row, i) => row.map((cell, j) => (i === j ? 0 : sum(cell.flat()))))) : 0;
    const fact = (name, number, words, className, passing) => this.mark(element("button", { class: `fact ${className}` }, element("b", {}, count(number)), ` ${words}`), name, `${count(number)} ${words}${this.passing(passing)}`);
    const facts = element("div", { class: "facts" }, fact("move:x_x_c", changed, "change exit", "", movedShown), fact("move:x_x_r", turned[0], "turn right", "good", turnedShown(1)), fact("move:x_x_w", turned[1], "turn wrong", "miss", turnedShown(0)));
    const most = Math.max(...all.flatMap((row, i) => row.map((cell, j) => (i === j ? 0 : sum(cell.flat())))), 1);
    const grid = element("div", { class: "matrix moves" });
    grid.style.gridTemplateColumns = `max-content repeat(${exits}, minmax(0, 1fr))`;
    grid.style.gridTemplateRows = `${20 * this.k}px repeat(${exits}, ${Math.min(34 * this.k, (this.body - 124 * this.k) / exits)}px)`;
    grid.append(element("span", { class: "row" }, "from ↓ to →"));
    for (let e = 0; e < exits; e++) grid.append(this.inked(element("span", { class: "over" }, `${e + 1}`), e));
    for (let from = 0; from < exits; from++) {
      grid.append(this.inked(element("span", { class: "row" }, `Exit ${from + 1}`), from));
      for (let to = 0; to < exits; to++) {
        const cell = all[from][to];
        const here = sum(cell.flat());
        const passing = shown ? sum(shown[from][to].flat()) : here;
        const [better, worse] = [cell[0][1], cell[1][0]];
        const button = this.mark(element("button", { class: from === to ? "cell stay" : "cell" }), `move:${from + 1}_${to + 1}`, `From exit ${from + 1} to exit ${to + 1}: ${count(here)} images, ${count(better)} turn right, ${count(worse)} turn wrong${this.passing(passing)}`);
        const strength = here && from !== to ? 12 + 60 * Math.sqrt(here / most) : 0;
        button.style.background = `color-mix(in srgb, ${this.ink[to]} ${shown && !passing ? strength / 4 : strength}%, var(--panel))`;
        if (here) button.append(element("b", {}, count(passing)));
        if (shown && !passing) button.style.color = "var(--muted)";
        for (const [amount, colour, side] of [[better, this.accent, "left"], [worse, this.wrong, "right"]]) {
          if (!amount) continue;
          const bar = element("i", { class: "turn" });
          bar.style.cssText = `${side}:2px;width:calc(${(50 * amount) / Math.max(here, 1)}% - 2px);min-width:2px;background:${colour}`;
          button.append(bar);
        }
        grid.append(button);
      }
    }
    return [this.head("Who moves", "the pinned point against the current one · blue: turns right, orange: turns wrong"), table, facts, grid];
  }

  inked(node, exit) {
    node.style.color = this.ink[exit];
    node.style.fontWeight = 700;
    return node;
  }
}

// the mark that lies next in a direction: near along it, and not far aside
function nearest(from, marks, [wayX, wayY]) {
  const middle = (node) => {
    const box = node.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };
  const [x, y] = middle(from);
  let best = null;
  let least = Infinity;
  for (const mark of marks) {
    if (mark === from) continue;
    const [mx, my] = middle(mark);
    const along = (mx - x) * wayX + (my - y) * wayY;
    const aside = Math.abs((mx - x) * wayY) + Math.abs((my - y) * wayX);
    if (along < 2) continue;
    const distance = along + 3 * aside;
    if (distance < least) [least, best] = [distance, mark];
  }
  return best;
}

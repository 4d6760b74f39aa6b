// The live explorer: histograms with the threshold as a handle, the accuracy-cost plane, exit shares, sentence and figures.
// Everything that moves under the hand is computed here; the server hears of a threshold once, when it is let go.
import {
  always, binTotals, float32Thresholds, makeTally, makeTrace, operatingPoint, oracle, position, route, sweep, thresholdAt,
} from "./arithmetic.js";
import { SVG, THIN, element, inkOn, isDark } from "./shared.js";

const BINS = 40;
const instances = new WeakMap();
// Where the handles were let go. The server leaves the data as they are then, so an explorer that is mounted anew (the
// page around it changed) would start where the data say; kept on the page's global object, for the module may load twice.
const letGo = (globalThis.eenetLetGo ??= { key: null, point: null });

export default function mount({ data, parentElement, setStateValue }) {
  let explorer = instances.get(parentElement);
  if (!explorer) {
    explorer = new Explorer(parentElement);
    instances.set(parentElement, explorer);
  }
  explorer.send = (point) => setStateValue("point", point);
  explorer.show(data);
  return () => {
    explorer.stop();
    instances.delete(parentElement);
  };
}

const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}${THIN}%`;
const round1 = (x) => Math.round(x * 10) / 10;
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const sum = (values) => values.reduce((a, b) => a + b, 0);
const thousands = (n) => n.toLocaleString("en-US");
const macs = (n) => (n >= 1e9 ? `${(n / 1e9).toFixed(2)}${THIN}G` : n >= 1e6 ? `${(n / 1e6).toFixed(1)}${THIN}M` : `${(n / 1e3).toFixed(1)}${THIN}k`);
// a threshold as a person would write it; the exact number stands in the link and in aria-valuenow
function written(t) {
  const text = String(t);
  if (text.length <= 6 || t <= 0 || t >= 1) return text;
  const nines = Math.floor(-Math.log10(1 - t));
  return String(Number(t.toFixed(Math.min(9, Math.max(3, nines + 2)))));
}

function ticks(low, high, wanted) {
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const list = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-6; t += step) list.push(Number(t.toPrecision(10)));
  return { list, step };
}

class Explorer {
  constructor(host) {
    this.host = host;
    this.root = host.querySelector(".explorer");
    const find = (selector) => this.root.querySelector(selector);
    this.nodes = {
      sentence: find(".sentence"), announcer: find(".announcer"), rows: find(".rows"), axis: find(".axis"), chart: find(".chart"),
      shares: find(".shares"), rest: find(".rest"), figures: find(".figures"), exitsCaption: find(".exits .caption-text"), planeCaption: find(".plane .caption-text"),
      shared: find('[data-mode="shared"]'), each: find('[data-mode="each"]'), stretch: find(".stretch"), log: find(".log"), band: find(".band"),
      stream: find(".stream"), riverCaption: find(".river figcaption"),
    };
    this.rest = this.nodes.rest;
    this.nodes.shared.onclick = () => this.setMode(false);
    this.nodes.each.onclick = () => this.setMode(true);
    this.nodes.stretch.onclick = () => this.change(() => { this.stretched = !this.stretched; this.rebin(); });
    this.nodes.log.onclick = () => this.change(() => { this.logCount = !this.logCount; });
    this.nodes.band.onclick = () => this.change(() => { this.showBand = !this.showBand; });
    for (const button of this.root.querySelectorAll(".save")) button.onclick = () => this.save(button.dataset.kind);
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(this.root);
    this.onWindow = () => this.layout();
    window.addEventListener("resize", this.onWindow);
    this.logCount = false;
    this.showBand = true;
    this.trail = [];
    this.before = null;
  }

  stop() {
    this.observer.disconnect();
    window.removeEventListener("resize", this.onWindow);
    cancelAnimationFrame(this.frame);
    clearTimeout(this.pending);
    clearTimeout(this.forgetting);
    clearTimeout(this.telling);
  }

  // ---- what comes from the server -------------------------------------------------------------------------------------

  show(data) {
    const view = data.view;
    this.view = view;
    if (view.trace !== this.traceKey) this.read(data.scores, view);
    if (view.revision !== this.revision) {
      this.revision = view.revision;
      this.adopt(letGo.key === this.key() ? letGo.point : view.point);
    }
    this.plane = { ...this.trace, cost: view.axis.values };
    this.recomputeCurve();
    this.colours();
    this.lastWidth = 0;
    this.layout();
    this.root.dataset.ready = "true";
  }

  read(table, view) {
    this.traceKey = view.trace;
    const early = view.cost.length - 1;
    const column = (name) => table.getChild(name).toArray();
    const scores = Array.from({ length: early }, (_, n) => column(`score${n}`));
    const words = Array.from({ length: Math.ceil(view.cost.length / 32) }, (_, w) => column(`right${w}`));
    const examples = words[0].length;
    const right = view.cost.map((_, n) => {
      const bits = words[n >> 5];
      const flags = new Uint8Array(examples);
      for (let i = 0; i < examples; i++) flags[i] = (bits[i] >>> (n & 31)) & 1;
      return flags;
    });
    this.trace = makeTrace(scores, right, view.cost);
    this.early = early;
    this.exits = new Uint8Array(examples);
    this.alone = always(this.trace);
    this.built = false;
    this.trail = [];
    this.before = null;
  }

  adopt(point) {
    this.off = Array.from({ length: this.early }, (_, n) => point.off.includes(n));
    this.each = point.thresholds.length > 1 || false;
    this.values = Array.from({ length: this.early }, (_, n) => point.thresholds[this.each ? n : 0]);
    this.otherMode = null;
    this.stretched = point.stretched ?? this.scoresCrowd();
    this.sent = this.state();
    this.trail = [];
    this.before = null;
    this.rebin();
  }

  // Do most scores stand above 0.98? Then an even axis shows one bar.
  scoresCrowd() {
    let high = 0;
    let all = 0;
    for (const column of this.trace.scores) {
      for (let i = 0; i < column.length; i += 7) {
        all++;
        if (column[i] > 0.98) high++;
      }
    }
    return high > 0.5 * all;
  }

  state() {
    return JSON.stringify({
      thresholds: this.each ? this.values : this.values.slice(0, 1),
      off: this.off.flatMap((isOff, n) => (isOff ? [n] : [])),
      stretched: this.stretched,
    });
  }

  key() {
    return `${this.traceKey} ${this.revision}`;
  }

  commit() {
    clearTimeout(this.pending);
    const state = this.state();
    if (state === this.sent) return;
    this.sent = state;
    Object.assign(letGo, { key: this.key(), point: JSON.parse(state) });
    this.send(JSON.parse(state));
    clearTimeout(this.forgetting);
    this.forgetting = setTimeout(() => { this.before = null; this.trail = []; this.draw(); }, 4000);
    this.nodes.announcer.textContent = this.nodes.sentence.textContent;
  }

  // ---- what the hand does -----------------------------------------------------------------------------------------------

  change(action) {
    action();
    this.layout(true);
    this.commit();
  }

  setMode(each) {
    if (each === this.each) return;
    this.remember();
    const other = this.otherMode; // where the handles stood the last time
    this.otherMode = [...this.values];
    this.each = each;
    if (other) this.values = other;
    else if (!each) this.values.fill(this.values[this.lastTouched ?? this.firstOn()] ?? this.values[0]);
    this.change(() => {});
  }

  toggleExit(n) {
    this.remember();
    this.trail = [];
    this.off[n] = !this.off[n];
    this.recomputeCurve();
    this.change(() => {});
  }

  // The place to come from, shown until a while after the hand rests; a trail only where the point travels on the curve.
  remember() {
    clearTimeout(this.forgetting);
    this.before = this.now && { x: this.now.planeCost, y: this.now.accuracy, threshold: this.label(0) };
    this.trail = this.before ? [this.before] : [];
  }

  setThreshold(n, value) {
    this.lastTouched = n;
    if (this.each) this.values[n] = value;
    else this.values.fill(value);
    this.request();
  }

  // The handle glides to a far place, so that the eye can follow the point along the curve.
  glide(targets, done) {
    cancelAnimationFrame(this.gliding);
    this.goal = targets;
    const from = this.values.map((t) => position(t, this.stretched));
    const to = targets.map((t) => position(t, this.stretched));
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const start = performance.now();
    const length = still ? 0 : 260;
    const step = (time) => {
      const part = length ? clamp((time - start) / length, 0, 1) : 1;
      const eased = 1 - (1 - part) ** 3;
      this.values = part < 1 ? from.map((f, n) => thresholdAt(f + (to[n] - f) * eased, this.stretched)) : [...targets];
      this.draw();
      if (part < 1) this.gliding = requestAnimationFrame(step);
      else {
        this.goal = null;
        done?.();
      }
    };
    step(start);
  }

  stopGliding() {
    cancelAnimationFrame(this.gliding);
    this.goal = null;
  }

  request() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  grabRow(event, n) {
    if (event.button > 0 || this.off[n]) return;
    const bars = this.rowNodes[n].bars;
    const box = bars.getBoundingClientRect();
    const place = (e) => thresholdAt((e.clientX - box.left) / box.width, this.stretched);
    const onHandle = event.target.closest(".handle");
    const slip = onHandle ? event.clientX - box.left - position(this.values[n], this.stretched) * box.width : 0;
    const at = (e) => place({ clientX: e.clientX - slip });
    this.stopGliding();
    this.remember();
    this.lastTouched = n;
    let dragged = false;
    const surface = onHandle ?? bars;
    if (onHandle || event.pointerType === "mouse") event.preventDefault();
    surface.setPointerCapture(event.pointerId);
    const handle = this.rowNodes[this.each ? n : this.firstOn()].handle;
    handle.focus({ preventScroll: true });
    if (!onHandle) {
      const value = at(event);
      this.glide(this.each ? this.values.map((v, m) => (m === n ? value : v)) : this.values.map(() => value));
    }
    surface.onpointermove = (e) => {
      if (e.pointerId !== event.pointerId) return;
      dragged = true;
      this.stopGliding();
      this.setThreshold(n, at(e));
    };
    const end = (e) => {
      if (e.pointerId !== event.pointerId) return;
      surface.onpointermove = surface.onpointerup = surface.onpointercancel = null;
      if (dragged || !onHandle) {
        if (dragged && e.type === "pointerup") this.setThreshold(n, at(e));
        // a click glides; what is sent is where it ends
        setTimeout(() => { this.draw(); this.commit(); }, dragged ? 0 : 300);
      }
    };
    surface.onpointerup = end;
    surface.onpointercancel = end;
  }

  pressKey(event, n) {
    const fine = event.shiftKey ? 0.1 : 1;
    const steps = {
      ArrowRight: 0.01, ArrowUp: 0.01, ArrowLeft: -0.01, ArrowDown: -0.01, PageUp: 0.1, PageDown: -0.1, Home: -2, End: 2,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    if (!this.pending) this.remember();
    const place = position((this.goal ?? this.values)[n], this.stretched) + steps[event.key] * (Math.abs(steps[event.key]) < 1 ? fine : 1);
    const value = thresholdAt(clamp(place, 0, 1), this.stretched);
    this.stopGliding();
    if (Math.abs(steps[event.key]) < 0.1) this.setThreshold(n, value);
    else this.glide(this.values.map((old, e) => (this.each && e !== n ? old : value)));
    clearTimeout(this.pending);
    this.pending = setTimeout(() => { this.pending = 0; this.draw(); this.commit(); }, 320); // or when the key is let go
  }

  releaseKey() {
    if (!this.pending) return;
    clearTimeout(this.pending);
    this.pending = setTimeout(() => { this.pending = 0; this.draw(); this.commit(); }, this.goal ? 300 : 60);
  }

  firstOn() {
    return Math.max(0, this.off.findIndex((isOff) => !isOff));
  }

  // ---- arithmetic -------------------------------------------------------------------------------------------------------

  rebin() {
    this.tally = makeTally(this.trace, BINS, this.stretched);
    this.totals = this.trace.scores.map((_, n) => binTotals(this.trace, this.tally, n, BINS));
  }

  recomputeCurve() {
    if (!this.trace.examples) return;
    this.curve = sweep(this.plane, this.off);
    this.oracle = oracle(this.plane, this.off);
    if (!this.off.includes(true)) [this.wholeCurve, this.wholeOracle] = [this.curve, this.oracle];
    else if (this.wholeFor !== this.plane) {
      const none = this.off.map(() => false);
      [this.wholeCurve, this.wholeOracle] = [sweep(this.plane, none), oracle(this.plane, none)];
    }
    this.wholeFor = this.plane;
  }

  compute() {
    const thresholds = float32Thresholds(this.values, this.off, this.early);
    route(this.trace, thresholds, this.exits, this.tally);
    const now = operatingPoint(this.trace, this.exits);
    now.planeCost = sum(this.view.axis.values.map((value, n) => value * now.counts[n])) / this.trace.examples;
    this.now = now;
  }

  // ---- layout: sizes, everything that does not move under the hand ------------------------------------------------------

  colours() {
    const dark = isDark(this.host);
    const palette = this.view.palette[dark ? "dark" : "light"];
    this.root.classList.toggle("dark", dark);
    this.ink = palette.exits;
    this.root.style.setProperty("--wrong", palette.wrong);
    this.root.style.setProperty("--accent", palette.accent);
    for (let n = 0; n < 3; n++) this.root.style.setProperty(`--e${n}`, palette.exits[Math.min(n, this.early - 1)]);
    this.text = palette.exits.map(inkOn);
  }

  layout(force = false) {
    const width = this.root.clientWidth;
    if (!this.view || !width) return;
    const size = `${width}x${window.innerHeight}`;
    if (!force && size === this.lastWidth) return;
    this.lastWidth = size;
    const onStage = this.view.present ? clamp((1.5 * window.innerHeight) / 1080, 1, 1.5) : 1;
    this.k = (width >= 2900 ? 1.7 : width >= 2150 ? 1.25 : 1) * onStage;
    this.root.style.setProperty("--k", this.k);
    this.root.classList.toggle("present", this.view.present);
    if (!this.trace.examples) {
      this.nodes.rows.replaceChildren(element("p", { class: "empty" }, "No examples in this split."));
      return;
    }
    const k = this.k;
    const stacked = width <= 760;
    const phone = stacked ? 1 : 0;
    const beside = this.view.present ? 320 : 484; // the page's head, the controls, the river and a first look at the gallery
    const wanted = clamp(window.innerHeight - beside * k, 400 * k, 900 * k);
    const around = (22 + 34 + 24) * k + this.early * 33 * k;
    this.barHeight = stacked ? 58 * k : clamp((wanted - around) / this.early, 34 * k, 170 * k);
    const left = this.barHeight * this.early + around;
    this.chartHeight = stacked ? 270 * k : Math.max(300 * k, left - (38 + 30 * phone) * k);
    this.buildRows();
    this.buildRiver();
    this.drawAxis();
    this.drawPlane();
    this.draw();
  }

  buildRows() {
    const k = this.k;
    if (!this.built) {
      this.nodes.rows.replaceChildren();
      this.rowNodes = Array.from({ length: this.early }, (_, n) => this.buildRow(n));
      this.rest.firstElementChild.replaceChildren(element("strong", {}, `Exit ${this.early + 1}`), element("span", { class: "what" }));
      this.built = true;
    }
    this.barWidth = this.nodes.rows.clientWidth;
    this.rest.style.setProperty("--ink", this.ink[this.early]);
    this.rowNodes.forEach((row, n) => {
      row.node.style.setProperty("--ink", this.ink[n]);
      row.bars.style.height = `${this.barHeight}px`;
      row.bars.style.marginBottom = `${9 * k}px`;
      row.svg.setAttribute("width", this.barWidth);
      row.svg.setAttribute("height", this.barHeight);
      row.node.classList.toggle("off", this.off[n]);
      row.what.title = `Everybody leaving here: ${percent(this.alone[n].accuracy)} right`;
      row.toggle.setAttribute("aria-checked", String(!this.off[n]));
      row.toggle.title = this.off[n] ? `Switch exit ${n + 1} on` : `Switch exit ${n + 1} off: no image leaves here`;
      const top = Math.max(1, ...this.totals[n]);
      row.scale = this.logCount ? (c) => (c ? (Math.log10(c) + 0.3) / (Math.log10(top) + 0.3) : 0) : (c) => c / top;
      const step = this.barWidth / BINS;
      let outline = `M0 ${this.barHeight}`;
      for (let b = 0; b < BINS; b++) {
        const y = round1(this.barHeight * (1 - row.scale(this.totals[n][b])));
        outline += `V${y}H${round1((b + 1) * step)}`;
      }
      row.gone.setAttribute("d", `${outline}V${this.barHeight}`);
      row.base.setAttribute("x2", this.barWidth);
      row.base.setAttribute("y1", this.barHeight);
      row.base.setAttribute("y2", this.barHeight);
    });
    const first = this.firstOn();
    this.rowNodes.forEach((row, n) => {
      const active = this.each || n === first;
      row.handle.tabIndex = active && !this.off[n] ? 0 : -1;
      row.handle.setAttribute("aria-hidden", String(!active));
      row.handle.setAttribute("aria-label", this.each ? `Threshold of exit ${n + 1}` : "Threshold of all exits");
    });
    this.nodes.shared.parentElement.style.display = this.early > 1 ? "" : "none";
    this.nodes.shared.setAttribute("aria-checked", String(!this.each));
    this.nodes.each.setAttribute("aria-checked", String(this.each));
    this.nodes.stretch.setAttribute("aria-pressed", String(this.stretched));
    this.nodes.log.setAttribute("aria-pressed", String(this.logCount));
    this.nodes.band.setAttribute("aria-pressed", String(this.showBand));
    const split = `${thousands(this.trace.examples)} ${this.view.split} images`;
    this.nodes.exitsCaption.textContent = `${this.view.rule.label} at each exit, over ${split}. Grab a handle: images to the right of it leave.`;
    this.nodes.exitsCaption.title = `Score: ${this.view.rule.formula}`;
    this.nodes.planeCaption.textContent =
      `Accuracy against ${this.view.axis.title} (${this.view.split}, n = ${thousands(this.trace.examples)}${this.showBand ? "; band: ± 1 standard error" : ""})`;
  }

  buildRow(n) {
    const node = element("div", { class: "row", "data-exit": n + 1 });
    const head = element("div", { class: "row-head" });
    const what = element("span", { class: "what" });
    const toggle = element("button", { class: "switch", type: "button", role: "switch", "aria-label": `Exit ${n + 1} in use` });
    toggle.append(element("i"));
    toggle.onclick = () => this.toggleExit(n);
    head.append(element("strong", {}, `Exit ${n + 1}`), what, toggle);
    const bars = element("div", { class: "bars" });
    const svg = element("svg:svg", { "aria-hidden": "true" });
    const gone = element("svg:path", { class: "gone" });
    svg.append(gone);
    const paths = {};
    for (const [name, classes] of [["stayRight", "stay right"], ["stayWrong", "stay wrong"], ["leaveRight", "right"], ["leaveWrong", "wrong"], ["left", "left"]]) {
      paths[name] = element("svg:path", { class: classes });
      svg.append(paths[name]);
    }
    const base = element("svg:line", { class: "base", x1: 0 });
    svg.append(base);
    const handle = element("div", { class: "handle", role: "slider", "aria-valuemin": 0, "aria-valuemax": 1, "aria-orientation": "horizontal" });
    const value = element("span", { class: "value" });
    handle.append(element("span", { class: "grip" }), value);
    bars.append(svg, handle);
    node.append(head, bars);
    bars.onpointerdown = (event) => this.grabRow(event, n);
    handle.onkeydown = (event) => this.pressKey(event, n);
    handle.onkeyup = () => this.releaseKey();
    this.nodes.rows.append(node);
    return { node, what, toggle, bars, svg, paths, gone, base, handle, value };
  }

  // The river: images run from left to right and drop out at the exits. Across lies the cost, its height is the share of the
  // images still on the way: what is filled is the computation done.
  buildRiver() {
    const k = this.k;
    const { stream, riverCaption } = this.nodes;
    const cost = this.view.cost;
    const room = 12 * k; // for the last circle
    const width = Math.max(80, stream.clientWidth - room);
    const height = 30 * k;
    const svg = element("svg:svg", { width: stream.clientWidth, height: height + 14 * k, "aria-hidden": "true" });
    svg.append(element("svg:rect", { class: "bed", width, height, rx: 3 }));
    const flows = cost.map((_, n) => {
      const left = n ? (cost[n - 1] / cost.at(-1)) * width : 0;
      const flow = element("svg:rect", { x: left, width: (cost[n] / cost.at(-1)) * width - left, fill: this.ink[n] });
      svg.append(flow);
      return flow;
    });
    const mouths = cost.map((c, n) => {
      const x = (c / cost.at(-1)) * width;
      const mouth = element("svg:g", { opacity: n < this.early && this.off[n] ? 0.35 : 1 });
      mouth.append(
        element("svg:circle", { class: "mouth", cx: x, cy: height, r: 10 * k, fill: this.ink[n] }),
        element("svg:text", { x, y: height + 4 * k, fill: this.text[n] }, String(n + 1)),
      );
      mouth.append(element("svg:title", {}, `Exit ${n + 1}, after ${percent(c, 0)} of the plain network's computation`));
      svg.append(mouth);
      return mouth;
    });
    stream.replaceChildren(svg);
    this.river = { flows, mouths, height };
    riverCaption.textContent = "An image runs to the right and stops at the first exit that is sure enough. Filled: the computation done.";
  }

  drawRiver() {
    const { flows, height } = this.river;
    let running = 1;
    const texts = [];
    flows.forEach((flow, n) => {
      flow.setAttribute("y", round1(height * (1 - running)));
      flow.setAttribute("height", Math.max(0, round1(height * running)));
      texts.push(`${percent(running, 0)} run to exit ${n + 1}`);
      running -= this.now.counts[n] / this.trace.examples;
    });
    this.nodes.stream.setAttribute("aria-label", `Share of the images on the way: ${texts.join(", ")}`);
  }

  drawAxis() {
    const marks = this.stretched ? [0, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999, 1] : [0, 0.2, 0.4, 0.6, 0.8, 1];
    const fits = this.stretched && this.barWidth < 420 * this.k ? marks.filter((_, i) => [0, 1, 2, 3, 5, 7].includes(i)) : marks;
    this.nodes.axis.replaceChildren(...fits.map((mark, i) => {
      const span = element("span", { class: i === 0 ? "first" : i === fits.length - 1 ? "last" : "" }, String(mark));
      span.style.left = `${100 * position(mark, this.stretched)}%`;
      return span;
    }));
  }

  // ---- the accuracy-cost plane ------------------------------------------------------------------------------------------

  planeScale() {
    const { alone, view } = this;
    const values = view.axis.values;
    const full = view.axis.full; // what the plain network costs on this axis
    const right = Math.max(full, ...values) * 1.03;
    const lowest = Math.min(...values);
    const cut = Math.max(0, lowest - 0.06 * (right - lowest));
    const low = cut < 0.12 * right ? 0 : cut;
    let floor = 1; // of all exits and of those in use, so that switching one off moves no axis if it can be helped
    for (const curve of [this.wholeCurve, this.curve]) for (const a of curve.accuracy) if (a < floor) floor = a;
    for (const point of alone) floor = Math.min(floor, point.accuracy);
    const top = Math.max(this.wholeOracle.at(-1).accuracy, view.plain?.accuracy ?? 0, ...alone.map((p) => p.accuracy));
    const { list, step } = ticks(floor - 0.03 * (1 - floor), top, 5);
    const bottom = Math.max(0, list[0] > floor - 0.02 * (top - floor) ? list[0] - step : list[0]);
    return { low, right, bottom, ceiling: Math.min(1, top + 0.06 * (top - bottom)) };
  }

  drawPlane() {
    const k = this.k;
    const width = this.nodes.chart.clientWidth;
    this.chartWidth = width;
    const height = this.chartHeight;
    const margin = { left: 46 * k, right: 14 * k, top: 12 * k, bottom: 44 * k };
    const scale = this.planeScale();
    const X = (c) => margin.left + ((c - scale.low) / (scale.right - scale.low)) * (width - margin.left - margin.right);
    const Y = (a) => margin.top + ((scale.ceiling - a) / (scale.ceiling - scale.bottom)) * (height - margin.top - margin.bottom);
    Object.assign(this, { X, Y });
    const svg = element("svg:svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    svg.append(element("svg:title", {}, "Accuracy against cost"));
    const add = (tag, attributes, text = null) => {
      const node = element(`svg:${tag}`, attributes, text);
      svg.append(node);
      return node;
    };
    const yTicks = ticks(scale.bottom, scale.ceiling, height < 300 * k ? 4 : 5);
    const yDigits = yTicks.step < 0.01 - 1e-9 ? 1 : 0;
    for (const tick of yTicks.list) {
      add("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: Y(tick), y2: Y(tick) });
      add("text", { class: "tick", x: margin.left - 8 * k, y: Y(tick) + 4 * k, "text-anchor": "end" }, `${(100 * tick).toFixed(yDigits)}%`);
    }
    const xTicks = ticks(scale.low, scale.right, width < 420 * k ? 4 : 6).list;
    for (const tick of xTicks) {
      add("text", { class: "tick", x: X(tick), y: height - margin.bottom + 19 * k, "text-anchor": "middle" }, this.axisNumber(tick, xTicks.length > 1 ? xTicks[1] - xTicks[0] : 1));
    }
    add("text", { x: (margin.left + width - margin.right) / 2, y: height - 7 * k, "text-anchor": "middle" }, this.view.axis.label);

    // the curve, thinned to what a screen can show
    const { curve } = this;
    this.drawn = [];
    let last = null;
    for (let row = 0; row < curve.threshold.length; row++) {
      const x = X(curve.cost[row]);
      const y = Y(curve.accuracy[row]);
      if (last && row < curve.threshold.length - 1 && Math.abs(x - last.x) + Math.abs(y - last.y) < 0.7) continue;
      last = { row, x, y };
      this.drawn.push(last);
    }
    if (this.showBand) {
      const n = this.trace.examples;
      const edge = (p, side) => {
        const a = curve.accuracy[p.row];
        return `${round1(p.x)} ${round1(clamp(Y(a + side * Math.sqrt(a * (1 - a) / n)), margin.top, height - margin.bottom))}`;
      };
      const up = this.drawn.map((p) => edge(p, 1));
      const down = this.drawn.map((p) => edge(p, -1)).reverse();
      add("path", { class: "band", d: `M${[...up, ...down].join("L")}Z` });
    }
    const boxes = []; // where labels stand already
    const obstacles = [...this.drawn]; // points of lines that no label should cover
    this.oracle.forEach((p, i) => {
      for (let part = 0; i && part <= 1; part += 0.05) {
        const before = this.oracle[i - 1];
        obstacles.push({ x: X(before.cost + part * (p.cost - before.cost)), y: Y(before.accuracy + part * (p.accuracy - before.accuracy)) });
      }
    });
    const label = (text, x, y, attributes = {}, places = [[9, 15], [9, -8], [-9, 15, "end"], [-9, -8, "end"], [0, 24, "middle"], [0, -14, "middle"]]) => {
      const long = text.length * 6.7 * k;
      const tall = 14 * k;
      let best = null;
      for (const [dx, dy, anchor = "start"] of places) {
        const left = x + dx * k - (anchor === "end" ? long : anchor === "middle" ? long / 2 : 0);
        const box = { left, right: left + long, top: y + dy * k - tall * 0.8, bottom: y + dy * k + tall * 0.25 };
        const outside = Math.max(0, box.right - width + 2) + Math.max(0, margin.left - box.left) + Math.max(0, box.bottom - height + margin.bottom) + Math.max(0, -box.top);
        let clash = outside * 4;
        for (const other of boxes) {
          const w = Math.min(box.right, other.right) - Math.max(box.left, other.left);
          const h = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
          if (w > 0 && h > 0) clash += w * (other.weight ?? 1);
        }
        for (const p of obstacles) if (p.x > box.left && p.x < box.right && p.y > box.top && p.y < box.bottom) clash += 0.4;
        if (!best || clash < best.clash - 0.01) best = { clash, dx, dy, anchor, box };
      }
      boxes.push(best.box);
      return add("text", { class: "label-back", x: x + best.dx * k, y: y + best.dy * k, "text-anchor": best.anchor, ...attributes }, text);
    };
    for (const point of this.alone) {
      const x = X(this.view.axis.values[point.exit]);
      const y = Y(point.accuracy);
      boxes.push({ left: x - 6 * k, right: x + 6 * k, top: y - 6 * k, bottom: y + 6 * k, weight: 3 });
    }
    add("path", { class: "oracle", d: `M${this.oracle.map((p) => `${round1(X(p.cost))} ${round1(Y(p.accuracy))}`).join("L")}` });
    const end = this.oracle.at(-1);
    const oracleLabel = label("oracle", X(end.cost), Y(end.accuracy), {}, [[8, 15], [8, 4], [-8, 15, "end"]]);
    oracleLabel.append(element("svg:title", {}, "Leaves at the first exit that is right, at exit 1 if none is: nobody can do better with these answers"));
    const { plain } = this.view;
    if (plain) {
      add("line", { class: "plain", x1: margin.left, x2: width - margin.right, y1: Y(plain.accuracy), y2: Y(plain.accuracy) });
      add("circle", { class: "plain-dot", cx: X(this.view.axis.full), cy: Y(plain.accuracy), r: 4.5 * k });
      const text = `${plain.name}, trained alike ${percent(plain.accuracy)}`;
      label(text, margin.left, Y(plain.accuracy), {}, [0.97, 0.8, 0.6, 0.45, 0].flatMap((part) => [-7, 16].map((dy) => [(part * (width - margin.right - margin.left)) / k + 8, dy, part ? "end" : "start"])));
    }
    add("path", { class: "curve", d: `M${this.drawn.map((p) => `${round1(p.x)} ${round1(p.y)}`).join("L")}` });
    const { front } = this.view;
    if (front) {
      add("path", { class: "front", d: `M${front.cost.map((c, i) => `${round1(X(c))} ${round1(Y(front.accuracy[i]))}`).join("L")}` });
      front.cost.forEach((c, i) => {
        const dot = add("circle", { class: "front-dot", cx: X(c), cy: Y(front.accuracy[i]), r: 3 * k });
        dot.append(element("svg:title", {}, `T = ${front.thresholds[i].map(written).join(", ")}`));
      });
      const middle = Math.floor(front.cost.length / 2);
      const words = label("best per exit", X(front.cost[middle]), Y(front.accuracy[middle]), { style: "fill: var(--accent)" }, [[0, -14, "middle"], [0, 24, "middle"], [0, -30, "middle"], [0, 40, "middle"]]);
      words.append(element("svg:title", {}, "Thresholds of their own for every exit that no others beat on the calibration split, shown as they do on test. Click a point to take them."));
    }
    this.moving = {
      trail: add("path", { class: "trail" }),
      before: add("circle", { class: "before", r: 6 * k, visibility: "hidden" }),
      guide: add("path", { class: "guide", fill: "none" }),
    };
    for (const point of this.alone) {
      const x = X(this.view.axis.values[point.exit]);
      const y = Y(point.accuracy);
      const off = point.exit < this.early && this.off[point.exit];
      const dot = add("circle", { cx: x, cy: y, r: 5.5 * k, fill: this.ink[point.exit], opacity: off ? 0.3 : 1, stroke: "var(--page)", "stroke-width": 1.5 });
      dot.append(element("svg:title", {}, `Everybody leaves at exit ${point.exit + 1}: ${percent(point.accuracy)} right at ${this.axisNumber(this.view.axis.values[point.exit])}`));
      label(`all at ${point.exit + 1}`, x, y);
    }
    Object.assign(this.moving, {
      probe: add("circle", { class: "probe", r: 4 * k, visibility: "hidden" }),
      halo: add("circle", { class: "halo", r: 16 * k }),
      point: add("circle", { class: "point", r: 8 * k }),
    });
    const hit = add("rect", { class: "hit", x: margin.left, y: 0, width: width - margin.left, height: height - margin.bottom });
    this.tip ??= element("div", { class: "tip" });
    this.nodes.chart.replaceChildren(svg, this.tip);
    this.svg = svg;
    this.margin = margin;
    hit.onpointerdown = (event) => this.grabPlane(event, hit);
    hit.onpointermove = (event) => this.hover(event);
    hit.onpointerleave = () => this.hideProbe();
  }

  axisNumber(value, step = 0.01) {
    const digits = this.view.axis.digits ?? clamp(Math.ceil(-Math.log10(step) - 1e-9), 0, 4);
    return value.toFixed(step >= 1 ? 0 : Math.max(digits, step < 0.1 - 1e-9 ? 2 : 1));
  }

  nearestRow(event) {
    const box = this.svg.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    let best = null;
    for (const p of this.drawn) {
      const distance = (p.x - x) ** 2 + 0.15 * (p.y - y) ** 2;
      if (!best || distance < best.distance) best = { ...p, distance, flat: Math.hypot(p.x - x, p.y - y) };
    }
    return best;
  }

  // A threshold a person would write down that lies within the row: row k holds for threshold[k+1] < T <= threshold[k].
  roundWithin(row) {
    const high = this.curve.threshold[row];
    const low = row + 1 < this.curve.threshold.length ? this.curve.threshold[row + 1] : 0;
    for (let digits = 2; digits <= 9; digits++) {
      const value = Number((Math.floor(high * 10 ** digits + 1e-9) / 10 ** digits).toFixed(digits));
      const single = Math.fround(value);
      if (single <= high && (single > low || (single === 0 && low === 0))) return value;
    }
    return high;
  }

  hover(event) {
    if (event.buttons || event.pointerType === "touch") return;
    const near = this.nearestRow(event);
    if (!near || near.flat > 26 * this.k) return this.hideProbe();
    const { curve } = this;
    this.moving.probe.setAttribute("cx", near.x);
    this.moving.probe.setAttribute("cy", near.y);
    this.moving.probe.setAttribute("visibility", "visible");
    this.tip.textContent = `T = ${this.roundWithin(near.row)}: ${percent(curve.accuracy[near.row])} right at ${this.axisNumber(curve.cost[near.row])}`;
    this.tip.style.display = "block";
    const flip = near.x > this.nodes.chart.clientWidth - 220 * this.k;
    this.tip.style.left = `${near.x + (flip ? -10 : 12) * this.k}px`;
    this.tip.style.transform = flip ? "translateX(-100%)" : "";
    this.tip.style.top = `${near.y + 14 * this.k}px`;
  }

  hideProbe() {
    this.moving.probe.setAttribute("visibility", "hidden");
    this.tip.style.display = "none";
  }

  grabPlane(event, hit) {
    if (event.button > 0) return;
    const near = this.nearestRow(event);
    const pointer = this.svg.getBoundingClientRect();
    const onPoint = Math.hypot(this.X(this.now.planeCost) - event.clientX + pointer.left, this.Y(this.now.accuracy) - event.clientY + pointer.top) < 22 * this.k;
    const frontPoint = this.nearestFront(event);
    if (frontPoint && (!near || frontPoint.distance < near.flat)) {
      this.remember();
      this.each = true;
      this.layout(true);
      this.glide([...frontPoint.thresholds], () => this.commit());
      return;
    }
    if (this.each || !near || (!onPoint && near.flat > 40 * this.k)) return;
    event.preventDefault();
    this.hideProbe();
    this.remember();
    hit.setPointerCapture(event.pointerId);
    this.nodes.chart.classList.add("dragging");
    const move = (e) => this.setThreshold(this.firstOn(), this.roundWithin(this.nearestRow(e).row));
    if (!onPoint) move(event);
    hit.onpointermove = move;
    hit.onpointerup = hit.onpointercancel = () => {
      hit.onpointermove = (e) => this.hover(e);
      hit.onpointerup = hit.onpointercancel = null;
      this.nodes.chart.classList.remove("dragging");
      this.draw();
      this.commit();
    };
  }

  nearestFront(event) {
    const { front } = this.view;
    if (!front) return null;
    const box = this.svg.getBoundingClientRect();
    let best = null;
    front.cost.forEach((c, i) => {
      const distance = Math.hypot(this.X(c) - event.clientX + box.left, this.Y(front.accuracy[i]) - event.clientY + box.top);
      if (distance < 14 * this.k && (!best || distance < best.distance)) best = { distance, thresholds: front.thresholds[i] };
    });
    return best;
  }

  // ---- one frame ----------------------------------------------------------------------------------------------------------

  draw() {
    if (!this.trace.examples || !this.rowNodes) return;
    const began = performance.now();
    this.compute();
    const { now, early } = this;
    const n = this.trace.examples;
    const step = this.barWidth / BINS;
    const gap = Math.min(1.2, step * 0.1);
    const H = this.barHeight;
    for (let e = 0; e < early; e++) {
      const row = this.rowNodes[e];
      const { bars } = this.tally;
      let a = "", b = "", c = "", d = "", f = "";
      for (let bin = 0; bin < BINS; bin++) {
        const x = round1(bin * step);
        const w = round1(step - gap);
        let count = 0;
        let y = H;
        const bar = (more) => {
          count += more;
          const top = round1(H - H * row.scale(count));
          const path = `M${x} ${y}H${round1(x + w)}V${top}H${x}Z`;
          y = top;
          return path;
        };
        const slot = e * this.tally.stride + bin * 4;
        if (bars[slot]) a += bar(bars[slot]);
        if (bars[slot + 2]) b += bar(bars[slot + 2]);
        if (bars[slot + 3]) c += bar(bars[slot + 3]);
        if (bars[slot + 1]) d += bar(bars[slot + 1]);
        const earlier = this.totals[e][bin] - count;
        if (earlier) f += bar(earlier);
      }
      row.paths.leaveRight.setAttribute("d", a);
      row.paths.stayRight.setAttribute("d", b);
      row.paths.stayWrong.setAttribute("d", c);
      row.paths.leaveWrong.setAttribute("d", d);
      row.paths.left.setAttribute("d", f);
      const place = position(this.values[e], this.stretched);
      row.handle.style.left = `${100 * place}%`;
      row.handle.classList.toggle("flip", place > 0.8);
      const shown = this.each || e === this.firstOn();
      row.value.textContent = shown ? `T ${written(this.values[e])}` : "";
      row.handle.setAttribute("aria-valuenow", this.values[e]);
      row.handle.setAttribute("aria-valuetext", `${written(this.values[e])}: ${percent(now.accuracy)} right for ${percent(now.cost, 0)} of the computation`);
      row.what.textContent = this.off[e]
        ? "switched off"
        : `cost ${this.view.cost[e].toFixed(2)} · ${this.share(e)} leave here${this.howRight(e)}`;
    }
    this.rest.querySelector(".what").textContent =
      `cost ${this.view.cost[early].toFixed(2)} · takes the rest: ${this.share(early)}${this.howRight(early)}`;
    this.drawPoint();
    this.drawRiver();
    this.drawShares();
    this.drawWords();
    this.tellTheGallery();
    this.lastWork = performance.now() - began;
    this.root.dataset.work = this.lastWork.toFixed(2);
  }

  share(e) {
    const part = this.now.counts[e] / this.trace.examples;
    return part > 0 && part < 0.005 ? `< 1${THIN}%` : percent(part, 0);
  }

  // `, 92 % of them right` where anybody leaves
  howRight(e) {
    const { counts, right } = this.now;
    if (!counts[e]) return "";
    const share = right[e] / counts[e];
    const nearlyAll = share > 0.995 && share < 1; // never "100 %" where some are wrong
    return `, ${share > 0.9995 && nearlyAll ? `> 99.9${THIN}%` : percent(share, nearlyAll ? 1 : 0)} of them right`;
  }

  drawPoint() {
    const { X, Y, now, moving, margin } = this;
    const x = X(now.planeCost);
    const y = Y(now.accuracy);
    for (const node of [moving.halo, moving.point]) {
      node.setAttribute("cx", x);
      node.setAttribute("cy", y);
    }
    moving.guide.setAttribute("d", `M${margin.left} ${round1(y)}H${round1(x)}V${round1(this.chartHeight - margin.bottom)}`);
    const last = this.trail.at(-1);
    if (this.trail.length && (!last || last.x !== now.planeCost || last.y !== now.accuracy)) {
      this.trail.push({ x: now.planeCost, y: now.accuracy });
      if (this.trail.length > 400) this.trail.splice(1, 1);
    }
    moving.trail.setAttribute("d", this.trail.length > 1 ? `M${this.trail.map((p) => `${round1(X(p.x))} ${round1(Y(p.y))}`).join("L")}` : "");
    const moved = this.before && (this.before.x !== now.planeCost || this.before.y !== now.accuracy);
    moving.before.setAttribute("visibility", moved ? "visible" : "hidden");
    if (moved) {
      moving.before.setAttribute("cx", X(this.before.x));
      moving.before.setAttribute("cy", Y(this.before.y));
    }
  }

  // The gallery below hears at once how many leave where; its images follow when the handle is let go.
  tellTheGallery() {
    this.telling ??= setTimeout(() => {
      this.telling = null;
      const { counts, right } = this.now;
      const detail = { counts: Array.from(counts), wrong: Array.from(counts, (count, e) => count - right[e]), moving: this.state() !== this.sent };
      window.dispatchEvent(new CustomEvent("eenet-point", { detail }));
    }, 40);
  }

  drawShares() {
    const { shares } = this.nodes;
    const { counts } = this.now;
    if (shares.children.length !== counts.length) {
      shares.replaceChildren(...Array.from(counts, (_, e) => {
        const part = element("div");
        part.append(element("span"));
        part.firstChild.append(element("b", {}, String(e + 1)), document.createTextNode(""));
        return part;
      }));
    }
    const width = this.chartWidth;
    const texts = [];
    counts.forEach((count, e) => {
      const share = count / this.trace.examples;
      const part = shares.children[e];
      part.style.width = `${100 * share}%`;
      part.style.background = this.ink[e];
      part.style.color = this.text[e];
      const text = percent(share, 0);
      part.firstChild.lastChild.data = share * width > 56 * this.k ? text : "";
      part.firstChild.style.visibility = share * width > 20 * this.k ? "visible" : "hidden";
      texts.push(`exit ${e + 1} ${text}`);
    });
    shares.setAttribute("aria-label", `Share of the images at each exit: ${texts.join(", ")}`);
    shares.title = texts.join(" · ");
  }

  label() {
    return this.each ? this.values.map(written).join(", ") : written(this.values[0]);
  }

  drawWords() {
    const { now } = this;
    const n = this.trace.examples;
    const used = this.off.filter((isOff) => !isOff).length;
    const start = !used ? "With every early exit switched off" : this.each ? (used === 1 ? "With this threshold" : `With these ${used} thresholds`) : `At T = ${written(this.values[0])}`;
    const b = (text) => element("b", {}, text);
    this.nodes.sentence.replaceChildren(
      `${start} the network is `, b(`${percent(now.accuracy)} right`), " for ", b(`${percent(now.cost, 0)} of the computation`), `; ${this.tail()}`,
    );
    const full = this.alone.at(-1).accuracy;
    const points = 100 * (now.accuracy - full);
    const figures = [
      [percent(now.accuracy), `accuracy ± ${(100 * now.accuracyError).toFixed(1)} · full network ${percent(full)}`],
      [now.cost.toFixed(2), `relative cost ± ${now.costError < 0.0005 && now.costError > 0 ? "<0.001" : now.costError.toFixed(3)} · ${macs(now.cost * this.view.plainMacs)} MACs an image`],
      this.saved(used),
      [`${points < -0.05 ? "−" : points > 0.05 ? "+" : "±"}${Math.abs(points).toFixed(1)}`, "points against the full network"],
    ];
    const { timing, note } = this.view;
    if (timing) {
      const mean = sum(timing.exits.map((ms, e) => ms * now.counts[e])) / n;
      figures.push([`${(timing.full / mean).toFixed(1)}${THIN}×`, `as fast as the plain network, measured one image at a time: ${mean.toFixed(1)}${THIN}ms against ${timing.full.toFixed(1)}${THIN}ms`]);
    }
    if (note && this.noteHolds(note)) figures.push([note.title, note.text]);
    const { figures: list } = this.nodes;
    if (list.children.length !== figures.length) {
      list.replaceChildren(...figures.map(() => {
        const figure = element("div", { class: "figure" });
        figure.append(element("strong"), element("span"));
        return figure;
      }));
    }
    figures.forEach(([number, words], i) => {
      const [strong, span] = list.children[i].children;
      list.children[i].classList.toggle("note", Boolean(note) && number === note.title);
      if (strong.textContent !== number) strong.textContent = number;
      if (span.textContent !== words) span.textContent = words;
    });
    this.root.dataset.accuracy = now.accuracy;
    this.root.dataset.cost = now.cost;
    this.root.dataset.counts = Array.from(now.counts).join(",");
  }

  saved(used) {
    const part = Math.round(100 * (1 - this.now.cost));
    if (part < 0 && used) return [`−${-part}${THIN}%`, "computation saved: the exits cost more than they save"];
    return [`${Math.max(0, part)}${THIN}%`, part > 0 ? "computation saved" : "nothing saved: all run to the end"];
  }

  // Whether the handles still stand where a wish put them.
  noteHolds(note) {
    return this.values.every((t, e) => this.off[e] || Math.fround(t) === Math.fround(note.thresholds[e]));
  }

  tail() {
    const { counts } = this.now;
    const n = this.trace.examples;
    const early = 1 - counts.at(-1) / n;
    if (early < 0.005) return "no image leaves early";
    let share = 0;
    for (let e = 0; e < this.early; e++) {
      share += counts[e] / n;
      if (share >= 0.5 || e === this.early - 1) {
        const tenth = Math.round(10 * share);
        const who = share > 0.995 ? "all images" : tenth >= 10 ? "nearly all images" : tenth < 1 ? "fewer than 1 in 10 images" : `${tenth} in 10 images`;
        return `${who} leave ${e === 0 ? "at" : "by"} exit ${e + 1}`;
      }
    }
    return "";
  }

  // ---- export -----------------------------------------------------------------------------------------------------------------

  // The chart as it stands, with its colours written into it, a title above and its provenance below.
  drawing() {
    const copy = this.svg.cloneNode(true);
    const inline = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "stroke-linecap", "opacity", "font-size", "font-weight", "paint-order", "visibility"];
    const originals = this.svg.querySelectorAll("*");
    copy.querySelectorAll("*").forEach((node, i) => {
      const style = getComputedStyle(originals[i]);
      for (const name of inline) node.setAttribute(name, style.getPropertyValue(name));
      node.removeAttribute("class");
    });
    copy.querySelectorAll("[style]").forEach((node) => node.removeAttribute("style"));
    copy.querySelectorAll('rect[fill="rgba(0, 0, 0, 0)"]').forEach((node) => node.remove());
    const k = this.k;
    const width = Number(this.svg.getAttribute("width"));
    const height = Number(this.svg.getAttribute("height"));
    const style = getComputedStyle(this.root);
    const page = style.getPropertyValue("--page");
    const text = style.color;
    const muted = style.getPropertyValue("--muted");
    copy.setAttribute("xmlns", SVG);
    copy.setAttribute("viewBox", `0 ${-40 * k} ${width} ${height + 66 * k}`);
    copy.setAttribute("height", height + 66 * k);
    copy.setAttribute("font-family", "Source Sans, Helvetica, Arial, sans-serif");
    copy.prepend(element("svg:rect", { x: 0, y: -40 * k, width, height: height + 66 * k, fill: page }));
    copy.append(
      element("svg:text", { x: 12 * k, y: -18 * k, fill: text, "font-size": 16 * k, "font-weight": 700 }, `${this.view.title}: ${percent(this.now.accuracy)} right for ${percent(this.now.cost, 0)} of the computation`),
      element("svg:text", { x: 12 * k, y: height + 16 * k, fill: muted, "font-size": 11.5 * k }, `Rule: ${this.view.rule.label}, T = ${this.label()}. ${this.view.split}, n = ${thousands(this.trace.examples)}. EENet Explorer`),
    );
    return { source: new XMLSerializer().serializeToString(copy), width, height: height + 66 * k };
  }

  async save(kind) {
    const { source, width, height } = this.drawing();
    const name = `${this.view.file}.${kind}`;
    const svg = new Blob([source], { type: "image/svg+xml" });
    if (kind === "svg") return download(svg, name);
    const picture = new Image();
    picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(source)}`;
    await picture.decode();
    const canvas = element("canvas", { width: Math.round(2 * width), height: Math.round(2 * height) });
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => download(blob, name), "image/png");
  }
}

function download(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

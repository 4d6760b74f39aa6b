// Examples as points in the feature space of an exit. The stepper takes them from exit to exit; a lasso picks some.
import { classed, isDark } from "./shared.js";

const GLIDE = 900; // milliseconds from exit to exit
const NEAR = 9; // pixels from a point that still mean it
const RADIUS = 2;

function share(value) {
  return `${(100 * value).toFixed(1)}\u202f%`;
}

function count(value) {
  return value.toLocaleString("en-US");
}

// whether (x, y) lies inside a polygon of alternating coordinates, by even and odd crossings
function inside(polygon, x, y) {
  let odd = false;
  for (let i = 0, j = polygon.length - 2; i < polygon.length; j = i, i += 2) {
    const [ax, ay, bx, by] = [polygon[i], polygon[i + 1], polygon[j], polygon[j + 1]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}

const instances = new WeakMap();

export default function mount({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".feature_map");
  let map = instances.get(root);
  if (!map) {
    map = build(root);
    instances.set(root, map);
  }
  map.send = (rows) => setTriggerValue("lasso", rows);
  map.take(data, isDark(parentElement));
  return () => {
    map.stop();
    instances.delete(root);
    root.replaceChildren();
  };
}

function build(root) {
  const steps = classed("div", "steps");
  steps.role = "radiogroup";
  steps.ariaLabel = "Exit whose features are shown";
  const legend = classed("div", "legend");
  const canvas = classed("canvas", "");
  canvas.role = "img";
  const tip = classed("div", "tip");
  tip.hidden = true;
  const stage = classed("div", "stage", canvas, tip);
  const caption = classed("p", "");
  caption.ariaLive = "polite";
  root.replaceChildren(classed("div", "head", steps, legend), stage, caption);

  const pen = canvas.getContext("2d");
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  let view, columns, n, ink, dots = new Map();
  let exit = 0, only = null; // the exit that is shown; the class that alone is strong
  let from = null, to = null, began = 0, frame = 0; // places of the points, x and y in turn, in pixels
  let places = new Float32Array(0);
  let width = 0, height = 0, ratio = 1;
  let picked = null; // whether each row is picked
  let held = false; // whether the page's filter has taken up what is picked
  let lasso = null; // {exit, points}: a closed line in pixels
  let drawing = null;
  let known = "";

  function column(name) {
    return columns.getChild(name).toArray();
  }

  function take(data, dark) {
    view = data.view;
    columns = data.points;
    n = columns.numRows;
    const scheme = dark ? "dark" : "light";
    root.classList.toggle("dark", dark);
    ink = { ...view.palette[scheme], classes: view.classes[scheme] };
    for (const name of ["accent", "wrong", "hairline", "panel"]) root.style.setProperty(`--${name}`, ink[name]);
    root.style.setProperty("--k", view.present ? 1.5 : 1);
    if (view.map !== known) { // another network: nothing of the old one stays
      known = view.map;
      exit = view.explained.length - 1;
      picked = lasso = only = null;
      places = new Float32Array(0);
    }
    if (view.colour !== "class") only = null;
    const shown = column("shown");
    const within = Boolean(picked) && shown.every((one, i) => !one || picked[i]);
    if (held && !within) { // the page has let go of it
      picked = lasso = null;
      root.dataset.picked = 0;
    }
    held = Boolean(picked) && within;
    drawSteps();
    drawLegend();
    fit();
    root.dataset.ready = "true";
  }

  // where the points of an exit lie on the canvas; both directions on one scale, the whole plane in sight
  function target(which) {
    const [left, right, bottom, top] = view.reach[which];
    const margin = 14;
    const scale = Math.min((width - 2 * margin) / Math.max(right - left, 1), (height - 2 * margin) / Math.max(top - bottom, 1));
    const x = column(`x${which}`), y = column(`y${which}`);
    const found = new Float32Array(2 * n);
    for (let i = 0; i < n; i += 1) {
      found[2 * i] = width / 2 + (x[i] - (left + right) / 2) * scale;
      found[2 * i + 1] = height / 2 - (y[i] - (bottom + top) / 2) * scale;
    }
    return found;
  }

  function resize() {
    const box = stage.getBoundingClientRect();
    if (box.width !== width || box.height !== height || (window.devicePixelRatio || 1) !== ratio) fit();
  }

  function fit() {
    const box = stage.getBoundingClientRect();
    if (!view || box.width === 0) return;
    if (box.width !== width || box.height !== height) {
      lasso = null; // its line was drawn on another canvas; what it picked stays picked
      drawing = null;
    }
    ratio = window.devicePixelRatio || 1;
    [width, height] = [box.width, box.height];
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    from = null;
    places = to = target(exit);
    dots = new Map();
    draw();
  }

  function step(which) {
    if (which === exit || which < 0 || which >= view.explained.length) return;
    exit = which;
    tip.hidden = true;
    from = still.matches ? null : Float32Array.from(places);
    to = target(exit);
    began = performance.now();
    if (!from) places = to;
    drawSteps();
    drawLegend();
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(move);
  }

  function move(now) {
    if (from) {
      const part = Math.min(1, (now - began) / GLIDE);
      const eased = part < 0.5 ? 2 * part * part : 1 - 2 * (1 - part) * (1 - part);
      places = part === 1 ? to : Float32Array.from(to, (end, i) => from[i] + (end - from[i]) * eased);
      if (part === 1) from = null;
    }
    draw();
    root.dataset.moving = String(Boolean(from));
    if (from) frame = requestAnimationFrame(move);
  }

  // a point of one colour, drawn once and then stamped
  function dot(colour, strength) {
    const key = `${colour} ${strength}`;
    if (!dots.has(key)) {
      const radius = RADIUS * (view.present ? 1.4 : 1) * ratio;
      const size = Math.ceil(2 * radius) + 2;
      const stamp = document.createElement("canvas");
      stamp.width = stamp.height = size;
      const brush = stamp.getContext("2d");
      brush.globalAlpha = strength;
      brush.fillStyle = colour;
      brush.beginPath();
      brush.arc(size / 2, size / 2, radius, 0, 2 * Math.PI);
      brush.fill();
      dots.set(key, stamp);
    }
    return dots.get(key);
  }

  function colours() {
    const label = column("label");
    if (view.colour === "class") return (i) => ink.classes[label[i] % ink.classes.length];
    if (view.colour === "exit") {
      const taken = column("exit");
      return (i) => ink.exits[taken[i]];
    }
    const said = column(`said${exit}`);
    return (i) => (said[i] === label[i] ? ink.exits[exit] : ink.wrong);
  }

  function draw() {
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    const colour = colours(), shown = column("shown"), label = column("label"), said = column(`said${exit}`);
    const strong = (i) => shown[i] && (!picked || picked[i]) && (only === null || label[i] === only);
    // faint ones below, opaque so that many of them grow no stronger; where colour is right or wrong, the wrong ones on top
    for (const layer of view.colour === "right" ? [0, 1, 2] : [0, 1]) {
      for (let i = 0; i < n; i += 1) {
        const where = !strong(i) ? 0 : view.colour === "right" && said[i] !== label[i] ? 2 : 1;
        if (where !== layer) continue;
        const stamp = layer === 0 ? dot(ink.hairline, 1) : dot(colour(i), 0.8);
        pen.drawImage(stamp, Math.round(places[2 * i] * ratio - stamp.width / 2), Math.round(places[2 * i + 1] * ratio - stamp.height / 2));
      }
    }
    const line = drawing?.points ?? (lasso?.exit === exit && !from ? lasso.points : null);
    if (line && line.length > 4) {
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.beginPath();
      for (let i = 0; i < line.length; i += 2) pen.lineTo(line[i], line[i + 1]);
      pen.closePath();
      pen.fillStyle = ink.accent;
      pen.globalAlpha = 0.08;
      pen.fill();
      pen.globalAlpha = 1;
      pen.strokeStyle = ink.accent;
      pen.lineWidth = 1.5;
      pen.stroke();
    }
    describe();
  }

  function describe() {
    const parts = [`Exit ${exit + 1} of ${view.explained.length}: n = ${count(n)} ${view.split} images by the features they have there.`];
    parts.push(`The plane shows ${share(view.explained[exit])} of their variance.`);
    if (view.alike) parts.push(`Of an image's ${view.k} nearest neighbours ${share(view.alike[exit])} are of its class.`);
    canvas.ariaLabel = parts.join(" ");
    if (picked) parts.push(`${count(picked.reduce((sum, one) => sum + one, 0))} picked; Escape lets them go.`);
    else parts.push("Draw around points to pick them.");
    const text = parts.join(" ");
    if (caption.textContent !== text) caption.textContent = text;
  }

  function drawSteps() {
    const focused = root.getRootNode().activeElement?.dataset?.step;
    steps.replaceChildren(classed("span", "word", "Features at exit"), ...view.explained.map((_, k) => {
      const button = classed("button", "", String(k + 1));
      button.type = "button";
      button.role = "radio";
      button.ariaChecked = String(k === exit);
      button.ariaLabel = `Exit ${k + 1}`;
      button.tabIndex = k === exit ? 0 : -1;
      button.dataset.step = k;
      button.style.setProperty("--ink", ink.exits[k]);
      button.onclick = () => step(k);
      return button;
    }));
    if (focused !== undefined) steps.querySelector('[aria-checked="true"]').focus();
  }

  steps.onkeydown = (event) => {
    const last = view.explained.length - 1;
    const next = { ArrowRight: exit + 1, ArrowUp: exit + 1, ArrowLeft: exit - 1, ArrowDown: exit - 1, Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    step(Math.min(last, Math.max(0, next)));
  };

  function drawLegend() {
    const entry = (colour, text, tag = "span") => {
      const node = classed(tag, "", classed("i", ""), text);
      node.firstChild.style.background = colour;
      return node;
    };
    if (view.colour === "exit") {
      legend.replaceChildren(classed("em", "", "leave at exit"), ...view.taken.map((number, k) => entry(ink.exits[k], `${k + 1}: ${count(number)}`)));
    } else if (view.colour === "right") {
      const right = view.accuracy[exit];
      legend.replaceChildren(entry(ink.exits[exit], `exit ${exit + 1} is right: ${share(right)}`), entry(ink.wrong, `wrong: ${share(1 - right)}`));
    } else {
      const some = view.names.slice(0, 2 * ink.classes.length);
      const entries = some.map((name, k) => {
        const button = entry(ink.classes[k % ink.classes.length], name, "button");
        button.type = "button";
        button.ariaPressed = String(only === k);
        button.title = `Only ${name}`;
        button.onclick = () => {
          only = only === k ? null : k;
          for (const [other, node] of [...legend.querySelectorAll("button")].entries()) node.ariaPressed = String(only === other);
          draw();
        };
        return button;
      });
      if (view.names.length > ink.classes.length) {
        const left = view.names.length - some.length;
        entries.push(classed("em", "", `${left > 0 ? `and ${left} more; ` : ""}${ink.classes.length} colours for ${view.names.length} classes: they repeat`));
      }
      legend.replaceChildren(...entries);
    }
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function nearest(x, y) {
    let best = -1, distance = NEAR * NEAR;
    const shown = column("shown");
    for (let i = 0; i < n; i += 1) {
      if (!shown[i] || (picked && !picked[i])) continue;
      const squared = (places[2 * i] - x) ** 2 + (places[2 * i + 1] - y) ** 2;
      if (squared < distance) [best, distance] = [i, squared];
    }
    return best;
  }

  function hover(x, y) {
    const row = from || drawing ? -1 : nearest(x, y);
    tip.hidden = row < 0;
    canvas.style.cursor = row < 0 ? "crosshair" : "pointer";
    if (row < 0) return;
    const truth = column("label")[row], said = column(`said${exit}`)[row];
    const verdict = classed("b", "", said === truth ? "right" : "wrong");
    verdict.style.color = said === truth ? ink.exits[exit] : ink.wrong;
    tip.replaceChildren(`Image ${column("id")[row]}, a “${view.names[truth]}”`, classed("br", ""),
      `exit ${exit + 1} says “${view.names[said]}”, `, verdict, classed("br", ""), `leaves at exit ${column("exit")[row] + 1}`);
    const beyond = x > width - 210;
    tip.style.left = beyond ? "" : `${x + 14}px`;
    tip.style.right = beyond ? `${width - x + 14}px` : "";
    tip.style.top = `${Math.min(y + 12, height - 78)}px`;
  }

  function pick(rows) {
    picked = rows.length ? new Uint8Array(n) : null;
    held = false;
    for (const row of rows) picked[row] = 1;
    if (!rows.length) lasso = null;
    draw();
    root.dataset.picked = rows.length;
    map.send(rows);
  }

  canvas.onpointerdown = (event) => {
    if (event.button !== 0 || from) return;
    canvas.setPointerCapture(event.pointerId);
    drawing = { points: at(event) };
  };
  canvas.onpointermove = (event) => {
    const [x, y] = at(event);
    if (!drawing) {
      hover(x, y);
      return;
    }
    tip.hidden = true;
    const { points } = drawing;
    if (Math.hypot(x - points.at(-2), y - points.at(-1)) < 3) return;
    points.push(x, y);
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  };
  canvas.onpointerup = () => {
    if (!drawing) return;
    const { points } = drawing;
    drawing = null;
    if (points.length <= 6) {
      const row = nearest(points[0], points[1]);
      if (row >= 0) map.send([row]); // the page tells its story; what is picked stays
      else if (picked) pick([]);
      else draw();
      return;
    }
    const rows = [];
    for (let i = 0; i < n; i += 1) if (inside(points, places[2 * i], places[2 * i + 1])) rows.push(i);
    lasso = { exit, points };
    if (rows.length || picked) pick(rows);
    else {
      lasso = null;
      draw();
    }
  };
  canvas.onpointercancel = () => {
    drawing = null;
    draw();
  };
  canvas.onpointerleave = () => { tip.hidden = true; };
  const escape = (event) => {
    if (event.key !== "Escape" || document.querySelector('[role="dialog"]')) return; // an open drawer closes first
    if (drawing) {
      drawing = null;
      draw();
    } else if (picked) pick([]);
  };
  window.addEventListener("keydown", escape);
  const observer = new ResizeObserver(resize);
  observer.observe(stage);

  const map = {
    take,
    send: () => {},
    stop: () => {
      observer.disconnect();
      window.removeEventListener("keydown", escape);
      cancelAnimationFrame(frame);
    },
  };
  return map;
}

// One example's story: the image, then every exit with its answer, score against threshold, and neighbours.
import { classed, isDark } from "./shared.js";

// as few digits as keep a score on its side of 1 and of the threshold, four at most
function written(value, others) {
  for (let digits = 2; digits < 4; digits += 1) {
    const text = value.toFixed(digits);
    if (others.every((other) => Math.sign(Number(text) - other) === Math.sign(value - other))) return text;
  }
  return value > 0.9999 && value < 1 ? "> 0.9999" : value.toFixed(4);
}

function percent(share) {
  if (share > 0.9995 && share < 1) return "> 99.9\u202f%";
  if (share > 0 && share < 0.0005) return "< 0.1\u202f%";
  return `${(100 * share).toFixed(1)}\u202f%`;
}

export default function mount({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".story");
  const dark = isDark(parentElement);
  const palette = data.palette[dark ? "dark" : "light"];
  root.classList.toggle("dark", dark);
  root.style.setProperty("--wrong", palette.wrong);
  root.style.setProperty("--accent", palette.accent);
  root.style.setProperty("--hairline", palette.hairline);
  const { sheet } = data;
  const part = (place, places) => (places > 1 ? (100 * place) / (places - 1) : 0);
  if (sheet) root.style.setProperty("--sheet", `url("${sheet.url}")`);
  const picture = (node, place) => {
    if (!sheet) return node;
    node.classList.add("picture");
    node.style.backgroundSize = `${100 * sheet.columns}% ${100 * sheet.rows}%`;
    node.style.backgroundPosition = `${part(place % sheet.columns, sheet.columns)}% ${part(Math.floor(place / sheet.columns), sheet.rows)}%`;
    return node;
  };

  const top = classed("header", "");
  if (sheet) {
    const image = picture(classed("div", "image"), 0);
    image.role = "img";
    image.ariaLabel = `The image, a ${data.truth}`;
    top.append(image);
  }
  const heading = classed("h2", "", ...data.sentence.map(([text, colour]) => {
    if (colour === null) return document.createTextNode(text);
    const coloured = classed("b", "", text);
    coloured.style.color = typeof colour === "number" ? palette.exits[colour] : palette[colour];
    return coloured;
  }));
  heading.tabIndex = -1;
  const words = classed("div", "words", heading, ...data.facts.map((line) => classed("p", "", line)));
  if (data.back !== null) {
    const back = classed("button", "back", `← Back to image ${data.back}`);
    back.type = "button";
    back.onclick = () => setTriggerValue("back", true);
    words.append(back);
  }
  top.append(words);

  const sections = data.exits.map((exit, n) => {
    const section = classed("section", exit.executed ? (exit.leaves ? "taken" : "") : "unrun");
    section.style.setProperty("--ink", palette.exits[n]);
    section.dataset.exit = n + 1;
    const happens = exit.leaves ? "leaves here" : exit.executed ? "goes on" : "not run, would say";
    const verdict = classed("span", exit.right ? "" : "miss", exit.right ? "right" : "wrong");
    section.append(classed("h3", "", classed("b", "", `Exit ${n + 1}`), classed("span", "state", happens),
      classed("span", "spent", `${exit.executed ? "cost so far" : "would cost"} ${exit.cost.toFixed(2)}`)));

    const says = classed("div", "says");
    const answer = classed("div", "answer", classed("span", "name", exit.top[0][0]), verdict);
    says.append(answer);
    if (exit.top[0][1] !== null) {
      const bars = classed("div", "classes");
      for (const [place, [name, share]] of exit.top.entries()) {
        const bar = classed("i", place === 0 && !exit.right ? "miss" : "");
        bar.style.width = `${100 * share}%`;
        bars.append(classed("span", "name", name), classed("span", "track", bar), classed("span", "value", percent(share)));
      }
      says.append(bars);
    }
    if (exit.threshold === null) {
      says.append(classed("div", "label", "takes whatever is left"));
    } else {
      const bound = exit.off ? "switched off" : exit.threshold >= 1 ? "never leaves" : `leaves from ${exit.threshold}`;
      const sure = written(exit.score, exit.off ? [1] : [1, exit.threshold]);
      const label = classed("div", "label", classed("span", "", "sure ", classed("b", "", sure)), classed("span", "", bound));
      label.title = data.rule;
      const fill = classed("i", "");
      fill.style.width = `${100 * exit.score}%`;
      const meter = classed("div", "meter", fill);
      if (!exit.off) {
        const mark = classed("u", "");
        mark.style.left = `${100 * exit.threshold}%`;
        meter.append(mark);
      }
      meter.role = "img";
      meter.ariaLabel = `sure ${sure}, ${bound}`;
      says.append(label, meter);
    }

    const near = classed("div", "near");
    if (exit.neighbours.length) {
      near.append(classed("div", "label", `Nearest to it here: ${exit.alike} of ${exit.neighbours.length} are “${data.truth}”`));
      near.append(classed("div", "tiles", ...exit.neighbours.map((item) => {
        const tile = classed("button", item.right ? "right" : "wrong", picture(classed("span", "thumb"), item.place),
          classed("span", "name", item.truth));
        tile.type = "button";
        tile.title = tile.ariaLabel = item.text;
        tile.dataset.row = item.row;
        tile.onclick = () => setTriggerValue("pick", item.row);
        return tile;
      })));
    }
    section.append(classed("div", "columns", says, near));
    return section;
  });
  const note = data.note ? classed("p", "note", data.note) : null;
  const frames = data.note ? null : classed("p", "how", "Nearest: by the features an exit sees, averaged over space (Euclidean distance). "
    + "Frames: what that exit says about them, right in its colour, wrong in orange.");
  const another = root.dataset.row !== undefined && root.dataset.row !== String(data.row);
  root.replaceChildren(...[top, note, ...sections, frames].filter(Boolean));
  root.dataset.row = data.row;
  if (another) {  // a neighbour's story starts at its beginning
    heading.focus({ preventScroll: true });
    root.scrollIntoView({ block: "end" });
    root.scrollIntoView({ block: "start" });
  }
}

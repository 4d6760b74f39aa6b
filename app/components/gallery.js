// Thumbnails of the examples that leave at each exit: one picture with all of them, cut up by CSS.
import { isDark } from "./shared.js";

export default function mount({ data, parentElement, setTriggerValue }) {
  let root = parentElement.querySelector(".gallery");
  const dark = isDark(parentElement);
  const palette = data.palette[dark ? "dark" : "light"];
  root.classList.toggle("dark", dark);
  root.style.setProperty("--exits", data.exits.length > 6 ? Math.ceil(data.exits.length / 2) : data.exits.length);
  root.style.setProperty("--wrong", palette.wrong);
  root.style.setProperty("--accent", palette.accent);
  const layout = () => {
    const width = root.clientWidth;
    root.style.setProperty("--k", (width >= 2900 ? 1.7 : width >= 2150 ? 1.25 : 1) * (data.present ? Math.min(1.5, Math.max(1, (1.5 * window.innerHeight) / 1080)) : 1));
    // two whole rows, no more
    for (const tiles of root.querySelectorAll(".tiles")) {
      const k = Number(root.style.getPropertyValue("--k"));
      const fitting = Math.max(1, Math.floor((tiles.clientWidth + 5 * k) / ((width > 1600 ? 50 : 43) * k)));
      const most = Math.ceil(data.most / data.rows);
      const columns = Math.min(fitting, most);
      tiles.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
      [...tiles.children].forEach((tile, i) => { tile.style.display = i < columns * data.rows ? "" : "none"; });
    }
  };
  const { sheet } = data;
  // one short address for all tiles instead of the whole picture in each of them
  const address = sheet.url ? URL.createObjectURL(decoded(sheet.url)) : "";
  const old = root.dataset.sheet;
  root.dataset.sheet = address;
  root.style.setProperty("--sheet", address ? `url("${address}")` : "none");
  if (old) setTimeout(() => URL.revokeObjectURL(old), 2000);
  const cell = (column, row) =>
    `${sheet.columns > 1 ? (100 * column) / (sheet.columns - 1) : 0}% ${sheet.rows > 1 ? (100 * row) / (sheet.rows - 1) : 0}%`;
  let place = 0;
  root.replaceChildren(...data.exits.map((exit, n) => {
    const section = document.createElement("section");
    section.style.setProperty("--ink", palette.exits[n]);
    const head = document.createElement("h3");
    const name = document.createElement("b");
    name.textContent = `Exit ${n + 1}`;
    head.append(name, "", document.createElement("i"));
    describe(head, exit.count, exit.wrong);
    section.append(head);
    if (!exit.items.length) {
      const none = document.createElement("div");
      none.className = "none";
      none.textContent = exit.count ? "" : exit.off ? "Switched off." : "No image leaves here.";
      section.append(none);
      return section;
    }
    const tiles = document.createElement("div");
    tiles.className = "tiles";
    for (const item of exit.items) {
      const tile = document.createElement("button");
      tile.type = "button";
      tile.className = item.right ? "right" : "wrong";
      tile.title = tile.ariaLabel = item.text;
      tile.dataset.id = item.id;
      tile.style.backgroundSize = `${100 * sheet.columns}% ${100 * sheet.rows}%`;
      tile.style.backgroundPosition = cell(place % sheet.columns, Math.floor(place / sheet.columns));
      place++;
      tile.onclick = () => setTriggerValue("pick", item.id);
      tiles.append(tile);
    }
    section.append(tiles);
    return section;
  }));
  // While a handle moves, the explorer tells how many leave where; the images follow when it is let go.
  const heads = [...root.querySelectorAll("h3")];
  const follow = ({ detail }) => {
    if (detail.counts.length !== heads.length) return;
    heads.forEach((head, n) => describe(head, detail.counts[n], detail.wrong[n]));
    root.classList.toggle("behind", detail.moving);
  };
  root.classList.remove("behind");
  window.addEventListener("eenet-point", follow);
  layout();
  const observer = new ResizeObserver(layout);
  observer.observe(root);
  return () => {
    observer.disconnect();
    window.removeEventListener("eenet-point", follow);
  };
}

function describe(head, count, wrong) {
  head.childNodes[1].data = ` ${count.toLocaleString("en-US")} image${count === 1 ? "" : "s"}`;
  head.lastChild.textContent = count ? ` · ${wrong.toLocaleString("en-US")} wrong` : "";
}

function decoded(dataUrl) {
  const bytes = Uint8Array.from(atob(dataUrl.slice(dataUrl.indexOf(",") + 1)), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: "image/webp" });
}

// Bands of thumbnails, one for each exit: one picture with all of them, cut up by CSS. Arrows move, Enter opens.
import { classed, isDark, THIN } from "./shared.js";

const instances = new WeakMap();

export default function mount({ data, parentElement, setTriggerValue }) {
  let bands = instances.get(parentElement);
  if (!bands) instances.set(parentElement, (bands = new Bands(parentElement)));
  bands.send = setTriggerValue;
  bands.show(data);
  return () => {
    bands.observer.disconnect();
    window.removeEventListener("scroll", bands.onScroll, { capture: true });
    URL.revokeObjectURL(bands.address);
    instances.delete(parentElement);
  };
}

const count = (n) => n.toLocaleString("en-US");

function decoded(dataUrl) {
  const bytes = Uint8Array.from(atob(dataUrl.slice(dataUrl.indexOf(",") + 1)), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: "image/webp" });
}

class Bands {
  constructor(host) {
    this.host = host;
    this.root = host.querySelector(".bands");
    this.tip = classed("div", "tip");
    this.tip.hidden = true;
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(this.root);
    this.root.addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      if (tile) this.send("pick", Number(tile.dataset.row));
    });
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("pointerover", (event) => this.tell(event.target.closest(".tile")));
    this.root.addEventListener("focusin", (event) => {
      if (event.target.matches(":focus-visible")) this.tell(event.target.closest(".tile"));
    });
    this.onScroll = () => this.tell(null);
    window.addEventListener("scroll", this.onScroll, { capture: true, passive: true });
    for (const name of ["pointerleave", "focusout"]) this.root.addEventListener(name, () => this.tell(null));
  }

  show(data) {
    this.data = data;
    const dark = isDark(this.host);
    const palette = data.palette[dark ? "dark" : "light"];
    this.root.classList.toggle("dark", dark);
    this.root.classList.toggle("solo", data.solo !== null);
    this.root.style.setProperty("--wrong", palette.wrong);
    this.root.style.setProperty("--accent", palette.accent);
    // one short address for all tiles; the same picture keeps it
    if (this.url !== data.sheet.url) {
      const old = this.address;
      this.url = data.sheet.url;
      this.address = this.url ? URL.createObjectURL(decoded(this.url)) : "";
      if (old) setTimeout(() => URL.revokeObjectURL(old), 2000);
    }
    this.root.style.setProperty("--sheet", this.address ? `url("${this.address}")` : "none");
    const focused = this.root.getRootNode().activeElement;
    const kept = focused?.dataset?.place;
    let place = 0;
    const empty = data.bands.filter((band) => !band.rows.length);
    const some = data.bands.filter((band) => band.rows.length);
    this.root.replaceChildren(this.tip, this.top(data), ...this.nobody(empty, palette, some.length === 0), ...some.map((band) => {
      const section = this.band(band, palette.exits[band.exit], place);
      place += band.rows.length;
      return section;
    }));
    for (const tiles of this.root.querySelectorAll(".tiles")) tiles.firstElementChild?.setAttribute("tabindex", "0");
    this.width = 0;
    this.layout();
    if (kept) {
      const again = [...this.root.querySelectorAll("[data-place]")].find((node) => node.dataset.place === kept);
      (again ?? this.root.querySelector(".tile"))?.focus({ preventScroll: true });
    } else this.tell(null);
    Object.assign(this.root.dataset, { ready: "true", shown: place, passing: data.bands.reduce((all, band) => all + band.passing, 0) });
  }

  top({ order, orders, solo }) {
    const select = document.createElement("select");
    select.ariaLabel = "Order of the images";
    select.dataset.place = "order";
    for (const [name, words] of Object.entries(orders)) {
      const option = classed("option", "", words);
      option.value = name;
      option.selected = name === order;
      select.append(option);
    }
    select.onchange = () => this.send("turn", { order: select.value });
    const words = solo === null ? "Images by exit, easiest to hardest" : `Images of exit ${solo + 1}`;
    const hint = classed("span", "hint", "arrows move, Enter opens");
    const bar = classed("div", "top", classed("h3", "", words), ...(this.data.present ? [] : [select, hint]));
    if (solo !== null) {
      const back = classed("button", "back", "All exits");
      back.type = "button";
      back.dataset.place = "back";
      back.onclick = () => this.send("turn", { solo: null });
      bar.append(back);
    }
    return bar;
  }

  band(band, ink, place) {
    const { data } = this;
    const section = classed("section");
    section.style.setProperty("--ink", ink);
    const head = classed("div", "head");
    const name = classed("button", "name", `Exit ${band.exit + 1}`);
    name.type = "button";
    name.dataset.place = `name${band.exit}`;
    name.title = data.solo === null ? `Only the images of exit ${band.exit + 1}` : "All exits again";
    name.append(classed("span", "icon", data.solo === null ? "⤢" : "⤡"));
    name.onclick = () => this.send("turn", { solo: data.solo === null ? band.exit : null });
    const images = data.filtered ? `${count(band.passing)} of ${count(band.count)} images` : `${count(band.count)} image${band.count === 1 ? "" : "s"}`;
    const wrong = classed("span", "wrong", band.passing ? `${count(band.wrong)} wrong (${((100 * band.wrong) / band.passing).toFixed(1)}${THIN}%)` : "");
    head.append(name, classed("span", "images", images), wrong, this.pager(band));
    const body = classed("div", "tiles");
    body.setAttribute("role", "group");
    body.setAttribute("aria-label", `Exit ${band.exit + 1}: ${images}`);
    band.rows.forEach((row, i) => body.append(this.tile(band, row, i, place + i)));
    section.append(head, body);
    return section;
  }

  // one line for the exits that have nothing to show
  nobody(bands, palette, all) {
    if (!bands.length) return [];
    const line = classed("p", "none");
    const list = (some) => some.flatMap((band, i) => {
      const name = classed("b", "", `exit ${band.exit + 1}`);
      name.style.color = palette.exits[band.exit];
      return [i ? ", " : "", name];
    });
    const left = bands.filter((band) => band.count === 0);
    const hidden = bands.filter((band) => band.count > 0);
    if (all && hidden.length) line.append(classed("strong", "", "No image passes the filter. "), "Take something away above, or clear all of it. ");
    else if (hidden.length) line.append("Nothing in the filter leaves at ", ...list(hidden), ". ");
    if (left.length) line.append("No image leaves at ", ...list(left), ".");
    return [line];
  }

  tile(band, row, i, place) {
    const { sheet, names } = this.data;
    const right = band.said[i] === band.truth[i];
    const tile = classed("button", `tile ${right ? "right" : "miss"}`);
    tile.type = "button";
    tile.tabIndex = -1;
    tile.dataset.row = row;
    tile.dataset.place = `${band.exit}.${i}`;
    const said = right ? `${names[band.said[i]]}, right` : `${names[band.said[i]]}, wrong: ${names[band.truth[i]]}`;
    tile.ariaLabel = `Image ${band.ids[i]}: ${said}, score ${band.scores[i]}`;
    if (sheet.url) {
      const part = (at, of) => (of > 1 ? (100 * at) / (of - 1) : 0);
      tile.style.backgroundSize = `${100 * sheet.columns}% ${100 * sheet.rows}%`;
      tile.style.backgroundPosition = `${part(place % sheet.columns, sheet.columns)}% ${part(Math.floor(place / sheet.columns), sheet.rows)}%`;
    } else tile.append(classed("span", "letter", names[band.said[i]].slice(0, 2)));
    return tile;
  }

  pager(band) {
    const { page } = band;
    const bar = classed("span", "pager");
    if (band.passing <= page) return bar;
    const turn = (start, sign, label, key) => {
      const button = classed("button", "", sign);
      button.type = "button";
      button.ariaLabel = button.title = label;
      button.dataset.place = `${key}${band.exit}`;
      button.disabled = start < 0 || start >= band.passing;
      button.onclick = () => this.send("turn", { exit: band.exit, start });
      return button;
    };
    const last = Math.min(band.start + page, band.passing);
    bar.append(turn(band.start - page, "‹", "Earlier images", "back"), classed("span", "", `${count(band.start + 1)}–${count(last)}`), turn(band.start + page, "›", "More images", "on"));
    return bar;
  }

  layout() {
    const width = this.root.clientWidth;
    if (!this.data || width === this.width) return;
    this.width = width;
    const stage = this.data.present ? 1.4 : 1;
    this.root.style.setProperty("--k", (width >= 2900 ? 1.7 : width >= 2150 ? 1.25 : 1) * stage);
    const side = this.data.solo !== null || width < 700 ? 0 : 150 * stage;
    this.columns = [32, 24, 16, 8, 4].find((columns) => (width - side) / columns >= 29) ?? 4;
    // as high as with all its images, so that turning pages or filtering moves nothing below
    const size = (width - side - 3 * (this.columns - 1)) / this.columns;
    const k = Number(this.root.style.getPropertyValue("--k"));
    const rows = Math.ceil((this.data.rows * this.data.columns) / this.columns);
    this.root.style.setProperty("--columns", this.columns);
    this.root.style.setProperty("--tall", `${rows * (size + 3) + 16 * k * this.data.bands.length + 30 * k}px`);
    this.root.classList.toggle("narrow", side === 0);
  }

  key(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    if (event.key === "PageDown" || event.key === "PageUp") {
      const pager = tile.closest("section").querySelectorAll(".pager button")[event.key === "PageDown" ? 1 : 0];
      if (pager && !pager.disabled) pager.click();
      event.preventDefault();
      return;
    }
    const tiles = [...tile.parentElement.children];
    const here = tiles.indexOf(tile);
    let next = null;
    if (event.key === "ArrowRight") next = tiles[here + 1];
    else if (event.key === "ArrowLeft") next = tiles[here - 1];
    else if (event.key === "Home") next = tiles[0];
    else if (event.key === "End") next = tiles.at(-1);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") next = this.across(tile, tiles, here, event.key === "ArrowDown" ? 1 : -1);
    else return;
    event.preventDefault();
    if (!next?.classList.contains("tile")) return;
    for (const other of next.parentElement.children) other.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  // a row up or down, into the next band where this one ends
  across(tile, tiles, here, way) {
    const inside = tiles[here + way * this.columns];
    if (inside) return inside;
    const row = Math.floor(here / this.columns);
    if (way > 0 && row < Math.floor((tiles.length - 1) / this.columns)) return tiles.at(-1);
    const bands = [...this.root.querySelectorAll(".tiles")].filter((band) => band.querySelector(".tile"));
    const band = bands[bands.indexOf(tile.parentElement) + way];
    if (!band) return null;
    const column = here % this.columns;
    const start = way > 0 ? 0 : Math.floor((band.children.length - 1) / this.columns) * this.columns;
    return band.children[Math.min(start + column, band.children.length - 1)];
  }

  tell(tile) {
    this.tip.hidden = !tile;
    if (!tile) return;
    this.tip.textContent = tile.ariaLabel;
    const box = tile.getBoundingClientRect();
    const size = this.tip.getBoundingClientRect();
    this.tip.style.left = `${Math.min(Math.max(8, box.left + box.width / 2 - size.width / 2), window.innerWidth - size.width - 8)}px`;
    this.tip.style.top = `${box.top - size.height - 6 > 60 ? box.top - size.height - 6 : box.bottom + 6}px`;
  }
}

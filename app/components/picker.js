// Test images to choose from, a band for each exit; one picture with all of them, cut up by CSS.
import { classed, isDark } from "./shared.js";

export default function mount({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".picker");
  const dark = isDark(parentElement);
  const palette = data.palette[dark ? "dark" : "light"];
  root.classList.toggle("dark", dark);
  root.style.setProperty("--wrong", palette.wrong);
  root.style.setProperty("--accent", palette.accent);
  root.style.setProperty("--columns", data.columns);
  const { sheet } = data;
  const part = (place, places) => (places > 1 ? (100 * place) / (places - 1) : 0);
  let place = 0;
  const focused = parentElement.activeElement?.dataset?.id;
  root.replaceChildren(...data.bands.map((band) => {
    const section = classed("section");
    section.style.setProperty("--ink", palette.exits[band.exit]);
    const head = classed("h3");
    head.append(classed("b", "", `Exit ${band.exit + 1}`), ` ${band.count.toLocaleString("en-US")} leave here`);
    const tiles = classed("div", "tiles");
    for (const item of band.items) {
      const tile = classed("button", item.right ? "right" : "wrong");
      tile.type = "button";
      tile.title = tile.ariaLabel = item.text;
      tile.ariaPressed = String(item.id === data.selected);
      tile.dataset.id = item.id;
      tile.style.backgroundImage = `url("${sheet.url}")`;
      tile.style.backgroundSize = `${100 * sheet.columns}% ${100 * sheet.rows}%`;
      tile.style.backgroundPosition = `${part(place % sheet.columns, sheet.columns)}% ${part(Math.floor(place / sheet.columns), sheet.rows)}%`;
      tile.onclick = () => setTriggerValue("pick", item.id);
      tiles.append(tile);
      place += 1;
    }
    section.append(head, band.items.length ? tiles : classed("div", "none", "No image leaves here."));
    return section;
  }));
  if (focused) root.querySelector(`[data-id="${focused}"]`)?.focus();
}

// The sentence on top of a page: parts of text, some of them in the accent or an exit's colour, and a quiet line below.
import { isDark } from "./shared.js";

export default function mount({ data, parentElement }) {
  const root = parentElement.querySelector(".sentence");
  const dark = isDark(parentElement);
  const palette = data.palette[dark ? "dark" : "light"];
  root.classList.toggle("dark", dark);
  root.style.setProperty("--k", data.present ? 1.5 : 1);
  root.querySelector("h1").replaceChildren(...data.parts.map(([text, colour]) => {
    if (colour === null) return document.createTextNode(text);
    const part = document.createElement("b");
    part.textContent = text;
    part.style.color = typeof colour === "number" ? palette.exits[colour] : palette[colour];
    return part;
  }));
  root.querySelector("p").textContent = data.below;
}

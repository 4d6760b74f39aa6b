// An image from the clipboard, by Ctrl+V anywhere on the page or by the button; sent once, as a data URL.
const instances = new WeakMap();

export default function mount({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".paste");
  const line = root.querySelector(".line");
  const tell = (text) => (line.textContent = text);
  const mac = /mac/i.test(navigator.platform);
  if (mac) root.querySelector("kbd").textContent = "⌘";

  const send = (file) => {
    if (!file) return tell("No image in the clipboard: copy a picture, not its file or address.");
    if (file.size > data.limit) return tell(`Expected at most ${Math.floor(data.limit / 1e6)} MB, got ${Math.ceil(file.size / 1e6)} MB: copy a smaller one.`);
    const reader = new FileReader();
    reader.onload = () => {
      tell("");
      setTriggerValue("image", { name: file.name || "", data: String(reader.result) });
    };
    reader.onerror = () => tell("The clipboard could not be read: copy the picture again.");
    tell("Reading …");
    reader.readAsDataURL(file);
  };
  const onPaste = (event) => {
    // a field somewhere else keeps its own paste
    if (event.composedPath().some((node) => node.matches?.("input, textarea, [contenteditable='true']"))) return;
    const files = [...(event.clipboardData?.items ?? [])].filter((item) => item.kind === "file").map((item) => item.getAsFile());
    event.preventDefault();
    send(files.find((file) => file?.type.startsWith("image/")) ?? files[0]);
  };
  const old = instances.get(parentElement);
  if (old) document.removeEventListener("paste", old);
  instances.set(parentElement, onPaste);
  document.addEventListener("paste", onPaste);

  root.querySelector("button").onclick = async () => {
    try {
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((name) => name.startsWith("image/"));
        if (type) return send(new File([await item.getType(type)], "", { type }));
      }
      send(null);
    } catch {
      tell(`The browser does not let this page read the clipboard: press ${mac ? "⌘" : "Ctrl"}+V instead.`);
    }
  };
  return () => {
    document.removeEventListener("paste", onPaste);
    instances.delete(parentElement);
  };
}

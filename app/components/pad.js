// A pad to draw on: white strokes on black, sent as a PNG whenever the pen is lifted.
const SIDE = 280;
const PEN = 22;
const instances = new WeakMap();

export default function mount({ data, parentElement, setStateValue }) {
  let pad = instances.get(parentElement);
  if (!pad) instances.set(parentElement, (pad = new Pad(parentElement, data.start))); // later it knows better itself
  pad.send = (url) => setStateValue("png", url);
  return () => instances.delete(parentElement);
}

class Pad {
  constructor(host, start) {
    this.canvas = host.querySelector("canvas");
    this.pen = this.canvas.getContext("2d");
    this.hint = host.querySelector(".hint");
    this.undo = host.querySelector(".undo");
    this.clear = host.querySelector(".clear");
    this.strokes = [];
    this.canvas.onpointerdown = (event) => this.begin(event);
    this.canvas.onpointermove = (event) => this.move(event);
    this.canvas.onpointerup = this.canvas.onpointercancel = (event) => this.lift(event);
    this.undo.onclick = () => this.change(this.strokes.slice(0, -1));
    this.clear.onclick = () => this.change([]);
    this.draw();
    if (start) this.restore(start);
  }

  // what was drawn before the visitor looked elsewhere counts as one stroke
  restore(url) {
    const image = new Image();
    image.onload = () => {
      this.strokes.unshift(image);
      this.draw();
    };
    image.src = url;
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
  }

  begin(event) {
    if (event.button !== 0 || this.active !== undefined) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.active = event.pointerId;
    this.strokes.push([this.place(event)]);
    this.draw();
  }

  move(event) {
    if (event.pointerId !== this.active) return;
    const stroke = this.strokes.at(-1);
    const steps = event.getCoalescedEvents?.() ?? [];
    for (const step of steps.length ? steps : [event]) stroke.push(this.place(step));
    this.draw();
  }

  lift(event) {
    if (event.pointerId !== this.active) return;
    this.active = undefined;
    this.change(this.strokes);
  }

  change(strokes) {
    this.strokes = strokes;
    this.draw();
    this.send(strokes.length ? this.canvas.toDataURL("image/png") : "");
  }

  draw() {
    const { pen } = this;
    pen.shadowBlur = 0;
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, SIDE, SIDE);
    Object.assign(pen, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "#fff", shadowColor: "#fff", shadowBlur: 5 });
    for (const stroke of this.strokes) {
      if (stroke instanceof Image) {
        pen.drawImage(stroke, 0, 0, SIDE, SIDE);
        continue;
      }
      pen.beginPath();
      pen.moveTo(...stroke[0]);
      for (const point of stroke) pen.lineTo(...point);
      pen.stroke();
    }
    const empty = !this.strokes.length;
    this.hint.hidden = !empty;
    this.undo.disabled = this.clear.disabled = empty;
  }
}

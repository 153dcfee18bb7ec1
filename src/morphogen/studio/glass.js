// A canvas that shows pictures at their pixels, with zoom, place and a scale bar; and the mask that is brushed over one.
import { h, length, number } from "./studio.js";

const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();

/** Zoom and place by wheel, two fingers, the right button, keys. What is shown is drawn by paint(context, glass). */
export class Glass {
  constructor(place, { label, holds = false }) {
    this.zoom = 1; this.x = 0; this.y = 0; this.size = null; this.um = null; this.aspect = 1; this.held = new Map(); this.paint = null;
    this.canvas = h("canvas", { tabindex: "0", role: "application", "aria-label": label, class: holds ? "holds" : "" });
    this.bar = h("div", { class: "ruler" }, h("span", {}), h("i", {}));
    this.box = h("div", { class: "glass-box" }, this.canvas, this.bar);
    this.holds = holds;
    place.replaceChildren(this.box);
    new ResizeObserver(() => this.draw()).observe(this.box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = this.canvas.getBoundingClientRect();
      this.zoomBy(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    this.canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    this.canvas.addEventListener("pointerdown", (event) => {
      try { this.canvas.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone */ }
      this.held.set(event.pointerId, event);
      if (this.held.size === 2 && this.onlift) this.onlift(true); // the second finger means zoom, not paint
      else if (this.held.size === 1 && this.ondab && event.button === 0) this.ondab(event, this.at(event), true);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      const before = this.held.get(event.pointerId);
      if (this.onhover) this.onhover(this.at(event));
      if (!before) return;
      if (this.held.size === 2) {
        const [other] = [...this.held.values()].filter((one) => one.pointerId !== event.pointerId);
        const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
        const box = this.canvas.getBoundingClientRect();
        this.zoomBy(apart(event) / apart(before), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
        this.move((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
      } else if (this.ondab && before.button === 0) {
        const parts = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
        for (const part of parts.length ? parts : [event]) this.ondab(part, this.at(part), false);
      } else this.move(event.clientX - before.clientX, event.clientY - before.clientY);
      this.held.set(event.pointerId, { pointerId: event.pointerId, clientX: event.clientX, clientY: event.clientY, button: before.button });
    });
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, (event) => {
      this.held.delete(event.pointerId);
      if (!this.held.size && this.onlift) this.onlift(false);
    });
    this.canvas.addEventListener("pointerleave", () => { if (this.onhover) this.onhover(null); });
    this.canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (this.onkey && this.onkey(event)) { event.preventDefault(); return; }
      const acts = { "+": () => this.zoomBy(1.25), "=": () => this.zoomBy(1.25), "-": () => this.zoomBy(0.8), r: () => this.whole(),
        ArrowLeft: () => this.move(40, 0), ArrowRight: () => this.move(-40, 0), ArrowUp: () => this.move(0, 40), ArrowDown: () => this.move(0, -40) };
      const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
  }

  /** What is shown: width and height in pixels, and of a pixel in micrometres. */
  open([width, height], spacing) {
    this.size = [width, height];
    this.um = spacing && spacing[1];
    this.aspect = spacing && spacing[0] && spacing[1] ? spacing[0] / spacing[1] : 1;
    Object.assign(this, { zoom: 1, x: 0, y: 0 });
    this.draw();
  }

  /** Screen pixels for one of the picture, and where its corner is. */
  get way() {
    const [width, height] = this.size, room = [this.box.clientWidth, this.box.clientHeight];
    const f = Math.min(room[0] / width, room[1] / (height * this.aspect)) * this.zoom;
    return { f, left: (room[0] - width * f) / 2 + this.x, top: (room[1] - height * this.aspect * f) / 2 + this.y };
  }

  /** Where an event is, in pixels of the picture. */
  at(event) {
    if (!this.size) return [0, 0];
    const box = this.canvas.getBoundingClientRect(), { f, left, top } = this.way;
    return [(event.clientX - box.left - left) / f, (event.clientY - box.top - top) / (f * this.aspect)];
  }

  zoomBy(by, x = this.box.clientWidth / 2, y = this.box.clientHeight / 2) {
    const before = this.zoom;
    this.zoom = Math.min(Math.max(this.zoom * by, 1), 64);
    const ratio = this.zoom / before, dx = x - this.box.clientWidth / 2, dy = y - this.box.clientHeight / 2;
    this.x = (this.x - dx) * ratio + dx; this.y = (this.y - dy) * ratio + dy;
    this.draw();
  }

  move(dx, dy) { this.x += dx; this.y += dy; this.draw(); }

  whole() { Object.assign(this, { zoom: 1, x: 0, y: 0 }); this.draw(); }

  draw() {
    if (!this.size || !this.paint) return;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.box.clientWidth * ratio), height = Math.round(this.box.clientHeight * ratio);
    if (!width || !height) return;
    const at = this.way;
    const reach = [Math.max(0, this.size[0] * at.f - this.box.clientWidth) / 2, Math.max(0, this.size[1] * this.aspect * at.f - this.box.clientHeight) / 2];
    this.x = Math.min(Math.max(this.x, -reach[0]), reach[0]);
    this.y = Math.min(Math.max(this.y, -reach[1]), reach[1]);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d"), { f, left, top } = this.way;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = f * ratio < 1; // enlarged, a pixel stays a square
    context.setTransform(f * ratio, 0, 0, f * ratio * this.aspect, left * ratio, top * ratio);
    this.paint(context, f);
    this.scale(f);
  }

  scale(f) {
    const room = Math.min(180, this.box.clientWidth / 3) / f * (this.um || 1), decade = 10 ** Math.floor(Math.log10(room));
    const long = Math.max(...[1, 2, 5].map((n) => n * decade).filter((n) => n <= room * (1 + 1e-9)));
    this.bar.firstElementChild.textContent = this.um ? length(long) : `${number(long)} px`;
    this.bar.lastElementChild.style.width = `${long / (this.um || 1) * f}px`;
  }
}

/** Edges between true and false pixels of a mask, as a path. */
export function outline(mask, width, height) {
  const path = new Path2D();
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x];
  for (let y = 0; y <= height; y++) for (let x = 0; x < width; x++) { // along rows, runs at once
    if (Boolean(inside(x, y)) === Boolean(inside(x, y - 1))) continue;
    const from = x;
    while (x < width && Boolean(inside(x, y)) !== Boolean(inside(x, y - 1))) x++;
    path.moveTo(from, y); path.lineTo(x, y);
  }
  for (let x = 0; x <= width; x++) for (let y = 0; y < height; y++) {
    if (Boolean(inside(x, y)) === Boolean(inside(x - 1, y))) continue;
    const from = y;
    while (y < height && Boolean(inside(x, y)) !== Boolean(inside(x - 1, y))) y++;
    path.moveTo(x, from); path.lineTo(x, y);
  }
  return path;
}

/** Draw an outline that is seen on black and on white. */
export function stroke(context, path, f) {
  context.lineJoin = "round";
  for (const [style, wide] of [["rgb(0 0 0 / .75)", 4], ["#f5a623", 1.8]]) {
    context.strokeStyle = style;
    context.lineWidth = wide / f;
    context.stroke(path);
  }
}

/** A mask that is brushed, with undo. */
export class Brush {
  constructor(glass, onChange) {
    this.glass = glass; this.onChange = onChange; this.radius = 6; this.erases = false; this.past = []; this.last = null; this.cursor = null; this.byKeys = false;
    this.before = null; // the mask as it was when the pointer came down
    glass.ondab = (event, at, first) => {
      const erase = this.erases || event.buttons === 32 || event.shiftKey; // the other end of a pen
      if (first) { this.before = this.mask.slice(); this.last = null; }
      if (!this.before) return;
      this.line(this.last || at, at, !erase);
      this.last = at;
      this.touched();
    };
    glass.onlift = (back) => {
      if (!this.before) return;
      if (back) this.mask = this.before; else this.keep(this.before);
      this.before = null;
      this.touched(true);
    };
    glass.onhover = (at) => { this.byKeys = false; this.cursor = at; glass.draw(); };
    glass.onkey = (event) => this.key(event);
    glass.canvas.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") { event.preventDefault(); this.undo(); }
    });
  }

  open(width, height) {
    Object.assign(this, { width, height, mask: new Uint8Array(width * height), past: [] });
    this.plane = new OffscreenCanvas(width, height);
    this.touched(true);
  }

  get count() { let n = 0; for (const one of this.mask) n += one; return n; }

  keep(mask) { this.past.push(mask); if (this.past.length > 60) this.past.shift(); }

  undo() { if (this.past.length) { this.mask = this.past.pop(); this.touched(true); } }

  clear() { this.keep(this.mask); this.mask = new Uint8Array(this.width * this.height); this.touched(true); }

  invert() { this.keep(this.mask); this.mask = this.mask.map((one) => 1 - one); this.touched(true); }

  /** A round brush from one place to another. */
  line([x0, y0], [x1, y1], on) {
    const r = this.radius, dx = x1 - x0, dy = y1 - y0, square = dx * dx + dy * dy;
    const left = Math.max(0, Math.floor(Math.min(x0, x1) - r)), right = Math.min(this.width - 1, Math.ceil(Math.max(x0, x1) + r));
    const top = Math.max(0, Math.floor(Math.min(y0, y1) - r)), bottom = Math.min(this.height - 1, Math.ceil(Math.max(y0, y1) + r));
    for (let y = top; y <= bottom; y++) for (let x = left; x <= right; x++) {
      const px = x + 0.5 - x0, py = y + 0.5 - y0;
      const t = square ? Math.min(1, Math.max(0, (px * dx + py * dy) / square)) : 0;
      if ((px - t * dx) ** 2 + (py - t * dy) ** 2 <= r * r) this.mask[y * this.width + x] = on ? 1 : 0;
    }
  }

  touched(whole = false) {
    if (whole) this.path = outline(this.mask, this.width, this.height);
    else this.path = null;
    this.stale = true;
    this.glass.draw();
    if (whole) this.onChange();
  }

  paint(context, f) {
    if (this.stale) {
      const flat = this.plane.getContext("2d"), image = flat.createImageData(this.width, this.height), out = new Uint32Array(image.data.buffer);
      for (let k = 0; k < out.length; k++) if (this.mask[k]) out[k] = 0x73005ed5; // #d55e00, see-through
      flat.putImageData(image, 0, 0);
      this.stale = false;
    }
    context.imageSmoothingEnabled = false;
    context.drawImage(this.plane, 0, 0);
    if (this.path) stroke(context, this.path, f);
    if (this.cursor) {
      const ring = new Path2D();
      ring.ellipse(this.cursor[0], this.cursor[1], this.radius, this.radius, 0, 0, 2 * Math.PI);
      for (const [style, wide] of [["#000", 3], [this.erases ? "#fff" : "#f5a623", 1.3]]) { context.strokeStyle = style; context.lineWidth = wide / f; context.stroke(ring); }
    }
  }

  /** By keys: arrows move the brush, space dabs, with shift both; E erases, the brackets change its size. */
  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const centre = [this.width / 2, this.height / 2];
    if (steps[key]) {
      const from = this.cursor || centre, by = Math.max(1, this.radius / 2);
      const to = [from[0] + steps[key][0] * by, from[1] + steps[key][1] * by];
      this.cursor = [Math.min(Math.max(to[0], 0), this.width), Math.min(Math.max(to[1], 0), this.height)];
      if (event.shiftKey) this.dab(from, this.cursor); else this.glass.draw();
    } else if (key === " ") this.dab(this.cursor || centre, this.cursor || centre);
    else if (key === "e" || key === "b") { this.erases = key === "e"; if (this.ontool) this.ontool(); this.glass.draw(); }
    else if (key === "[" || key === "]") { this.radius = Math.min(Math.max(this.radius * (key === "]" ? 1.25 : 0.8), 0.5), 500); if (this.ontool) this.ontool(); this.glass.draw(); }
    else return false;
    return true;
  }

  dab(from, to) {
    this.keep(this.mask.slice());
    this.cursor = to;
    this.line(from, to, !this.erases);
    this.touched(true);
  }

  /** As the server wants it: so many pixels outside, so many inside, and so on. */
  told() {
    const runs = [];
    let value = 0, length_ = 0;
    for (const one of this.mask) {
      if (one === value) length_++;
      else { runs.push(length_); value = one; length_ = 1; }
    }
    runs.push(length_);
    return { height: this.height, width: this.width, runs };
  }
}

/** Before and after, parted where a slider is, with the outline of the region. */
export class Wipe {
  constructor(place) {
    this.glassPlace = h("div", {});
    this.slider = h("input", { type: "range", class: "wipe", min: 0, max: 1000, value: 500, "aria-label": "Before at the left, after at the right of here" });
    this.lines = h("input", { type: "checkbox", checked: true });
    const button = (text, title, act) => h("button", { type: "button", title, "aria-label": title, onclick: act }, text);
    this.tools = h("div", { class: "glass-tools" }, h("label", {}, this.lines, "outline of the region"), button("−", "Smaller", () => this.glass.zoomBy(0.8)), button("+", "Larger", () => this.glass.zoomBy(1.25)), button("Whole", "Whole picture", () => this.glass.whole()));
    place.replaceChildren(this.glassPlace, this.slider, this.tools);
    this.glass = new Glass(this.glassPlace, { label: "Before and after; plus and minus zoom, arrows move", holds: true });
    this.names = ["before", "after"].map((name) => h("span", { class: `side ${name}` }, name));
    this.glass.box.append(...this.names);
    this.slider.addEventListener("input", () => this.glass.draw());
    this.lines.addEventListener("change", () => this.glass.draw());
    this.glass.paint = (context, f) => this.paint(context, f);
  }

  /** before and after: images; region: Uint8Array of the after's size; offset: row and column of the before in it. */
  open({ before, after, region, offset, spacing }) {
    const size = [after.naturalWidth || after.width, after.naturalHeight || after.height];
    Object.assign(this, { before, after, offset, path: outline(region, ...size) });
    this.glass.open(size, spacing);
  }

  paint(context, f) {
    if (!this.after) return;
    const [width, height] = this.glass.size, { left } = this.glass.way;
    const share = this.slider.value / 1000, at = (share * this.glass.box.clientWidth - left) / f;
    context.drawImage(this.after, 0, 0);
    context.save();
    context.beginPath();
    context.rect(-1e4, -1e4, at + 1e4, height + 2e4);
    context.clip();
    context.fillStyle = colour("--stage") || "#0e1012";
    context.fillRect(0, 0, width, height);
    context.drawImage(this.before, this.offset[1], this.offset[0]);
    context.restore();
    if (this.lines.checked) stroke(context, this.path, f);
    context.fillStyle = "#fff";
    context.fillRect(at - 1 / f, -1e4, 2 / f, 2e4);
    this.names[0].hidden = share < 0.08;
    this.names[1].hidden = share > 0.92;
  }
}

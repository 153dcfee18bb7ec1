// What all pages of the studio use: asking the server, pictures, plots, work, and the command for it.

export const page = document.body.dataset;

// --- the server --------------------------------------------------------------------------------------------------

export class Trouble extends Error {
  constructor(message, status) { super(message); this.status = status; }
}

export async function ask(path, { body, method, raw, signal } = {}) {
  const options = { method: method || (body === undefined && raw === undefined ? "GET" : "POST"), signal };
  if (body !== undefined) Object.assign(options, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  if (raw !== undefined) Object.assign(options, { body: raw, headers: { "Content-Type": "application/octet-stream" } });
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The studio does not answer. Is it still running?", 0);
  }
  const text = await response.text();
  let told;
  try { told = JSON.parse(text); } catch { told = null; }
  if (!response.ok) throw new Trouble((told && told.problem) || text.trim() || `The studio answered ${response.status}.`, response.status);
  return told;
}

export const query = (path, given) => {
  const pairs = Object.entries(given).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `${path}?${new URLSearchParams(pairs.map(([k, v]) => [k, String(v)]))}`;
};

export const pictureAddress = (set, given = {}) => query("api/picture", { name: set.name, stamp: set.stamp, ...given });

// --- the page ----------------------------------------------------------------------------------------------------

export const el = (id) => document.getElementById(id);

/** An element: h("p", { class: "small", onclick }, "text", child). Attributes are set as attributes, on... as listeners. */
export function h(name, given = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "rect", "circle", "g", "tspan", "polyline"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "value") made.value = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** One line for a person; gone again when all is well. */
export function say(text, well = false) {
  const line = el("say");
  line.hidden = !text;
  line.classList.toggle("well", well);
  line.firstElementChild.textContent = text || "";
}

export const fail = (error) => { if (error && error.name !== "AbortError") say(error.message || String(error)); };

/** A listener whose problems are said in the line at the top; the button that was pressed waits meanwhile. */
export const trying = (act) => async (event) => {
  const button = event && event.currentTarget instanceof HTMLButtonElement ? event.currentTarget : null;
  if (button) button.disabled = true;
  try { say(""); await act(event); } catch (error) { fail(error); } finally { if (button) button.disabled = false; }
};

export const chosen = (name) => new URLSearchParams(location.search).get(name);

/** Keep what is chosen in the address, and take it along to the other tasks. */
export function choose(name, value) {
  const now = new URLSearchParams(location.search);
  if (value) now.set(name, value); else now.delete(name);
  history.replaceState(null, "", `${location.pathname}${now.size ? `?${now}` : ""}`);
  takeAlong();
}

function takeAlong() {
  const kept = new URLSearchParams([...new URLSearchParams(location.search)].filter(([key]) => key === "set" || key === "run"));
  for (const link of document.querySelectorAll("nav a")) link.href = link.dataset.task + (kept.size ? `?${kept}` : "");
}

export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(digits - 1).replace("e+", "e");
  return (+value.toPrecision(digits)).toLocaleString("en-GB", { maximumFractionDigits: 8 });
}

export function duration(seconds) {
  const s = Math.round(seconds);
  if (s < 100) return `${s} s`;
  if (s < 6000) return `${Math.round(s / 60)} min`;
  return `${(s / 3600).toFixed(1)} h`;
}

/** A length in micrometres in the unit that suits it. */
export function length(um) {
  for (const [unit, size] of [["m", 1e6], ["mm", 1e3], ["µm", 1], ["nm", 1e-3]]) if (um >= size * (1 - 1e-9) || unit === "nm") return `${number(um / size)} ${unit}`;
  return "";
}

/** A command as it is typed, with a button that copies it with the folder to be in. */
export function command(text) {
  const folder = page.workspace;
  const quoted = /^[\w@%+=:,./-]+$/.test(folder) ? folder : `'${folder.replaceAll("'", `'"'"'`)}'`;
  const copy = h("button", { type: "button", title: `Copy, with the folder to be in: ${folder}` }, "Copy");
  copy.addEventListener("click", async () => {
    const whole = `cd ${quoted} && ${text}`;
    try {
      await navigator.clipboard.writeText(whole);
    } catch { // without https a browser gives no clipboard
      const area = h("textarea", { value: whole });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  const words = text.split(" ").flatMap((word) => [h("span", {}, word), " "]).slice(0, -1); // no line breaks within a word
  return h("div", { class: "command" }, h("code", {}, words), copy);
}

// --- sets and runs -----------------------------------------------------------------------------------------------

export const things = async (...kinds) => (await ask("api/things")).filter((thing) => kinds.includes(thing.kind));

/** A list of sets to choose one of. Calls back with the set that is chosen, first with the one in the address. */
export async function chooseSet(place, { kinds = ["set", "triples"], as = "set", onChange, empty = "No sets yet." }) {
  const found = await things(...kinds);
  const buttons = new Map();
  const pick = (thing) => {
    for (const [name, button] of buttons) button.setAttribute("aria-pressed", String(name === thing.name));
    choose(as, thing.name);
    Promise.resolve(onChange(thing)).catch(fail);
  };
  const rows = found.map((thing) => {
    const slash = thing.name.lastIndexOf("/");
    const picture = h("img", { src: pictureAddress(thing, { size: 88 }), alt: "", loading: "lazy" });
    const button = h("button", { type: "button", "aria-pressed": "false", title: thing.name, onclick: () => pick(thing) },
      picture, h("span", { class: "name" }, thing.name.slice(slash + 1), h("small", {}, slash > 0 ? thing.name.slice(0, slash) : thing.kind)));
    buttons.set(thing.name, button);
    return h("li", {}, button);
  });
  place.replaceChildren(rows.length ? h("ul", { class: "list" }, rows) : h("p", { class: "small" }, empty));
  const first = found.find((thing) => thing.name === chosen(as)) || found[0];
  if (first) pick(first);
  return found;
}

// --- a picture, large --------------------------------------------------------------------------------------------

/** A picture with zoom, window and level, slices and a scale bar.
 *
 * open(set, index): set is what api/set gives. */
export class Viewer {
  constructor(place) {
    this.set = null; this.index = 0; this.axis = 0; this.zoom = 1; this.x = 0; this.y = 0; this.factor = 1; this.held = new Map();
    this.image = h("img", { alt: "" });
    this.bar = h("div", { class: "bar", hidden: true }, h("span", {}), h("i", {}));
    this.glass = h("div", { class: "glass", tabindex: "0", role: "group", "aria-label": "Picture: plus and minus zoom, arrows move, R shows it whole" }, this.image, this.bar);
    this.black = h("input", { type: "range", min: 0, max: 1000, value: 0, "aria-label": "Black at" });
    this.white = h("input", { type: "range", min: 0, max: 1000, value: 1000, "aria-label": "White at" });
    this.blackTold = h("output", {}); this.whiteTold = h("output", {});
    this.slice = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Picture" });
    this.sliceTold = h("output", {});
    this.axes = h("select", { "aria-label": "Cut along" }, ["z", "y", "x"].map((name, k) => h("option", { value: k }, name)));
    this.slices = h("label", {}, h("span", {}, "Picture"), this.slice, this.sliceTold);
    this.cut = h("label", {}, "Cut along", this.axes);
    const button = (text, title, act) => h("button", { type: "button", title, "aria-label": title, onclick: act }, text);
    this.tools = h("div", { class: "tools" }, this.slices, this.cut,
      h("label", {}, "Black", this.black, this.blackTold), h("label", {}, "White", this.white, this.whiteTold),
      h("span", { class: "row" }, button("−", "Smaller", () => this.zoomBy(0.8)), button("+", "Larger", () => this.zoomBy(1.25)), button("Whole", "Whole picture, usual grey levels", () => this.whole())));
    this.place = h("div", { class: "viewer" }, this.glass, this.tools);
    place.replaceChildren(this.place);
    this.hands();
  }

  async open(set, index = 0, axis = 0) {
    const other = !this.set || this.set.name !== set.name;
    this.set = set; this.axis = axis;
    this.index = Math.min(index, this.count() - 1);
    this.cut.hidden = !set.volume;
    this.slices.hidden = this.count() < 2;
    this.slices.firstElementChild.textContent = set.volume ? "Slice" : "Picture";
    this.axes.value = axis;
    if (other) { // the sliders reach as far as the grey levels do
      const [low, high] = set.window, [least, most] = set.ends;
      this.least = Math.min(least, low); this.most = Math.max(most, high);
      this.levels(low, high);
      Object.assign(this, { zoom: 1, x: 0, y: 0 });
    }
    await this.show();
  }

  count() { return this.set.volume ? this.set.volume[this.axis] : this.set.pictures; }

  levels(low, high) {
    this.low = low; this.high = high;
    const at = (level) => 1000 * (level - this.least) / (this.most - this.least || 1);
    this.black.value = at(low); this.white.value = at(high);
    this.blackTold.textContent = number(low, 5); this.whiteTold.textContent = number(high, 5);
  }

  address(index = this.index) { return pictureAddress(this.set, { index, axis: this.axis, low: this.low, high: this.high }); }

  async show() {
    const wanted = ++this.asked || (this.asked = 1);
    this.slice.max = this.count() - 1; this.slice.value = this.index;
    this.sliceTold.textContent = `${this.index + 1} of ${this.count()}`;
    const next = new Image();
    next.src = this.address();
    await next.decode().catch(() => { throw new Trouble("This picture cannot be shown."); });
    if (wanted !== this.asked) return;
    this.image.src = next.src;
    this.image.alt = `Picture ${this.index + 1} of ${this.set.name}`;
    this.size = [next.naturalWidth, next.naturalHeight];
    this.told = await ask(query("api/set/picture", { name: this.set.name, index: this.index, axis: this.axis }));
    if (wanted !== this.asked) return;
    this.draw();
    if (this.onshow) this.onshow(this.told);
    if (this.index + 1 < this.count()) new Image().src = this.address(this.index + 1);
  }

  /** Height over width of a pixel. */
  aspect() { const [h_, w] = (this.told && this.told.spacing_um) || []; return h_ && w ? h_ / w : 1; }

  draw() {
    if (!this.size) return;
    const [width, height] = this.size, aspect = this.aspect();
    const room = [this.glass.clientWidth, this.glass.clientHeight];
    const fit = Math.min(room[0] / width, room[1] / (height * aspect));
    this.factor = fit * this.zoom;
    const reach = [Math.max(0, width * this.factor - room[0]) / 2, Math.max(0, height * aspect * this.factor - room[1]) / 2];
    this.x = Math.min(Math.max(this.x, -reach[0]), reach[0]);
    this.y = Math.min(Math.max(this.y, -reach[1]), reach[1]);
    const left = (room[0] - width * this.factor) / 2 + this.x, top = (room[1] - height * aspect * this.factor) / 2 + this.y;
    this.image.style.transform = `translate(${left}px, ${top}px) scale(${this.factor}, ${this.factor * aspect})`;
    this.scale();
  }

  scale() {
    const width = this.told && this.told.width ? this.told.width : this.size[0];
    const um = this.told && this.told.spacing_um[1];
    const each = this.factor * this.size[0] / width; // of the screen for a pixel of the picture
    const room = Math.min(180, this.glass.clientWidth / 3) / each * (um || 1);
    const decade = 10 ** Math.floor(Math.log10(room));
    const long = Math.max(...[1, 2, 5].map((n) => n * decade).filter((n) => n <= room * (1 + 1e-9)));
    this.bar.hidden = false;
    this.bar.firstElementChild.textContent = um ? length(long) : `${long} px`;
    this.bar.lastElementChild.style.width = `${long / (um || 1) * each}px`;
  }

  zoomBy(by, x = this.glass.clientWidth / 2, y = this.glass.clientHeight / 2) {
    const before = this.zoom;
    this.zoom = Math.min(Math.max(this.zoom * by, 1), 64);
    const ratio = this.zoom / before, dx = x - this.glass.clientWidth / 2, dy = y - this.glass.clientHeight / 2;
    this.x = (this.x - dx) * ratio + dx; this.y = (this.y - dy) * ratio + dy;
    this.draw();
  }

  move(dx, dy) { this.x += dx; this.y += dy; this.draw(); }

  whole() { Object.assign(this, { zoom: 1, x: 0, y: 0 }); this.levels(...this.set.window); this.show().catch(fail); }

  turn(by) {
    this.index = Math.min(Math.max(this.index + by, 0), this.count() - 1);
    this.show().catch(fail);
  }

  soon() { clearTimeout(this.later); this.later = setTimeout(() => this.show().catch(fail), 40); }

  hands() {
    const level = (slider) => this.least + slider.value / 1000 * (this.most - this.least);
    for (const slider of [this.black, this.white]) slider.addEventListener("input", () => {
      const gap = (this.most - this.least) / 500;
      if (slider === this.black) this.levels(Math.min(level(slider), this.high - gap), this.high);
      else this.levels(this.low, Math.max(level(slider), this.low + gap));
      this.soon();
    });
    this.slice.addEventListener("input", () => { this.index = +this.slice.value; this.soon(); });
    this.axes.addEventListener("change", () => { const axis = +this.axes.value; this.open(this.set, Math.floor(this.set.volume[axis] / 2), axis).catch(fail); });
    this.glass.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = this.glass.getBoundingClientRect();
      this.zoomBy(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    this.glass.addEventListener("pointerdown", (event) => { this.glass.setPointerCapture(event.pointerId); this.held.set(event.pointerId, event); });
    this.glass.addEventListener("pointermove", (event) => {
      const before = this.held.get(event.pointerId);
      if (!before) return;
      if (this.held.size === 2) { // pinch
        const [other] = [...this.held.values()].filter((one) => one.pointerId !== event.pointerId);
        const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
        const box = this.glass.getBoundingClientRect();
        this.zoomBy(apart(event) / Math.max(1, apart(before)), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
      } else this.move(event.clientX - before.clientX, event.clientY - before.clientY);
      this.held.set(event.pointerId, event);
    });
    for (const name of ["pointerup", "pointercancel"]) this.glass.addEventListener(name, (event) => this.held.delete(event.pointerId));
    this.glass.addEventListener("dblclick", () => this.whole());
    const keys = {
      "+": () => this.zoomBy(1.25), "=": () => this.zoomBy(1.25), "-": () => this.zoomBy(0.8), r: () => this.whole(), ",": () => this.turn(-1), ".": () => this.turn(1),
      ArrowLeft: () => this.move(40, 0), ArrowRight: () => this.move(-40, 0), ArrowUp: () => this.move(0, 40), ArrowDown: () => this.move(0, -40),
      PageUp: () => this.turn(-1), PageDown: () => this.turn(1),
    };
    this.glass.addEventListener("keydown", (event) => {
      const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey || !this.set) return;
      event.preventDefault();
      act();
    });
    new ResizeObserver(() => this.draw()).observe(this.glass);
  }
}

// --- plots -------------------------------------------------------------------------------------------------------

/** Round places for about so many ticks. */
export function ticks(low, high, about = 5) {
  const step0 = (high - low || 1) / about, decade = 10 ** Math.floor(Math.log10(step0));
  const step = [1, 2, 5, 10].map((n) => n * decade).find((n) => n >= step0 * (1 - 1e-9));
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(+(k * step).toPrecision(12));
  return found;
}

/** A plot as an SVG element.
 *
 * lines: [{ name, points: [[x, y], ...], faint: [[x, y], ...] }]; x, y: { label, log, low, high }.
 * Each line has a colour and a dash of its own, and its name at its end. */
export function plot({ title, lines = [], bars = null, x, y, width = 560, height = 260, spoken = "" }) {
  const margin = { left: 56, right: lines.length > 1 || (lines[0] && lines[0].name) ? 96 : 16, top: title ? 28 : 12, bottom: 44 };
  const all = lines.flatMap((line) => [...line.points, ...(line.faint || [])]).concat(bars ? bars.flatMap(([a, b, n]) => [[a, n], [b, n]]) : []);
  const log = y.log && all.every(([, v]) => v > 0);
  const of = (v) => (log ? Math.log10(v) : v);
  const xs = all.map(([v]) => v), ys = all.map(([, v]) => of(v));
  const x0 = x.low ?? Math.min(...xs), x1 = Math.max(x.high ?? Math.max(...xs), x0 + 1e-9);
  let y0 = y.low !== undefined ? of(y.low) : Math.min(...ys), y1 = y.high !== undefined ? of(y.high) : Math.max(...ys);
  if (!(y1 > y0)) { y0 -= 0.5; y1 += 0.5; }
  if (y.low === undefined) { const pad = (y1 - y0) * 0.05; y0 -= pad; y1 += pad; }
  const px = (v) => margin.left + (v - x0) / (x1 - x0) * (width - margin.left - margin.right);
  const py = (v) => height - margin.bottom - (of(v) - y0) / (y1 - y0) * (height - margin.top - margin.bottom);
  const made = h("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken || title || "" });
  if (title) made.append(h("text", { class: "title", x: 0, y: 14 }, title));
  let upright = log ? ticks(y0, y1, 4).filter((v) => Number.isInteger(v)).map((v) => 10 ** v) : ticks(y0, y1, 4);
  if (log && upright.length < 2) upright = ticks(10 ** y0, 10 ** y1, 4).filter((v) => v > 0);
  for (const v of upright) {
    made.append(h("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: py(v), y2: py(v) }),
      h("text", { x: margin.left - 6, y: py(v) + 4, "text-anchor": "end" }, number(v)));
  }
  for (const v of ticks(x0, x1, 5)) {
    made.append(h("line", { class: "axis", x1: px(v), x2: px(v), y1: height - margin.bottom, y2: height - margin.bottom + 4 }),
      h("text", { x: px(v), y: height - margin.bottom + 17, "text-anchor": "middle" }, number(v, 4)));
  }
  if (bars) {
    const path = bars.map(([a, b, n]) => `L${px(a).toFixed(1)},${py(n).toFixed(1)}L${px(b).toFixed(1)},${py(n).toFixed(1)}`).join("");
    const base = height - margin.bottom;
    made.append(h("path", { class: "fill", d: `M${px(bars[0][0]).toFixed(1)},${base}${path}L${px(bars.at(-1)[1]).toFixed(1)},${base}Z` }),
      h("path", { class: "line s1", d: `M${path.slice(1)}` }));
  }
  made.append(h("path", { class: "axis", d: `M${margin.left},${margin.top}V${height - margin.bottom}H${width - margin.right}` }),
    h("text", { x: (margin.left + width - margin.right) / 2, y: height - 8, "text-anchor": "middle" }, x.label),
    h("text", { x: 12, y: (margin.top + height - margin.bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(margin.top + height - margin.bottom) / 2})` }, y.label));
  const drawn = (points) => points.map(([a, b], k) => `${k ? "L" : "M"}${px(a).toFixed(1)},${py(b).toFixed(1)}`).join("");
  const ends = [];
  lines.forEach((line, k) => {
    const turn = k % 6 + 1;
    if (line.faint) made.append(h("path", { class: `faint s${turn}`, d: drawn(line.faint) }));
    made.append(h("path", { class: `line s${turn} d${turn}`, d: drawn(line.points) }));
    if (line.name && line.points.length) ends.push([py(line.points.at(-1)[1]), line.name, turn]);
  });
  ends.sort((a, b) => a[0] - b[0]);
  ends.forEach((end, k) => { if (k) end[0] = Math.max(end[0], ends[k - 1][0] + 14); });
  const over = ends.length ? Math.max(0, ends.at(-1)[0] - (height - margin.bottom)) : 0;
  for (const [at, name, turn] of ends) {
    made.append(h("line", { class: `line s${turn} d${turn}`, x1: width - margin.right + 4, x2: width - margin.right + 20, y1: at - over, y2: at - over }),
      h("text", { x: width - margin.right + 24, y: at - over + 4 }, name));
  }
  return made;
}

// --- work --------------------------------------------------------------------------------------------------------

export const AT_WORK = ["starting", "running", "stopping"];
const WORDS = { starting: "starting", running: "running", stopping: "stopping", done: "done", stopped: "stopped", refused: "refused", failed: "failed", died: "died" };

export const stateOf = (work) => h("span", { class: `state ${work.state}` }, WORDS[work.state]);

export function progressOf(work) {
  const told = work.progress, known = told && told.of;
  const line = h("i", {});
  if (known) line.style.width = `${Math.min(100, 100 * told.done / told.of)}%`;
  return h("div", { class: `progress${known ? "" : " unknown"}`, role: "progressbar", "aria-label": told ? told.words : "Working",
    ...(known ? { "aria-valuenow": Math.round(100 * told.done / told.of), "aria-valuemin": 0, "aria-valuemax": 100 } : {}) }, line);
}

/** Follow a piece of work until it ends, also when the server is away for a while. Calls back with { work, log }. */
export async function follow(number_, onChange, { every = 700, signal } = {}) {
  for (;;) {
    try {
      const found = await ask(`api/work/${number_}`, { signal });
      if (signal && signal.aborted) return null;
      onChange(found);
      if (!AT_WORK.includes(found.work.state)) { lookAtWork(); return found; }
    } catch (error) {
      if (error.name === "AbortError") return null;
      if (error.status) throw error;
    }
    await new Promise((done) => setTimeout(done, every));
    if (signal && signal.aborted) return null;
  }
}

export const stop = (work) => ask(`api/work/${work.record.number}/stop`, { method: "POST" });

function workItem(work) {
  const item = h("li", { "data-number": work.record.number });
  const log = h("details", {}, h("summary", {}, "Log and command"));
  log.addEventListener("toggle", async () => {
    if (!log.open) return;
    try {
      const found = await ask(`api/work/${work.record.number}`);
      log.replaceChildren(log.firstElementChild, command(found.work.command), h("pre", { class: "log" }, found.log || "Nothing said yet."));
    } catch (error) { fail(error); }
  });
  const busy = AT_WORK.includes(work.state);
  item.append(
    h("div", { class: "row" }, h("b", {}, `${work.record.number}. ${work.record.title}`), stateOf(work), h("span", { class: "small" }, duration(work.seconds)),
      busy && h("button", { type: "button", onclick: trying(async () => { await stop(work); await lookAtWork(); }) }, work.state === "stopping" ? "Stop at once" : "Stop")),
    ...(busy ? [progressOf(work)] : []),
    ...(work.said ? [h("p", { class: "small" }, work.said)] : []), log);
  return item;
}

let shownWork = "";

/** Ask what is being done, show it, and tell the page. */
export async function lookAtWork() {
  const found = await ask("api/work");
  const busy = found.filter((work) => AT_WORK.includes(work.state)).length;
  el("work-count").textContent = busy;
  el("work-count").classList.toggle("busy", busy > 0);
  if (!el("work-panel").hidden) {
    const now = JSON.stringify(found.map((work) => [work.record.number, work.state, work.progress, Math.round(work.seconds)]));
    if (now !== shownWork && !el("work-list").querySelector("details[open]")) {
      shownWork = now;
      el("work-list").replaceChildren(...(found.length ? found.map(workItem) : [h("li", { class: "small" }, "Nothing yet.")]));
    }
  }
  document.dispatchEvent(new CustomEvent("work", { detail: found }));
  return found;
}

function showWork(open) {
  el("work-panel").hidden = !open;
  el("work-button").setAttribute("aria-expanded", String(open));
  shownWork = "";
  if (open) { lookAtWork().catch(fail); el("work-close").focus(); } else el("work-button").focus();
}

el("work-button").addEventListener("click", () => showWork(el("work-panel").hidden));
el("work-close").addEventListener("click", () => showWork(false));
el("say").querySelector("button").addEventListener("click", () => say(""));
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !el("work-panel").hidden) showWork(false); });
takeAlong();
(async () => {
  for (;;) {
    if (!document.hidden) await lookAtWork().catch(() => {});
    await new Promise((done) => setTimeout(done, 2000));
  }
})();

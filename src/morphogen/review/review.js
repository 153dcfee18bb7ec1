// The page of a review: plain JavaScript, no libraries. It knows of an image its place and its pixels, and nothing else.
"use strict";

const el = (id) => document.getElementById(id);
const about = document.body.dataset;
const SLICES = +about.slices, HEIGHT = +about.height, WIDTH = +about.width, CHANNELS = +about.channels;
const LEVELS = +about.levels, SPACING = parseFloat(about.spacing), ASPECT = +about.aspect || 1;
const CRITERIA = [...el("data").children].map((e) => e.textContent);
const SURE = ["surely", "probably", "a guess"];
const ASKED = {
  one: "Was this image measured or generated?",
  two: "Which of these two was measured?",
  prefer: "Which of these two looks more like a measured image?",
  rate: "How far is each statement true of this image?",
};
const SIDES = [["Left", "Upper"], ["Right", "Lower"]]; // beside each other, and one above the other on a narrow screen

let state = null; // where the rater is, as the server says: behind all that is on the disk
let question = null; // what is on the screen
let again = false; // whether it is answered for the second time
let shows = 0; // how often one was to be shown
let views = [];
let look = null; // zoom, place, window and level, common to both images
let slice = 0;
let shownAt = 0, away = 0, awaySince = null; // the browser's own clock, which does not jump
let busy = false, ratings = [], current = 0;
let pending = null; // the answer that is on its way to the disk: a promise of what came of it
const loaded = new Map(); // position -> a promise of [side][slice] -> pixels

// --- from and to the server --------------------------------------------------------------------------------------

async function ask(path, options = {}) {
  const response = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  if (!response.ok) throw Object.assign(new Error(String(response.status)), { response });
  return response;
}

async function persistently(call) {
  for (let tries = 0; ; tries++) {
    try {
      const found = await call();
      if (tries) say("");
      return found;
    } catch (error) {
      const status = error.response ? error.response.status : 0;
      if (status && status < 500 && status !== 429) throw error;
      say(status === 507 ? "Not stored yet: the server cannot write to its disk. Trying again …"
        : "Not stored yet: the server does not answer. Trying again …", true);
      await new Promise((done) => setTimeout(done, Math.min(250 * 2 ** tries, 4000)));
    }
  }
}

function pixelsOf(asked) {
  if (!loaded.has(asked.position)) {
    const order = [...Array(SLICES).keys()].sort((a, b) => Math.abs(a - (SLICES >> 1)) - Math.abs(b - (SLICES >> 1)));
    const sides = [...Array(asked.sides).keys()].map(() => []);
    const get = async (k) => {
      await Promise.all(sides.map(async (side, number) => {
        const bytes = await (await ask(`image/${asked.position}/${number}/${k}`)).arrayBuffer();
        side[k] = LEVELS <= 256 ? new Uint8Array(bytes) : new Uint16Array(bytes);
      }));
    };
    // The middle slice is there when this resolves; the others follow while the rater looks.
    const first = persistently(() => get(order[0])).then(() => {
      (async () => {
        for (const k of order.slice(1)) {
          await persistently(() => get(k));
          if (question && question.position === asked.position && k === slice) draw(true);
        }
      })().catch(() => {});
      return sides;
    });
    first.catch(() => loaded.delete(asked.position));
    loaded.set(asked.position, first);
  }
  return loaded.get(asked.position);
}

// One answer at a time is on its way. The next question, which is loaded, is shown meanwhile; its answer waits for the
// acknowledgement of the one before, so that at most that one and this are nowhere but here. The count of answers, the
// last page and what the training round tells wait for the disk.
async function send(choice) {
  if (busy || !question || !el("paused").hidden) return;
  busy = true;
  for (const button of el("answers").querySelectorAll("button")) button.disabled = true;
  const sent = question;
  const body = JSON.stringify({
    position: sent.position, choice, ratings: choice === null ? ratings : [],
    seconds: Math.max(0, performance.now() - shownAt - away) / 1000, attempt: word(), again,
  });
  const before = pending;
  if (await before || !before) say("");
  if (question !== sent) { // the one before was late, and the rater is elsewhere
    busy = false;
    return;
  }
  pending = deliver(body);
  const next = again ? state.position : sent.position + 1;
  again = false;
  try {
    if (!sent.training && at(next)) await show(next);
    else {
      const taken = await pending;
      if (taken && sent.training) tell(choice, taken.right);
      else if (taken) await show();
    }
  } catch (error) {
    fail(error);
  } finally {
    busy = false;
  }
}

// What the server says once it has the answer; nothing where it is not taken, and then the page says why.
async function deliver(body) {
  el("stored").hidden = true;
  const headers = { "Content-Type": "application/json" };
  try {
    // It is delivered even if the page is closed now.
    const call = async () => (await ask("answer", { method: "POST", headers, body, keepalive: true })).json();
    const taken = await persistently(call);
    state = taken;
    progress();
    following();
    return taken;
  } catch (error) {
    const response = error.response;
    if (response && response.status === 409) {
      state = await response.json();
      again = false;
      if (question && question.position === state.position) progress(); // it is on the screen already
      else await show().catch(fail);
      say("That question had been answered already, in another window or on another machine.", true);
    } else if (response && response.status === 403) {
      pending = null; // or the browser would ask whether to leave
      location.reload();
    } else say(`This answer was refused (${error.message}). Reload the page.`, true);
    return null;
  } finally {
    pending = null;
    el("stored").hidden = false;
  }
}

window.addEventListener("beforeunload", (event) => { if (pending) event.preventDefault(); });

// Random words also where the page is not served over https, and randomUUID is missing.
function word() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

// --- what is on the screen ---------------------------------------------------------------------------------------

function only(id) {
  for (const name of ["intro", "question", "paused", "done"]) el(name).hidden = name !== id;
  el("pause").hidden = id !== "question";
}

function say(words, trouble = false) {
  el("status").textContent = words;
  el("status").classList.toggle("trouble", trouble);
}

function progress() {
  el("bar").value = state.position;
  el("count").textContent = `${state.position} of ${state.total}`;
  const before = question && question.position === state.position ? at(question.position - 1) : null;
  el("back").disabled = !before || before.training;
}

const at = (position) => state.questions.find((q) => q.position === position);

async function show(position = state.position) {
  const asked = at(position);
  if (!asked) {
    shows++;
    question = null;
    progress();
    if (el("paused").hidden) only("done");
    return;
  }
  const mine = ++shows;
  let pixels;
  try {
    pixels = await pixelsOf(asked);
  } catch (error) {
    if (mine === shows) throw error;
  }
  if (mine !== shows) return; // another one is to be shown by now
  question = asked;
  if (el("paused").hidden) only("question"); // or it was paused while the last answer was on its way
  el("ask").textContent = ASKED[asked.kind];
  const small = document.createElement("small");
  small.textContent = `${asked.training ? "training, " : ""}${asked.place} of ${asked.of}`;
  el("ask").append(small);
  place(pixels);
  choices();
  progress();
  shownAt = performance.now();
  away = 0;
  if (awaySince !== null) awaySince = shownAt;
  for (const kept of loaded.keys()) if (Math.abs(kept - position) > 1) loaded.delete(kept);
  following();
}

// Load the question behind the one that is shown, so that it is there when it is asked.
function following() {
  const next = question && at(question.position + 1);
  if (next) pixelsOf(next).catch(() => {});
}

function place(pixels) {
  const box = el("views");
  if (views.length !== pixels.length) {
    box.replaceChildren();
    views = pixels.map((_, side) => new View(box, pixels.length > 1 ? SIDES[side] : null));
  }
  box.classList.toggle("two", pixels.length > 1);
  el("work").classList.toggle("rating", question.kind === "rate");
  views.forEach((view, side) => { view.pixels = pixels[side]; });
  look = { zoom: 1, x: 0, y: 0, window: 500, level: 500 };
  slice = SLICES >> 1;
  tools();
  draw(true);
}

function choices() {
  const box = el("answers");
  box.replaceChildren();
  if (question.kind === "rate") {
    ratings = CRITERIA.map(() => undefined);
    current = 0;
    CRITERIA.forEach((criterion, k) => {
      const set = fieldset(criterion);
      set.dataset.criterion = k;
      const row = set.querySelector(".choices");
      const words = { 1: "not at all", 5: "fully" };
      for (let value = 1; value <= 5; value++) row.append(button(String(value), () => rate(k, value), words[value]));
      row.append(button("cannot say", () => rate(k, null), "0"));
      box.append(set);
    });
    const sending = button("Send", () => send(null));
    sending.className = "main";
    sending.id = "send";
    box.append(sending);
    mark();
    return;
  }
  const names = question.kind === "one" ? ["Measured", "Generated"]
    : SIDES.map((side) => side.map((name) => `${name} was measured`));
  if (question.kind === "prefer") {
    const set = fieldset("");
    SIDES.forEach((name, k) => set.querySelector(".choices").append(button(name, () => send(k), k + 1)));
    box.append(set);
    return;
  }
  names.forEach((name, half) => {
    const set = fieldset(name);
    (half ? [...SURE].reverse() : SURE).forEach((how, k) => {
      const choice = 3 * half + k;
      set.querySelector(".choices").append(button(how, () => send(choice), choice + 1));
    });
    box.append(set);
  });
}

function fieldset(name) {
  const set = document.createElement("fieldset");
  const legend = document.createElement("legend");
  legend.append(...worded(name));
  const row = document.createElement("div");
  row.className = "choices";
  set.append(legend, row);
  return set;
}

// A name, or a pair of them of which the style sheet shows that for images beside or above each other.
function worded(name) {
  if (typeof name === "string") return [name];
  return name.map((words, k) => Object.assign(document.createElement("span"), {
    className: ["beside", "above"][k], textContent: words }));
}

function button(name, act, key = "") {
  const made = Object.assign(document.createElement("button"), { type: "button" });
  made.append(...worded(name));
  const under = { textContent: String(key), className: /^[0-9]$/.test(key) ? "key" : "" };
  if (key) made.append(Object.assign(document.createElement("small"), under));
  made.addEventListener("click", (event) => { if (event.detail < 2) act(); }); // a double click is one answer
  return made;
}

function rate(criterion, value) {
  ratings[criterion] = value;
  const open = ratings.findIndex((v, k) => v === undefined && k > criterion);
  current = open >= 0 ? open : Math.max(ratings.indexOf(undefined), -1);
  if (current < 0) current = CRITERIA.length;
  mark();
}

function mark() {
  for (const set of el("answers").querySelectorAll("fieldset")) {
    const k = +set.dataset.criterion;
    set.classList.toggle("current", k === current);
    if (k === current) set.scrollIntoView({ block: "nearest" });
    [...set.querySelectorAll("button")].forEach((made, number) => {
      const value = number < 5 ? number + 1 : null;
      made.setAttribute("aria-pressed", String(ratings[k] === value && ratings[k] !== undefined));
    });
  }
  el("send").disabled = ratings.includes(undefined);
}

function tell(choice, right) {
  const good = (choice >= 3 ? 1 : 0) === right;
  const was = question.kind === "one" ? `It was ${["measured", "generated"][right]}.`
    : SIDES[right].map((name) => `The ${name.toLowerCase()} one was measured.`);
  const line = document.createElement("p");
  line.className = "told";
  line.append(Object.assign(document.createElement("b"), { className: good ? "good" : "bad",
    textContent: good ? "Right. " : "Not so. " }), ...worded(was));
  const on = button("Go on", () => show());
  on.className = "main";
  on.id = "on";
  el("answers").replaceChildren(line, on);
  on.focus();
}

function pause() {
  if (!question || el("question").hidden) return;
  leave();
  only("paused");
  el("resume").focus();
}

function leave() { if (awaySince === null) awaySince = performance.now(); }
function comeBack() {
  if (awaySince !== null) away += performance.now() - awaySince;
  awaySince = null;
}

// --- images: zoom, place, window and level -----------------------------------------------------------------------

class View {
  constructor(box, side) {
    this.box = document.createElement("div");
    this.box.className = "view";
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", side ? `${side[0]} image` : "Image");
    this.scale = document.createElement("div");
    this.scale.className = "scale";
    this.box.append(this.canvas, this.scale);
    if (side) {
      const name = Object.assign(document.createElement("div"), { className: "side" });
      name.append(...worded(side));
      this.box.append(name);
    }
    box.append(this.box);
    this.plane = new OffscreenCanvas(WIDTH, HEIGHT);
    this.touches = new Map();
    new ResizeObserver(() => draw(false)).observe(this.box);
    this.canvas.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    this.canvas.addEventListener("dblclick", () => whole());
    this.canvas.addEventListener("contextmenu", (e) => e.preventDefault());
    this.canvas.addEventListener("pointerdown", (e) => this.down(e));
    this.canvas.addEventListener("pointermove", (e) => this.move(e));
    for (const end of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(end, (e) => this.touches.delete(e.pointerId));
    }
  }

  // Grey levels through window and level, for the slice that is shown.
  colour() {
    const values = this.pixels && this.pixels[slice];
    const context = this.plane.getContext("2d");
    if (!values) {
      context.clearRect(0, 0, WIDTH, HEIGHT);
      return;
    }
    const table = greys();
    const image = context.createImageData(WIDTH, HEIGHT);
    const out = new Uint32Array(image.data.buffer);
    if (CHANNELS === 1) {
      for (let k = 0; k < out.length; k++) out[k] = 0xff000000 | (table[values[k]] * 0x010101);
    } else {
      for (let k = 0, j = 0; k < out.length; k++, j += 3) {
        out[k] = 0xff000000 | (table[values[j + 2]] << 16) | (table[values[j + 1]] << 8) | table[values[j]];
      }
    }
    context.putImageData(image, 0, 0);
  }

  // Screen pixels for one pixel of the image.
  factor() {
    return Math.min(this.box.clientWidth / WIDTH, this.box.clientHeight / (HEIGHT * ASPECT)) * look.zoom;
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.box.clientWidth * ratio), height = Math.round(this.box.clientHeight * ratio);
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d");
    const f = this.factor() * ratio;
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = f < 1; // enlarged, a pixel stays a square: smoothing hides what one looks for
    context.imageSmoothingQuality = "high";
    const w = WIDTH * f, h = HEIGHT * ASPECT * f;
    context.drawImage(this.plane, width / 2 - w / 2 - look.x * w, height / 2 - h / 2 - look.y * h, w, h);
    this.ruler();
  }

  // A bar of 1, 2 or 5 times a power of ten.
  ruler() {
    const known = SPACING > 0;
    const seen = Math.min(this.box.clientWidth / this.factor(), WIDTH); // in pixels of the image
    const room = 0.3 * seen * (known ? SPACING : 1);
    const decade = 10 ** Math.floor(Math.log10(room));
    const length = [5, 2, 1].map((n) => n * decade).find((n) => n <= room * (1 + 1e-9));
    const units = [["m", 1e6], ["mm", 1e3], ["µm", 1], ["nm", 1e-3]];
    const [unit, size] = known ? units.find(([name, s]) => length >= s * (1 - 1e-9) || name === "nm") : ["px", 1];
    const pixels = length / (known ? SPACING : 1) * this.factor();
    this.scale.textContent = `${+(length / size).toPrecision(6)} ${unit}`;
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    bar.setAttribute("width", pixels);
    bar.setAttribute("height", 4);
    const line = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of [["width", pixels], ["height", 4], ["fill", "#fff"]]) line.setAttribute(name, value);
    bar.append(line);
    this.scale.append(bar);
  }

  wheel(event) {
    event.preventDefault();
    if (SLICES > 1 && !event.ctrlKey) {
      turn(Math.sign(event.deltaY));
      return;
    }
    const box = this.canvas.getBoundingClientRect();
    zoomAbout(this, 1.0015 ** -event.deltaY, event.clientX - box.left, event.clientY - box.top);
  }

  down(event) {
    try { this.canvas.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone */ }
    this.touches.set(event.pointerId, event);
  }

  move(event) {
    const before = this.touches.get(event.pointerId);
    if (!before || !question) return;
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    if (this.touches.size === 2) {
      const other = [...this.touches.values()].find((t) => t.pointerId !== event.pointerId);
      const apart = (e) => Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY) || 1;
      const box = this.canvas.getBoundingClientRect();
      const x = (event.clientX + other.clientX) / 2 - box.left, y = (event.clientY + other.clientY) / 2 - box.top;
      zoomAbout(this, apart(event) / apart(before), x, y);
      pan(this, dx / 2, dy / 2);
    } else if (event.shiftKey || event.buttons === 2) {
      adjust(-dx * 2, -dy * 2);
    } else pan(this, dx, dy);
    this.touches.set(event.pointerId, event);
  }
}

// Window and level from 0 to 1000; in the middle the whole range is shown.
function greys() {
  const width = 2 ** ((500 - look.window) / 100), middle = 1 - look.level / 1000;
  const table = new Uint8Array(LEVELS);
  for (let k = 0; k < LEVELS; k++) {
    const unit = (k / (LEVELS - 1) - middle) / width + 0.5;
    table[k] = Math.round(255 * Math.min(Math.max(unit, 0), 1));
  }
  return table;
}

function draw(coloured) {
  if (!look || !question) return;
  for (const view of views) {
    if (coloured) view.colour();
    view.draw();
  }
}

function pan(view, dx, dy) {
  const f = view.factor();
  look.x = Math.min(Math.max(look.x - dx / (WIDTH * f), -0.5), 0.5);
  look.y = Math.min(Math.max(look.y - dy / (HEIGHT * ASPECT * f), -0.5), 0.5);
  draw(false);
}

function zoomAbout(view, by, x, y) {
  const before = look.zoom;
  look.zoom = Math.min(Math.max(look.zoom * by, 1), 64);
  const f = view.factor(), ratio = look.zoom / before;
  const dx = x - view.box.clientWidth / 2, dy = y - view.box.clientHeight / 2;
  look.x += dx * (ratio - 1) / (WIDTH * f);
  look.y += dy * (ratio - 1) / (HEIGHT * ASPECT * f);
  if (look.zoom === 1) look.x = look.y = 0;
  pan(view, 0, 0);
}

const zoom = (by) => zoomAbout(views[0], by, views[0].box.clientWidth / 2, views[0].box.clientHeight / 2);

function adjust(window_, level) {
  look.window = Math.min(Math.max(look.window + window_, 0), 1000);
  look.level = Math.min(Math.max(look.level + level, 0), 1000);
  tools();
  draw(true);
}

function whole() {
  Object.assign(look, { zoom: 1, x: 0, y: 0, window: 500, level: 500 });
  tools();
  draw(true);
}

function turn(by) {
  slice = Math.min(Math.max(slice + by, 0), SLICES - 1);
  tools();
  draw(true);
}

function tools() {
  el("window").value = look.window;
  el("level").value = look.level;
  if (SLICES > 1) {
    el("slice").value = slice;
    el("slice-number").textContent = `${slice + 1} of ${SLICES}`;
  }
}

// --- hands -------------------------------------------------------------------------------------------------------

function back() {
  if (busy || el("back").disabled) return;
  const before = at(state.position - 1);
  again = true;
  show(before.position).catch(fail);
}

const KEYS = {
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), r: whole, p: pause, Backspace: back,
  ArrowLeft: () => pan(views[0], 60, 0), ArrowRight: () => pan(views[0], -60, 0),
  ArrowUp: () => pan(views[0], 0, 60), ArrowDown: () => pan(views[0], 0, -60),
  a: () => adjust(-25, 0), d: () => adjust(25, 0), s: () => adjust(0, -25), w: () => adjust(0, 25),
  ",": () => turn(-1), ".": () => turn(1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (el("question").hidden || !question) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const number = /^[0-9]$/.test(key) ? +key : NaN;
  if (event.target instanceof HTMLInputElement && !(number >= 0)) return; // a slider moves by its own keys
  if (el("on")) return; // only "Go on", which has the focus
  if (question.kind === "rate" && number >= 0 && number <= 5 && current < CRITERIA.length) {
    if (!event.repeat) rate(current, number || null);
  } else if (question.kind === "rate" && key === "Enter" && !(event.target instanceof HTMLButtonElement)) {
    if (!el("send").disabled && !event.repeat) send(null);
  } else if (question.kind !== "rate" && number >= 1 && number <= question.choices) {
    if (!event.repeat) send(number - 1);
  } else if (KEYS[key]) KEYS[key]();
  else return;
  event.preventDefault();
});

function fail(error) {
  say(error.response && error.response.status === 404 ? "This link belongs to nobody here."
    : `Something went wrong (${error.message}). Reload the page.`, true);
}

el("begin").addEventListener("click", () => { ready.then(() => show()).catch(fail); });
el("pause").addEventListener("click", pause);
el("resume").addEventListener("click", () => {
  comeBack();
  only(question ? "question" : "done");
  draw(true);
});
el("back").addEventListener("click", back);
el("in").addEventListener("click", () => zoom(1.25));
el("out").addEventListener("click", () => zoom(0.8));
el("whole").addEventListener("click", whole);
el("window").addEventListener("input", (e) => adjust(+e.target.value - look.window, 0));
el("level").addEventListener("input", (e) => adjust(0, +e.target.value - look.level));
if (SLICES > 1) el("slice").addEventListener("input", (e) => turn(+e.target.value - slice));
document.addEventListener("visibilitychange", () => {
  if (document.hidden) leave();
  else if (el("paused").hidden) comeBack();
});

const ready = (async () => {
  state = await persistently(async () => (await ask("state")).json());
  progress();
  const asked = at(state.position);
  if (asked) pixelsOf(asked).catch(() => {});
  if (state.position > 0) await show();
  else el("begin").focus();
})();
ready.catch(fail);

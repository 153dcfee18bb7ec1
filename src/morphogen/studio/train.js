import { ask, AT_WORK, choose, chosen, command, duration, el, fail, follow, h, number, pictureAddress, plot, progressOf, query, say, stateOf, stop, things, trying } from "./studio.js";

let methods = [], sets = [], set = null, method = null, run = null, asking = null, named = false;

const short = (name) => name.slice(name.lastIndexOf("/") + 1);

// --- the runs ----------------------------------------------------------------------------------------------------

let shownRuns = "";

async function list() {
  const found = await ask("api/runs");
  const now = JSON.stringify([found, run]);
  if (now === shownRuns) return found;
  shownRuns = now;
  el("runs").replaceChildren(found.length ? h("ul", { class: "list" }, found.map((one) => {
    const picture = one.sample ? h("img", { src: sampleAddress(one.name, one.sample), alt: "", class: "left" }) : h("img", { alt: "", src: "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==" });
    const told = one.state && AT_WORK.includes(one.state) ? h("span", { class: `state ${one.state}` }, one.state) : h("small", {}, `${one.method}, ${number(one.images_seen)} images`);
    return h("li", {}, h("button", { type: "button", "aria-pressed": String(one.name === run), title: one.name, onclick: () => open(one.name).catch(fail) }, picture, h("span", { class: "name" }, short(one.name), told)));
  })) : h("p", { class: "small" }, "None yet."));
  return found;
}

const sampleAddress = (name, file) => query("api/run/sample", { name, file });

// --- one run -----------------------------------------------------------------------------------------------------

let told = null, at = null, pace = null;

async function open(name) {
  if (asking) asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  run = name;
  told = null;
  at = null;
  choose("run", name);
  for (const id of ["form", "nothing"]) el(id).hidden = true;
  el("run").hidden = false;
  el("title").textContent = name;
  for (const id of ["facts", "curves", "run-command", "log", "state"]) el(id).replaceChildren();
  for (const id of ["seen", "going"]) el(id).hidden = true;
  const found = (await list()).find((one) => one.name === name);
  await look(signal);
  if (found && found.work) await watch(found.work, signal);
}

/** Look at what the run has written; before the first line there is no run yet. */
async function look(signal) {
  let found;
  try { found = await ask(query("api/run", { name: run }), { signal }); } catch (error) { if (error.status === 404) return; throw error; }
  if (signal.aborted) return;
  told = found;
  const [channels, height, width] = told.shape;
  const fact = (value, words) => h("li", {}, h("b", {}, value), ` ${words}`);
  el("facts").replaceChildren(fact(told.method, ""), fact(`${height} × ${width}`, channels === 1 ? "pixels" : `pixels, ${channels} channels`), fact(number(told.images_seen), "images seen"), fact(duration(told.seconds), "of training"),
    fact(number(told.parameters / 1e6), "million parameters"), fact(number(told.pictures), `images of ${told.specimens.length} specimen${told.specimens.length === 1 ? "" : "s"}`),
    ...(told.conditions.length ? [fact(told.conditions.join(", "), "can be asked for")] : []));
  samples();
  curves();
  if (!el("run-command").hasChildNodes() && told.command) el("run-command").replaceChildren(command(told.command));
}

function samples() {
  const count = told.samples.length;
  el("seen").hidden = !count;
  if (!count) return;
  const latest = at === null || at >= +el("when").max;
  el("when").max = count - 1;
  if (latest) at = count - 1;
  el("when").value = at;
  el("when-told").textContent = `after ${(+told.samples[at].slice(0, -4)).toLocaleString("en-GB")} images`;
  const address = sampleAddress(run, told.samples[at]);
  if (el("sample").getAttribute("src") !== address) el("sample").src = address;
  el("sample").alt = `Four samples ${el("when-told").textContent}`;
  el("earlier").disabled = at === 0;
  el("later").disabled = at === count - 1;
}

const turn = (to) => { if (!told) return; at = Math.max(0, Math.min(to, told.samples.length - 1)); samples(); };
el("when").addEventListener("input", () => turn(+el("when").value));
el("earlier").addEventListener("click", () => turn(at - 1));
el("later").addEventListener("click", () => turn(at + 1));
el("over").addEventListener("change", () => told && curves());

/** The mean of so many neighbours, so that a trend is seen through the noise. */
function smooth(points) {
  const reach = Math.max(1, Math.round(points.length / 40));
  return points.map(([x], k) => {
    const near = points.slice(Math.max(0, k - reach), k + reach + 1);
    return [x, near.reduce((sum, [, y]) => sum + y, 0) / near.length];
  });
}

function curves() {
  const time = el("over").value === "time", names = Object.keys(told.curves);
  if (!names.length) { el("curves").replaceChildren(h("p", { class: "small" }, "Nothing yet.")); return; }
  const seconds = new Map(told.seconds_at);
  const unit = time && told.seconds > 6000 ? [3600, "h"] : time && told.seconds > 200 ? [60, "min"] : [1, "s"];
  const of = (points) => (time ? points.map(([x, y]) => [(seconds.get(x) || 0) / unit[0], y]) : points);
  const x = { label: time ? `time of training (${unit[1]})` : "images seen", low: 0 };
  el("curves").replaceChildren(...names.map((name) => {
    const points = of(told.curves[name]), log = points.every(([, y]) => y > 0);
    const last = points.at(-1)[1];
    return plot({ title: `${name}: ${number(last)}`, lines: [{ name: "", points: smooth(points), faint: points }], x, y: { label: log ? "loss (log scale)" : "loss", log }, height: 220,
      spoken: `Loss ${name}, now ${number(last)}` });
  }));
}

async function watch(number_, signal) {
  let looked = 0;
  const end = await follow(number_, ({ work, log }) => {
    el("state").replaceChildren(stateOf(work));
    going(work);
    el("run-command").replaceChildren(command(work.command));
    el("log").replaceChildren(...(log.trim() ? [h("h3", {}, "What it says"), h("pre", { class: "log" }, log)] : []));
    if (Date.now() - looked > Math.min(10000, Math.max(1400, told ? told.seconds * 5 : 0))) { // of a day's training not every second looked = Date.now(); look(signal).catch(fail); }
  }, { signal });
  if (!end) return;
  await look(signal);
  await list();
}

function going(work) {
  const place = el("going"), busy = AT_WORK.includes(work.state);
  place.hidden = false;
  if (busy) {
    const p = work.progress, done = p && p.of ? p.done / p.of : 0;
    if (!pace || pace.number !== work.record.number) pace = done ? { number: work.record.number, done, seconds: work.seconds } : null;
    const gone = pace ? done - pace.done : 0; // since it was first looked at: it may have gone on from the middle
    const left = gone > 0.01 ? `about ${duration((work.seconds - pace.seconds) / gone * (1 - done))} left` : "";
    place.replaceChildren(progressOf(work), h("div", { class: "row" }, h("span", { class: "small grow" }, [p ? p.words : "Reading the images", done ? `${Math.round(100 * done)} %` : "", left].filter(Boolean).join(" · ")),
      h("button", { type: "button", id: "stop", onclick: trying(async () => { going(await stop(work)); }) }, work.state === "stopping" ? "Stop at once" : "Stop and save")));
    return;
  }
  const parts = work.said && work.state !== "done" ? [h("p", { class: work.state === "stopped" ? "small" : "told" }, work.said)] : [];
  if (work.can_go_on && place.dataset.number === String(work.record.number) && place.querySelector("#more")) return; // somebody may be typing
  place.dataset.number = work.record.number;
  if (work.can_go_on) {
    const timed = work.record.words.includes("--seconds");
    const before = +work.record.words[work.record.words.indexOf(timed ? "--seconds" : "--images-seen") + 1];
    const more = h("input", { type: "number", id: "more", min: 1, step: "any", value: work.state === "done" ? 2 * before : before, "aria-label": timed ? "Budget in all, in seconds" : "Budget in all, in images seen" });
    parts.push(h("div", { class: "row" }, h("span", { class: "small" }, "Go on, to"), more, h("span", { class: "small" }, timed ? "seconds in all" : "images in all"),
      h("button", { type: "button", id: "go-on", onclick: trying(async () => {
        const body = timed ? { seconds: +more.value } : { images_seen: Math.round(+more.value) };
        const next = await ask(`api/work/${work.record.number}/go-on`, { body });
        place.replaceChildren();
        watch(next.record.number, asking.signal).catch(fail);
        list().catch(fail);
      }) }, "Go on")));
  }
  place.replaceChildren(...parts);
  place.hidden = !parts.length;
}

// --- a new run ---------------------------------------------------------------------------------------------------

async function begin() {
  if (asking) asking.abort();
  asking = new AbortController();
  run = null;
  choose("run", null);
  el("run").hidden = true;
  sets = await things("set", "triples");
  el("nothing").hidden = sets.length > 0;
  el("form").hidden = !sets.length;
  list().catch(fail);
  if (!sets.length) return;
  const wanted = sets.find((one) => one.name === chosen("set")) || sets[0];
  el("sets").replaceChildren(...sets.map((one) => h("button", { type: "button", "aria-pressed": String(one === wanted), title: one.name, onclick: (event) => { pickSet(one).catch(fail); press(event.currentTarget); } },
    h("img", { src: pictureAddress(one, { size: 120 }), alt: "" }), h("span", {}, short(one.name)))));
  el("sources").querySelector("select").replaceChildren(...sets.filter((one) => one.kind === "set").map((one) => h("option", {}, one.name)));
  await pickSet(wanted);
  const { signal } = asking;
  for (;;) { // the methods are read by another process when the studio starts
    const found = await ask("api/methods", { signal });
    if (found.ready) { methods = found.methods; break; }
    await new Promise((done) => setTimeout(done, 500));
  }
  showMethods();
}

const press = (button) => { for (const other of button.parentElement.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button)); };

async function pickSet(one) {
  choose("set", one.name);
  set = await ask(query("api/set", { name: one.name }));
  set.kind = one.kind;
  const count = Math.min(4, set.pictures);
  el("crops").replaceChildren(...Array.from({ length: count }, (_, k) => {
    const index = Math.round(k * (set.pictures - 1) / Math.max(1, count - 1));
    return h("li", {}, h("img", { src: pictureAddress(set, { index, size: 264 }), alt: `Picture ${index + 1}` }));
  }));
  el("set-facts").textContent = `${number(set.pictures)} ${set.volume ? "slices" : "images"} of ${set.height} × ${set.width} pixels, ${set.pixel_type}`;
  conditions();
  crop();
  soon();
}

function showMethods() {
  el("methods").replaceChildren(...methods.map((one) => h("label", { class: "choice" }, h("input", { type: "radio", name: "method", value: one.name, onchange: () => pickMethod(one) }),
    h("span", {}, h("b", {}, one.name), h("small", {}, one.words)))));
  const first = methods.find((one) => one.name === (set && set.kind === "triples" ? "instruct_pix2pix" : "ddpm")) || methods[0];
  el("methods").querySelector(`input[value="${first.name}"]`).checked = true;
  pickMethod(first);
}

function pickMethod(one) {
  method = one;
  el("sources").hidden = !one.translates;
  el("settings").replaceChildren(...one.settings.map((setting) => h("label", { class: "field" }, h("span", {}, h("b", {}, setting.name), ` ${setting.description}`),
    h("input", { name: setting.name, placeholder: JSON.stringify(setting.default), oninput: soon }))));
  if (!named) suggest();
  conditions();
  crop();
  soon();
}

async function suggest() {
  const taken = new Set((await ask("api/runs")).map((one) => one.name));
  const wanted = `${short(set.name).replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9._-]+/g, "-")}-${method.name}`;
  let name = wanted;
  for (let k = 2; taken.has(`runs/${name}`); k++) name = `${wanted}-${k}`;
  el("name").value = name;
  soon();
}

function conditions() {
  if (!method || !set) return;
  const able = method.conditional !== "no";
  const fraction = el("specimen").selectedOptions[0].dataset.fraction;
  const names = [...set.labels, ...(set.masks && fraction && !set.labels.includes(fraction) ? [fraction] : [])];
  const before = new Set([...el("conditions").querySelectorAll("input:checked")].map((tick) => tick.value));
  el("conditions").hidden = !able || (!names.length && method.conditional !== "must") || set.kind === "triples";
  el("conditions").querySelector("div").replaceChildren(...(names.length ? names.map((name) => {
    const tick = h("input", { type: "checkbox", value: name, onchange: soon });
    tick.checked = before.has(name);
    return h("label", { class: "tick" }, tick, name);
  }) : [h("p", { class: "small" }, "This method must be told something of each image: a table labels.csv beside the images, folders by class, or masks and a kind of specimen.")]));
  el("masks").hidden = !set.masks;
  el("told-masks").hidden = !method.takes_context;
}

function crop() {
  if (!method || !set) return;
  const { multiple_of: step, at_least: least } = method;
  for (const [id, most] of [["height", set.height], ["width", set.width]]) {
    const input = el(id), fits = (n) => Math.max(Math.ceil(least / step) * step, Math.floor(n / step) * step);
    input.step = step;
    input.min = fits(least);
    if (+input.value > most || +input.value % step || +input.value < least) input.value = fits(Math.min(64, most));
  }
  const across = set.spacing_um[1], size = across ? `, ${number(el("width").value * across)} µm wide` : "";
  el("crop-told").textContent = `Multiples of ${step}, from ${el("height").min}${size}. Images of this size are drawn later.`;
}

function wanted() {
  const unit = el("budget-unit").value, budget = +el("budget").value;
  const ticked = el("conditions").hidden ? [] : [...el("conditions").querySelectorAll("input:checked")].map((tick) => tick.value);
  const settings = Object.fromEntries([...el("settings").querySelectorAll("input")].filter((input) => input.value.trim()).map((input) => [input.name, input.value.trim()]));
  const masks = !el("masks").hidden;
  return {
    set: set.name, method: method.name, name: el("name").value, ...(unit === "images" ? { images_seen: Math.round(budget) } : { seconds: budget * +unit }),
    crop: [+el("height").value, +el("width").value], specimen: el("specimen").value, conditions: ticked, settings, seed: +el("seed").value,
    with_masks: masks && el("with-masks").checked, context: masks && method.takes_context && el("context-masks").checked ? "masks" : "",
    sources: method.translates ? el("sources").querySelector("select").value : "",
  };
}

let later = 0;

/** Show the command for what is chosen, a moment after the last change. */
function soon() {
  clearTimeout(later);
  later = setTimeout(async () => {
    if (!method || !set || !el("name").value || el("form").hidden) return;
    try {
      el("command").replaceChildren(command((await ask("api/train/command", { body: wanted() })).command));
      el("start").disabled = false;
    } catch (error) {
      el("command").replaceChildren(h("p", { class: "told" }, error.message));
      el("start").disabled = true;
    }
  }, 150);
}

el("form").addEventListener("input", soon);
el("name").addEventListener("input", () => { named = true; });
el("specimen").addEventListener("change", () => { conditions(); soon(); });
for (const id of ["height", "width"]) el(id).addEventListener("change", crop);
el("form").addEventListener("submit", (event) => {
  event.preventDefault();
  el("start").disabled = true;
  (async () => {
    say("");
    const work = await ask("api/train", { body: wanted() });
    named = false;
    await open(work.record.makes);
  })().catch(fail).finally(() => { el("start").disabled = false; });
});
el("new").addEventListener("click", () => begin().catch(fail));
document.addEventListener("work", () => { list().catch(() => {}); });

if (chosen("run")) open(chosen("run")).catch(fail);
else begin().catch(fail);


// The page generate: a picture that follows what is asked, and sets that are made of it.
import { ask, choose, chosen, command, el, fail, h, length, number, query, say, things, trying } from "./studio.js";
import { Asking } from "./asking.js";
import { describe, downloads, facts, ruler, sheet } from "./made_sets.js";
import { commandTeller, workWatcher } from "./making.js";

const ME = `generate-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`; // of a page only the newest request counts
const SLOW = 0.8; // seconds of a picture, from which on it is drawn in fewer steps while a slider moves
const ROUGH = 5;

let about = null, asking = null, how = {}, shown = 1, last = 0, going = null, later = 0, nameTyped = false;

// --- what is asked -----------------------------------------------------------------------------------------------

function wish({ count, all, rough }) {
  const found = { run: el("run").value, seed: Math.max(0, Math.floor(+el("seed").value) || 0), count, ...asking.told(all) };
  for (const [name, field] of Object.entries(how)) {
    const value = field.value();
    if (value !== null) found[name] = value;
  }
  if (found.sources) { delete found.numbers; delete found.classes; delete found.caption; }
  if (rough) found.steps = ROUGH;
  return found;
}

const making = () => ({
  wish: wish({ count: Math.max(1, +el("count").value || 1), all: true }), name: el("name").value.trim() || "new",
  ...(el("ending").value ? { ending: el("ending").value } : {}), ...(el("like").value ? { like: el("like").value } : {}),
  ...(el("stack").checked ? { as_stack: true } : {}),
});

// --- the picture -------------------------------------------------------------------------------------------------

/** Something changed: draw, soon; while a slider moves, and it would take long, in fewer steps. */
function changed(moving = false) {
  clearTimeout(later);
  later = setTimeout(() => draw(moving).catch(fail), moving ? 50 : 10);
  tellCommand();
}

async function draw(moving) {
  if (!about || about.problem) return;
  const waiting = needs();
  el("sketch-state").textContent = waiting;
  if (waiting) return;
  const steps = about.denoiser && about.denoiser.steps ? (how.steps && how.steps.value()) || about.denoiser.steps : 0;
  const rough = moving && last > SLOW && steps > ROUGH;
  if (going) going.abort();
  const mine = going = new AbortController();
  el("sketch-state").textContent = last ? "drawing" : "opening the run";
  el("sketch-state").classList.add("busy");
  try {
    const found = await ask("api/generate/sketch", { body: { page: ME, wish: wish({ count: shown, rough }) }, signal: mine.signal });
    if (mine !== going) return;
    if (!rough) last = found.seconds;
    await show(found, rough && `rough: ${ROUGH} of ${steps} steps while you move it`);
    say("");
  } catch (error) {
    if (error.name === "AbortError" || error.status === 409 || mine !== going) return;
    el("sketch-state").textContent = "not drawn";
    el("sketch-state").classList.remove("busy");
    throw error;
  }
}

async function show(found, rough) {
  const images = await Promise.all(found.pictures.map(async (one, k) => {
    const image = h("img", { alt: `Picture ${k} of what would be made`, width: one.width, height: one.height });
    image.src = `data:image/png;base64,${one.png}`;
    await image.decode();
    return [one, image];
  }));
  const place = el("sketch");
  place.dataset.count = found.pictures.length;
  place.dataset.sha256 = found.pictures.map((one) => one.sha256).join(" ");
  place.replaceChildren(...images.map(([, image]) => h("figure", {}, image)));
  images.forEach(([one], k) => ruler(place.children[k], one.width, one.spacing_um[1]));
  el("sketch-state").classList.remove("busy");
  el("sketch-state").textContent = rough || `drawn in ${found.seconds < 10 ? found.seconds.toFixed(2) : Math.round(found.seconds)} s`;
  const first = found.pictures[0], bits = { uint8: "8 bit", uint16: "16 bit", float32: "float" }[first.pixel_type];
  const asked = Object.entries(first.labels).map(([name, value]) => `${name.replace(/^asked /, "")} ${typeof value === "number" ? number(value) : value}`);
  el("sketch-told").textContent = [`${first.height} × ${first.width} px, ${bits}`, `black ${number(found.black, 5)}, white ${number(found.white, 5)}`,
    ...(asked.length ? [`${found.pictures.length > 1 ? "first: " : ""}${asked.join(", ")}`] : [])].join(" · ");
  el("warning").hidden = !first.warning;
  el("warning").textContent = first.warning ? `Beyond what was learnt: ${first.warning}.` : "";
}

/** What is still missing before anything can be drawn. */
function needs() {
  if (about.translates && !how.sources.value()) return "choose the images to translate";
  if (about.context && !how.context.value()) return `choose the ${about.context} that it is told`;
  return "";
}

// --- the form ----------------------------------------------------------------------------------------------------

const numberField = (name, label, given, { least, most, step, integer, range } = {}) => {
  const figure = h("input", { type: "number", min: least, max: most, step: step || (integer ? 1 : "any"), placeholder: given === null || given === undefined ? "as the run has it" : String(given), "aria-label": label });
  const slider = range && h("input", { type: "range", min: range[0], max: range[1], step: step || "any", value: given ?? range[0], "aria-label": `${label}, slider` });
  figure.addEventListener("input", () => { if (slider) slider.value = figure.value === "" ? given : figure.value; changed(); });
  if (slider) {
    slider.addEventListener("input", () => { figure.value = integer ? Math.round(slider.value) : +(+slider.value).toFixed(2); changed(true); });
    slider.addEventListener("change", () => changed());
  }
  how[name] = { value: () => (figure.value === "" ? null : integer ? Math.round(+figure.value) : +figure.value) };
  return h("label", { class: "field number" }, h("span", {}, label), h("span", { class: "pair" }, slider, figure));
};

const selectField = (name, label, options, first = "as the run has it") => {
  const select = h("select", { "aria-label": label, onchange: () => changed() }, first !== null && h("option", { value: "" }, first), options.map(([value, text]) => h("option", { value }, text)));
  how[name] = { value: () => select.value || null };
  return h("label", { class: "field" }, h("span", {}, label), select);
};

async function form() {
  how = {};
  const [sets, runs] = [await things("set"), await things("run")];
  const parts = [], front = [], names = sets.map((set) => [set.name, set.name]);
  if (about.translates) {
    front.push(selectField("sources", "Images to translate, all of the set", names, "choose a set"));
    const back = h("input", { type: "checkbox", onchange: () => changed() });
    how.reverse = { value: () => back.checked || null };
    front.push(h("label", { class: "tick" }, back, "the other way"));
  }
  if (about.context) front.push(selectField("context", { masks: "Masks that it is told, of the set", edges: "Edges that it is told, of the set" }[about.context] || "Images that it is told", names, "choose a set"));
  if (about.vector) front.push(selectField("prior", "Prior that draws vectors for a caption", runs.filter((run) => run.name !== el("run").value).map((run) => [run.name, run.name]), "none: vectors of training crops"));
  const d = about.denoiser;
  if (d) {
    if (d.guidance !== null) parts.push(numberField("guidance", `Guidance: weight of what is asked, ${d.guidance} by default`, d.guidance, { least: 0, range: [0, 8], step: 0.1 }));
    if (d.image_guidance !== null) parts.push(numberField("image_guidance", "Weight of the image before", d.image_guidance, { least: 0, range: [0, 8], step: 0.1 }));
    if (d.steps) parts.push(numberField("steps", `Solver steps, ${d.steps} by default`, d.steps, { least: 1, most: 1000, integer: true, range: [1, Math.max(60, d.steps)], step: 1 }));
    if (d.solvers.length) parts.push(selectField("solver", "Solver", d.solvers.map((one) => [one.name, `${one.title}${one.name === d.solver ? " (as the run has it)" : ""}`])));
    const unit = d.multiple_of, sides = [0, 1].map((k) => h("input", { type: "number", min: about.size[k], max: 4096, step: unit, placeholder: about.size[k], "aria-label": ["Height", "Width"][k], oninput: () => changed() }));
    how.size = { value: () => (sides.some((side) => side.value) ? sides.map((side, k) => Math.round(+side.value || about.size[k])) : null) };
    parts.push(h("fieldset", { class: "field" }, h("legend", {}, `Height and width, in pixels${unit > 1 ? `: multiples of ${unit}` : ""}`), h("div", { class: "pair" }, sides[0], h("span", {}, "×"), sides[1])));
  }
  if (about.truncation !== null) parts.push(numberField("truncation", `Truncation: 0 the mean alone, 1 as trained; ${about.truncation} by default`, about.truncation, { least: 0, most: 1, range: [0, 1], step: 0.01 }));
  asking = new Asking(el("asked"), about.translates ? { numbers: [], classes: [], text: null, texts: [] } : about, changed);
  el("asked").prepend(...front);
  if (about.vector && !asking.caption) { // the prior reads it
    const box = h("textarea", { maxlength: 1000, rows: 3, "aria-label": "Caption", placeholder: "what the images are to show", oninput: () => changed(true), onchange: () => changed() });
    how.caption = { value: () => box.value.trim() || null };
    el("asked").append(h("label", { class: "field" }, h("span", {}, "Caption, for the prior"), box));
  }
  el("how").replaceChildren(...parts);
  el("more").hidden = !parts.length;
  el("more").open = parts.length > 0 && !asking.numbers.length && !asking.classes.length && !asking.caption;
  el("count").closest(".field").hidden = about.translates;
  const like = sets.map((set) => h("option", { value: set.name }, set.name));
  el("like").replaceChildren(h("option", { value: "" }, "–"), ...like);
}

async function open(name) {
  choose("run", name);
  about = null;
  last = 0;
  el("sketch").replaceChildren(h("figure", {}));
  el("sketch-told").textContent = "";
  el("sketch-state").textContent = "opening the run";
  el("sketch-state").classList.add("busy");
  el("about").replaceChildren();
  const found = await ask(query("api/offers", { name }));
  if (el("run").value !== name) return;
  about = found;
  const um = about.spacing_um[1];
  el("about").replaceChildren(...[about.title, `${about.size[0]} × ${about.size[1]} px`, um ? `${length(um)} a pixel` : "pixel size unknown",
    about.images_seen ? `${number(about.images_seen, 4)} images seen${about.finished ? "" : ", not finished"}` : null].filter(Boolean).map((text) => h("li", {}, text)));
  await form();
  el("make").disabled = Boolean(about.problem);
  el("sketch-state").classList.remove("busy");
  el("sketch-state").textContent = "";
  if (about.problem) { say(about.problem); return; }
  if (!nameTyped) await freshName();
  changed();
}

// --- sets --------------------------------------------------------------------------------------------------------

async function freshName() {
  const wanted = el("run").value.split("/").pop();
  el("name").value = (await ask(query("api/free-name", { shelf: "made", wanted }))).name;
  nameTyped = false;
  tellCommand();
}

const tellMaking = commandTeller("api/generate/command", () => !needs() && making());
function tellCommand() {
  if (!about) return;
  el("make").textContent = about.translates ? "Translate all" : `Make ${Math.max(1, +el("count").value || 1)}`;
  tellMaking();
}

const watchWork = workWatcher((record) => record.makes);
async function watch(work) {
  el("result").replaceChildren();
  const made = await watchWork(work);
  if (!made) return;
  await showMade(made);
  if (!nameTyped) await freshName();
}

async function showMade(name) {
  const [set] = (await things("set")).filter((thing) => thing.name === name);
  if (!set) return;
  const whole = { ...await describe(set), stamp: set.stamp };
  const to = (task, words) => h("a", { class: "button", href: query(task, { set: name, run: el("run").value }) }, words);
  el("result").replaceChildren(h("ul", { class: "facts" }, facts(whole).map((text) => h("li", {}, text))), sheet(whole), downloads(whole),
    h("div", { class: "downloads" }, to("look", "Look at it"), to("compare", "Compare it"), to("edit", "Edit it")));
}

// --- hands -------------------------------------------------------------------------------------------------------

el("make").addEventListener("click", trying(async () => {
  const work = await ask("api/generate/make", { body: making() });
  await freshName();
  watch(work).catch(fail);
  el("work-section").scrollIntoView({ block: "nearest", behavior: "smooth" });
}));
for (const button of document.querySelectorAll(".count")) button.addEventListener("click", () => {
  shown = +button.dataset.count;
  for (const other of document.querySelectorAll(".count")) other.setAttribute("aria-pressed", String(other === button));
  changed();
});
el("seed").addEventListener("input", () => changed());
el("dice").addEventListener("click", () => { el("seed").value = Math.floor(Math.random() * 1e6); changed(); });
el("name").addEventListener("input", () => { nameTyped = true; tellCommand(); });
for (const id of ["count", "ending", "like", "stack"]) el(id).addEventListener("input", tellCommand);
el("like").addEventListener("change", () => { if (el("like").value) el("ending").value = ""; tellCommand(); });
el("ending").addEventListener("change", () => { if (el("ending").value) el("like").value = ""; tellCommand(); });
el("form").addEventListener("submit", (event) => event.preventDefault());
el("run").addEventListener("change", () => { nameTyped = false; open(el("run").value).catch(fail); });

(async () => {
  const runs = (await things("run")).filter((run) => run.draws);
  el("nothing").hidden = runs.length > 0;
  el("all").hidden = !runs.length;
  el("choose").hidden = !runs.length;
  if (!runs.length) return;
  el("run").replaceChildren(...runs.map((run) => h("option", { value: run.name }, run.name)));
  if (runs.some((run) => run.name === chosen("run"))) el("run").value = chosen("run");
  await open(el("run").value);
})().catch(fail);

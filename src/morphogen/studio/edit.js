// The page edit: a mask brushed over a picture, what is to be done, and before and after. What can be done is asked for.
import { ask, choose, chosen, command, el, fail, h, number, pictureAddress, query, say, things, trying } from "./studio.js";
import { Asking } from "./asking.js";
import { Brush, Glass, Wipe } from "./glass.js";
import { describe, downloads } from "./made_sets.js";
import { commandTeller, workWatcher } from "./making.js";

const PICKS = 60; // pictures of a set that are offered as small ones; the others by number

let sets = [], set = null, index = 0, image = null, editors = [], editor = null, about = null, asking = null, fields = [], texts = {}, nameTyped = false;
const tellCommand = commandTeller("api/edit/command", () => editor && set && image && wish(), { wait: 150 });
const glass = new Glass(el("canvas"), { label: "The picture: brush over what may change. Arrows move the brush, space dabs." });
const brush = new Brush(glass, () => { masked(); tellCommand(); });
const wipe = new Wipe(el("wipe"));
glass.paint = (context, f) => {
  if (image) context.drawImage(image, 0, 0);
  if (takesMask()) brush.paint(context, f);
};

const takesMask = () => editor && editor.takes.includes("mask");

// --- the picture -------------------------------------------------------------------------------------------------

async function loaded(address) {
  const found = new Image();
  found.src = address;
  await found.decode();
  return found;
}

async function openSet(name) {
  const thing = sets.find((one) => one.name === name);
  choose("set", name);
  const found = { ...await describe(thing), stamp: thing.stamp };
  if (el("set").value !== name) return;
  set = found;
  const count = Math.min(set.pictures, PICKS);
  el("picks").replaceChildren(...[...Array(count).keys()].map((k) => h("li", {}, h("button", { type: "button", "aria-label": `Picture ${k}`, "aria-pressed": "false", "data-index": k, onclick: () => openPicture(k).catch(fail) },
    h("img", { src: pictureAddress(set, { index: k, size: 112 }), alt: "", loading: "lazy" })))),
    ...(set.pictures > PICKS ? [h("li", {}, h("input", { type: "number", min: 0, max: set.pictures - 1, "aria-label": "Number of the picture", placeholder: `… ${set.pictures - 1}`, onchange: (event) => openPicture(Math.min(Math.max(0, Math.floor(+event.target.value)), set.pictures - 1)).catch(fail) }))] : []));
  await openPicture(Math.min(+chosen("picture") || 0, set.pictures - 1));
}

async function openPicture(k) {
  const told = await ask(query("api/set/picture", { name: set.name, index: k }));
  const found = await loaded(pictureAddress(set, { index: k, size: 4096 }));
  index = k;
  if (Math.max(told.height, told.width) > 4096) { say(`Pictures of more than 4096 pixels a side are edited by command: this one is ${told.height} × ${told.width}.`); return; }
  image = found;
  choose("picture", k ? String(k) : "");
  for (const button of el("picks").querySelectorAll("button")) button.setAttribute("aria-pressed", String(+button.dataset.index === k));
  glass.open([told.width, told.height], told.spacing_um);
  brush.open(told.width, told.height);
  brush.radius = Math.max(1, Math.min(told.width, told.height) / 16);
  brush.cursor = null;
  showTool();
  if (!nameTyped) await freshName();
  tellCommand();
}

// --- what can be done --------------------------------------------------------------------------------------------

async function openModel(name) {
  choose("run", name.startsWith("run:") ? name.slice(4) : "");
  el("state").textContent = "asking what it can do";
  const model = name.slice(4);
  const [found, offers] = await Promise.all([ask(query("api/editors", { model })), name.startsWith("run:") ? ask(query("api/offers", { name: model })) : null]);
  if (el("model").value !== name) return;
  el("state").textContent = "";
  editors = found; about = offers;
  const able = editors.filter((one) => !one.problem && Boolean(one.model) === Boolean(model));
  const not = model ? editors.filter((one) => one.problem) : [];
  const before = el("editor").value;
  el("editor").replaceChildren(...able.map((one) => h("option", { value: one.name }, `${one.name.replaceAll("_", " ")}: ${one.title}`)));
  if (able.some((one) => one.name === before)) el("editor").value = before;
  else if (able.some((one) => one.name === "inpaint")) el("editor").value = "inpaint";
  el("not-able").hidden = !not.length;
  el("not-able").firstElementChild.textContent = `${not.length} others don't work with it`;
  el("not-able").lastElementChild.replaceChildren(...not.map((one) => h("li", {}, h("b", {}, `${one.name.replaceAll("_", " ")}: `), one.problem.replace(/^\S+ /, "it "))));
  await openEditor();
}

const TEXTS = { caption: "What the picture is to show", before: "What it shows now", words: "What is to be done" };

async function openEditor() {
  editor = editors.find((one) => one.name === el("editor").value) || null;
  texts = {};
  const parts = [];
  const takes = (part) => editor && editor.takes.includes(part);
  const reads = (part) => part === "words" || !about || about.text === "caption" || !editor.model.includes("run");
  for (const [part, words] of Object.entries(TEXTS)) {
    if (!takes(part) || !reads(part) || !editor.model) continue;
    texts[part] = h("textarea", { rows: 2, maxlength: 1000, "aria-label": words, oninput: tellCommand });
    parts.push(h("label", { class: "field" }, h("span", {}, words, editor.needs.includes(part) ? h("small", {}, "needed") : null), texts[part]));
  }
  if (takes("emphasis") && editor.model) {
    texts.emphasis = h("input", { placeholder: "pores=1.5, grains=0.5", "aria-label": "Weights of words", oninput: tellCommand });
    parts.push(h("label", { class: "field" }, h("span", {}, "Weights of words of the caption"), texts.emphasis));
  }
  const words = about && about.texts.length && Object.keys(texts).length
    ? [h("details", {}, h("summary", {}, about.text === "instruction" ? "Instructions that it learnt" : "Captions of training images"), h("div", { class: "texts" }, about.texts.map((text) =>
      h("button", { type: "button", onclick: () => { const box = texts.words || texts.caption; box.value = text; tellCommand(); } }, text))))] : [];
  el("said").replaceChildren(...parts, ...words);
  asking = takes("asked") && about ? new Asking(el("asked"), { ...about, text: null }, tellCommand, { span: false }) : null;
  if (!asking) el("asked").replaceChildren();
  fields = editor ? editor.settings.map(settingField) : [];
  el("settings").replaceChildren(...fields.map((field) => field.element));
  el("more").hidden = !fields.length;
  // A rim has to be chosen: settings without which nothing happens stand open.
  el("more").open = Boolean(editor) && !takes("mask") && !Object.keys(texts).length;
  el("make").disabled = !editor;
  document.querySelector("[role=toolbar]").hidden = !takesMask();
  el("mask-use").textContent = !editor ? "" : editor.needs.includes("mask") ? "What you brush over is painted anew; every other pixel stays as it is, to the bit."
    : takesMask() ? "Brush over what may change, and every other pixel stays as it is, to the bit; without a mask the whole picture may." : "This changes the whole picture, or paints beyond it: there is nothing to brush.";
  glass.draw();
  tellCommand();
}

/** A field of the form for a setting, by its type. It is left out while it is as it was. */
function settingField(given) {
  const name = given.name.replaceAll("_", " "), unset = given.default === null || given.default === undefined;
  let input, value;
  if (given.choices.length) {
    input = h("select", { "aria-label": name, onchange: tellCommand }, given.optional || unset ? h("option", { value: "" }, "as usual") : null, given.choices.map((one) => h("option", { value: one }, one)));
    input.value = unset ? "" : given.default;
    value = () => input.value || null;
  } else if (given.type === "boolean") {
    input = h("input", { type: "checkbox", checked: given.default === true, onchange: tellCommand });
    value = () => input.checked;
  } else if (given.type === "number" || given.type === "integer") {
    const whole = given.type === "integer";
    input = h("input", { type: "number", "aria-label": name, step: whole ? 1 : "any", min: given.least, max: given.most, placeholder: unset ? "as usual" : given.default, oninput: tellCommand });
    value = () => (input.value === "" ? null : whole ? Math.round(+input.value) : +input.value);
  } else if (given.type === "pair") {
    const ends = [0, 1].map((k) => h("input", { type: "number", step: "any", "aria-label": `${name}, ${["lower", "upper"][k]} end`, placeholder: unset ? "" : given.default[k], oninput: tellCommand }));
    input = h("span", { class: "pair" }, ends[0], h("span", {}, "to"), ends[1]);
    value = () => (ends.every((end) => end.value !== "") ? ends.map((end) => +end.value) : null);
  } else {
    input = h("input", { maxlength: 200, "aria-label": name, placeholder: unset ? "as usual" : given.default, oninput: tellCommand });
    value = () => input.value.trim() || null;
  }
  const box = given.type === "boolean" ? h("label", { class: "tick" }, input, name) : h("label", { class: "field setting" }, h("span", {}, h("b", {}, name)), input, h("span", { class: "small" }, given.description));
  return { name: given.name, element: box, value: () => { const now = value(); return now === null || JSON.stringify(now) === JSON.stringify(given.default) ? null : now; } };
}

function wish() {
  const found = { editor: editor.name, set: set.name, index, seed: Math.max(0, Math.floor(+el("seed").value) || 0), name: el("name").value.trim() || "new", ...(asking ? asking.told(false) : {}) };
  if (editor.model) found.model = el("model").value.slice(4);
  for (const part of Object.keys(TEXTS)) if (texts[part] && texts[part].value.trim()) found[part] = texts[part].value.trim();
  if (texts.emphasis && texts.emphasis.value.trim()) {
    found.emphasis = Object.fromEntries(texts.emphasis.value.split(",").map((pair) => pair.split("=").map((word) => word.trim())).filter(([word, weight]) => word && weight && Number.isFinite(+weight)).map(([word, weight]) => [word, +weight]));
  }
  const chosen_ = fields.map((field) => [field.name, field.value()]).filter(([, value]) => value !== null);
  if (chosen_.length) found.settings = Object.fromEntries(chosen_);
  if (takesMask() && brush.count) found.mask = brush.told();
  return found;
}

// --- the mask ----------------------------------------------------------------------------------------------------

function masked() {
  const share = brush.width ? brush.count / (brush.width * brush.height) : 0;
  el("masked").textContent = share ? `${number(100 * share, 2)} % masked` : "nothing masked yet";
  el("undo").disabled = !brush.past.length;
  el("clear").disabled = !share;
}

function showTool() {
  el("paint").setAttribute("aria-pressed", String(!brush.erases));
  el("erase").setAttribute("aria-pressed", String(brush.erases));
  const most = Math.max(8, Math.min(brush.width, brush.height) / 3);
  el("radius").value = 100 * Math.log(brush.radius / 0.5) / Math.log(most / 0.5);
  el("radius-told").textContent = `${number(2 * brush.radius, 2)} px`;
}
brush.ontool = showTool;

// --- the work ----------------------------------------------------------------------------------------------------

async function freshName() {
  const wanted = `${set.name.split("/").pop().replace(/\.[^.]*$/, "")}-${index}`;
  el("name").value = (await ask(query("api/free-name", { shelf: "edited", wanted }))).name;
  nameTyped = false;
}

const watchWork = workWatcher();
async function watch(work) {
  const made = await watchWork(work);
  if (!made) return;
  await showResult(made);
  if (!nameTyped) await freshName();
  tellCommand();
}

async function showResult(name) {
  const found = await ask(query("api/edit/result", { name }));
  const all = await things("set", "triples");
  const thing = all.find((one) => one.name === name), source = all.find((one) => one.name === found.set);
  const [low, high] = found.window;
  const [before, after, region] = await Promise.all([
    loaded(pictureAddress(source, { index: found.index, low, high })), loaded(pictureAddress(thing, { index: 0, low, high })), loaded(query("api/edit/region", { name }))]);
  const flat = new OffscreenCanvas(region.naturalWidth, region.naturalHeight).getContext("2d");
  flat.drawImage(region, 0, 0);
  const mask = flat.getImageData(0, 0, region.naturalWidth, region.naturalHeight).data.filter((_, k) => k % 4 === 0).map((v) => (v ? 1 : 0));
  el("result-section").hidden = false;
  el("result-title").textContent = name;
  el("verdict").replaceChildren(
    h("li", {}, `Region: ${number(100 * found.region_share, 3)} % of the picture, ${number(100 * found.changed_share, 3)} % changed`),
    h("li", { class: found.outside_same ? "well" : "ill" }, found.region_share >= 1 ? "The whole picture was to change" : found.outside_same ? "✓ Every other pixel is the source's, to the bit" : "! Pixels outside of the region differ"),
    ...(found.after[0] !== found.before[0] || found.after[1] !== found.before[1] ? [h("li", {}, `${found.before[0]} × ${found.before[1]} became ${found.after[0]} × ${found.after[1]} px`)] : []));
  wipe.open({ before, after, region: mask, offset: found.offset, spacing: found.spacing_um });
  el("maps").replaceChildren(...found.maps.map((title) => h("figure", {}, h("img", { src: query("api/edit/map", { name, title }), alt: title }), h("figcaption", {}, title))));
  el("downloads").replaceChildren(downloads({ ...await describe(thing), stamp: thing.stamp }));
  await earlier(name);
}

async function earlier(now) {
  const found = (await things("set")).filter((one) => one.name.startsWith("edited/"));
  el("earlier").replaceChildren(...found.map((one) => h("option", { value: one.name }, one.name)));
  el("earlier").value = now;
}

// --- hands -------------------------------------------------------------------------------------------------------

el("set").addEventListener("change", () => { choose("picture", ""); nameTyped = false; openSet(el("set").value).catch(fail); });
el("model").addEventListener("change", () => openModel(el("model").value).catch(fail));
el("editor").addEventListener("change", () => openEditor().catch(fail));
el("paint").addEventListener("click", () => { brush.erases = false; showTool(); });
el("erase").addEventListener("click", () => { brush.erases = true; showTool(); });
el("radius").addEventListener("input", () => {
  const most = Math.max(8, Math.min(brush.width, brush.height) / 3);
  brush.radius = 0.5 * (most / 0.5) ** (el("radius").value / 100);
  el("radius-told").textContent = `${number(2 * brush.radius, 2)} px`;
});
el("undo").addEventListener("click", () => brush.undo());
el("clear").addEventListener("click", () => brush.clear());
el("invert").addEventListener("click", () => brush.invert());
el("smaller").addEventListener("click", () => glass.zoomBy(0.8));
el("larger").addEventListener("click", () => glass.zoomBy(1.25));
el("whole").addEventListener("click", () => glass.whole());
el("seed").addEventListener("input", tellCommand);
el("dice").addEventListener("click", () => { el("seed").value = Math.floor(Math.random() * 1e6); tellCommand(); });
el("name").addEventListener("input", () => { nameTyped = true; tellCommand(); });
el("form").addEventListener("submit", (event) => event.preventDefault());
el("earlier").addEventListener("change", () => showResult(el("earlier").value).catch(fail));
el("make").addEventListener("click", trying(async () => {
  const work = await ask("api/edit/make", { body: wish() });
  watch(work).catch(fail);
  el("work-section").scrollIntoView({ block: "nearest", behavior: "smooth" });
}));

(async () => {
  const all = await things("set", "triples", "run");
  sets = all.filter((one) => one.kind !== "run");
  el("nothing").hidden = sets.length > 0;
  el("all").hidden = el("choose").hidden = !sets.length;
  if (!sets.length) return;
  el("set").replaceChildren(...sets.map((one) => h("option", { value: one.name }, one.name)));
  if (sets.some((one) => one.name === chosen("set"))) el("set").value = chosen("set");
  const runs = all.filter((one) => one.kind === "run" && one.draws);
  const group = (label, found, kind) => (found.length ? h("optgroup", { label }, found.map((one) => h("option", { value: `${kind}:${one.name}` }, one.name))) : null);
  el("model").replaceChildren(...[group("Runs", runs, "run"), group("Other images", sets, "set"), h("option", { value: "" }, "no model")].filter(Boolean));
  if (runs.some((one) => one.name === chosen("run"))) el("model").value = `run:${chosen("run")}`;
  const edits = sets.filter((one) => one.name.startsWith("edited/"));
  await openSet(el("set").value);
  await openModel(el("model").value);
  if (edits.length) showResult(edits[0].name).catch(() => {});
})().catch(fail);

import { ask, AT_WORK, choose, chooseSet, command, el, fail, follow, h, length, number, pictureAddress, plot, progressOf, query, say, stateOf, trying, Viewer } from "./studio.js";

const TILES = 24;
let set = null, first = 0, asking = null;
const viewer = new Viewer(el("viewer"));

// --- the set -----------------------------------------------------------------------------------------------------

const fact = (value, words) => h("li", {}, h("b", {}, value), ` ${words}`);

function facts(set) {
  const [down, across] = set.spacing_um, found = [];
  if (set.volume) found.push(fact(set.volume.map((n) => number(n, 6)).join(" × "), "voxels"));
  else found.push(fact(number(set.pictures, 6), set.pictures === 1 ? "image" : "images"), fact(`${set.height} × ${set.width}`, "pixels"));
  found.push(fact(set.pixel_type, { 1: "grey", 3: "RGB" }[set.channels] || `${set.channels} channels`));
  found.push(fact(`${number(set.ends[0], 5)} – ${number(set.ends[1], 5)}`, "grey levels"));
  if (across) {
    found.push(fact(down === across ? length(across) : `${length(down)} × ${length(across)}`, "a pixel"));
    found.push(fact(`${length(set.height * down)} × ${length(set.width * across)}`, "a field of view"));
  } else found.push(h("li", {}, "pixel size ", h("b", {}, "unknown")));
  if (set.masks) found.push(fact("masks", "in register"));
  for (const label of set.labels) found.push(fact(label, "known"));
  return found;
}

async function show(thing) {
  if (asking) asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  el("nothing").hidden = true;
  el("set").hidden = false;
  el("title").textContent = thing.name;
  for (const id of ["card", "describing"]) el(id).hidden = true;
  // The first tiles are asked for before anything else is known.
  first = 0;
  set = null;
  el("sheet").replaceChildren(tile(thing, 0));
  const found = await ask(query("api/set", { name: thing.name }), { signal });
  set = found;
  el("facts").replaceChildren(...facts(set));
  el("pixel").hidden = Boolean(set.spacing_um[1]);
  el("sheet").style.setProperty("--ratio", String(Math.min(2.5, Math.max(0.4, set.width / set.height))));
  sheet();
  histogram(signal).catch(fail);
  card(signal).catch(fail);
  for (const work of await ask("api/work", { signal })) {
    if (work.record.task === "look" && work.record.of.includes(set.name) && AT_WORK.includes(work.state)) describing(work.record.number, signal).catch(fail);
  }
}

function tile(of, index, caption = "") {
  const picture = h("img", { src: pictureAddress(of, { index, size: of.pictures < 5 ? 640 : 320 }), alt: `Picture ${index + 1}`, loading: index < 12 ? "eager" : "lazy" });
  return h("li", {}, h("button", { type: "button", "data-caption": caption || `${index + 1}`, onclick: trying(() => large(index)) }, picture));
}

function sheet() {
  // Of a volume the tiles are slices that are spread over it.
  const count = set.pictures, spread = set.volume && count > TILES;
  const places = spread ? Array.from({ length: TILES }, (_, k) => Math.round(k * (count - 1) / (TILES - 1)))
    : Array.from({ length: Math.min(TILES, count - first) }, (_, k) => first + k);
  el("sheet").style.setProperty("--tile", count < 5 ? "260px" : "132px");
  el("sheet").replaceChildren(...places.map((index) => tile(set, index, set.volume ? `slice ${index + 1}` : "")));
  el("pages").hidden = spread || count <= TILES;
  el("place").textContent = `${first + 1} – ${Math.min(first + TILES, count)} of ${count}`;
  el("back").disabled = first === 0;
  el("on").disabled = first + TILES >= count;
}

const turn = (by) => { first = Math.max(0, Math.min(first + by * TILES, set.pictures - 1)); sheet(); };
el("back").addEventListener("click", () => turn(-1));
el("on").addEventListener("click", () => turn(1));

async function large(index) {
  if (!set) return;
  el("large-title").textContent = set.name;
  el("large").showModal();
  await viewer.open(set, index);
  viewer.glass.focus();
}

viewer.onshow = (told) => {
  const found = [fact(told.file || `picture ${told.index + 1}`, told.slice !== null ? `slice ${told.slice + 1}` : ""), fact(`${told.height} × ${told.width}`, "pixels")];
  if (told.spacing_um[1]) found.push(fact(`${length(told.height * told.spacing_um[0])} × ${length(told.width * told.spacing_um[1])}`, ""));
  if (told.specimen) found.push(h("li", {}, "specimen ", h("b", {}, told.specimen)));
  for (const [name, value] of Object.entries(told.labels).slice(0, 8)) found.push(h("li", {}, `${name} `, h("b", {}, typeof value === "number" ? number(value, 4) : value)));
  el("large-facts").replaceChildren(...found);
};
el("large-close").addEventListener("click", () => el("large").close());

async function histogram(signal) {
  const found = await ask(query("api/set/histogram", { name: set.name }), { signal });
  const middles = found.edges.slice(1).map((edge, k) => (edge + found.edges[k]) / 2);
  const names = Object.keys(found.channels), [low, high] = [found.edges[0], found.edges.at(-1)];
  const given = { title: "Grey levels", x: { label: `grey level (${found.pixel_type})`, low, high }, y: { label: "% of the pixels a bin", low: 0 },
    spoken: `Histogram of the grey levels of ${found.pictures} pictures, from ${number(low, 5)} to ${number(high, 5)}` };
  if (names.length === 1) given.bars = found.channels[names[0]].map((n, k) => [found.edges[k], found.edges[k + 1], n]);
  else given.lines = names.map((name) => ({ name, points: found.channels[name].map((n, k) => [middles[k], n]) }));
  const of = found.pictures < set.pictures ? `Of ${found.pictures} pictures that stand for ${set.pictures}.` : "";
  el("histogram").replaceChildren(plot(given), h("p", { class: "small" }, of));
}

// --- the card ----------------------------------------------------------------------------------------------------

async function card(signal) {
  const found = await ask(query("api/set/card", { name: set.name }), { signal });
  el("card").hidden = !found.card;
  el("describe").textContent = found.card ? "Describe it again" : "Describe this set";
  if (!found.card) return;
  const told = found.card, [down, across] = told.crop_px;
  el("card-page").href = query("api/report", { name: found.name });
  el("card-title").textContent = told.kind ? `What is in it, as a ${told.kind}` : "What is in it";
  el("card-age").textContent = [
    `Room for about ${number(told.independent_fields, 2)} independent fields of ${down} × ${across} pixels` + (told.really_independent < 0.9 * told.independent_fields ? `, of which ${number(told.really_independent, 2)} really.` : "."),
    told.segmentation ? `${told.phase}: pixels ${told.segmentation}.` : "",
    found.older_than_set ? "The set has changed since." : "",
  ].filter(Boolean).join(" ");
  el("descriptors").replaceChildren(...told.facts.filter((f) => f.fields).map(reading));
  el("advice").replaceChildren(...told.advice.map((a) => h("li", { class: a.warning ? "warning" : null }, h("b", {}, (a.warning ? "! " : "") + a.about), a.words)));
  el("correlations").replaceChildren(...told.correlations.map(correlation));
}

/** A descriptor: its mean, how it spreads over the fields as a picture, and what 90 % of them are between. */
function reading(f) {
  const sorted = [...f.values].sort((a, b) => a - b), at = (q) => sorted[Math.min(sorted.length - 1, Math.round(q * (sorted.length - 1)))];
  const unit = f.unit === "1" ? "" : ` ${f.unit}`;
  return h("li", { title: `${f.name}: mean of ${f.fields} fields` }, h("span", { class: "name" }, f.name), h("b", {}, number(f.mean), h("small", {}, unit)), strip(f, sorted),
    h("small", {}, sorted.length > 1 ? `90 %: ${number(at(0.05))} – ${number(at(0.95))}` : ""));
}

/** The values of all fields from the smallest to the largest, with the mean. */
function strip(f, sorted) {
  if (sorted.length < 2 || sorted.at(-1) === sorted[0]) return h("svg", { class: "plot strip", viewBox: "0 0 120 22" });
  const [low, high] = [sorted[0], sorted.at(-1)], bins = 24, counts = Array(bins).fill(0);
  for (const value of sorted) counts[Math.min(bins - 1, Math.floor((value - low) / (high - low) * bins))]++;
  const most = Math.max(...counts), x = (value) => 120 * (value - low) / (high - low);
  return h("svg", { class: "plot strip", viewBox: "0 0 120 22", preserveAspectRatio: "xMinYMid", role: "img", "aria-label": `from ${number(low)} to ${number(high)}` },
    ...counts.map((n, k) => h("rect", { class: "fill", x: k * 5, y: 22 - 22 * n / most, width: 5, height: 22 * n / most })),
    h("line", { class: "axis", x1: x(f.mean), x2: x(f.mean), y1: 0, y2: 22 }));
}

function correlation(c) {
  const scale = c.pixel_um || 1, unit = c.pixel_um ? "µm" : "px";
  const until = c.length_px ? Math.max(12, c.lags.findIndex((lag) => lag > 8 * c.length_px)) : c.lags.length;
  const shown = until < 1 ? c.lags.length : until;
  const points = c.lags.slice(0, shown).map((lag, k) => [lag * scale, c.mean[k]]);
  const reach = c.length_px ? `1/e at ${number(c.length_px * scale)} ${unit}` : "further than the windows";
  return plot({ title: `How far the ${c.of} reach: ${reach}`, lines: [{ points, name: "" }], x: { label: `lag (${unit})`, low: 0 }, y: { label: "autocovariance" } });
}

el("describe").addEventListener("click", trying(async () => {
  const size = el("pixel").hidden ? NaN : parseFloat(el("pixel-size").value);
  const work = await ask("api/look/describe", { body: { name: set.name, specimen: el("specimen").value, pixel_size_um: Number.isFinite(size) ? size : null } });
  await describing(work.record.number, asking.signal);
}));

async function describing(number_, signal) {
  const name = set.name, place = el("describing");
  place.hidden = false;
  const end = await follow(number_, ({ work }) => {
    place.replaceChildren(h("p", { class: "row" }, stateOf(work), h("span", { class: "small" }, work.progress ? work.progress.words : "")),
      ...(AT_WORK.includes(work.state) ? [progressOf(work)] : []), ...(work.said ? [h("p", { class: "small" }, work.said)] : []), command(work.command));
  }, { signal });
  if (!end || !set || set.name !== name) return;
  if (end.work.state === "done") await card(signal); else say(end.work.said || "It was stopped.");
}

// --- a new set ---------------------------------------------------------------------------------------------------

let coming = null;

const begin = (files) => {
  el("adding").showModal();
  if (files) { el("files").files = files; counted(); }
  el("name").focus();
};

function counted() {
  const files = [...el("files").files], masks = [...el("masks").files];
  const bytes = [...files, ...masks].reduce((sum, file) => sum + file.size, 0);
  el("counted").textContent = files.length ? `${files.length} files${masks.length ? ` and ${masks.length} masks` : ""}, ${number(bytes / 1e6)} MB` : "";
  if (!el("name").value && files.length) {
    el("name").value = files[0].name.replace(/\.[^.]*$/, "").replace(/[-_ ]*\d+$/, "").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 40);
  }
}

el("add").addEventListener("click", () => begin());
el("add-first").addEventListener("click", () => begin());
for (const id of ["files", "masks"]) el(id).addEventListener("change", counted);
el("adding-close").addEventListener("click", () => el("adding").close());
el("adding").addEventListener("close", () => { if (coming) coming.abort(); });

for (const place of [el("nothing"), el("drop"), document.body]) {
  place.addEventListener("dragover", (event) => { event.preventDefault(); el("drop").classList.add("over"); });
  place.addEventListener("dragleave", () => el("drop").classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    el("drop").classList.remove("over");
    if (event.dataTransfer.files.length) { if (!el("adding").open) begin(event.dataTransfer.files); else { el("files").files = event.dataTransfer.files; counted(); } }
  });
}

el("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const files = [...[...el("files").files].map((file) => [file, "images"]), ...[...el("masks").files].map((file) => [file, "masks"])];
  el("trouble").textContent = files.length ? "" : "Choose the images first.";
  if (!files.length) return;
  coming = new AbortController();
  const { signal } = coming, line = el("sent");
  el("send").disabled = true;
  line.hidden = false;
  let begun = null;
  try {
    begun = await ask("api/uploads", { body: { name: el("name").value }, signal });
    for (const [k, [file, part]] of files.entries()) {
      await ask(query(`api/uploads/${begun.id}/file`, { name: file.name, part }), { raw: file, signal });
      line.firstElementChild.style.width = `${100 * (k + 1) / files.length}%`;
    }
    const made = await ask(`api/uploads/${begun.id}/finish`, { method: "POST", signal });
    coming = null;
    el("adding").close();
    el("form").reset();
    counted();
    choose("set", made.name);
    await list();
  } catch (error) {
    if (begun) ask(`api/uploads/${begun.id}/cancel`, { method: "POST" }).catch(() => {});
    el("trouble").textContent = error.name === "AbortError" ? "" : error.message;
  } finally {
    coming = null;
    el("send").disabled = false;
    line.hidden = true;
    line.firstElementChild.style.width = "0";
  }
});

async function list() {
  const found = await chooseSet(el("sets"), { onChange: show });
  el("nothing").hidden = found.length > 0;
  el("set").hidden = found.length === 0;
}

list().catch(fail);

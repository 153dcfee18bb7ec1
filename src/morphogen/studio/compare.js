// The page compare: sets side by side in one grey scale, and the evidence of how far they are apart.
import { ask, choose, chosen, command, el, fail, h, number, query, things, trying } from "./studio.js";
import { describe, facts, sheet } from "./made_sets.js";
import { commandTeller, workWatcher } from "./making.js";

const SHOWN = 12; // of each set, until more are asked for

let sets = [], nameTyped = false;

const picked = () => [el("generated").value, ...[...el("more-sets").querySelectorAll("input:checked")].map((box) => box.value)].filter((name, k, all) => name && name !== el("measured").value && all.indexOf(name) === k);

const wish = () => ({
  measured: el("measured").value, generated: picked(), ...(el("training").value ? { training: el("training").value } : {}), specimen: el("specimen").value,
  features: [...document.querySelectorAll("input[name=features]:checked")].map((box) => box.value), fields: Math.round(+el("fields").value) || 256, name: el("name").value.trim() || "new",
});

// --- side by side ------------------------------------------------------------------------------------------------

let showing = 0;
async function show() {
  const mine = ++showing, names = [el("measured").value, ...picked()];
  const found = await Promise.all(names.map(async (name) => ({ ...await describe(name), stamp: sets.find((one) => one.name === name).stamp })));
  if (mine !== showing) return;
  const [low, high] = found[0].window;
  const alike = found.filter((set) => set.pixel_type === found[0].pixel_type);
  el("scale").textContent = `One grey scale for all, that of the measured set: ${number(low, 5)} is black, ${number(high, 5)} is white.${alike.length < found.length ? " Sets of another pixel type are shown in their own." : ""}`;
  el("sheets").replaceChildren(...found.map((set, k) => h("div", { class: "sheet-box" }, h("h3", {}, k ? "generated" : "measured"), h("h2", {}, set.name), h("ul", { class: "facts" }, facts(set).map((text) => h("li", {}, text))),
    sheet(set, { window: alike.includes(set) ? found[0].window : set.window, most: SHOWN, tile: 96 }))));
}

const tellCommand = commandTeller("api/compare/command", () => picked().length && wish(), { instead: () => [h("p", { class: "small" }, "Choose two different sets.")] });

function changed() {
  const measured = el("measured").value;
  for (const box of el("more-sets").querySelectorAll("label")) box.hidden = [measured, el("generated").value].includes(box.firstElementChild.value);
  el("make").disabled = !picked().length;
  show().catch(fail);
  tellCommand();
}

// --- the evidence ------------------------------------------------------------------------------------------------

async function freshName() {
  const last = (name) => name.split("/").pop();
  el("name").value = (await ask(query("api/free-name", { shelf: "compared", wanted: `${picked().map(last).join("-") || "new"}-to-${last(el("measured").value)}`.slice(0, 90) }))).name;
  nameTyped = false;
}

const watchWork = workWatcher();
async function watch(work) {
  const made = await watchWork(work);
  if (!made) return;
  await showEvidence(made);
  if (!nameTyped) await freshName();
  tellCommand();
}

/** The difference with its interval, in margins: the band is within them. */
function forest(test) {
  const made = h("svg", { class: "forest-bar", viewBox: "0 0 180 18", role: "img", "aria-label": test.difference === null || !test.margin ? "no difference known" : `${number(test.difference / test.margin)} margins` });
  const g = (name, given) => { const part = document.createElementNS("http://www.w3.org/2000/svg", name); for (const [key, value] of Object.entries(given)) part.setAttribute(key, value); made.append(part); };
  const at = (margins) => 90 + 30 * Math.max(-2.9, Math.min(2.9, margins));
  g("rect", { class: "same", x: at(-1), y: 0, width: at(1) - at(-1), height: 18 });
  g("line", { class: "zero", x1: 90, x2: 90, y1: 0, y2: 18 });
  if (test.difference !== null && test.margin) {
    if (test.low !== null) g("line", { x1: at(test.low / test.margin), x2: at(test.high / test.margin), y1: 9, y2: 9 });
    const margins = test.difference / test.margin, end = at(margins);
    if (Math.abs(margins) <= 2.9) g("circle", { cx: end, cy: 9, r: 3.4 });
    else g("path", { class: "beyond", d: margins > 0 ? `M${end - 4},4L${end + 3},9L${end - 4},14Z` : `M${end + 4},4L${end - 3},9L${end + 4},14Z` });
  }
  return made;
}

async function showEvidence(name) {
  const found = await ask(query("api/evidence", { name }));
  el("result-section").hidden = false;
  el("result-title").textContent = name;
  el("headline").textContent = found.headline;
  el("findings").replaceChildren(...found.findings.flatMap((one) => [h("dt", {}, one.subject), ...one.sentences.map((text) => h("dd", {}, text))]));
  const own = found.tests.filter((test) => test.role === "generated");
  const names = [...new Set(own.map((test) => test.compared))];
  const heads = (texts) => h("thead", {}, h("tr", {}, texts.map((text) => h("th", { scope: "col" }, text))));
  const counted = (set) => ["equivalent", "different", "undecided", "invalid"].map((verdict) => [own.filter((test) => test.compared === set && test.verdict === verdict).length, verdict])
    .filter(([count]) => count).map(([count, verdict]) => h("span", { class: `told-apart ${verdict}` }, `${count} ${verdict}`)).flatMap((part) => [part, " "]);
  el("tests").replaceChildren(...names.map((set) => h("details", {}, h("summary", {}, h("span", {}, `Descriptors of ${set}: `, ...counted(set))),
    h("div", { class: "table" }, h("table", {}, heads(["Descriptor", "Verdict", "Difference of means", "95 % interval", "Margin", "In margins: within the band it counts as the same", "Fields that would decide"]),
      h("tbody", {}, own.filter((test) => test.compared === set).map((test) => h("tr", {}, h("th", { scope: "row" }, test.descriptor), h("td", {}, h("span", { class: `told-apart ${test.verdict}` }, test.verdict)),
        h("td", {}, test.difference === null ? "–" : `${number(test.difference)} ${test.unit}`), h("td", {}, test.low === null ? "–" : `${number(test.low)} to ${number(test.high)}`), h("td", {}, test.margin === null ? "–" : `± ${number(test.margin)} ${test.unit}`),
        h("td", {}, forest(test)), h("td", {}, test.fields_needed === null ? "" : number(test.fields_needed, 6))))))))));
  const rows = found.distances.filter((one) => one.ratio !== null);
  el("distances").replaceChildren(...(rows.length ? [h("details", {}, h("summary", {}, "Distances, in units of what two measured sets differ by (the floor)"), h("div", { class: "table" }, h("table", {},
    heads(["Set", "Measure", "Times the floor", "Value", "95 % interval"]),
    h("tbody", {}, rows.map((one) => h("tr", {}, h("th", { scope: "row" }, one.compared, one.role === "generated" ? null : h("span", { class: "small" }, ` ${one.role}`)), h("td", {}, one.measure), h("td", {}, number(one.ratio)), h("td", {}, number(one.value)), h("td", {}, `${number(one.low)} to ${number(one.high)}`)))))))] : []));
  el("page-link").href = query("evidence", { name });
  el("page-box").open = false;
  el("page-box").replaceChildren(el("page-box").firstElementChild);
  el("page-box").ontoggle = () => { if (el("page-box").open && el("page-box").children.length < 2) el("page-box").append(h("iframe", { src: query("evidence", { name }), title: `Evidence ${name}` })); };
  const all = await things("evidence");
  el("earlier").replaceChildren(...all.map((one) => h("option", { value: one.name }, one.name)));
  el("earlier").value = name;
}

// --- hands -------------------------------------------------------------------------------------------------------

for (const id of ["measured", "generated"]) el(id).addEventListener("change", () => { choose(id === "generated" ? "set" : "measured", el(id).value); changed(); if (!nameTyped) freshName().then(tellCommand).catch(fail); });
el("form").addEventListener("input", (event) => { if (!["measured", "generated"].includes(event.target.id)) { if (event.target.closest("#more-sets")) changed(); else tellCommand(); } });
el("form").addEventListener("submit", (event) => event.preventDefault());
el("name").addEventListener("input", () => { nameTyped = true; tellCommand(); });
el("earlier").addEventListener("change", () => showEvidence(el("earlier").value).catch(fail));
el("make").addEventListener("click", trying(async () => {
  const work = await ask("api/compare/make", { body: wish() });
  watch(work).catch(fail);
  el("work-section").scrollIntoView({ block: "nearest", behavior: "smooth" });
}));

(async () => {
  const all = await things("set", "evidence");
  sets = all.filter((one) => one.kind === "set");
  el("nothing").hidden = sets.length > 1;
  el("all").hidden = el("choose").hidden = sets.length < 2;
  if (sets.length < 2) return;
  const options = () => sets.map((one) => h("option", { value: one.name }, one.name));
  el("measured").replaceChildren(...options());
  el("generated").replaceChildren(...options());
  el("training").replaceChildren(h("option", { value: "" }, "not said"), ...options());
  el("more-sets").replaceChildren(...sets.map((one) => h("label", { class: "tick" }, h("input", { type: "checkbox", value: one.name }), one.name)));
  const made = sets.find((one) => one.name === chosen("set")) || sets.find((one) => /^(made|edited)\//.test(one.name)) || sets[0];
  const measured = sets.find((one) => one.name === chosen("measured") && one !== made) || sets.find((one) => one !== made && /held_out/.test(one.name)) || sets.find((one) => one !== made && !/^(made|edited)\//.test(one.name)) || sets.find((one) => one !== made);
  el("generated").value = made.name;
  el("measured").value = measured.name;
  await freshName();
  changed();
  const known = all.filter((one) => one.kind === "evidence");
  if (known.length) showEvidence(known[0].name).catch(() => {});
})().catch(fail);

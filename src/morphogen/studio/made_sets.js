// Sets on the pages that make some: their contact sheet, one picture large, and what can be downloaded.
import { ask, command, fail, h, length, number, pictureAddress, query, Viewer } from "./studio.js";

const FIRST = 48; // pictures on a sheet, until more are asked for

export const describe = (set) => ask(query("api/set", { name: set.name || set }));

/** A contact sheet of a set, in one grey scale; a picture opens large. */
export function sheet(set, { window: shown, most = FIRST, tile } = {}) {
  const list = h("ul", { class: "sheet", "aria-label": `Contact sheet of ${set.name}` });
  if (tile) list.style.setProperty("--tile", `${tile}px`);
  list.style.setProperty("--ratio", `${set.width} / ${set.height}`);
  const [low, high] = shown || set.window;
  let count = 0;
  const more = h("button", { type: "button" }, "");
  const foot = h("div", { class: "pages" }, more);
  const grow = () => {
    const end = Math.min(count + most, set.pictures);
    for (; count < end; count++) {
      const index = count;
      list.append(h("li", {}, h("button", { type: "button", "data-caption": `${index}`, "aria-label": `Picture ${index} of ${set.name}, large`, onclick: () => large(set, index) },
        h("img", { src: pictureAddress(set, { index, size: 256, low, high }), alt: "", loading: "lazy" }))));
    }
    foot.hidden = count >= set.pictures;
    more.textContent = `${set.pictures - count} more`;
  };
  more.addEventListener("click", grow);
  grow();
  return h("div", {}, list, foot);
}

/** One picture, large, with its downloads. */
export function large(set, index) {
  const place = h("div", {});
  const title = h("h2", {}, set.name);
  const links = h("div", { class: "downloads" });
  const dialog = h("dialog", { "aria-label": `Picture of ${set.name}` },
    h("div", { class: "row" }, title, h("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => dialog.close() }, "×")), place, links);
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  const viewer = new Viewer(place);
  viewer.onshow = () => {
    const at = { name: set.name, index: viewer.index };
    links.replaceChildren(...buttons(set, "api/tiff", at, "Picture"));
  };
  viewer.open(set, index).catch(fail);
}

const buttons = (set, path, given, what) => {
  const scaled = { uint8: "16 bit TIFF (257 × the 8 bit levels)", float32: "16 bit TIFF (scaled, and says how)", uint16: "16 bit TIFF" }[set.pixel_type];
  const stored = { uint8: "8 bit TIFF, as stored", float32: "float TIFF, as stored" }[set.pixel_type];
  return [h("a", { class: "button", href: query(path, given), download: "" }, `${what}: ${scaled}`),
    stored && h("a", { class: "button", href: query(path, { ...given, as_stored: true }), download: "" }, stored)].filter(Boolean);
};

/** What can be downloaded of a set, and the command that writes the same. */
export function downloads(set) {
  const um = set.spacing_um[1];
  const several = set.pictures > 1;
  const place = h("div", { class: "downloads" }, ...(several ? buttons(set, "api/tiff/set", { name: set.name }, "All, ZIP") : buttons(set, "api/tiff", { name: set.name, index: 0 }, "Download")),
    several && h("a", { class: "button", href: query("api/tiff/set", { name: set.name, as_stack: true }), download: "" }, "One stack"),
    h("span", { class: "small" }, um ? `Pixel size ${length(um)} in every file, where ImageJ reads it.` : "The pixel size is unknown, and the files say none."));
  const details = h("details", {}, h("summary", {}, "The same by command"));
  details.addEventListener("toggle", async () => {
    if (details.open && details.children.length < 2) {
      try { details.append(command((await ask(query("api/tiff/command", { name: set.name }))).command)); } catch (error) { fail(error); }
    }
  });
  return h("div", {}, place, details);
}

/** What a set is, in a line. */
export function facts(set) {
  const um = set.spacing_um[1];
  const bits = { uint8: "8 bit", uint16: "16 bit", float32: "float" }[set.pixel_type];
  return [`${number(set.pictures, 6)} picture${set.pictures === 1 ? "" : "s"}`, `${set.height} × ${set.width} px`, bits, um ? `${length(um)} a pixel` : "pixel size unknown"];
}

/** A scale bar over a picture that is so many pixels wide: sets its length and words, and again where sizes change. */
export function ruler(figure, width, um) {
  const bar = h("div", { class: "ruler" }, h("span", {}), h("i", {}));
  figure.append(bar);
  const draw = () => {
    const each = figure.clientWidth / width;
    if (!each) return;
    const room = figure.clientWidth / 3 / each * (um || 1), decade = 10 ** Math.floor(Math.log10(room));
    const long = Math.max(...[1, 2, 5].map((n) => n * decade).filter((n) => n <= room * (1 + 1e-9)));
    bar.firstElementChild.textContent = um ? length(long) : `${number(long)} px`;
    bar.lastElementChild.style.width = `${long / (um || 1) * each}px`;
  };
  new ResizeObserver(draw).observe(figure);
  draw();
}

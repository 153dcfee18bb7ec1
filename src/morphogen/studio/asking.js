// The controls of what can be asked of a run: its numbers, classes and caption.
import { h, number } from "./studio.js";

/** A number with the range that was learnt. It is as in training until it is moved. */
export class NumberField {
  constructor({ name, low, high, unit }, onChange, { span = true } = {}) {
    this.name = name;
    const step = 10 ** Math.floor(Math.log10((high - low) / 100));
    this.slider = h("input", { type: "range", min: low, max: high, step: "any", value: (low + high) / 2, "aria-label": `${name}${unit ? `, ${unit}` : ""}` });
    this.figure = h("input", { type: "number", step, value: tidy((low + high) / 2, step), "aria-label": `${name} as a number` });
    this.free = h("input", { type: "checkbox", checked: true });
    this.spread = h("input", { type: "checkbox" });
    this.end = h("input", { type: "number", step, value: tidy(high, step), "aria-label": `${name}, end of the range`, hidden: true });
    const through = span ? [h("label", { class: "tick" }, this.spread, "the set: evenly to"), this.end] : [];
    this.element = h("fieldset", { class: "field number free", "data-name": name },
      h("legend", {}, name.replaceAll("_", " "), unit && h("small", {}, unit)),
      h("div", { class: "pair" }, this.slider, this.figure),
      h("div", { class: "ends", title: "The range that training saw" }, h("span", {}, number(low)), h("span", {}, "learnt"), h("span", {}, number(high))),
      h("div", { class: "ticks" }, h("label", { class: "tick" }, this.free, "as in training"), ...through));
    const chosen = () => { this.free.checked = false; this.show(); };
    this.slider.addEventListener("input", () => { this.figure.value = tidy(+this.slider.value, step); chosen(); onChange(true); });
    this.slider.addEventListener("change", () => onChange(false));
    this.figure.addEventListener("input", () => { this.slider.value = this.figure.value; chosen(); onChange(false); });
    this.free.addEventListener("change", () => { this.show(); onChange(false); });
    this.spread.addEventListener("change", () => { if (this.spread.checked) this.free.checked = false; this.show(); onChange(false); });
    this.end.addEventListener("input", () => onChange(false));
  }

  show() {
    if (this.free.checked) this.spread.checked = false;
    this.element.classList.toggle("free", this.free.checked);
    this.end.hidden = !this.spread.checked;
  }

  /** What is asked of one picture; null where it is as in training. */
  get one() { return this.free.checked || this.figure.value === "" ? null : +this.figure.value; }

  /** What is asked of a set: a number, or both ends of a range. */
  get all() { return this.one !== null && this.spread.checked && this.end.value !== "" ? [this.one, +this.end.value] : this.one; }
}

const tidy = (value, step) => +value.toFixed(Math.max(0, -Math.log10(step)));

/** All that can be asked of a run. */
export class Asking {
  constructor(place, about, onChange, { span = true } = {}) {
    this.numbers = about.numbers.map((given) => new NumberField(given, onChange, { span }));
    this.classes = about.classes.map(({ name, values }) => {
      const select = h("select", { "aria-label": name, onchange: () => onChange(false) }, h("option", { value: "" }, "as in training"), values.map((value) => h("option", {}, value)));
      return { name, select, element: h("label", { class: "field" }, h("span", {}, name.replaceAll("_", " ")), select) };
    });
    this.caption = null;
    const parts = [];
    if (about.text) {
      this.text = about.text;
      const called = about.text[0].toUpperCase() + about.text.slice(1);
      this.caption = h("textarea", { maxlength: 1000, rows: 3, "aria-label": called, placeholder: "as in training", oninput: () => onChange(true), onchange: () => onChange(false) });
      parts.push(h("label", { class: "field" }, h("span", {}, called), this.caption));
      if (about.texts.length) parts.push(h("details", {}, h("summary", {}, `${called}s that it learnt`), h("div", { class: "texts" }, about.texts.map((text) =>
        h("button", { type: "button", onclick: () => { this.caption.value = text; onChange(false); } }, text)))));
    }
    place.replaceChildren(...this.numbers.map((field) => field.element), ...this.classes.map((kind) => kind.element), ...parts);
  }

  /** As the server wants it; for one picture at once, or for a set. */
  told(all) {
    const numbers = {}, classes = {};
    for (const field of this.numbers) { const value = all ? field.all : field.one; if (value !== null) numbers[field.name] = value; }
    for (const { name, select } of this.classes) if (select.value) classes[name] = select.value;
    const words = this.caption ? this.caption.value.trim() : "";
    if (words && this.text !== "caption") classes[this.text] = words;
    return { numbers, classes, ...(words && this.text === "caption" ? { caption: words } : {}) };
  }
}

// Selection of a model, and of further models to compare.

import { headline, metricText } from "./catalogue.js";
import { duration, el } from "./dom.js";

/** @typedef {import("./catalogue.js").Catalogue} Catalogue */

/** Heading of a model's answer. @param {string} key @param {Catalogue} catalogue @param {number} took milliseconds, or 0 */
export function heading(key, catalogue, took) {
  const known = catalogue.get(key);
  const link = known ? el("a", { href: `#view=models&name=${encodeURIComponent(key)}` }, key) : key;
  const time = took ? el("small", {}, duration(took)) : "";
  return el("h2", {}, link, el("small", { "data-metric": key }, metricText(known)), time);
}

/** Number of models from which they can be filtered. */
const FILTERED = 5;

export class ModelPicker {
  /**
   * @param {{select: HTMLSelectElement, compare: HTMLDetailsElement, about: HTMLElement}} places
   * @param {Catalogue} catalogue
   * @param {(keys: string[]) => void} onChange the chosen models, at least one
   */
  constructor({ select, compare, about }, catalogue, onChange) {
    this.select = select;
    this.compare = compare;
    this.about = about;
    this.catalogue = catalogue;
    this.onChange = onChange;
    this.filter = "";
    select.addEventListener("change", () => onChange([select.value]));
    compare.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      compare.open = false;
      compare.querySelector("summary")?.focus();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!compare.contains(/** @type {Node} */ (event.target))) compare.open = false;
    });
  }

  /** @param {string[]} keys all models of the view @param {string[]} chosen the first one is shown in the select */
  show(keys, chosen) {
    keys = [...new Set([...keys, ...chosen])]; // a link may name a model that no longer exists; the answer reports it
    const options = keys.map((key) => {
      const measured = metricText(this.catalogue.get(key));
      const state = this.catalogue.get(key)?.problem ? "not ready" : measured;
      return el("option", { value: key, selected: key === chosen[0] }, state ? `${key} · ${state}` : key);
    });
    this.select.replaceChildren(...options);
    this.select.parentElement.hidden = !keys.length;
    this.about.textContent = chosen.length > 1 ? "All selected models get the same text." : this.#about(chosen[0]);
    this.#choices(keys, chosen);
    // An answer may arrive before the metrics.
    for (const place of document.querySelectorAll("[data-metric]")) {
      place.textContent = metricText(this.catalogue.get(place.getAttribute("data-metric")));
    }
  }

  /** @param {string} key */
  #about(key) {
    const model = this.catalogue.get(key);
    const measured = headline(model);
    const use = model?.training?.recipe?.intended_use;
    return [use && `Intended use: ${use}`, model?.description, measured ? `Measured: ${metricText(model)} on ${measured.data}.` : ""].filter(Boolean).join(" ");
  }

  /** @param {string[]} keys @param {string[]} chosen */
  #choices(keys, chosen) {
    const labels = JSON.stringify(this.catalogue.get(chosen[0])?.labels);
    // Models with the same labels come first.
    const alike = keys.filter((key) => JSON.stringify(this.catalogue.get(key)?.labels) === labels);
    const others = keys.filter((key) => !alike.includes(key));
    const focused = /** @type {HTMLInputElement | null} */ (this.compare.querySelector(":focus"))?.value;
    const boxes = [...alike, ...others].map((key) => this.#choice(key, chosen));
    const all = el("button", { type: "button", class: "quiet", onclick: () => this.onChange([...new Set([chosen[0], ...alike])]) });
    all.textContent = `All ${alike.length}`;
    const none = el("button", { type: "button", class: "quiet", onclick: () => this.onChange([chosen[0]]) }, "Only one");
    this.compare.hidden = keys.length < 2;
    const filter = keys.length > FILTERED ? this.#filterOf(boxes) : "";
    this.compare.querySelector(".choices")?.replaceChildren(filter, ...boxes, el("p", {}, alike.length > 1 ? all : "", none));
    this.compare.querySelector("summary").textContent = chosen.length > 1 ? `Comparing ${chosen.length}` : "Compare";
    boxes.map((box) => box.querySelector("input")).find((input) => input.value === focused)?.focus();
  }

  /** A field that hides the models without its words. @param {HTMLElement[]} boxes */
  #filterOf(boxes) {
    const field = el("input", { type: "search", placeholder: "Filter models", "aria-label": "Filter models", value: this.filter });
    const apply = () => {
      this.filter = field.value;
      const words = this.filter.toLowerCase().split(/\s+/);
      for (const box of boxes) box.hidden = !words.every((word) => box.textContent?.toLowerCase().includes(word));
    };
    field.addEventListener("input", apply);
    apply();
    return field;
  }

  /** @param {string} key @param {string[]} chosen */
  #choice(key, chosen) {
    const model = this.catalogue.get(key);
    const box = el("input", { type: "checkbox", value: key, checked: chosen.includes(key) });
    box.addEventListener("change", () => {
      const now = box.checked ? [...chosen, key] : chosen.filter((other) => other !== key);
      if (now.length) this.onChange(now);
      else box.checked = true;
    });
    const note = [metricText(model), model?.description].filter(Boolean).join(" · ");
    return el("label", {}, box, el("span", {}, el("b", {}, key), el("small", {}, note)));
  }
}

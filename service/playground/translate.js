// Translates a text and shows the attention between the words of each sentence.

import { modelFields } from "./api.js";
import { announce, byId, el } from "./dom.js";
import { showExamples } from "./examples.js";
import { detailFor, matrixPicker } from "./matrices.js";
import { ModelPicker } from "./picker.js";
import { Requests, timed } from "./requests.js";
import { DEFAULTS, remember } from "./state.js";
import { panel } from "./sentences.js";

/** @typedef {import("./requests.js").Outcome} Outcome */

export class Translate {
  /** @param {import("./catalogue.js").Catalogue} catalogue */
  constructor(catalogue) {
    this.catalogue = catalogue;
    this.section = byId("translate");
    this.text = byId("q");
    this.source = byId("source");
    this.target = byId("target");
    this.swap = byId("swap");
    this.results = byId("translate-results");
    this.requests = new Requests("translate", this.results);
    this.values = DEFAULTS.translate;
    /** @type {Outcome[]} */
    this.outcomes = [];
    const places = { select: byId("translator"), compare: byId("translator-compare"), about: byId("translator-about") };
    this.picker = new ModelPicker(places, catalogue, (model) => this.set({ model, matrix: "summary" }));
    this.#listen();
  }

  #listen() {
    this.section.querySelector("form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.ask();
    });
    this.text.addEventListener("input", () => {
      this.keep({ q: this.text.value });
      if (this.values.q.trim()) this.requests.debounce(() => this.ask());
      else this.requests.cancel();
    });
    const other = { model: [], matrix: "summary" };
    this.source.addEventListener("change", () => this.set({ ...other, source: this.source.value, target: "" }));
    this.target.addEventListener("change", () => this.set({ ...other, source: this.source.value, target: this.target.value }));
    this.swap.addEventListener("click", () => {
      const { source, target } = this.pair();
      const [q = this.values.q] = this.outcomes.map((outcome) => outcome.answer?.translatedText);
      this.set({ ...other, q, source: target, target: source });
    });
    for (const radio of this.section.querySelectorAll("[name=translate-unit]")) {
      radio.addEventListener("change", () => this.set({ unit: radio.value }));
    }
    for (const name of /** @type {const} */ (["beam", "alternatives"])) {
      byId(name).addEventListener("change", () => this.set({ [name]: byId(name).valueAsNumber || DEFAULTS.translate[name] }));
    }
  }

  /** @param {typeof DEFAULTS.translate} values from the URL */
  show(values) {
    this.values = values;
    for (const radio of this.section.querySelectorAll("[name=translate-unit]")) radio.checked = radio.value === values.unit;
    this.started = false;
    this.refresh();
  }

  /** @returns {{source: string, target: string}} the languages of the URL, else the first ones served */
  pair() {
    const { languages } = this.catalogue;
    // The page is in English, so English is the default source.
    const source = this.values.source || (languages.find((language) => language.code === "en") ?? languages[0])?.code || "";
    const targets = languages.find((language) => language.code === source)?.targets ?? [];
    return { source, target: this.values.target || targets[0] || "" };
  }

  /** Update after a change of the catalogue or the values. */
  refresh() {
    const { values, catalogue } = this;
    if (this.text.value !== values.q) this.text.value = values.q;
    byId("beam").value = values.beam;
    byId("alternatives").value = values.alternatives;
    const { source, target } = this.pair();
    const targets = catalogue.languages.find((language) => language.code === source)?.targets ?? [];
    this.#languages(this.source, catalogue.languages.map((language) => language.code), source);
    this.#languages(this.target, targets, target);
    this.swap.disabled = !catalogue.translators(target, source).length;
    const keys = this.keys();
    if (!keys.length) return this.catalogue.models.length ? showExamples(this, "q") : undefined;
    this.picker.show(catalogue.translators(source, target), keys);
    const first = /** @type {any} */ (catalogue.get(keys[0]));
    byId("beam").max = first?.limits?.max_beam_size ?? 16;
    matrixPicker(byId("translate-matrix"), first, values.matrix, (matrix) => this.set({ matrix }));
    showExamples(this, "q", first);
  }

  /** @param {any} select @param {string[]} codes @param {string} chosen */
  #languages(select, codes, chosen) {
    const all = [...new Set([...codes, chosen])].filter(Boolean);
    select.replaceChildren(...all.map((code) => el("option", { value: code, selected: code === chosen }, this.catalogue.language(code))));
  }

  /** @returns {string[]} the selected models, else the default of the pair */
  keys() {
    const { source, target } = this.pair();
    return this.values.model.length ? this.values.model : this.catalogue.translators(source, target).slice(0, 1);
  }

  /** @param {Partial<typeof DEFAULTS.translate>} changes */
  keep(changes) {
    this.values = { ...this.values, ...changes };
    remember("translate", this.values);
  }

  /** @param {Partial<typeof DEFAULTS.translate>} changes */
  set(changes) {
    this.keep(changes);
    this.refresh();
    if (this.values.q || this.outcomes.length) this.ask();
  }

  async ask() {
    const { q, unit, matrix, beam, alternatives } = this.values;
    const body = {
      q,
      ...this.pair(),
      attention: detailFor(matrix),
      attention_unit: unit,
      beam_size: beam,
      ...(alternatives > 0 && { alternatives }),
    };
    const keys = this.keys();
    /** @type {[string, object][]} without a model the service answers with an error */
    const bodies = keys.length ? keys.map((key) => [key, { ...body, ...modelFields(key) }]) : [["", body]];
    const outcomes = await this.requests.ask(bodies);
    if (!outcomes) return;
    this.outcomes = outcomes;
    timed("translate", () => this.render());
    announce(outcomes.map((o) => `${o.key}: ${o.answer?.translatedText ?? o.error?.title}`).join(", "));
  }

  render() {
    const { outcomes, results } = this;
    results.classList.toggle("many", outcomes.length > 1);
    const panels = outcomes.map((outcome) => panel(outcome, this));
    results.replaceChildren(...panels);
  }
}

// Translates a text. The whole translation comes first; a sentence opens its words and their attention.

import { modelFields } from "./api.js";
import { Detector, notice } from "./detection.js";
import { DocumentUpload } from "./document.js";
import { announce, byId, el } from "./dom.js";
import { showExamples } from "./examples.js";
import { copies } from "./exports.js";
import { GlossaryPicker, glossaryField } from "./glossary.js";
import { codePoints } from "./highlight.js";
import { detailFor, matrixPicker } from "./matrices.js";
import { MemoryPicker } from "./memory.js";
import { problem } from "./messages.js";
import { keepInput } from "./past.js";
import { ModelPicker, heading } from "./picker.js";
import { Progress } from "./progress.js";
import { Requests, timed } from "./requests.js";
import { DEFAULTS, remember } from "./state.js";
import { TextField } from "./textfield.js";
import { Translation } from "./translation.js";

/** @typedef {import("./requests.js").Outcome} Outcome */
/** @typedef {typeof DEFAULTS.translate} Values */

const OTHER_PAIR = { model: /** @type {string[]} */ ([]), matrix: "summary" };

export class Translate {
  /** @param {import("./catalogue.js").Catalogue} catalogue */
  constructor(catalogue) {
    this.catalogue = catalogue;
    this.section = byId("translate");
    this.text = byId("q");
    this.source = byId("source");
    this.target = byId("target");
    this.swap = byId("swap");
    this.beside = byId("translation");
    this.notice = byId("translate-notice");
    this.results = byId("translate-results");
    this.options = byId("translate-options");
    this.requests = new Requests("translate", this.beside);
    this.detector = new Detector();
    this.values = DEFAULTS.translate;
    /** Detected language of the text; "" if it is not known or not asked for. */
    this.detected = "";
    /** @type {Outcome[]} */
    this.outcomes = [];
    /** Model -> its finished sentences, until the next request. @type {Map<string, Translation>} */
    this.growing = new Map();
    /** Model -> its sentence with open words. @type {Map<string, {open?: boolean, index: number}>} */
    this.places = new Map();
    const places = { select: byId("translator"), compare: byId("translator-compare"), about: byId("translator-about") };
    this.picker = new ModelPicker(places, catalogue, (model) => this.set({ model, matrix: "summary" }));
    this.field = new TextField(this.text, byId("q-count"));
    this.progress = new Progress(() => this.#cancelled());
    this.glossary = new GlossaryPicker(this.options, (glossary) => this.set({ glossary }));
    this.memory = new MemoryPicker(this.options, () => this.pair(), (memory) => this.set({ memory }));
    new DocumentUpload(() => this.#documentFields());
    this.#listen();
  }

  #listen() {
    this.section.querySelector("form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.ask();
    });
    this.text.addEventListener("input", () => {
      this.keep({ q: this.text.value });
      this.places.clear();
      this.cancel();
      if (this.values.q.trim()) this.requests.debounce(() => this.ask());
    });
    this.source.addEventListener("change", () => this.set({ ...OTHER_PAIR, source: this.source.value === "auto" ? "" : this.source.value, target: this.target.value }));
    this.target.addEventListener("change", () => this.set({ ...OTHER_PAIR, target: this.target.value }));
    this.swap.addEventListener("click", () => {
      const { source, target } = this.pair();
      const [q = this.values.q] = this.outcomes.map((outcome) => outcome.answer?.translatedText);
      this.set({ ...OTHER_PAIR, q, source: target, target: source });
    });
    for (const radio of this.section.querySelectorAll("[name=translate-unit]")) {
      radio.addEventListener("change", () => this.set({ unit: radio.value }));
    }
    for (const name of /** @type {const} */ (["beam", "alternatives"])) {
      byId(name).addEventListener("change", () => this.set({ [name]: byId(name).valueAsNumber || DEFAULTS.translate[name] }));
    }
  }

  /** @param {Values} values from the URL */
  show(values) {
    this.values = values;
    for (const radio of this.section.querySelectorAll("[name=translate-unit]")) radio.checked = radio.value === values.unit;
    const { unit, matrix, beam, alternatives, glossary, memory } = DEFAULTS.translate;
    const initial = { unit, matrix, beam, alternatives, glossary, memory };
    if (Object.entries(initial).some(([name, value]) => values[name] !== value)) this.options.open = true;
    this.started = false;
    this.refresh();
  }

  /** The source language that the user or the selected model gives; "" if it is detected. */
  get given() {
    return this.values.source || this.catalogue.get(this.values.model[0])?.source || "";
  }

  /** @returns {{source: string, target: string}} the selected or detected languages, else the first ones served */
  pair() {
    const { catalogue, values, given } = this;
    const codes = catalogue.sources();
    // The page is in English, so English is the default source.
    const source = given || this.detected || (codes.includes("en") ? "en" : codes[0]) || "";
    const targets = catalogue.targets(source);
    const wanted = values.target === source && !given ? "" : values.target;
    return { source, target: wanted || catalogue.get(values.model[0])?.target || targets[0] || "" };
  }

  /** Update after a change of the catalogue or the values. */
  refresh() {
    const { values, catalogue } = this;
    this.field.set(values.q);
    byId("beam").value = values.beam;
    byId("alternatives").value = values.alternatives;
    this.glossary.show(values.glossary);
    this.#languages();
    this.memory.show(values.memory);
    const { source, target } = this.pair();
    this.swap.disabled = !catalogue.targets(target).includes(source);
    const keys = this.keys();
    if (!keys.length) return catalogue.models.length ? this.#withoutModel() : undefined;
    this.picker.show(catalogue.translators(source, target), keys);
    const first = /** @type {any} */ (catalogue.get(keys[0]));
    byId("beam").max = first?.limits?.max_beam_size ?? 16;
    matrixPicker(byId("translate-matrix"), first, values.matrix, (matrix) => this.setMatrix(matrix));
    showExamples(this, "q", first);
  }

  /** No model of the pair: it is translated through English, or not at all. */
  #withoutModel() {
    const { source, target } = this.pair();
    const through = this.catalogue.targets(source).includes(target);
    this.picker.show([], []);
    this.picker.about.textContent = through ? "No model translates this pair. The text is translated through English." : "";
    matrixPicker(byId("translate-matrix"), undefined, this.values.matrix, () => {});
    showExamples(this, "q");
  }

  #languages() {
    const { catalogue, given } = this;
    const { source, target } = this.pair();
    const found = this.detected ? `Detected: ${catalogue.language(this.detected)}` : "Detect language";
    const codes = catalogue.sources();
    fill(this.source, [["auto", found], ...this.#named([...codes, given])], given || "auto");
    const targets = catalogue.targets(source);
    fill(this.target, this.#named([...(targets.length ? targets : catalogue.allTargets()), target]), target);
  }

  /** @param {string[]} codes @returns {[string, string][]} each code with its name, once */
  #named(codes) {
    return [...new Set(codes)].filter(Boolean).map((code) => [code, this.catalogue.language(code)]);
  }

  /** @returns {string[]} the selected models, else the default of the pair */
  keys() {
    const { source, target } = this.pair();
    return this.values.model.length ? this.values.model : this.catalogue.translators(source, target).slice(0, 1);
  }

  /** @param {Partial<Values>} changes */
  keep(changes) {
    this.values = { ...this.values, ...changes };
    remember("translate", this.values);
  }

  /** @param {Partial<Values>} changes */
  set(changes) {
    if (changes.q !== undefined) this.places.clear();
    this.keep(changes);
    this.refresh();
    if (this.values.q || this.outcomes.length) this.ask();
  }

  /** Show another matrix. The answer has it already if it has all matrices. @param {string} matrix */
  setMatrix(matrix) {
    const known = detailFor(matrix) === detailFor(this.values.matrix) && this.outcomes.some(({ answer }) => answer);
    if (!known) return this.set({ matrix });
    this.keep({ matrix });
    this.refresh();
    this.render();
  }

  cancel() {
    this.requests.cancel();
    this.progress.hide();
  }

  /** @param {AbortSignal} signal
   * @returns {Promise<boolean>} false if no model translates the language of the text, or if the request was cancelled */
  async #detect(signal) {
    const { catalogue, given, values } = this;
    const codes = catalogue.sources();
    const language = await this.detector.language(values.q, codes, signal).catch(() => undefined);
    if (language === undefined || signal.aborted) return false;
    this.detected = given ? "" : language;
    this.refresh();
    this.notice.replaceChildren();
    if (!language) return true;
    const name = catalogue.language(language);
    const served = codes.includes(language);
    const pairs = /** @type {[string, () => void][]} */ (
      codes.map((code) => [`Translate as ${catalogue.language(code)}`, () => this.set({ ...OTHER_PAIR, source: code, target: "" })])
    );
    if (!given && served) return this.#reachable(language, name);
    if (!given) {
      const from = codes.map((code) => catalogue.language(code)).join(", ");
      this.notice.append(notice(`Detected ${name}. No model translates from ${name}. The service translates from ${from}.`, pairs));
      return false;
    }
    if (language === given) return true;
    const warning = `Detected ${name}, but the text is translated from ${catalogue.language(given)}.`;
    const change = /** @type {[string, () => void]} */ ([`Translate from ${name}`, () => this.set({ ...OTHER_PAIR, source: language, target: "" })]);
    this.notice.append(notice(served ? warning : `${warning} No model translates from ${name}.`, served ? [change] : []));
    return true;
  }

  /** Report a detected language that is not translated into the selected one. @param {string} language @param {string} name */
  #reachable(language, name) {
    const { catalogue } = this;
    const { target } = this.pair();
    const targets = catalogue.targets(language);
    if (targets.includes(target)) return true;
    const into = /** @type {[string, () => void][]} */ (
      targets.map((code) => [`Into ${catalogue.language(code)}`, () => this.set({ ...OTHER_PAIR, target: code })])
    );
    this.notice.append(notice(`Detected ${name}. No model translates ${name} into ${catalogue.language(target)}.`, into));
    return false;
  }

  async ask() {
    const signal = this.requests.begin();
    const usable = !this.values.q.trim() || (await this.#detect(signal));
    if (signal.aborted) return;
    if (!usable) return this.#stopped();
    const { q, unit, matrix, beam, alternatives, glossary, memory } = this.values;
    const body = {
      q,
      ...this.pair(),
      attention: detailFor(matrix),
      attention_unit: unit,
      beam_size: beam,
      ...(alternatives > 0 && { alternatives }),
      ...glossaryField(glossary),
      ...(memory && { memory }),
    };
    const keys = this.keys();
    /** @type {[string, object][]} without a model the service answers with an error, or through English */
    const bodies = keys.length ? keys.map((key) => [key, { ...body, ...modelFields(key) }]) : [["", body]];
    this.progress.start(codePoints(q).length * bodies.length);
    this.growing.clear();
    const outcomes = await this.requests.ask(bodies, (key, name, content) => {
      if (name === "sentence") this.#grow(key, bodies, content);
    });
    if (!outcomes) return;
    this.progress.hide();
    this.outcomes = outcomes;
    timed("translate", () => this.render());
    if (outcomes.some(({ answer }) => answer)) keepInput("translate", this.values);
    announce(outcomes.map((o) => `${o.key}: ${o.answer?.translatedText ?? o.error?.title}`).join(", "));
  }

  /** Keep the finished sentences. Without one, remove the answer to another text. */
  #cancelled() {
    this.progress.cancelled();
    if (!this.progress.sentences) return this.#stopped();
    this.requests.cancel();
    this.outcomes = [];
  }

  /** Remove the answer to another text. */
  #stopped() {
    this.requests.cancel();
    this.outcomes = [];
    this.render();
  }

  /** Show a finished sentence of a translation that is not complete.
   * @param {string} key @param {[string, any][]} bodies @param {any} content of the event */
  #grow(key, bodies, { number, sentence }) {
    this.progress.add(sentence);
    if (!this.growing.size) {
      for (const [each, body] of bodies) this.growing.set(each, this.#translation(each, body));
      this.#place([...this.growing].map(([each, translation]) => ({ key: each, parts: [translation.whole], words: [], took: 0 })));
    }
    this.growing.get(key)?.add(number, sentence);
  }

  /** @param {string} key @param {any} body */
  #translation(key, body) {
    if (!this.places.has(key)) this.places.set(key, { index: 0 });
    const options = {
      ...body,
      unit: this.values.unit,
      matrix: this.values.matrix,
      name: key || "translation",
      compared: this.keys().length > 1,
      onMatrix: (/** @type {string} */ matrix) => this.setMatrix(matrix),
    };
    return new Translation(options, this.places.get(key) ?? { index: 0 });
  }

  render() {
    this.#place(this.outcomes.map(({ key, body, answer, error, took }) => {
      const finished = this.growing.get(key);
      if (error) return { key, parts: [...(finished?.parts.size ? [finished.whole] : []), problem(error, { onRetry: () => this.ask() })], words: [], took };
      const translation = this.#translation(key, body);
      translation.finish(answer, took);
      return { key: key || answer.model, parts: [translation.whole], words: [translation.words, copies("translate", body, answer)], took };
    }));
  }

  /** Put one translation beside the text, and several below it.
   * @param {{key: string, parts: Node[], words: Node[], took: number}[]} panels */
  #place(panels) {
    const many = panels.length > 1;
    this.section.classList.toggle("comparing", many);
    this.results.classList.toggle("many", many);
    if (!many) this.beside.replaceChildren(...panels.flatMap(({ parts }) => parts));
    const element = (/** @type {typeof panels[0]} */ { key, parts, words, took }) =>
      el("article", { class: "panel", "data-model": key }, heading(key, this.catalogue, took), ...(many ? parts : []), ...words);
    this.results.replaceChildren(...panels.map(element));
  }

  #documentFields() {
    const { target } = this.pair();
    const { glossary } = glossaryField(this.values.glossary);
    const { model: [model], memory } = this.values;
    return { source: this.given || "auto", target, model, memory, ...(typeof glossary === "string" && { glossary }) };
  }
}

/** @param {any} select @param {[string, string][]} options @param {string} chosen */
function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
}

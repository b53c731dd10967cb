// The models of the service: first the list, then the details; polled while models are loading.

import { getModel, listLanguages, listModels } from "./api.js";
import { percent } from "./dom.js";

/** @typedef {import("./api.js").Model} Model */
/** @typedef {import("./api.js").ModelDetail} ModelDetail */

const LOADING = "still loading";

/** The language between the two models of a pair without a model. */
const PIVOT = "en";

/** Fires "change" after each update. */
export class Catalogue extends EventTarget {
  constructor() {
    super();
    /** @type {Model[]} */
    this.models = [];
    /** @type {{code: string, name: string, targets: string[]}[]} */
    this.languages = [];
    /** @type {Map<string, ModelDetail>} */
    this.details = new Map();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /** Rejects with ApiError if the service does not answer. */
  async load() {
    clearTimeout(this.timer);
    try {
      [this.models, this.languages] = await Promise.all([listModels(), listLanguages()]);
      this.dispatchEvent(new Event("change"));
      await Promise.all(this.models.map((model) => this.#detail(this.keyOf(model))));
      this.dispatchEvent(new Event("change"));
    } finally {
      if (this.loading) this.timer = setTimeout(() => this.load().catch(() => {}), 1000);
    }
  }

  get loading() {
    return this.models.some((model) => model.problem === LOADING);
  }

  /** @param {string} key */
  async #detail(key) {
    if (!this.details.has(key)) this.details.set(key, await getModel(key));
  }

  /** @param {Model} model @returns {string} its name, or name/version if a newer version is served */
  keyOf(model) {
    const newer = this.models.some((other) => other.name === model.name && Number(other.version) > Number(model.version));
    return newer ? `${model.name}/${model.version}` : model.name;
  }

  /** @param {string} key @returns {ModelDetail | undefined} the fields known so far */
  get(key) {
    const listed = this.models.find((model) => this.keyOf(model) === key);
    return listed && { ...this.details.get(key), ...listed }; // the list is more recent
  }

  /** @returns {string[]} the keys of classifiers, the default one first */
  classifiers() {
    return this.#keys((model) => model.task === "classification");
  }

  /** @returns {string[]} the keys of language models, the default one first */
  generators() {
    return this.#keys((model) => model.task === "generation");
  }

  /** @param {string} source @param {string} target @returns {string[]} */
  translators(source, target) {
    return this.#keys((model) => model.source === source && model.target === target);
  }

  /** @param {string} source @returns {string[]} languages with a model, then those that are translated through English */
  targets(source) {
    const direct = this.#direct(source);
    const further = direct.includes(PIVOT) ? this.#direct(PIVOT).filter((code) => code !== source && !direct.includes(code)) : [];
    return [...direct, ...further];
  }

  /** @returns {string[]} the source languages of all models */
  sources() {
    return this.languages.filter(({ targets }) => targets.length).map(({ code }) => code);
  }

  /** @returns {string[]} the target languages of all models */
  allTargets() {
    return [...new Set(this.languages.flatMap(({ targets }) => targets))];
  }

  /** @param {string} source @returns {string[]} */
  #direct(source) {
    return this.languages.find(({ code }) => code === source)?.targets ?? [];
  }

  /** @param {(model: Model) => boolean} wanted @returns {string[]} */
  #keys(wanted) {
    const found = this.models.filter(wanted);
    return [...found.filter((model) => model.default), ...found.filter((model) => !model.default)].map((m) => this.keyOf(m));
  }

  /** @param {string} code @returns {string} the language's name */
  language(code) {
    const listed = this.languages.find((language) => language.code === code)?.name;
    if (listed && listed !== code) return listed;
    try {
      return new Intl.DisplayNames(["en"], { type: "language" }).of(code) ?? code;
    } catch {
      return code;
    }
  }
}

/** @param {ModelDetail | undefined} model @returns {import("./api.js").Metric | undefined} the main metric */
export function headline(model) {
  const metrics = model?.metrics ?? [];
  return metrics.find((m) => m.name === "accuracy") ?? metrics.find((m) => m.name === "BLEU") ?? metrics[0];
}

/** @param {ModelDetail | undefined} model @returns {string} the main metric as text; "" if there is none */
export function metricText(model) {
  const metric = headline(model);
  if (metric?.name === "bits per character") return `${metric.value.toFixed(2)} bits/character`;
  return metric ? `${metric.name} ${metric.name === "accuracy" ? percent(metric.value) : metric.value}` : "";
}

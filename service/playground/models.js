// All models in a table, and the page of a model: description, metrics, data, training and the figures of its card.

import { metricText } from "./catalogue.js";
import { byId, el } from "./dom.js";
import { Speed } from "./speed.js";
import { data, definitions, facts, metrics, pictures, training } from "./card.js";

/** @typedef {import("./api.js").ModelDetail} ModelDetail */

/** Task -> title of its models, and the view that tries one. */
const TASKS = { classification: ["Classifiers", "classify"], translation: ["Translators", "translate"], generation: ["Language models", "generate"] };

export class Models {
  /** @param {import("./catalogue.js").Catalogue} catalogue */
  constructor(catalogue) {
    this.catalogue = catalogue;
    this.section = byId("models");
    this.list = byId("model-list");
    this.page = byId("model-page");
    this.speed = new Speed(catalogue, () => this.refresh());
    this.name = "";
  }

  /** @param {{name: string}} values from the URL */
  show({ name }) {
    this.name = name;
    this.refresh();
  }

  refresh() {
    const { catalogue, name } = this;
    if (!catalogue.models.length) return;
    this.list.hidden = Boolean(name);
    this.page.hidden = !name;
    byId("models-title").hidden = Boolean(name);
    if (!name) return this.list.replaceChildren(this.#table(), el("p", { class: "tools" }, ...this.speed.controls()));
    const model = catalogue.get(name);
    const back = el("p", { class: "back" }, el("a", { href: "#view=models" }, "← All models"));
    this.page.replaceChildren(back, ...(model ? this.#card(name, model) : [el("p", { class: "problem" }, `Unknown model: ${name}.`)]));
  }

  render() {}

  #table() {
    const head = ["Model", "Labels or languages", "Quality", "Parameters", "Speed"].map((title) => el("th", { scope: "col" }, title));
    const bodies = Object.keys({ ...TASKS, "": "" }).flatMap((task) => {
      const models = this.catalogue.models.filter((model) => (model.task ?? "") === task);
      if (!models.length) return [];
      const title = el("tr", {}, el("th", { colspan: 5, scope: "rowgroup", class: "task" }, TASKS[task]?.[0] ?? "Unreadable"));
      return [el("tbody", {}, title, ...models.map((model) => this.#row(this.catalogue.keyOf(model))))];
    });
    return el("table", { class: "overview" }, el("thead", {}, el("tr", {}, ...head)), ...bodies);
  }

  /** @param {string} key */
  #row(key) {
    const model = /** @type {ModelDetail} */ (this.catalogue.get(key));
    const link = el("a", { href: `#view=models&name=${encodeURIComponent(key)}` }, key);
    const subject = model.labels?.join(", ") ?? (model.source ? `${this.catalogue.language(model.source)} → ${this.catalogue.language(model.target ?? "")}` : "");
    const size = Number(model.architecture?.parameters ?? 0);
    const cells = [subject, model.ready ? metricText(model) : "not ready", size ? millions(size) : "", this.speed.of(key)];
    return el("tr", {}, el("th", { scope: "row" }, link), ...cells.map((cell) => el("td", {}, cell)));
  }

  /** @param {string} key @param {ModelDetail} model @returns {HTMLElement[]} */
  #card(key, model) {
    const recipe = model.training?.recipe ?? {};
    const view = TASKS[model.task ?? ""]?.[1] ?? "classify";
    const pair = model.source ? `&source=${model.source}&target=${model.target}` : "";
    const found = [
      el("h1", { class: "model" }, key, " ", el("small", {}, `version ${model.version}`)),
      el("p", { class: "lead" }, model.description ?? ""),
      model.ready ? "" : el("p", { class: "problem" }, el("strong", {}, "Not ready"), el("span", {}, ` ${model.problem}`)),
      model.ready ? el("p", {}, el("a", { href: `#view=${view}&model=${encodeURIComponent(key)}${pair}` }, "Try it")) : "",
      ...section("Intended use", recipe.intended_use && el("p", {}, recipe.intended_use)),
      ...section("Known limits", recipe.known_limits && el("p", {}, recipe.known_limits)),
      ...section("Metrics", metrics(model.metrics)),
      ...section("Figures", pictures(model)),
      ...section("Architecture", definitions(facts(model))),
      ...section("Data and licences", data(model.data)),
      ...section("Training", training(model.training)),
    ];
    return found.filter((part) => part !== "");
  }
}

/** @param {string} title @param {Node | undefined | false | ""} content @returns {HTMLElement[]} empty if there is no content */
const section = (title, content) => (content ? [el("h2", {}, title), content] : []);

/** @param {number} count @returns {string} such as "7.6 M" */
const millions = (count) => (count < 1e5 ? count.toLocaleString("en") : `${(count / 1e6).toFixed(1)} M`);

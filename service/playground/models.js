// The page of a model: description, metrics, data, training and the figures of its card.

import { metricText } from "./catalogue.js";
import { byId, el } from "./dom.js";

/** @typedef {import("./api.js").ModelDetail} ModelDetail */

const TASKS = { classification: "Classifiers", translation: "Translators", generation: "Language models" };

export class Models {
  /** @param {import("./catalogue.js").Catalogue} catalogue */
  constructor(catalogue) {
    this.catalogue = catalogue;
    this.section = byId("models");
    this.name = "";
  }

  /** @param {{name: string}} values from the URL */
  show({ name }) {
    this.name = name;
    this.refresh();
    if (name) byId("model-page").scrollIntoView({ block: "nearest" });
  }

  refresh() {
    const { catalogue } = this;
    if (!catalogue.models.length) return;
    const chosen = this.name || catalogue.keyOf(catalogue.models[0]);
    byId("model-list").replaceChildren(...this.#list(chosen));
    const model = catalogue.get(chosen);
    byId("model-page").replaceChildren(...(model ? page(chosen, model) : [el("p", { class: "problem" }, `Unknown model: ${chosen}.`)]));
  }

  render() {}

  /** @param {string} chosen */
  #list(chosen) {
    const groups = new Map(Object.values(TASKS).map((title) => [title, /** @type {HTMLElement[]} */ ([])]));
    for (const model of this.catalogue.models) {
      const key = this.catalogue.keyOf(model);
      const title = TASKS[model.task ?? ""] ?? "Unreadable";
      const note = model.ready ? metricText(this.catalogue.get(key)) : "not ready";
      const link = el("a", { href: `#view=models&name=${encodeURIComponent(key)}`, ...(key === chosen && { "aria-current": "page" }) }, key);
      groups.set(title, [...(groups.get(title) ?? []), el("li", {}, link, el("small", {}, note))]);
    }
    return [...groups].filter(([, items]) => items.length).flatMap(([title, items]) => [el("h2", {}, title), el("ul", {}, ...items)]);
  }
}

/** @param {string} key @param {ModelDetail} model @returns {HTMLElement[]} */
function page(key, model) {
  const recipe = model.training?.recipe ?? {};
  const view = { translation: "translate", generation: "generate" }[model.task ?? ""] ?? "classify";
  const pair = model.source ? `&source=${model.source}&target=${model.target}` : "";
  const found = [
    el("h2", {}, key, " ", el("small", {}, `version ${model.version}`)),
    el("p", { class: "lead" }, model.description ?? ""),
    model.ready ? "" : el("p", { class: "problem" }, el("strong", {}, "Not ready"), el("span", {}, ` ${model.problem}`)),
    model.ready ? el("p", {}, el("a", { href: `#view=${view}&model=${encodeURIComponent(key)}${pair}` }, "Try it")) : "",
    ...section("Intended use", recipe.intended_use && el("p", {}, recipe.intended_use)),
    ...section("Known limits", recipe.known_limits && el("p", {}, recipe.known_limits)),
    ...section("Metrics", metrics(model.metrics)),
    ...section("Figures", pictures(model)),
    ...section("Architecture", facts(model)),
    ...section("Data and licences", data(model.data)),
    ...section("Training", training(model.training)),
  ];
  return found.filter((part) => part !== "");
}

/** @param {string} title @param {Node | undefined | false | ""} content @returns {HTMLElement[]} empty if there is no content */
const section = (title, content) => (content ? [el("h3", {}, title), content] : []);

/** @param {string[]} head @param {(string | Node)[][]} rows */
function table(head, rows) {
  const line = (/** @type {string} */ tag, /** @type {(string | Node)[]} */ cells) => el("tr", {}, ...cells.map((cell) => el(tag, {}, cell)));
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, line("th", head)), el("tbody", {}, ...rows.map((row) => line("td", row)))));
}

/** @param {ModelDetail["metrics"]} found */
function metrics(found) {
  if (!found?.length) return undefined;
  const detailed = found.some((metric) => metric.detail);
  const rows = found.map((m) => [m.name, String(m.value), m.data, ...(detailed ? [el("small", {}, m.detail)] : [])]);
  return table(["metric", "value", "test set", ...(detailed ? ["details"] : [])], rows);
}

/** @param {ModelDetail} model */
function pictures({ pictures: found }) {
  if (!found?.length) return undefined;
  const figures = found.map(({ caption, path }) =>
    // Relative to the page, which may be behind a path prefix of a proxy.
    el("figure", {}, el("img", { src: path.replace(/^\//, ""), alt: caption, loading: "lazy" }), el("figcaption", {}, caption)),
  );
  return el("div", { class: "pictures" }, ...figures);
}

/** @param {Record<string, unknown>} values */
function definitions(values) {
  const list = el("dl", {});
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === "") continue;
    const text = typeof value === "number" ? value.toLocaleString("en") : value === true ? "yes" : value === false ? "no" : String(value);
    list.append(el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, text));
  }
  return list;
}

/** @param {ModelDetail} model */
function facts(model) {
  if (!model.architecture) return undefined;
  const kinds = model.attention?.map((kind) => {
    const parts = [kind.layers && `${kind.layers} layers`, kind.heads && `${kind.heads} heads`].filter(Boolean);
    return kind.kind.replaceAll("_", " ") + (parts.length ? ` (${parts.join(", ")})` : "");
  });
  return definitions({
    ...model.architecture,
    labels: model.labels?.join(", "),
    languages: model.source && `${model.source} to ${model.target}`,
    ...model.limits,
    attention_matrices: kinds?.join("; "),
  });
}

/** @param {ModelDetail["data"]} found */
function data(found) {
  return found?.length ? table(["corpus", "origin", "licence"], found.map((source) => [source.name, source.origin, source.licence])) : undefined;
}

/** @param {any} found */
function training(found) {
  if (!found) return undefined;
  const { recipe, recipe_sha256: sha256, ...rest } = found;
  const whole = el("details", { class: "more" }, el("summary", {}, "Complete recipe"), el("pre", { tabindex: 0 }, JSON.stringify(recipe, null, 2)));
  return el("div", {}, definitions({ ...rest, recipe_sha256: sha256?.slice(0, 12) }), whole);
}

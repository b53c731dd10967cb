// The parts of a model's card: tables, figures, facts.

import { el } from "./dom.js";

/** @typedef {import("./api.js").ModelDetail} ModelDetail */

/** @param {string[]} head @param {(string | Node)[][]} rows */
function table(head, rows) {
  const line = (/** @type {string} */ tag, /** @type {(string | Node)[]} */ cells) => el("tr", {}, ...cells.map((cell) => el(tag, {}, cell)));
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, line("th", head)), el("tbody", {}, ...rows.map((row) => line("td", row)))));
}

/** @param {ModelDetail["metrics"]} found */
export function metrics(found) {
  if (!found?.length) return undefined;
  const short = table(["metric", "value", "test set"], found.map((m) => [m.name, String(m.value), m.data]));
  const detailed = found.filter((metric) => metric.detail);
  if (!detailed.length) return short;
  const list = el("ul", {}, ...detailed.map((m) => el("li", {}, `${m.name}, ${m.data}: ${m.detail}`)));
  return el("div", {}, short, el("details", { class: "more" }, el("summary", {}, "Settings and signatures"), list));
}

/** @param {ModelDetail} model */
export function pictures({ pictures: found }) {
  if (!found?.length) return undefined;
  const figures = found.map(({ caption, path }) =>
    // Relative to the page, which may be behind a path prefix of a proxy.
    el("figure", {}, el("img", { src: path.replace(/^\//, ""), alt: caption, loading: "lazy" }), el("figcaption", {}, caption)),
  );
  return el("div", { class: "pictures" }, ...figures);
}

/** @param {Record<string, unknown> | undefined} values */
export function definitions(values) {
  if (!values) return undefined;
  const list = el("dl", {});
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === "") continue;
    const text = typeof value === "number" ? value.toLocaleString("en") : value === true ? "yes" : value === false ? "no" : String(value);
    list.append(el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, text));
  }
  return list;
}

/** @param {ModelDetail} model @returns {Record<string, unknown> | undefined} */
export function facts(model) {
  if (!model.architecture) return undefined;
  const kinds = model.attention?.map((kind) => {
    const parts = [kind.layers && `${kind.layers} layers`, kind.heads && `${kind.heads} heads`].filter(Boolean);
    return kind.kind.replaceAll("_", " ") + (parts.length ? ` (${parts.join(", ")})` : "");
  });
  return {
    ...model.architecture,
    labels: model.labels?.join(", "),
    languages: model.source && `${model.source} to ${model.target}`,
    ...model.limits,
    attention_matrices: kinds?.join("; "),
  };
}

/** @param {ModelDetail["data"]} found */
export function data(found) {
  return found?.length ? table(["corpus", "origin", "licence"], found.map((source) => [source.name, source.origin, source.licence])) : undefined;
}

/** @param {any} found */
export function training(found) {
  if (!found) return undefined;
  const { recipe, recipe_sha256: sha256, ...rest } = found;
  const whole = el("details", { class: "more" }, el("summary", {}, "Complete recipe"), el("pre", { tabindex: 0 }, JSON.stringify(recipe, null, 2)));
  return el("div", {}, definitions({ ...rest, recipe_sha256: sha256?.slice(0, 12) }), whole);
}

// Classifies a text and shades its words by attention.

import { modelFields } from "./api.js";
import { FileBatch, tally } from "./batch.js";
import { announce, byId, el, percent } from "./dom.js";
import { showExamples } from "./examples.js";
import { ExplainView } from "./explain.js";
import { copies } from "./exports.js";
import { headGrid } from "./heads.js";
import { Heatmap } from "./heatmap.js";
import { TokenText, codePoints } from "./highlight.js";
import { legend } from "./legend.js";
import { detailFor, labelOf, matrixPicker, pick } from "./matrices.js";
import { problem } from "./messages.js";
import { keepInput } from "./past.js";
import { ModelPicker, heading } from "./picker.js";
import { Requests, timed } from "./requests.js";
import { DEFAULTS, remember } from "./state.js";
import { TextField } from "./textfield.js";

/** @typedef {import("./api.js").Prediction} Prediction */
/** @typedef {import("./requests.js").Outcome} Outcome */

const MAX_BARS = 6;

export class Classify {
  /** @param {import("./catalogue.js").Catalogue} catalogue */
  constructor(catalogue) {
    this.catalogue = catalogue;
    this.section = byId("classify");
    this.text = byId("text");
    this.results = byId("classify-results");
    this.requests = new Requests("classify", this.results);
    this.values = DEFAULTS.classify;
    /** @type {Outcome[]} */
    this.outcomes = [];
    const places = { select: byId("classifier"), compare: byId("classifier-compare"), about: byId("classifier-about") };
    this.picker = new ModelPicker(places, catalogue, (model) => this.set({ model, matrix: "summary" }));
    this.field = new TextField(this.text);
    new FileBatch(() => this.keys());
    this.section.querySelector("form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.ask();
    });
    this.text.addEventListener("input", () => {
      this.keep({ text: this.text.value, cut: false });
      if (this.values.text.trim()) this.requests.debounce(() => this.ask());
      else this.requests.cancel();
    });
    for (const radio of this.section.querySelectorAll("[name=classify-unit]")) {
      radio.addEventListener("change", () => this.set({ unit: radio.value }));
    }
  }

  /** @param {typeof DEFAULTS.classify} values from the URL */
  show(values) {
    this.values = values;
    this.field.set(values.text);
    for (const radio of this.section.querySelectorAll("[name=classify-unit]")) radio.checked = radio.value === values.unit;
    this.started = false;
    this.refresh();
  }

  /** Update after a change of the catalogue. */
  refresh() {
    const keys = this.keys();
    if (!this.catalogue.models.length) return;
    if (!keys.length) return showExamples(this, "text");
    this.picker.show(this.catalogue.classifiers(), keys);
    const first = /** @type {any} */ (this.catalogue.get(keys[0]));
    matrixPicker(byId("classify-matrix"), first, this.values.matrix, (matrix) => this.setMatrix(matrix));
    showExamples(this, "text", first);
  }

  /** @returns {string[]} the selected models, else the default */
  keys() {
    return this.values.model.length ? this.values.model : this.catalogue.classifiers().slice(0, 1);
  }

  /** @param {Partial<typeof DEFAULTS.classify>} changes */
  keep(changes) {
    this.values = { ...this.values, ...changes };
    remember("classify", this.values);
  }

  /** @param {Partial<typeof DEFAULTS.classify>} changes */
  set(changes) {
    this.keep(changes);
    this.field.set(this.values.text);
    this.refresh();
    if (this.values.text || this.outcomes.length) this.ask();
  }

  async ask() {
    const { text, unit, matrix, cut } = this.values;
    const common = { text, attention: detailFor(matrix), attention_unit: unit, ...(cut && { truncate: true }) };
    const keys = this.keys();
    /** @type {[string, object][]} without a model the service answers with an error */
    const bodies = keys.length ? keys.map((key) => [key, { ...common, ...modelFields(key) }]) : [["", common]];
    const outcomes = await this.requests.ask(bodies);
    if (!outcomes) return;
    this.outcomes = outcomes;
    timed("classify", () => this.render());
    if (outcomes.some(({ answer }) => answer)) keepInput("classify", this.values);
    announce(outcomes.map((o) => `${o.key}: ${o.answer?.predictions[0].label ?? o.error?.title}`).join(", "));
  }

  render() {
    const panels = this.outcomes.map((outcome) => new Panel(outcome, this));
    this.panels = panels;
    const many = panels.length > 1;
    this.results.classList.toggle("many", many);
    const labels = this.outcomes.map(({ answer }) => answer?.predictions[0].label ?? "failed");
    const overview = many ? [el("p", { class: "tally" }, tally(labels)), legend("text")] : [];
    this.results.replaceChildren(...overview, ...panels.map((panel) => panel.element));
  }

  /** Show another matrix. The answer has it already if it has all matrices. @param {string} matrix */
  setMatrix(matrix) {
    const known = detailFor(matrix) === detailFor(this.values.matrix) && this.outcomes.some(({ answer }) => answer);
    if (!known) return this.set({ matrix });
    this.keep({ matrix });
    this.refresh();
    this.render();
  }

  /** Mark the same words in the panel of each model. @param {import("./api.js").Token | null} part */
  point(part) {
    for (const panel of this.panels ?? []) panel.point(part);
  }
}

/** The answer of one model. */
class Panel {
  /** @param {Outcome} outcome @param {Classify} view */
  constructor({ key, body, answer, error, took }, view) {
    this.element = el("article", { class: "panel", "data-model": key }, heading(key, view.catalogue, took));
    if (error) {
      const onCut = body.truncate ? undefined : () => view.set({ cut: true });
      this.element.append(problem(error, { onRetry: () => view.ask(), onCut }));
      return;
    }
    const prediction = /** @type {Prediction} */ (answer.predictions[0]);
    this.points = codePoints(body.text);
    this.tokens = prediction.tokens;
    this.matrix = pick(prediction.attention, view.values.matrix);
    this.readout = el("p", { class: "readout" });
    this.shown = new TokenText(this.points, prediction.tokens, {
      label: "The text; move between words with the arrow keys",
      onPoint: (index) => view.point(index === null ? null : prediction.tokens[index]),
    });
    const verdict = el("p", { class: "verdict" }, el("b", {}, prediction.label), ` ${percent(prediction.score)}`);
    this.element.append(verdict, bars(prediction), this.shown.element, this.readout);
    if (view.outcomes.length < 2 && this.matrix) this.element.append(legend("text"));
    if (prediction.truncated) this.element.append(el("p", { class: "note" }, "The text was truncated at the model's limit."));
    if (this.matrix && this.matrix.weights.length > 1) this.element.append(this.#heatmap(key));
    const sides = { rows: this.tokens, columns: this.tokens, row: "source", column: "source", shift: 0 };
    this.element.append(headGrid(prediction.attention, view.values.matrix, sides, true, (matrix) => view.setMatrix(matrix)));
    const explain = new ExplainView(body, view.values.explain, (open) => view.keep({ explain: open }));
    this.element.append(explain.element, copies("classify", body, answer));
    this.point(null);
  }

  /** @param {string} key */
  #heatmap(key) {
    const labels = this.tokens.map(labelOf);
    const grid = { rows: labels, columns: labels, weights: this.matrix.weights };
    const details = el("details", { class: "more" }, el("summary", {}, "Heatmap"));
    const draw = () => details.append(new Heatmap(grid, { name: `${key}-attention` }).element);
    details.addEventListener("toggle", draw, { once: true });
    return details;
  }

  /** @param {import("./api.js").Token | null} part of the text; null: the whole text */
  point(part) {
    if (!this.shown) return;
    const meant = part ? this.shown.within(part) : [];
    this.shown.mark(meant);
    const rows = this.matrix?.weights;
    if (!rows) {
      this.readout.textContent = "This model does not have this matrix.";
      return;
    }
    const wide = rows.length > 1;
    const weights = wide && meant.length ? rows[meant[0]] : rows[0].map((_, j) => rows.reduce((sum, row) => sum + row[j], 0) / rows.length);
    this.shown.shade(weights);
    const strongest = weights.indexOf(Math.max(...weights));
    const describe = (/** @type {number} */ index) => `“${labelOf(this.tokens[index])}” ${percent(weights[index])}`;
    if (!meant.length) this.readout.textContent = `Largest weight: ${describe(strongest)}`;
    else if (wide) this.readout.textContent = `“${labelOf(this.tokens[meant[0]])}” gives most weight to ${describe(strongest)}`;
    else this.readout.textContent = meant.map(describe).join(", ");
  }
}

/** @param {Prediction} prediction */
function bars({ label, scores }) {
  const sorted = Object.entries(scores).sort((a, b) => b[1] - a[1]);
  const list = el("ul", { class: "bars", "aria-label": "Probability of each label" });
  for (const [name, score] of sorted.slice(0, MAX_BARS)) {
    const bar = el("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", score.toFixed(4));
    list.append(el("li", name === label ? { class: "first" } : {}, el("span", {}, name), bar, el("span", {}, percent(score))));
  }
  if (sorted.length > MAX_BARS) list.append(el("li", {}, `${sorted.length - MAX_BARS} more labels`));
  return list;
}

// The answer of a translator: pairs of sentences with linked words, each with a heatmap.

import { curl } from "./api.js";
import { copyButton, el, percent } from "./dom.js";
import { Heatmap } from "./heatmap.js";
import { TokenText, codePoints } from "./highlight.js";
import { labelOf, pick, sides } from "./matrices.js";
import { problem } from "./messages.js";
import { heading } from "./picker.js";

/** @typedef {import("./api.js").Sentence} Sentence */
/** @typedef {"source" | "target"} Side */

/**
 * @param {import("./requests.js").Outcome} outcome
 * @param {import("./translate.js").Translate} view
 * @returns {HTMLElement}
 */
export function panel({ key, body, answer, error, took }, view) {
  const { matrix } = view.values;
  const element = el("article", { class: "panel", "data-model": key }, heading(key, view.catalogue, took));
  if (error) {
    element.append(problem(error, { onRetry: () => view.ask() }));
    return element;
  }
  const [translation] = answer.translations;
  const texts = { source: codePoints(body.q), target: codePoints(translation.text), language: body.target };
  translation.sentences.forEach((/** @type {Sentence} */ sentence, /** @type {number} */ index) => {
    const name = `${key}-${index + 1}`;
    element.append(new Pair(sentence, texts, { matrix, name, open: index === 0 }).element);
  });
  const copies = [
    copyButton("Copy translation", () => translation.text),
    copyButton("Copy as curl", () => curl("translate", body)),
    copyButton("Copy as JSON", () => JSON.stringify(answer, null, 2)),
  ];
  element.append(el("p", { class: "tools" }, ...copies));
  return element;
}

/** A sentence, its translation, and the attention between them. */
class Pair {
  /**
   * @param {Sentence} sentence
   * @param {{source: string[], target: string[], language: string}} texts code points of the complete texts
   * @param {{matrix: string, name: string, open: boolean}} options
   */
  constructor(sentence, texts, { matrix, name, open }) {
    this.sentence = sentence;
    this.matrix = pick(sentence.attention, matrix);
    const { source_tokens: source, target_tokens: target } = sentence;
    this.sides = this.matrix && sides(this.matrix, source, target);
    /** @type {Record<Side, TokenText>} */
    this.shown = {
      source: new TokenText(texts.source, source, { label: "Source words", ...sentence.source, onPoint: (i) => this.#point("source", i) }),
      target: new TokenText(texts.target, target, {
        label: "Words of the translation",
        start: Math.min(...target.map((token) => token.start), texts.target.length),
        end: Math.max(0, ...target.map((token) => token.end)),
        onPoint: (i) => this.#point("target", i),
      }),
    };
    this.shown.target.element.lang = texts.language;
    this.readout = el("p", { class: "readout" });
    const left = el("div", {}, this.shown.source.element, this.readout);
    const right = el("div", {}, this.shown.target.element, this.#hypotheses());
    this.element = el("section", { class: "pair" }, el("div", { class: "both" }, left, right));
    if (this.sides && this.matrix.weights.length) this.element.append(this.#heatmap(name, open));
    this.#clear();
  }

  /** Texts and scores of the translation and its alternatives. */
  #hypotheses() {
    const list = el("ol", { class: "hypotheses" });
    for (const { text, score } of [this.sentence, ...(this.sentence.alternatives ?? [])]) {
      const value = el("span", { class: "score", title: "log-probability divided by length; 0 is certain" }, score.toFixed(2).replace("-", "−"));
      list.append(el("li", {}, value, " ", el("span", {}, text)));
    }
    return list;
  }

  /** @param {string} name @param {boolean} open */
  #heatmap(name, open) {
    const { rows, columns } = this.sides;
    const { weights } = this.matrix;
    const grid = { rows: rows.map(labelOf), columns: columns.slice(0, weights[0].length).map(labelOf), weights };
    const details = el("details", { class: "more" }, el("summary", {}, "Heatmap"));
    const draw = () => {
      this.heatmap = new Heatmap(grid, { name, onPoint: (cell) => this.#cell(cell) });
      details.append(this.heatmap.element);
    };
    // Only the heatmap of the first sentence is drawn immediately.
    if (open) draw();
    else details.addEventListener("toggle", draw, { once: true });
    details.open = open;
    return details;
  }

  /** Shade the words that a word attends to, or that attend to it. @param {Side} side @param {number | null} index */
  #point(side, index) {
    this.#clear();
    if (index === null || !this.sides) return;
    this.shown[side].mark([index]);
    const { row, column, shift } = this.sides;
    const { weights } = this.matrix;
    if (side === row) {
      this.#shade(column, weights[index].slice(shift));
      this.heatmap?.point({ row: index });
      this.#describe(`“${this.#label(side, index)}” attends to`, column, weights[index].slice(shift));
    } else if (side === column) {
      const from = weights.map((each) => each[index + shift]);
      this.#shade(row, from);
      this.heatmap?.point({ column: index + shift });
      this.#describe(`“${this.#label(side, index)}” gets attention from`, row, from);
    }
  }

  /** @param {{row: number, column: number} | null} cell of the heatmap */
  #cell(cell) {
    this.#clear(false);
    if (!cell) return;
    const { row, column, shift } = this.sides;
    this.#shade(column, this.matrix.weights[cell.row].slice(shift));
    this.shown[row].mark([cell.row]);
  }

  /** @param {Side} side @param {number[]} weights */
  #shade(side, weights) {
    this.shown[side].shade(weights);
  }

  /** Clear the selection. @param {boolean} [heatmap] also clear the heatmap */
  #clear(heatmap = true) {
    for (const side of Object.values(this.shown)) {
      side.shade(null);
      side.mark([]);
    }
    if (heatmap) this.heatmap?.point(null);
    this.readout.textContent = this.sides ? "Point at a word to see its attention." : "This model does not have this matrix.";
  }

  /** @param {Side} side @param {number} index */
  #label(side, index) {
    return labelOf(this.shown[side].tokens[index]);
  }

  /** @param {string} start @param {Side} side @param {number[]} weights */
  #describe(start, side, weights) {
    const best = weights.map((weight, index) => ({ weight, index })).sort((a, b) => b.weight - a.weight);
    const named = best.slice(0, 3).filter(({ weight }, i) => i === 0 || weight >= 0.05);
    const list = named.map(({ weight, index }) => `“${this.#label(side, index)}” ${percent(weight)}`);
    this.readout.textContent = list.length ? `${start} ${list.join(", ")}` : "";
  }
}

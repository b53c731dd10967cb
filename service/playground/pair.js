// A sentence and its translation with linked words, their heatmap and their alternatives.

import { el, percent } from "./dom.js";
import { headGrid, layerGrid } from "./heads.js";
import { Heatmap } from "./heatmap.js";
import { TokenText } from "./highlight.js";
import { legend } from "./legend.js";
import { described, labelOf, pick, shown, sides } from "./matrices.js";

/** @typedef {import("./api.js").Sentence} Sentence */
/** @typedef {"source" | "target"} Side */

/** Special token -> its name in a view of words. */
const NAMES = { "<s>": "the start", "</s>": "the end" };

export class Pair {
  /**
   * @param {Sentence} sentence
   * @param {{source: string[], target: string[], language: string}} texts code points of the complete texts
   * @param {{matrix: string, unit: string, name: string, onMatrix: (matrix: string) => void, compared?: boolean}} options
   *   name: of saved files; compared: beside other models
   */
  constructor(sentence, texts, options) {
    this.sentence = sentence;
    this.options = options;
    this.specials = options.unit !== "word";
    this.matrix = pick(sentence.attention, options.matrix);
    const { source_tokens: source, target_tokens: target } = sentence;
    this.sides = this.matrix && sides(this.matrix, source, target);
    /** @type {Record<Side, TokenText>} */
    this.texts = { source: this.#source(texts), target: this.#target(texts) };
    this.readout = el("p", { class: "readout" });
    const left = el("div", {}, this.texts.source.element, this.readout);
    const right = el("div", {}, this.texts.target.element, this.#hypotheses());
    const both = el("div", { class: "both" }, left, right);
    const heatmap = this.sides && this.matrix.weights.length ? this.#heatmap() : "";
    // Beside other models the heatmaps come first, so that they are at the same height.
    this.element = el("section", { class: "pair" }, ...(options.compared ? [heatmap, both] : [both, heatmap]));
    this.element.append(layerGrid(sentence.attention, options.matrix, this.sides, this.specials, options.onMatrix));
    this.element.append(headGrid(sentence.attention, options.matrix, this.sides, this.specials, options.onMatrix));
    this.#clear();
  }

  /** @param {{source: string[]}} texts */
  #source({ source: points }) {
    const { source_tokens: tokens, source } = this.sentence;
    const onPoint = (/** @type {number | null} */ index) => this.#point("source", index);
    return new TokenText(points, tokens, { label: "Source words", ...source, specials: this.specials, onPoint });
  }

  /** @param {{target: string[], language: string}} texts */
  #target({ target: points, language }) {
    const tokens = this.sentence.target_tokens;
    const text = new TokenText(points, tokens, {
      label: "Words of the translation",
      start: Math.min(...tokens.map((token) => token.start), points.length),
      end: Math.max(0, ...tokens.map((token) => token.end)),
      specials: this.specials,
      onPoint: (index) => this.#point("target", index),
    });
    text.element.lang = language;
    return text;
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

  #heatmap() {
    const { rows, columns } = this.sides;
    const { weights } = this.matrix;
    const chosen = this.options.matrix === "summary" && this.matrix.layer !== null ? " (chosen for its alignment)" : "";
    const name = described(this.matrix, this.sentence.attention) + chosen;
    this.rows = shown(rows.slice(0, weights.length), this.specials);
    this.columns = shown(columns.slice(0, weights[0].length), this.specials);
    const grid = {
      rows: this.rows.map((row) => labelOf(rows[row])),
      columns: this.columns.map((column) => labelOf(columns[column])),
      weights: this.rows.map((row) => this.columns.map((column) => weights[row][column])),
    };
    const details = el("details", { class: "more" }, el("summary", {}, "Heatmap ", el("small", {}, name)));
    details.open = true;
    this.heatmap = new Heatmap(grid, { name: this.options.name, onPoint: (cell) => this.#cell(cell) });
    details.append(legend(), this.heatmap.element);
    return details;
  }

  /** Shade the words that a word attends to, or that attend to it. @param {Side} side @param {number | null} index */
  #point(side, index) {
    this.#clear();
    if (index === null || !this.sides) return;
    this.texts[side].mark([index]);
    const { row, column, shift } = this.sides;
    const { weights } = this.matrix;
    if (side === row) {
      this.texts[column].shade(weights[index].slice(shift));
      this.heatmap?.point({ row: this.rows.indexOf(index) });
      this.#describe(`“${this.#label(side, index)}” attends to`, column, weights[index].slice(shift));
    } else if (side === column) {
      const from = weights.map((each) => each[index + shift]);
      this.texts[row].shade(from);
      this.heatmap?.point({ column: this.columns.indexOf(index + shift) });
      this.#describe(`“${this.#label(side, index)}” gets attention from`, row, from);
    }
  }

  /** @param {{row: number, column: number} | null} cell of the heatmap */
  #cell(cell) {
    this.#clear(false);
    if (!cell) return;
    const { row, column, shift } = this.sides;
    const index = this.rows[cell.row];
    this.texts[column].shade(this.matrix.weights[index].slice(shift));
    this.texts[row].mark([index]);
  }

  /** Clear the selection. @param {boolean} [heatmap] also clear the heatmap */
  #clear(heatmap = true) {
    for (const text of Object.values(this.texts)) {
      text.shade(null);
      text.mark([]);
    }
    if (heatmap) this.heatmap?.point(null);
    this.readout.textContent = this.sides ? "Point at a word to see its attention." : "This model does not have this matrix.";
  }

  /** @param {Side} side @param {number} index */
  #label(side, index) {
    const token = this.texts[side].tokens[index];
    return (!this.specials && NAMES[token.special ?? ""]) || labelOf(token);
  }

  /** @param {string} start @param {Side} side @param {number[]} weights */
  #describe(start, side, weights) {
    const best = weights.map((weight, index) => ({ weight, index })).sort((a, b) => b.weight - a.weight);
    const named = best.slice(0, 3).filter(({ weight }, i) => i === 0 || weight >= 0.05);
    const list = named.map(({ weight, index }) => `“${this.#label(side, index)}” ${percent(weight)}`);
    this.readout.textContent = list.length ? `${start} ${list.join(", ")}` : "";
  }
}

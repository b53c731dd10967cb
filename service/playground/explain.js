// Explanation of a label: weights of the words by several methods, with their measured faithfulness.

import { ApiError, post } from "./api.js";
import { el, percent } from "./dom.js";
import { copies } from "./exports.js";
import { TokenText, codePoints } from "./highlight.js";
import { labelOf } from "./matrices.js";
import { problem } from "./messages.js";
import { Removal } from "./removal.js";

/** @typedef {{share: number, comprehensiveness: number, sufficiency: number}} Share */
/** @typedef {{comprehensiveness: number, sufficiency: number, shares: Share[]}} Faithfulness */
/** @typedef {{method: string, weights: number[], faithfulness: Faithfulness, occlusion_correlation: number | null}} Method */
/** @typedef {{target: string, score: number, empty_score: number | null, tokens: import("./api.js").Token[], explanations: Method[],
 *   random: Faithfulness | null}} Answer */

/** Method -> its title and the meaning of its weights. */
export const METHODS = {
  attention: ["Attention", "the attention of the network to each word"],
  contribution: ["Contribution", "exact share of the word in the decision"],
  occlusion: ["Occlusion", "fall of the score without the word"],
  shapley: ["Shapley values", "mean change of the score when the word joins others"],
};

/** Ratio to random words from which an explanation is better than chance. */
const BETTER = 1.2;
/** Fall of the score, from 0 to 1, below which words hardly change it. */
const NOTHING = 0.005;

/**
 * One sentence about the fall of the score without the first words of a method, compared with random words.
 * @param {Method} method @param {Faithfulness | null} random
 */
export function verdict({ faithfulness: { comprehensiveness: fall } }, random) {
  if (!random) return "";
  if (fall <= -NOTHING) return "The score rises without these words.";
  if (fall < NOTHING) return "These words hardly change the score.";
  if (random.comprehensiveness < NOTHING / 5) return "These words explain the score. Random ones do not.";
  const ratio = fall / random.comprehensiveness;
  if (ratio >= BETTER) return `These words explain ${ratio.toFixed(1)} times as much as random ones.`;
  return "These words explain no better than chance.";
}

/** The view of an explanation, which is requested when it is opened. */
export class ExplainView {
  /** @param {{text: string, model?: string, version?: number, truncate?: boolean}} body of the classification @param {boolean} open
   * @param {(open: boolean) => void} onToggle */
  constructor({ text, model, version }, open, onToggle) {
    this.body = { text, ...(model && { model }), ...(version && { version }) };
    this.place = el("div", {});
    this.element = el("details", { class: "more explain" }, el("summary", {}, "Explain: which words decide?"), this.place);
    this.controller = new AbortController();
    this.element.open = open;
    if (open) this.ask();
    this.element.addEventListener("toggle", () => {
      if (this.element.open === open) return; // the first event reports the initial state
      open = this.element.open;
      onToggle(open);
      if (open && !this.place.firstChild) this.ask();
    });
  }

  async ask() {
    this.place.replaceChildren(el("p", { class: "note", role: "status" }, "Classifying the text without some of its words…"));
    try {
      const answer = await post("explain", this.body, this.controller.signal);
      this.place.replaceChildren(...(await this.#parts(answer)));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.place.replaceChildren(problem(error, { onRetry: () => this.ask() }));
    }
  }

  /** @param {Answer} answer */
  async #parts(answer) {
    const points = codePoints(this.body.text);
    const methods = answer.explanations.map((method) => column(points, answer, method));
    const removal = new Removal(this.body, points, answer);
    const colours = el("p", { class: "note" }, `Lime is attention. Blue raises the score of ${answer.target}, pink lowers it.`);
    return [colours, el("div", { class: "methods" }, ...methods), removal.element, copies("explain", this.body, answer, "Copy explanation as")];
  }
}

/** One method: its words, its sentence and its correlation. @param {string[]} points @param {Answer} answer @param {Method} method */
function column(points, answer, method) {
  const { method: name, weights, occlusion_correlation: correlation } = method;
  const [title, meaning] = METHODS[name] ?? [name, ""];
  const colour = name === "attention" ? "attention" : "effect";
  const format = (/** @type {number} */ weight) => (colour === "attention" ? percent(weight) : signed(weight));
  const readout = el("p", { class: "readout" });
  const show = (/** @type {number | null} */ index) => {
    const at = index ?? weights.indexOf(Math.max(...weights));
    readout.textContent = `${index === null ? "Largest: " : ""}“${labelOf(answer.tokens[at])}” ${format(weights[at])}`;
    text.mark(index === null ? [] : [index]);
  };
  const text = new TokenText(points, answer.tokens, { label: `${title}: words`, specials: false, onPoint: show });
  text.shade(weights, colour);
  show(null);
  const ranks = correlation === null ? "" : `Rank correlation with occlusion: ${correlation.toFixed(2).replace("-", "−")}.`;
  return el(
    "section",
    { "data-method": name },
    el("h3", {}, title, " ", el("small", {}, meaning)),
    el("p", { class: "finding" }, verdict(method, answer.random)),
    text.element,
    readout,
    el("p", { class: "note" }, ranks),
  );
}

/** A change of the score in percentage points. @param {number} weight */
function signed(weight) {
  const sign = weight > 0 ? "+" : weight < 0 ? "−" : "";
  return `${sign}${(Math.abs(weight) * 100).toFixed(Math.abs(weight) < 0.01 ? 2 : 1)} percentage points`;
}

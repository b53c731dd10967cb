// The words of a text are removed one by one, in the order of a method; a curve shows the score.

import { post } from "./api.js";
import { curve } from "./curve.js";
import { el, percent } from "./dom.js";
import { METHODS } from "./explain.js";
import { expected, problem } from "./messages.js";

/** @typedef {import("./explain.js").Answer} Answer */

/** Maximum words that are removed; the texts of all methods are one request. */
const MOST = 60;

export class Removal {
  /** @param {{text: string, model?: string, version?: number}} body @param {string[]} points code points of the text @param {Answer} answer */
  constructor(body, points, answer) {
    this.body = body;
    this.points = points;
    this.answer = answer;
    this.method = answer.explanations[0].method;
    this.orders = new Map(answer.explanations.map(({ method, weights }) => [method, order(weights, answer.tokens)]));
    this.steps = Math.min(MOST, ...[...this.orders.values()].map(({ length }) => length - 1));
    /** Method -> score without its first words. @type {Map<string, number[]>} */
    this.scores = new Map();
    this.slider = el("input", { type: "range", min: 0, max: this.steps, value: 0, "aria-label": "Number of removed words", oninput: () => this.#draw() });
    this.output = el("output", { class: "readout" });
    this.text = el("p", { class: "tokens", dir: "auto" });
    this.chart = el("div", { class: "chart" });
    this.element = el("section", { class: "removal" });
    if (this.steps > 0) this.#load();
  }

  /** The text without some tokens. @param {number[]} removed indices */
  #without(removed) {
    const gone = new Set(removed);
    const kept = [...this.points];
    this.answer.tokens.forEach(({ start, end }, index) => gone.has(index) && kept.fill("", start, end));
    return kept.join("").trim();
  }

  async #load() {
    const texts = [...this.orders.values()].flatMap((words) => Array.from({ length: this.steps + 1 }, (_, count) => this.#without(words.slice(0, count))));
    const unique = [...new Set(texts)].filter(Boolean);
    try {
      const { predictions } = await post("classify", { ...this.body, text: unique, attention: "none" }, new AbortController().signal);
      const scores = new Map(unique.map((text, i) => [text, predictions[i].scores[this.answer.target]]));
      [...this.orders.keys()].forEach((method, i) => {
        const own = texts.slice(i * (this.steps + 1), (i + 1) * (this.steps + 1));
        this.scores.set(method, own.map((text) => scores.get(text) ?? this.answer.empty_score ?? 0));
      });
      this.element.append(el("h3", {}, "Remove the words one by one"), this.#controls(), this.text, this.output, this.chart);
      this.#draw();
    } catch (error) {
      this.element.replaceChildren(problem(expected(error)));
    }
  }

  #controls() {
    const name = `removal-${Math.random().toString(36).slice(2)}`;
    const radios = [...this.orders.keys()].map((method) => {
      const radio = el("input", { type: "radio", name, value: method, checked: method === this.method });
      radio.addEventListener("change", () => {
        this.method = method;
        this.#draw();
      });
      return el("label", {}, radio, el("span", {}, METHODS[method]?.[0] ?? method));
    });
    const choice = el("fieldset", { class: "toggle" }, el("legend", { class: "hidden" }, "Order of the words"), ...radios);
    return el("p", { class: "controls" }, choice, this.slider);
  }

  #draw() {
    const { answer, points, method } = this;
    const count = Number(this.slider.value);
    const removed = new Set(this.orders.get(method)?.slice(0, count));
    const parts = [];
    let place = 0;
    answer.tokens.forEach((token, index) => {
      const from = Math.max(place, token.start);
      const text = points.slice(from, token.end).join("");
      parts.push(points.slice(place, from).join(""), removed.has(index) ? el("del", {}, text) : text);
      place = Math.max(place, token.end);
    });
    this.text.replaceChildren(...parts, points.slice(place).join(""));
    const score = this.scores.get(method)?.[count] ?? 0;
    const words = `${count} of ${answer.tokens.length} words removed: ${answer.target} ${percent(score)}`;
    this.output.textContent = words;
    this.slider.setAttribute("aria-valuetext", words);
    const lines = [...this.scores].map(([name, values]) => ({ name: METHODS[name]?.[0] ?? name, values, first: name === method }));
    const width = Math.min(640, this.chart.clientWidth || 640);
    const label = `Score of ${answer.target} while words are removed`;
    this.chart.replaceChildren(curve(lines, this.#random(), count, { label, width }));
  }

  /** Points of the mean of random orders: number of words and score. @returns {[number, number][]} */
  #random() {
    const { random, score, tokens } = this.answer;
    if (!random) return [];
    const measured = random.shares.map(({ share, comprehensiveness }) => /** @type {[number, number]} */ ([share * tokens.length, score - comprehensiveness]));
    return [/** @type {[number, number]} */ ([0, score]), ...measured].filter(([at]) => at <= this.steps);
  }
}

/** Indices of the tokens with a text, the largest weight first. @param {number[]} weights @param {import("./api.js").Token[]} tokens */
const order = (weights, tokens) =>
  weights.map((weight, index) => ({ weight, index })).filter(({ index }) => tokens[index].end > tokens[index].start).sort((a, b) => b.weight - a.weight || a.index - b.index).map(({ index }) => index);

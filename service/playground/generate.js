// A beginning, and what a language model writes behind it: how likely each token was, and what it looked back at.

import { curl, named } from "./api.js";
import { announce, byId, copyButton, el, percent } from "./dom.js";
import { begin } from "./examples.js";
import { TokenText, codePoints } from "./highlight.js";
import { detailFor, labelOf, matrixPicker, pick } from "./matrices.js";
import { problem } from "./messages.js";
import { ModelPicker, heading } from "./picker.js";
import { Questions, timed } from "./questions.js";
import { DEFAULTS, remember } from "./state.js";

/** @typedef {import("./api.js").LikelyToken} LikelyToken */
/** @typedef {import("./questions.js").Outcome} Outcome */

const SEEDS = 1_000_000;

export class Generate {
  /** @param {import("./catalogue.js").Catalogue} catalogue */
  constructor(catalogue) {
    this.catalogue = catalogue;
    this.section = byId("generate");
    this.text = byId("prompt");
    this.results = byId("generate-results");
    this.questions = new Questions("generate", this.results);
    this.values = DEFAULTS.generate;
    /** @type {Outcome[]} */
    this.outcomes = [];
    const places = { select: byId("generator"), compare: byId("generator-compare"), about: byId("generator-about") };
    this.picker = new ModelPicker(places, catalogue, (model) => this.set({ model, matrix: "summary" }));
    this.section.querySelector("form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.set({ seed: Math.floor(Math.random() * SEEDS) + 1 });
    });
    this.text.addEventListener("input", () => {
      this.keep({ prompt: this.text.value });
      if (this.values.prompt) this.questions.soon(() => this.ask());
      else this.questions.drop();
    });
    for (const name of /** @type {const} */ (["length", "temperature"])) {
      byId(name).addEventListener("change", () => {
        const value = byId(name).valueAsNumber;
        this.set({ [name]: Number.isNaN(value) ? DEFAULTS.generate[name] : value });
      });
    }
  }

  /** @param {typeof DEFAULTS.generate} values from the address */
  show(values) {
    this.values = values;
    this.begun = false;
    this.refresh();
  }

  /** The catalogue has more, or the values are others. */
  refresh() {
    const { values, catalogue } = this;
    if (this.text.value !== values.prompt) this.text.value = values.prompt;
    byId("length").value = values.length;
    byId("temperature").value = values.temperature;
    const keys = this.keys();
    if (!catalogue.models.length) return;
    if (!keys.length) return begin(this, "prompt");
    this.picker.show(catalogue.generators(), keys);
    const first = /** @type {any} */ (catalogue.get(keys[0]));
    byId("length").max = first?.limits?.max_target_tokens ?? 4096;
    matrixPicker(byId("generate-matrix"), first, values.matrix, (matrix) => this.set({ matrix }));
    begin(this, "prompt", first);
  }

  /** @returns {string[]} the models that are asked: those named, else the service's first */
  keys() {
    return this.values.model.length ? this.values.model : this.catalogue.generators().slice(0, 1);
  }

  /** @param {Partial<typeof DEFAULTS.generate>} changes */
  keep(changes) {
    this.values = { ...this.values, ...changes };
    remember("generate", this.values);
  }

  /** @param {Partial<typeof DEFAULTS.generate>} changes */
  set(changes) {
    this.keep(changes);
    this.refresh();
    if (this.values.prompt || this.outcomes.length) this.ask();
  }

  async ask() {
    const { prompt, length, temperature, seed, matrix } = this.values;
    const common = { prompt, max_tokens: length, temperature, seed, attention: detailFor(matrix) };
    const keys = this.keys();
    /** @type {[string, object][]} without a model the service itself says that it has none */
    const bodies = keys.length ? keys.map((key) => [key, { ...common, ...named(key) }]) : [["", common]];
    const growing = new Growing(prompt, this.results, this.catalogue);
    const outcomes = await this.questions.ask(bodies, (key, token) => growing.add(key, token));
    growing.stop();
    if (!outcomes) return;
    this.outcomes = outcomes;
    timed("generate", () => this.render());
    announce(outcomes.map((o) => `${o.key}: ${o.answer?.text ?? o.error?.title}`).join(", "));
  }

  render() {
    this.results.classList.toggle("many", this.outcomes.length > 1);
    this.results.replaceChildren(...this.outcomes.map((outcome) => panel(outcome, this)));
  }
}

/** Texts while they are written, drawn once a frame. */
class Growing {
  /** @param {string} prompt @param {HTMLElement} place @param {import("./catalogue.js").Catalogue} catalogue */
  constructor(prompt, place, catalogue) {
    this.prompt = prompt;
    this.place = place;
    this.catalogue = catalogue;
    /** @type {Map<string, LikelyToken[]>} */
    this.written = new Map();
    this.frame = 0;
  }

  /** @param {string} key @param {LikelyToken} token */
  add(key, token) {
    this.written.set(key, [...(this.written.get(key) ?? []), token]);
    this.frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.frame = 0;
    const panels = [...this.written].map(([key, tokens]) => {
      const { points, all } = together(this.prompt, [], tokens);
      const text = new TokenText(points, all, { label: "The text so far", onPoint: () => {} });
      text.shade(surprise(all));
      return el("article", { class: "panel growing", "data-model": key }, heading(key, this.catalogue, 0), text.element);
    });
    this.place.classList.toggle("many", panels.length > 1);
    this.place.replaceChildren(...panels);
  }

  stop() {
    cancelAnimationFrame(this.frame);
  }
}

/** The prompt and what was written as one text.
 * @param {string} prompt @param {LikelyToken[]} read @param {LikelyToken[]} written
 * @returns {{points: string[], all: LikelyToken[]}} its code points, and all tokens with their places in it */
function together(prompt, read, written) {
  const points = codePoints(prompt);
  const shift = points.length;
  const moved = written.map((token) => ({ ...token, start: token.start + shift, end: token.end + shift }));
  return { points: [...points, ...written.flatMap((token) => codePoints(token.text))], all: [...read, ...moved] };
}

/** How unlikely each token was, from 0 to 1. @param {LikelyToken[]} tokens */
const surprise = (tokens) => tokens.map(({ logprob }) => (logprob === null ? 0 : 1 - Math.exp(logprob)));

/** One model's answer. @param {Outcome} outcome @param {Generate} view @returns {HTMLElement} */
function panel({ key, body, answer, error, took }, view) {
  const element = el("article", { class: "panel", "data-model": key }, heading(key, view.catalogue, took));
  if (error) {
    element.append(problem(error, { onRetry: () => view.ask() }));
    return element;
  }
  const { points, all } = together(body.prompt, answer.prompt_tokens, answer.tokens);
  const read = answer.prompt_tokens.length;
  const matrix = pick(answer.attention, view.values.matrix);
  const readout = el("p", { class: "readout" });
  /** @param {number | null} index */
  const point = (index) => {
    text.mark(index === null ? [] : [index]);
    const row = index === null ? undefined : matrix?.weights[index - read];
    if (row) text.shade([...row, ...Array(all.length - row.length).fill(0)].map(Math.sqrt));
    else text.shade(surprise(all));
    readout.textContent = index === null ? sureness(answer.tokens) : told(index, row);
  };
  /** @param {number} index @param {number[] | undefined} row */
  const told = (index, row) => {
    const { logprob } = all[index];
    const likely = logprob === null ? "nothing stood before it" : percent(Math.exp(logprob));
    const own = `“${shown(all[index])}” ${likely}`;
    if (!row) return own;
    const strongest = row.indexOf(Math.max(...row));
    return `${own}, looked most at “${around(points, all[strongest])}” (${percent(row[strongest])})`;
  };
  const text = new TokenText(points, all, { label: "The text; the arrow keys go from token to token", onPoint: point });
  text.spans.slice(0, read).forEach((span) => span?.classList.add("given"));
  const copies = [
    copyButton("Copy text", () => body.prompt + answer.text),
    copyButton("Copy as curl", () => curl("generate", body)),
    copyButton("Copy as JSON", () => JSON.stringify(answer, null, 2)),
  ];
  element.append(text.element, readout, el("p", { class: "tools" }, ...copies));
  point(null);
  return element;
}

/** @param {LikelyToken} token @returns {string} white space, too, as something to be seen */
const shown = (token) => (token.text === "\n" ? "↵" : token.text === " " ? "␣" : labelOf(token));

/** A token with what stands beside it, since a single letter says little.
 * @param {string[]} points @param {LikelyToken} token */
function around(points, { start, end }) {
  return points.slice(Math.max(0, start - 8), end).join("").replaceAll("\n", "↵");
}

/** @param {LikelyToken[]} tokens @returns {string} how sure the model was of them all */
function sureness(tokens) {
  if (!tokens.length) return "Nothing was written.";
  const mean = tokens.reduce((sum, { logprob }) => sum + (logprob ?? 0), 0) / tokens.length;
  return `Lit where it was unlikely; on average a token had ${percent(Math.exp(mean))}.`;
}

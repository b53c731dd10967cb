// Continues a prompt and shows the probability and attention of each token.

import { modelFields } from "./api.js";
import { announce, byId, copyButton, el, percent } from "./dom.js";
import { showExamples } from "./examples.js";
import { copies } from "./exports.js";
import { TokenText, codePoints } from "./highlight.js";
import { detailFor, labelOf, matrixPicker, pick } from "./matrices.js";
import { problem } from "./messages.js";
import { keepInput } from "./past.js";
import { ModelPicker, heading } from "./picker.js";
import { Requests, timed } from "./requests.js";
import { DEFAULTS, remember } from "./state.js";
import { TextField } from "./textfield.js";

/** @typedef {import("./api.js").TokenLogprob} TokenLogprob */
/** @typedef {import("./requests.js").Outcome} Outcome */

const SEEDS = 1_000_000;
/** Options that are numbers, with the ids of their fields. */
const NUMBERS = /** @type {const} */ (["length", "temperature", "top_p", "seed"]);

export class Generate {
  /** @param {import("./catalogue.js").Catalogue} catalogue */
  constructor(catalogue) {
    this.catalogue = catalogue;
    this.section = byId("generate");
    this.text = byId("prompt");
    this.results = byId("generate-results");
    this.requests = new Requests("generate", this.results);
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
      if (this.values.prompt) this.requests.debounce(() => this.ask());
      else this.requests.cancel();
    });
    this.field = new TextField(this.text);
    byId("stop").addEventListener("change", () => this.set({ stop: byId("stop").value }));
    this.section.querySelector("form").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const field = /** @type {HTMLElement} */ (event.target);
      if (event.key !== "Enter" || field.tagName !== "INPUT") return;
      event.preventDefault(); // sending the form would replace the seed
      field.blur();
      field.focus();
    });
    for (const name of NUMBERS) {
      byId(name).addEventListener("change", () => {
        const value = byId(name).valueAsNumber;
        this.set({ [name]: Number.isNaN(value) ? DEFAULTS.generate[name] : value });
      });
    }
  }

  /** @param {typeof DEFAULTS.generate} values from the URL */
  show(values) {
    this.values = values;
    this.started = false;
    if (values.top_p !== 1 || values.stop) byId("generate-options").open = true;
    this.refresh();
  }

  /** Update after a change of the catalogue or the values. */
  refresh() {
    const { values, catalogue } = this;
    this.field.set(values.prompt);
    for (const name of NUMBERS) byId(name).value = values[name];
    byId("stop").value = values.stop;
    const keys = this.keys();
    if (!catalogue.models.length) return;
    if (!keys.length) return showExamples(this, "prompt");
    this.picker.show(catalogue.generators(), keys);
    const first = /** @type {any} */ (catalogue.get(keys[0]));
    byId("length").max = first?.limits?.max_target_tokens ?? 4096;
    matrixPicker(byId("generate-matrix"), first, values.matrix, (matrix) => this.set({ matrix }));
    showExamples(this, "prompt", first);
  }

  /** @returns {string[]} the selected models, else the first language model */
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
    const { prompt, length, temperature, seed, matrix, top_p, stop } = this.values;
    const limits = { ...(top_p !== 1 && { top_p }), ...(stop && { stop: stop.replaceAll("\\n", "\n") }) };
    const common = { prompt, max_tokens: length, temperature, seed, ...limits, attention: detailFor(matrix) };
    const keys = this.keys();
    /** @type {[string, object][]} without a model the service answers with an error */
    const bodies = keys.length ? keys.map((key) => [key, { ...common, ...modelFields(key) }]) : [["", common]];
    const partial = new PartialTexts(prompt, this.results, this.catalogue);
    const outcomes = await this.requests.ask(bodies, (key, _, token) => partial.add(key, token));
    partial.stop();
    if (!outcomes) return;
    this.outcomes = outcomes;
    timed("generate", () => this.render());
    if (outcomes.some(({ answer }) => answer)) keepInput("generate", this.values);
    announce(outcomes.map((o) => `${o.key}: ${o.answer?.text ?? o.error?.title}`).join(", "));
  }

  render() {
    this.results.classList.toggle("many", this.outcomes.length > 1);
    this.results.replaceChildren(...this.outcomes.map((outcome) => panel(outcome, this)));
  }
}

/** The texts while they are generated, drawn once per frame. */
class PartialTexts {
  /** @param {string} prompt @param {HTMLElement} place @param {import("./catalogue.js").Catalogue} catalogue */
  constructor(prompt, place, catalogue) {
    this.prompt = prompt;
    this.place = place;
    this.catalogue = catalogue;
    /** @type {Map<string, TokenLogprob[]>} */
    this.tokens = new Map();
    this.frame = 0;
  }

  /** @param {string} key @param {TokenLogprob} token */
  add(key, token) {
    this.tokens.set(key, [...(this.tokens.get(key) ?? []), token]);
    this.frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.frame = 0;
    const panels = [...this.tokens].map(([key, tokens]) => {
      const { points, all } = joined(this.prompt, [], tokens);
      const text = new TokenText(points, all, { label: "The text so far", onPoint: () => {} });
      text.shade(improbability(all), "rare");
      return el("article", { class: "panel growing", "data-model": key }, heading(key, this.catalogue, 0), text.element);
    });
    this.place.classList.toggle("many", panels.length > 1);
    this.place.replaceChildren(...panels);
  }

  stop() {
    cancelAnimationFrame(this.frame);
  }
}

/** Join prompt and generated tokens.
 * @param {string} prompt @param {TokenLogprob[]} promptTokens @param {TokenLogprob[]} tokens
 * @returns {{points: string[], all: TokenLogprob[]}} the code points of the text, and all tokens with offsets into it */
function joined(prompt, promptTokens, tokens) {
  const points = codePoints(prompt);
  const shift = points.length;
  const moved = tokens.map((token) => ({ ...token, start: token.start + shift, end: token.end + shift }));
  return { points: [...points, ...tokens.flatMap((token) => codePoints(token.text))], all: [...promptTokens, ...moved] };
}

/** 1 minus the probability of each token. @param {TokenLogprob[]} tokens */
const improbability = (tokens) => tokens.map(({ logprob }) => (logprob === null ? 0 : 1 - Math.exp(logprob)));

/** The answer of one model. @param {Outcome} outcome @param {Generate} view @returns {HTMLElement} */
function panel({ key, body, answer, error, took }, view) {
  const element = el("article", { class: "panel", "data-model": key }, heading(key, view.catalogue, took));
  if (error) {
    element.append(problem(error, { onRetry: () => view.ask() }));
    return element;
  }
  const { points, all } = joined(body.prompt, answer.prompt_tokens, answer.tokens);
  const read = answer.prompt_tokens.length;
  const matrix = pick(answer.attention, view.values.matrix);
  const readout = el("p", { class: "readout" });
  const seeded = body.temperature > 0 ? ` Seed ${body.seed} gives this text again.` : "";
  /** @param {number | null} index */
  const point = (index) => {
    text.mark(index === null ? [] : [index]);
    const row = index === null ? undefined : matrix?.weights[index - read];
    if (row) text.shade([...row, ...Array(all.length - row.length).fill(0)]);
    else text.shade(improbability(all), "rare");
    readout.textContent = index === null ? meanProbability(answer.tokens) + seeded : description(index, row);
  };
  /** @param {number} index @param {number[] | undefined} row */
  const description = (index, row) => {
    const { logprob } = all[index];
    const likely = logprob === null ? "first token" : percent(Math.exp(logprob));
    const own = `“${shown(all[index])}” ${likely}`;
    if (!row) return own;
    const strongest = row.indexOf(Math.max(...row));
    return `${own}, most attention to “${around(points, all[strongest])}” (${percent(row[strongest])})`;
  };
  const text = new TokenText(points, all, { label: "The text; move between tokens with the arrow keys", onPoint: point });
  text.spans.slice(0, read).forEach((span) => span?.classList.add("given"));
  element.append(text.element, readout, el("p", { class: "tools" }, copyButton("Copy text", () => body.prompt + answer.text)), copies("generate", body, answer));
  point(null);
  return element;
}

/** @param {TokenLogprob} token @returns {string} its text, with white space made visible */
const shown = (token) => (token.text === "\n" ? "↵" : token.text === " " ? "␣" : labelOf(token));

/** A token with the characters before it. A single letter alone is hard to recognise.
 * @param {string[]} points @param {TokenLogprob} token */
function around(points, { start, end }) {
  return points.slice(Math.max(0, start - 8), end).join("").replaceAll("\n", "↵");
}

/** @param {TokenLogprob[]} tokens @returns {string} the mean probability, in words */
function meanProbability(tokens) {
  if (!tokens.length) return "No text was generated.";
  const mean = tokens.reduce((sum, { logprob }) => sum + (logprob ?? 0), 0) / tokens.length;
  return `Orange: unlikely tokens. Mean probability of a token: ${percent(Math.exp(mean))}.`;
}

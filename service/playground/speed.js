// The speed of the models, measured by this browser with an example of each one.

import { modelFields, post } from "./api.js";
import { el } from "./dom.js";

const RUNS = 5;

/** Task -> path and body of a request. */
const REQUESTS = {
  classification: ["classify", (/** @type {string} */ text) => ({ text, attention: "none" })],
  translation: ["translate", (/** @type {string} */ q, /** @type {any} */ { source, target }) => ({ q, source, target, attention: "none" })],
  generation: ["generate", (/** @type {string} */ prompt) => ({ prompt, max_tokens: 50, seed: 1, attention: "none" })],
};

export class Speed {
  /** @param {import("./catalogue.js").Catalogue} catalogue @param {() => void} onChange called after each model */
  constructor(catalogue, onChange) {
    this.catalogue = catalogue;
    this.onChange = onChange;
    /** Model -> median of the times in milliseconds. @type {Map<string, number>} */
    this.times = new Map();
    this.running = false;
  }

  /** @param {string} key @returns {string} such as "4 ms"; "" before it is measured */
  of(key) {
    const time = this.times.get(key);
    return time === undefined ? "" : `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
  }

  /** @returns {(HTMLElement | string)[]} the button and its explanation */
  controls() {
    const button = el("button", { type: "button", disabled: this.running, onclick: () => this.#measure() }, "Measure the speed");
    return [button, el("span", {}, `Median time of ${RUNS} requests with an example of the model, network included; 50 tokens of a language model.`)];
  }

  async #measure() {
    this.running = true;
    this.times.clear();
    this.onChange();
    for (const model of this.catalogue.models) {
      const key = this.catalogue.keyOf(model);
      const detail = /** @type {any} */ (this.catalogue.get(key));
      const [path, body] = REQUESTS[model.task ?? ""] ?? [];
      const example = detail?.training?.recipe.examples?.[0] ?? "a";
      if (!path || !model.ready) continue;
      try {
        this.times.set(key, await median(path, { ...body(example, model), ...modelFields(key) }));
      } catch {
        // A model without a measurement has an empty cell.
      }
      this.onChange();
    }
    this.running = false;
    this.onChange();
  }
}

/** @param {string} path @param {object} body */
async function median(path, body) {
  const times = [];
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    await post(path, body, new AbortController().signal);
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[Math.floor(RUNS / 2)];
}

// The same question to several models at once; a newer one replaces an older.

import { post, stream } from "./api.js";
import { expected } from "./messages.js";

/** @typedef {{key: string, body: any, answer?: any, error?: import("./api.js").ApiError, took: number}} Outcome */

const PAUSE = 350; // ms without a letter typed

export class Questions {
  /** @param {string} path @param {HTMLElement} results marked as busy meanwhile */
  constructor(path, results) {
    this.path = path;
    this.results = results;
    this.controller = new AbortController();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /** Ask when no letter has been typed for a moment. @param {() => void} ask */
  soon(ask) {
    this.drop();
    this.timer = setTimeout(ask, PAUSE);
  }

  /** Let go of what has been asked. */
  drop() {
    clearTimeout(this.timer);
    this.controller.abort();
    this.results.removeAttribute("aria-busy");
  }

  /**
   * @param {[string, object][]} bodies model's key -> request
   * @param {(key: string, token: any) => void} [heard] is told each token as soon as it is written
   * @returns {Promise<Outcome[] | undefined>} answers and errors in the order of the models; undefined: overtaken
   */
  async ask(bodies, heard) {
    this.drop();
    const { signal } = (this.controller = new AbortController());
    this.results.setAttribute("aria-busy", "true");
    const outcomes = await Promise.all(bodies.map(([key, body]) => this.#one(key, body, signal, heard)));
    if (signal.aborted) return undefined;
    this.results.removeAttribute("aria-busy");
    return outcomes;
  }

  /** @param {string} key @param {object} body @param {AbortSignal} signal
   * @param {(key: string, token: any) => void} [heard] @returns {Promise<Outcome>} */
  async #one(key, body, signal, heard) {
    const start = performance.now();
    try {
      const told = (/** @type {any} */ token) => signal.aborted || heard?.(key, token);
      const answer = await (heard ? stream(this.path, body, signal, told) : post(this.path, body, signal));
      return { key, body, answer, took: performance.now() - start };
    } catch (error) {
      if (signal.aborted) return { key, body, took: 0 };
      return { key, body, error: expected(error), took: 0 };
    }
  }
}

/** Measure a rendering, to the frame in which it is seen: `performance.getEntriesByName(name)` has it.
 * @param {string} name @param {() => void} render */
export function timed(name, render) {
  const start = performance.now();
  render();
  requestAnimationFrame(() => setTimeout(() => performance.measure(name, { start })));
}

// Sends a request to several models at the same time. A new request cancels the previous one.

import { post, stream } from "./api.js";
import { expected } from "./messages.js";
import { UNREACHABLE, isUnreachable } from "./recovery.js";

/** @typedef {{key: string, body: any, answer?: any, error?: import("./api.js").ApiError, took: number}} Outcome */

const PAUSE = 350; // milliseconds after the last key

export class Requests {
  /** @param {string} path @param {HTMLElement} results marked as busy during a request */
  constructor(path, results) {
    this.path = path;
    this.results = results;
    this.controller = new AbortController();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /** Call `ask` when no key was typed for a moment. @param {() => void} ask */
  debounce(ask) {
    this.cancel();
    this.timer = setTimeout(ask, PAUSE);
  }

  /** Cancel the running requests and mark the results as busy. @returns {AbortSignal} of the requests that follow */
  begin() {
    this.cancel();
    this.controller = new AbortController();
    this.results.setAttribute("aria-busy", "true");
    return this.controller.signal;
  }

  /** Cancel the running requests. */
  cancel() {
    clearTimeout(this.timer);
    this.controller.abort();
    this.results.removeAttribute("aria-busy");
  }

  /**
   * @param {[string, object][]} bodies model's key -> request
   * @param {(key: string, name: string, content: any) => void} [onEvent] called with each event before an answer
   * @returns {Promise<Outcome[] | undefined>} answers and errors in the order of the models; undefined if cancelled
   */
  async ask(bodies, onEvent) {
    const signal = this.begin();
    const outcomes = await Promise.all(bodies.map(([key, body]) => this.#one(key, body, signal, onEvent)));
    if (signal.aborted) return undefined;
    this.results.removeAttribute("aria-busy");
    return outcomes;
  }

  /** @param {string} key @param {object} body @param {AbortSignal} signal
   * @param {(key: string, name: string, content: any) => void} [onEvent] @returns {Promise<Outcome>} */
  async #one(key, body, signal, onEvent) {
    const start = performance.now();
    try {
      const forward = (/** @type {string} */ name, /** @type {any} */ content) => signal.aborted || onEvent?.(key, name, content);
      const answer = await (onEvent ? stream(this.path, body, signal, forward) : post(this.path, body, signal));
      return { key, body, answer, took: performance.now() - start };
    } catch (error) {
      if (signal.aborted) return { key, body, took: 0 };
      if (isUnreachable(error)) dispatchEvent(new Event(UNREACHABLE));
      return { key, body, error: expected(error), took: 0 };
    }
  }
}

/** Measure the time until the next frame is shown; read it with `performance.getEntriesByName(name)`.
 * @param {string} name @param {() => void} render */
export function timed(name, render) {
  const start = performance.now();
  render();
  requestAnimationFrame(() => setTimeout(() => performance.measure(name, { start })));
}

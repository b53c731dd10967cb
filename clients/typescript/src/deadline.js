/** Aborts a request after a time, or with the signal of the caller. */
export class Deadline {
  #controller = new AbortController();
  #timeoutMs;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #outer;
  passed = false;

  /** @param {number} timeoutMs @param {AbortSignal} [outer] */
  constructor(timeoutMs, outer) {
    this.#timeoutMs = timeoutMs;
    this.#outer = outer;
    outer?.addEventListener("abort", this.abort);
    if (outer?.aborted) this.abort();
  }

  /** Signal of the request. */
  get signal() {
    return this.#controller.signal;
  }

  abort = () => this.#controller.abort(this.#outer?.reason);

  /** Starts the time again. */
  start() {
    this.stop();
    this.#timer = setTimeout(() => {
      this.passed = true;
      this.abort();
    }, this.#timeoutMs);
  }

  stop() {
    clearTimeout(this.#timer);
  }

  /** Ends the time, and forgets the signal of the caller. */
  close() {
    this.stop();
    this.#outer?.removeEventListener("abort", this.abort);
  }
}

/** @param {number} ms @param {AbortSignal} [signal] @returns {Promise<void>} */
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

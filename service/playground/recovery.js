// Reports that the service is not reachable or still loads models, and repeats requests when it is back.

import { byId, el } from "./dom.js";
import { ApiError } from "./api.js";
import { expected, problem } from "./messages.js";

const EVERY = 2000; // milliseconds between two tries

/** Event of `window` after a request without an answer. */
export const UNREACHABLE = "limelight-unreachable";

export class Recovery {
  /** @param {import("./catalogue.js").Catalogue} catalogue @param {() => void} onBack called when the service answers again */
  constructor(catalogue, onBack) {
    this.catalogue = catalogue;
    this.onBack = onBack;
    this.place = byId("outage");
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.away = false;
    addEventListener(UNREACHABLE, () => this.#wait());
    catalogue.addEventListener("change", () => this.#progress());
  }

  /** Load the models now, and until it succeeds. */
  async load() {
    clearTimeout(this.timer);
    if (!this.catalogue.models.length && !this.away) this.place.replaceChildren(el("p", { class: "note", role: "status" }, "Loading the list of models…"));
    try {
      await this.catalogue.load();
      const back = this.away;
      this.away = false;
      this.#progress();
      if (back) this.onBack();
    } catch (error) {
      const known = expected(error);
      this.place.replaceChildren(problem(known, { onRetry: () => this.load() }));
      this.away = true;
      this.#wait();
    }
  }

  #wait() {
    this.away = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), EVERY);
  }

  /** Say how many models are loading. */
  #progress() {
    const { models, loading } = this.catalogue;
    const count = models.filter((model) => !model.ready && model.problem === "still loading").length;
    if (loading) this.place.replaceChildren(el("p", { class: "note", role: "status" }, `${count} of ${models.length} models are still loading.`));
    else this.place.replaceChildren();
  }
}

/** @param {unknown} error @returns {boolean} true if the service did not answer */
export const isUnreachable = (error) => error instanceof ApiError && error.status === 0;

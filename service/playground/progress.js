// The progress of a translation: share of the text, number of sentences, and a button that cancels.

import { byId, el } from "./dom.js";

/** Milliseconds without a sentence until the button is shown. */
const PATIENCE = 300;

export class Progress {
  /** @param {() => void} onCancel */
  constructor(onCancel) {
    this.bar = el("progress", { max: 1, "aria-label": "Progress of the translation" });
    this.text = el("span", {});
    this.cancel = el("button", { type: "button", class: "quiet", onclick: onCancel }, "Cancel");
    this.place = byId("translate-progress");
    this.place.append(this.bar, this.text, this.cancel);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.hide();
  }

  /** @param {number} length code points of the text, of all models together */
  start(length) {
    this.hide();
    this.length = Math.max(1, length);
    this.done = 0;
    this.sentences = 0;
    this.bar.removeAttribute("value");
    this.timer = setTimeout(() => this.#show("Translating…", true), PATIENCE);
  }

  /** @param {import("./api.js").Sentence} sentence that is finished */
  add({ source }) {
    this.done += source.end - source.start;
    this.sentences += 1;
    this.bar.value = this.share;
    this.#show(`${this.sentences} ${this.sentences === 1 ? "sentence" : "sentences"}, ${Math.floor(this.share * 100)} %`, true);
  }

  /** Say how much was translated before the user cancelled. */
  cancelled() {
    const part = this.sentences ? ` ${Math.floor(this.share * 100)} % of the text is translated.` : "";
    this.#show(`Cancelled.${part}`, false);
  }

  hide() {
    clearTimeout(this.timer);
    this.place.hidden = true;
  }

  /** From 0 to 1. */
  get share() {
    return Math.min(1, this.done / this.length);
  }

  /** @param {string} text @param {boolean} running */
  #show(text, running) {
    clearTimeout(this.timer);
    this.text.textContent = text;
    this.bar.hidden = this.cancel.hidden = !running;
    this.place.hidden = false;
  }
}

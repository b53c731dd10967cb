// The progress of a translation: share of the text, number of sentences, and a button that cancels.

import { byId, el } from "./dom.js";

export class Progress {
  /** @param {() => void} onCancel */
  constructor(onCancel) {
    this.bar = el("progress", { max: 1, "aria-label": "Progress of the translation" });
    this.text = el("span", {});
    this.cancel = el("button", { type: "button", class: "quiet", onclick: onCancel }, "Cancel");
    this.place = byId("translate-progress");
    this.place.append(this.bar, this.text, this.cancel);
    this.hide();
  }

  /** @param {number} length code points of the text, of all models together */
  start(length) {
    this.length = Math.max(1, length);
    this.done = 0;
    this.sentences = 0;
  }

  /** @param {import("./api.js").Sentence} sentence that is finished */
  add({ source }) {
    this.done += source.end - source.start;
    this.sentences += 1;
    const share = Math.min(1, this.done / this.length);
    this.bar.value = share;
    this.text.textContent = `${this.sentences} ${this.sentences === 1 ? "sentence" : "sentences"}, ${Math.floor(share * 100)} %`;
    this.place.hidden = false;
  }

  hide() {
    this.place.hidden = true;
  }
}

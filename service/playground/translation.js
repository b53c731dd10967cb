// The whole translation of a text: it grows while sentences finish; a sentence opens its words.

import { copyButton, duration, el } from "./dom.js";
import { usedTerms } from "./glossary.js";
import { codePoints } from "./highlight.js";
import { usedMatches } from "./memory.js";
import { Pair } from "./pair.js";

/** @typedef {import("./api.js").Sentence} Sentence */

/** In place of the words of a sentence that no model translated. */
const REMEMBERED = el("p", { class: "note" }, "This sentence is from the translation memory. No model translated it.");

/** The translation of one model. `whole` is the text, `words` has the words of one sentence at a time. */
export class Translation {
  /** @param {{q: string, target: string, unit: string, matrix: string, name: string, onMatrix: (matrix: string) => void, compared: boolean}} options name: of files
   * @param {{open?: boolean, index: number}} place the sentence that was open before */
  constructor(options, place) {
    this.options = options;
    this.place = place;
    this.points = codePoints(options.q);
    /** @type {Map<number, HTMLElement>} number of a sentence -> its element */
    this.parts = new Map();
    this.text = el("p", { class: "translated", dir: "auto", lang: options.target });
    this.whole = el("div", { class: "whole" }, this.text);
    this.words = el("div", {});
  }

  /** Add a finished sentence in the order of the text. @param {number} number @param {Sentence} sentence */
  add(number, sentence) {
    const after = [...this.parts.keys()].filter((other) => other > number).sort((a, b) => a - b)[0];
    const part = el("span", {}, sentence.text);
    part.dataset.start = String(sentence.source.start);
    this.parts.set(number, part);
    this.text.insertBefore(part, this.parts.get(after) ?? null);
    part.after(this.#gap(sentence));
  }

  /** White space after a sentence, as in the source. @param {Sentence} sentence */
  #gap({ source }) {
    const [space] = this.points.slice(source.end, source.end + 20).join("").match(/^\s*/) ?? [""];
    return space || " ";
  }

  /** Show the answer. @param {any} answer @param {number} took milliseconds */
  finish(answer, took) {
    const [translation] = answer.translations;
    this.sentences = /** @type {Sentence[]} */ (translation.sentences);
    this.target = codePoints(translation.text);
    this.text.replaceChildren(...this.#pieces(translation.text));
    const count = this.sentences.length;
    const time = count > 1 ? `${count} sentences in ${duration(took)}` : "";
    this.whole.append(el("p", { class: "under" }, copyButton("Copy translation", () => translation.text), el("small", {}, time)));
    this.whole.append(usedTerms(translation.glossary), usedMatches(translation), ...steps(translation.steps));
    if (count) this.words.append(this.#wordByWord());
  }

  /** The text with an element for each sentence. @param {string} text @returns {(string | HTMLElement)[]} */
  #pieces(text) {
    const pieces = [];
    let from = 0;
    this.sentences.forEach((sentence, index) => {
      const at = text.indexOf(sentence.text, from);
      if (at < 0 || !sentence.text) return;
      const open = this.sentences.length > 1 ? { title: "Show its words", onclick: () => this.open(index) } : {};
      const part = el("span", { ...open, class: sentence.match?.used && "remembered" }, sentence.text);
      this.parts.set(index, part);
      pieces.push(text.slice(from, at), part);
      from = at + sentence.text.length;
    });
    return [...pieces, text.slice(from)];
  }

  #wordByWord() {
    const count = this.sentences.length;
    this.shown = el("div", {});
    this.label = el("span", { "aria-live": "polite" });
    const step = (/** @type {string} */ label, /** @type {string} */ sign, /** @type {number} */ by) =>
      el("button", { type: "button", class: "quiet", "aria-label": label, onclick: () => this.open(this.place.index + by) }, sign);
    this.stepper = el("p", { class: "stepper" }, step("Previous sentence", "‹", -1), this.label, step("Next sentence", "›", 1));
    this.stepper.hidden = count < 2;
    this.details = el("details", { class: "more" }, el("summary", {}, "Word by word"), this.stepper, this.shown);
    this.details.addEventListener("toggle", () => {
      this.place.open = this.details.open;
      if (this.details.open && !this.shown.firstChild) this.open(this.place.index);
    });
    if (this.place.open ?? count === 1) this.open(Math.min(this.place.index, count - 1));
    return this.details;
  }

  /** Show the words of a sentence. @param {number} index; outside of the list: the nearest one */
  open(index) {
    const last = this.sentences.length - 1;
    index = Math.max(0, Math.min(last, index));
    this.parts.get(this.place.index)?.classList.remove("opened");
    if (last > 0) this.parts.get(index)?.classList.add("opened");
    Object.assign(this.place, { index, open: true });
    this.label.textContent = `Sentence ${index + 1} of ${last + 1}`;
    const [back, next] = this.stepper.querySelectorAll("button");
    back.disabled = index === 0;
    next.disabled = index === last;
    const texts = { source: this.points, target: this.target, language: this.options.target };
    const options = { ...this.options, name: `${this.options.name}-${index + 1}` };
    const sentence = this.sentences[index];
    this.shown.replaceChildren(sentence.match?.used ? REMEMBERED.cloneNode(true) : new Pair(sentence, texts, options).element);
    this.details.open = true;
  }
}

/** The translation into English, for a pair that is translated through it. @param {any[] | undefined} found */
function steps(found) {
  if (!found?.length) return [];
  const [first] = found;
  return [el("p", { class: "note" }, `Through English: ${first.text}`)];
}

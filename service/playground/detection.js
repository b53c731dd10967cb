// The language of a text: the decision for a translation, and a warning about another language than the selected one.

import { ApiError, detect } from "./api.js";
import { el } from "./dom.js";

/** Characters of a text that are sent for detection. */
const EXCERPT = 2000;
/** Characters of a text up to which a language with a translator is always used: it is too short to exclude one. */
const SHORT = 20;
/** Confidence relative to the most likely language, from which a language with a translator is used instead. */
const PLAUSIBLE = 0.25;
/** Confidence, of 100, from which a short text is in a language without a translator. */
const CERTAIN = 90;

/** @typedef {{language: string, confidence: number}} Guess */

/**
 * @param {Guess[]} guesses best first @param {string[]} usable languages with a translator @param {string} text
 * @returns {string} the language of the text
 */
export function choose(guesses, usable, text) {
  const [first] = guesses;
  const best = guesses.find(({ language }) => usable.includes(language));
  const short = text.trim().length <= SHORT;
  if (best && (best.confidence >= PLAUSIBLE * first.confidence || (short && first.confidence < CERTAIN))) return best.language;
  return short && first.confidence < CERTAIN ? (usable[0] ?? first.language) : first.language;
}

/** Detects the language of a text once, also if it is asked again. */
export class Detector {
  constructor() {
    this.text = "";
    /** @type {Guess[]} */
    this.guesses = [];
  }

  /** @param {string} text @param {string[]} usable @param {AbortSignal} signal
   * @returns {Promise<string>} the language; "" if it is not known. Rejects after an abort. */
  async language(text, usable, signal) {
    const excerpt = text.slice(0, EXCERPT);
    if (!excerpt.trim()) return "";
    if (excerpt !== this.text) {
      try {
        this.guesses = await detect(excerpt, signal);
        this.text = excerpt;
      } catch (error) {
        if (error instanceof ApiError) return ""; // the translation itself reports the problem
        throw error;
      }
    }
    return choose(this.guesses, usable, text);
  }
}

/**
 * A message about the language of a text, with buttons for the languages that can be selected.
 * @param {string} text @param {[string, () => void][]} choices label and action of each button
 */
export function notice(text, choices) {
  const buttons = choices.map(([label, act]) => el("button", { type: "button", class: "quiet", onclick: act }, label));
  return el("div", { class: "notice" }, el("p", {}, text), el("p", { class: "tools" }, ...buttons));
}

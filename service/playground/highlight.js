// A text whose tokens are shaded by weights.

import { el } from "./dom.js";
import { depth } from "./legend.js";

/**
 * The service counts code points, JavaScript counts UTF-16 units: 🎉 is one code point and two units.
 * @param {string} text
 * @returns {string[]} its code points
 */
export const codePoints = (text) => Array.from(text);

/** @typedef {import("./api.js").Token} Token */

/** Part of a text. Mouse, touch or arrow keys select a token. */
export class TokenText {
  /**
   * @param {string[]} points the whole text's code points
   * @param {Token[]} tokens with offsets into it
   * @param {{label: string, start?: number, end?: number, specials?: boolean, onPoint: (index: number | null) => void}} options
   *   start, end: the part to show; specials: also show special tokens
   */
  constructor(points, tokens, { label, start = 0, end = points.length, specials = true, onPoint }) {
    this.tokens = tokens;
    this.onPoint = onPoint;
    /** @type {(HTMLElement | undefined)[]} by token index; undefined for a token without a span */
    this.spans = [];
    this.element = el("p", { class: "tokens", dir: "auto", role: "group", "aria-label": label });
    let place = start;
    tokens.forEach((token, index) => {
      const from = Math.max(token.start, place);
      if (token.special ? !specials : from >= token.end) return;
      this.element.append(points.slice(place, from).join(""));
      const text = token.special ?? points.slice(from, token.end).join("");
      this.spans[index] = el("span", { "data-index": index, tabindex: -1, class: token.special ? "special" : "token" }, text);
      this.element.append(/** @type {HTMLElement} */ (this.spans[index]));
      place = Math.max(place, token.end);
    });
    this.element.append(points.slice(place, end).join(""));
    this.spans.find(Boolean)?.setAttribute("tabindex", "0");
    this.#listen();
  }

  /** Shade the tokens. Attention and improbability have a scale from 0 to 1, which does not depend on the largest weight; effects
   * on a score are relative to the largest one and may be negative.
   * @param {number[] | null} weights one per token; null removes the shading
   * @param {"attention" | "rare" | "effect"} [colour] meaning of the weights */
  shade(weights, colour = "attention") {
    this.element.dataset.colour = colour;
    const most = colour === "effect" ? Math.max(...(weights ?? []).map(Math.abs)) : 1;
    this.spans.forEach((span, index) => {
      const weight = weights?.[index] ?? 0;
      const size = most > 0 ? Math.abs(weight) / most : 0;
      const share = colour === "rare" ? size : depth(size);
      span?.style.setProperty("--share", share.toFixed(3));
      span?.classList.toggle("strong", share > 0.6);
      span?.classList.toggle("less", weight < 0);
    });
  }

  /** Mark tokens as selected. @param {number[]} indices */
  mark(indices) {
    this.spans.forEach((span, index) => span?.classList.toggle("meant", indices.includes(index)));
  }

  /** The tokens that overlap a part of the text. @param {Token} part @returns {number[]} */
  within({ start, end }) {
    return this.tokens.flatMap((token, index) => (token.start < end && start < token.end ? [index] : []));
  }

  #listen() {
    /** @param {Event} event */
    const point = (event) => {
      const span = /** @type {HTMLElement} */ (event.target).closest("[data-index]");
      // Between two words the last one stays selected, to avoid flicker.
      if (span) this.onPoint(Number(span.getAttribute("data-index")));
    };
    this.element.addEventListener("pointerover", point);
    this.element.addEventListener("focusin", point);
    this.element.addEventListener("pointerleave", () => this.onPoint(null));
    this.element.addEventListener("focusout", () => this.onPoint(null));
    this.element.addEventListener("keydown", (event) => this.#step(event));
  }

  /** The text is one Tab stop; arrow keys move inside it.
   * @param {KeyboardEvent} event */
  #step(event) {
    const there = this.spans.filter((span) => span !== undefined);
    const now = there.indexOf(/** @type {HTMLElement} */ (event.target));
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: there.length - 1 }[event.key];
    if (next === undefined || !there[next]) return;
    event.preventDefault();
    there[now].tabIndex = -1;
    there[next].tabIndex = 0;
    there[next].focus();
  }
}

// What a view begins with: the text of its address, else an example of its model.

import { byId, el } from "./dom.js";

/**
 * @typedef {{section: HTMLElement, text: HTMLElement, catalogue: import("./catalogue.js").Catalogue, values: any,
 *   outcomes: import("./questions.js").Outcome[], begun?: boolean, ask(): void, set(changes: object): void}} View
 */

/**
 * Offer a model's examples, and ask: what the address says, or in a view without a text the first of them; again where
 * an answer had to wait for a model that is ready now.
 * @param {View} view @param {string} field the value that holds its text @param {any} [model] whose examples
 */
export function begin(view, field, model) {
  /** @type {string[]} */
  const examples = model?.training?.recipe.examples ?? [];
  const buttons = examples.map((text) => el("button", { type: "button", onclick: () => view.set({ [field]: text }) }, text));
  byId(`${view.section.id}-examples`).replaceChildren(...buttons);
  const waiting = view.outcomes.some((o) => o.error?.type === "model_not_ready" && view.catalogue.get(o.key)?.ready);
  if (waiting) view.ask();
  if (view.begun || !(view.values[field] || examples.length)) return;
  view.begun = true;
  if (view.values[field]) view.ask();
  else if (document.activeElement !== view.text) view.set({ [field]: examples[0] }); // never under somebody's hands
}

// The first request of a view: the text of the URL, else an example of the model.

import { byId, el } from "./dom.js";

/**
 * @typedef {{section: HTMLElement, text: HTMLElement, catalogue: import("./catalogue.js").Catalogue, values: any,
 *   outcomes: import("./requests.js").Outcome[], started?: boolean, ask(): void, set(changes: object): void}} View
 */

/**
 * Show the examples of a model, and send the first request: the text of the URL, else the first example. Repeat a request
 * that failed because its model was not ready, once it is ready.
 * @param {View} view @param {string} field name of the value with its text @param {any} [model] the model of the examples
 */
export function showExamples(view, field, model) {
  /** @type {string[]} */
  const examples = model?.training?.recipe.examples ?? [];
  const buttons = examples.map((text) => el("button", { type: "button", onclick: () => view.set({ [field]: text }) }, text));
  byId(`${view.section.id}-examples`).replaceChildren(...buttons);
  const waiting = view.outcomes.some((o) => o.error?.type === "model_not_ready" && view.catalogue.get(o.key)?.ready);
  if (waiting) view.ask();
  if (view.started || !(view.values[field] || examples.length)) return;
  view.started = true;
  if (view.values[field]) view.ask();
  else if (document.activeElement !== view.text) view.set({ [field]: examples[0] }); // do not replace what the user is typing
}

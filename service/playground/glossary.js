// Terms with required translations: a field with one term per line, or a glossary that the service stores.

import { listGlossaries } from "./api.js";
import { byId, el } from "./dom.js";

const STORED = "@";

/** @param {string} value of the view: lines `term = translation`, or @ and the name of a stored glossary
 * @returns {{glossary?: string | Record<string, string>}} the field of a request */
export function glossaryField(value) {
  if (value.startsWith(STORED)) return { glossary: value.slice(1) };
  const pairs = value.split("\n").map((line) => line.split(/\s*(?:=|\t)\s*/, 2).map((part) => part.trim()));
  const terms = Object.fromEntries(pairs.filter(([term, translation]) => term && translation));
  return Object.keys(terms).length ? { glossary: terms } : {};
}

/** The field of the glossary and the list of stored ones, which is read when the options are opened. */
export class GlossaryPicker {
  /** @param {HTMLDetailsElement} options @param {(value: string) => void} onChange */
  constructor(options, onChange) {
    this.field = byId("glossary");
    this.stored = byId("stored-glossary");
    this.field.addEventListener("change", () => onChange(this.field.value));
    this.stored.addEventListener("change", () => onChange(this.stored.value && STORED + this.stored.value));
    options.addEventListener("toggle", () => this.#load(), { once: true });
    this.value = "";
  }

  /** @param {string} value */
  show(value) {
    this.value = value;
    const named = value.startsWith(STORED);
    if (document.activeElement !== this.field) this.field.value = named ? "" : value;
    this.field.disabled = named;
    this.stored.value = named ? value.slice(1) : "";
  }

  async #load() {
    const found = await listGlossaries().catch(() => []); // the list may need a key of an operator
    const names = [...new Set(found.map(({ name }) => name))];
    this.stored.replaceChildren(el("option", { value: "" }, "none"), ...names.map((name) => el("option", { value: name }, name)));
    this.stored.parentElement.hidden = !names.length;
    this.show(this.value);
  }
}

/** The terms of a translation. @param {{term: string, target: {text: string}}[] | undefined} used */
export function usedTerms(used) {
  if (!used) return "";
  if (!used.length) return el("p", { class: "note" }, "No term of the glossary is in this text.");
  const seen = new Map(used.map(({ term, target }) => [`${term} → ${target.text}`, true]));
  return el("p", { class: "note" }, `Glossary: ${[...seen.keys()].join(", ")}`);
}

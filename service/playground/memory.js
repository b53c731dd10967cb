// Translation memories: the stored ones, a new one from a TMX file, and the matches of a translation.

import { listMemories, storeMemory } from "./api.js";
import { announce, byId, copyButton, el, percent } from "./dom.js";
import { expected, problem } from "./messages.js";

/** @typedef {{score: number, used: boolean, source: string, target: string}} Match used: the match is exact */
/** @typedef {{name: string, source: string, target: string, units: number}} StoredMemory of one language pair */

/** Number of matches that are shown without opening their list. */
const SHORT = 3;

/** The list of stored memories, which is read when the options are opened, and the field of a new one. */
export class MemoryPicker {
  /** @param {HTMLDetailsElement} options @param {() => {source: string, target: string}} pair @param {(name: string) => void} onChange */
  constructor(options, pair, onChange) {
    this.pair = pair;
    this.onChange = onChange;
    this.stored = byId("stored-memory");
    this.file = byId("memory-file");
    this.token = byId("memory-token");
    this.place = byId("memory-state");
    /** @type {StoredMemory[]} */
    this.memories = [];
    this.value = "";
    this.stored.addEventListener("change", () => onChange(this.stored.value));
    this.file.addEventListener("change", () => this.file.files[0] && this.#store(this.file.files[0]));
    this.token.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter") return;
      event.preventDefault(); // Enter does not send the text
      this.token.blur();
    });
    this.token.addEventListener("change", () => this.refused && this.token.value && this.#store(this.refused));
    options.addEventListener("toggle", () => this.#load(), { once: true });
  }

  /** Show the memories of the language pair. @param {string} value name of the selected memory, or "" */
  show(value) {
    this.value = value;
    const { source, target } = this.pair();
    const named = this.memories
      .filter((memory) => memory.source === source && memory.target === target)
      .map(({ name, units }) => el("option", { value: name }, `${name} (${units.toLocaleString("en")} ${units === 1 ? "text" : "texts"})`));
    if (value && !named.some((option) => option.value === value)) named.push(el("option", { value }, `${value} (no text of this pair)`));
    this.stored.replaceChildren(el("option", { value: "" }, "none"), ...named);
    this.stored.value = value;
    this.stored.parentElement.hidden = !named.length;
  }

  async #load() {
    this.memories = await listMemories().catch(() => []); // the list may need a key of an operator
    this.show(this.value);
  }

  /** Store a TMX file, and select it. @param {File} file */
  async #store(file) {
    const name = nameOf(file);
    this.place.replaceChildren(el("p", { class: "note" }, `Storing ${file.name}…`));
    try {
      await storeMemory(name, file, this.token.value);
      await this.#load();
      this.refused = undefined;
      this.place.replaceChildren(el("p", { class: "note" }, `Stored as ${name}.`));
      announce(`${file.name} is stored`);
      this.onChange(name);
    } catch (error) {
      this.refused = file;
      this.place.replaceChildren(...this.#refusal(expected(error), name, file));
    }
    this.file.value = ""; // the same file can be selected again
  }

  /** @param {import("./api.js").ApiError} error @param {string} name @param {File} file */
  #refusal(error, name, file) {
    if (error.status === 401) {
      this.token.parentElement.hidden = false;
      this.token.focus();
      return [el("p", { class: "note" }, "Storing a memory changes the service: enter its admin token.")];
    }
    if (error.status === 403 && !this.token.value) {
      const url = new URL(`admin/memories/${name}`, document.baseURI).href;
      const command = `curl -T '${file.name.replaceAll("'", "'\\''")}' -H 'Content-Type: application/xml' ${url}`;
      const cause = "This service has no admin token, so only its own machine can store a memory. Run this command there: ";
      return [el("p", { class: "note" }, cause, el("code", {}, command), " ", copyButton("Copy command", () => command))];
    }
    return [problem(error, { onRetry: () => this.#store(file) })];
  }
}

/** @param {File} file @returns {string} its name without the extension, in the letters that names of memories have */
const nameOf = (file) => file.name.replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, 100);

/** The matches of a translation in the memory of the request; "" if the request has none.
 * @param {{match?: Match | null, sentences: {match?: Match}[]}} translation */
export function usedMatches({ match, sentences }) {
  if (match === undefined) return "";
  if (match?.used) return el("p", { class: "note" }, "The whole text is in the translation memory.");
  const found = [match, ...sentences.map((sentence) => sentence.match)].filter((each) => !!each);
  if (!found.length) return el("p", { class: "note" }, "No text of the translation memory is like this text.");
  const exact = found.filter(({ used }) => used).length;
  const similar = found.length - exact;
  const parts = [exact && `${exact} of ${sentences.length} sentences (underlined with dots)`, similar && `${similar} similar`].filter(Boolean);
  const details = el("details", { class: "more" }, el("summary", {}, `From the translation memory: ${parts.join(", ")}`), list(found));
  details.open = found.length <= SHORT;
  return details;
}

/** @param {Match[]} found */
function list(found) {
  const rows = found.map(({ score, used, source, target }) =>
    el("li", {}, el("b", {}, used ? "exact" : percent(score)), el("span", {}, source), el("span", {}, target)),
  );
  return el("ul", { class: "matches" }, ...rows);
}

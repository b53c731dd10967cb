// Selection of a matrix, and the tokens of its rows and columns.

import { el } from "./dom.js";

/** @typedef {import("./api.js").Matrix} Matrix */
/** @typedef {import("./api.js").Token} Token */
/** @typedef {import("./api.js").ModelDetail} ModelDetail */

const KINDS = {
  pooling: "weights of the text",
  self: "text to itself",
  cross: "translation to source",
  encoder_self: "source to source",
  decoder_self: "translation to itself",
};

/** A choice is "summary" or kind.layer.head. Layer and head are empty if there is only one; head "mean" is the average.
 * @param {string} choice */
export function parts(choice) {
  const [kind, layer = "", head = ""] = choice.split(".");
  return { kind, layer, head };
}

/** @param {string} choice @returns {"summary" | "full"} the `attention` of the request */
export const detailFor = (choice) => (choice === "summary" ? "summary" : "full");

/**
 * @param {Matrix[]} matrices of an answer
 * @param {string} choice
 * @returns {Matrix | undefined} the chosen matrix; for head "mean" the average of the heads
 */
export function pick(matrices, choice) {
  if (choice === "summary") return matrices[0];
  const { kind, layer, head } = parts(choice);
  const found = matrices.filter((m) => m.kind === kind && String(m.layer ?? "") === layer);
  if (head !== "mean") return found.find((m) => String(m.head ?? "") === head);
  if (!found.length) return undefined;
  const weights = found[0].weights.map((row, i) =>
    row.map((_, j) => found.reduce((sum, m) => sum + m.weights[i][j], 0) / found.length),
  );
  return { ...found[0], head: null, weights };
}

/**
 * The tokens of the rows and columns of a translator's matrix.
 * @param {Matrix} matrix @param {Token[]} source @param {Token[]} target
 */
export function sides(matrix, source, target) {
  if (matrix.kind === "encoder_self") return { rows: source, columns: source, row: "source", column: "source", shift: 0 };
  if (matrix.kind === "cross") return { rows: target, columns: source, row: "target", column: "source", shift: 0 };
  // Column j is the decoder's input at step j: <s>, then the words of the translation.
  const given = [{ text: "", start: 0, end: 0, special: "<s>" }, ...target];
  return { rows: target, columns: given, row: "target", column: "target", shift: 1 };
}

/** A matrix in words, such as "translation to source, layer 1, average of the heads".
 * @param {Matrix} matrix @param {Matrix[]} all matrices of the answer */
export function described({ kind, layer, head }, all) {
  const heads = all.some((other) => other.head !== null);
  const place = [layer !== null && `layer ${layer}`, head !== null ? `head ${head}` : heads && "average of the heads"];
  return [KINDS[kind] ?? kind, ...place].filter(Boolean).join(", ");
}

/** @param {Token[]} tokens @param {boolean} specials @returns {number[]} the indices of the tokens to show */
export const shown = (tokens, specials) => tokens.flatMap((token, index) => (specials || !token.special ? [index] : []));

/** @param {Token} token @returns {string} the text of its label */
export const labelOf = (token) => token.special ?? (token.text || "·");

/**
 * Show selects for kind, layer and head; nothing if the model has only one matrix.
 * @param {HTMLElement} place @param {ModelDetail | undefined} model @param {string} choice
 * @param {(choice: string) => void} onChange
 */
export function matrixPicker(place, model, choice, onChange) {
  const kinds = (model?.attention ?? []).filter((each) => each.kind !== "contribution"); // a method of "Explain"
  const state = JSON.stringify([kinds, choice]);
  if (place.dataset.shown === state) return; // replacing an open select would close it
  place.dataset.shown = state;
  place.replaceChildren();
  if (kinds.length < 1 || (kinds.length === 1 && !kinds[0].layers && !kinds[0].heads)) return;
  const { kind, layer, head } = parts(choice);
  const now = kinds.find((each) => each.kind === kind);
  /** @param {string} named */
  const first = (named) => {
    const found = kinds.find((each) => each.kind === named);
    return found ? [named, found.layers ? 0 : "", found.heads ? "mean" : ""].join(".") : "summary";
  };
  /** @param {string} label @param {[string, string][]} options @param {string} value @param {(v: string) => string} to */
  const select = (label, options, value, to) => {
    const box = el("select", {}, ...options.map(([v, text]) => el("option", { value: v, selected: v === value }, text)));
    box.addEventListener("change", () => {
      onChange(to(box.value));
      // The selects were replaced. Restore the keyboard focus.
      [...place.querySelectorAll("label")].find((each) => each.textContent?.startsWith(label))?.querySelector("select")?.focus();
    });
    place.append(el("label", { class: "field" }, `${label} `, box));
  };
  const named = kinds.map((each) => /** @type {[string, string]} */ ([each.kind, KINDS[each.kind] ?? each.kind]));
  select("Attention", [["summary", "summary"], ...named], kind, first);
  const numbers = (count = 0) => Array.from({ length: count ?? 0 }, (_, i) => /** @type {[string, string]} */ ([`${i}`, `${i}`]));
  if (now?.layers) select("Layer", numbers(now.layers), layer, (value) => [kind, value, head].join("."));
  if (now?.heads) select("Head", [["mean", "average"], ...numbers(now.heads)], head, (value) => [kind, layer, value].join("."));
}

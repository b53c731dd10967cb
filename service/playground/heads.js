// All layers, and all heads of a layer, as small heatmaps. A click opens one.

import { paint } from "./colours.js";
import { el } from "./dom.js";
import { parts, pick, shown } from "./matrices.js";

/** @typedef {import("./api.js").Matrix} Matrix */

const SIZE = 96; // pixels of the longer side

/**
 * @param {Matrix[]} matrices of an answer @param {string} choice kind.layer.head
 * @param {ReturnType<typeof import("./matrices.js").sides> | undefined} sides @param {boolean} specials also show special tokens
 * @param {(choice: string) => void} onChoose
 * @returns {HTMLElement | ""} empty if the answer has no heads
 */
export function headGrid(matrices, choice, sides, specials, onChoose) {
  const { kind, layer, head } = parts(choice);
  const found = matrices.filter((m) => m.kind === kind && String(m.layer ?? "") === layer && m.head !== null);
  if (found.length < 2 || !sides) return "";
  const pictures = found.map(({ weights }) => thumbnail(weights, sides, specials));
  const buttons = found.map((matrix, index) => {
    const name = layer === "" ? `Head ${matrix.head}` : `Layer ${layer}, head ${matrix.head}`;
    const chosen = String(matrix.head) === head;
    const open = () => onChoose([kind, layer, chosen ? "mean" : matrix.head].join("."));
    const attributes = { type: "button", "aria-label": name, "aria-pressed": String(chosen), onclick: open };
    return el("button", attributes, pictures[index].canvas, String(matrix.head));
  });
  paint(pictures);
  const title = layer === "" ? "Heads" : `Heads of layer ${layer}`;
  return el("div", { class: "heads", role: "group", "aria-label": title }, el("p", { class: "note" }, `${title}. Click one to open it, again for the average.`), ...buttons);
}

/** The layers of a kind, with their heads averaged. Parameters as above.
 * @param {Matrix[]} matrices @param {string} choice
 * @param {ReturnType<typeof import("./matrices.js").sides> | undefined} sides @param {boolean} specials
 * @param {(choice: string) => void} onChoose
 * @returns {HTMLElement | ""} empty if the answer has no layers
 */
export function layerGrid(matrices, choice, sides, specials, onChoose) {
  const { kind, layer, head } = parts(choice);
  const layers = [...new Set(matrices.filter((m) => m.kind === kind && m.layer !== null).map((m) => m.layer))];
  if (layers.length < 2 || !sides) return "";
  const headed = (/** @type {number | null} */ each) => matrices.some((m) => m.kind === kind && m.layer === each && m.head !== null);
  const pictures = layers.map((each) => thumbnail(pick(matrices, [kind, each, headed(each) ? "mean" : ""].join("."))?.weights ?? [], sides, specials));
  const buttons = layers.map((each, index) => {
    const open = () => onChoose([kind, each, headed(each) ? head || "mean" : ""].join("."));
    const attributes = { type: "button", "aria-label": `Layer ${each}`, "aria-pressed": String(String(each) === layer), onclick: open };
    return el("button", attributes, pictures[index].canvas, String(each));
  });
  paint(pictures);
  return el("div", { class: "heads", role: "group", "aria-label": "Layers" }, el("p", { class: "note" }, "Layers, average of the heads. Click one to open it."), ...buttons);
}

/** @param {number[][]} weights @param {{rows: any[], columns: any[]}} sides @param {boolean} specials */
function thumbnail(weights, sides, specials) {
  const rows = shown(sides.rows.slice(0, weights.length), specials);
  const columns = shown(sides.columns.slice(0, weights[0]?.length ?? 0), specials);
  const canvas = el("canvas", { width: Math.max(1, columns.length), height: Math.max(1, rows.length), "aria-hidden": "true" });
  const scale = SIZE / Math.max(rows.length, columns.length, 1);
  canvas.style.width = `${Math.round(columns.length * scale)}px`;
  canvas.style.height = `${Math.round(rows.length * scale)}px`;
  return { canvas, weights: rows.map((row) => columns.map((column) => weights[row][column])) };
}

// The colour scale of attention: the same in every text and heatmap, whatever the largest weight is.

import { el } from "./dom.js";

/** Weights that the scale names. */
const TICKS = [0, 0.05, 0.25, 0.5, 1];

/** Depth of the colour of a weight. The square root keeps small weights visible.
 * @param {number} weight from 0 to 1 @returns {number} from 0 to 1 */
export const depth = (weight) => Math.sqrt(Math.min(1, Math.max(0, weight)));

/** @param {"heatmap" | "text"} [of] a text has the light of a marker as its largest weight
 * @returns {HTMLElement} the scale with its ticks */
export function legend(of = "heatmap") {
  const ticks = TICKS.map((weight) => {
    const tick = el("span", {}, `${weight * 100} %`);
    tick.style.setProperty("--at", depth(weight).toFixed(3));
    return tick;
  });
  return el("p", { class: "legend" }, el("span", {}, "Attention"), el("span", { class: `scale ${of}` }, ...ticks));
}

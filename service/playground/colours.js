// The colours of weights, in the light and in the dark.

import { depth } from "./legend.js";

/** @returns {{paper: string, ink: string, ramp: number[][]}} colours of the page; ramp: of the weights 0 to 1 */
export function theme() {
  const style = getComputedStyle(document.documentElement);
  const value = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const ramp = [0, 1, 2, 3].map((step) => [1, 3, 5].map((at) => parseInt(value(`--ramp-${step}`).slice(at, at + 2), 16)));
  return { paper: value("--paper"), ink: value("--ink"), ramp };
}

/** @param {number[][]} ramp @param {number} weight from 0 to 1 @returns {number[]} red, green, blue */
export function mix(ramp, weight) {
  const place = depth(weight) * (ramp.length - 1);
  const step = Math.min(Math.floor(place), ramp.length - 2);
  return ramp[step].map((from, i) => Math.round(from + (ramp[step + 1][i] - from) * (place - step)));
}

/** Relative luminance (WCAG). @param {number[]} colour */
export function luminance(colour) {
  const [r, g, b] = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Number of colours of `paint`. */
const SHADES = 255;

/** Paint matrices with one pixel per cell. @param {{canvas: HTMLCanvasElement, weights: number[][]}[]} pictures */
export function paint(pictures) {
  const { ramp } = theme();
  // A pixel is four bytes: red, green, blue, opacity.
  const bytes = Array.from({ length: SHADES + 1 }, (_, i) => [...mix(ramp, i / SHADES), 255]).flat();
  const shades = new Uint32Array(new Uint8ClampedArray(bytes).buffer);
  for (const { canvas, weights } of pictures) {
    const context = canvas.getContext("2d");
    if (!context || !weights[0]?.length) continue;
    const image = context.createImageData(weights[0].length, weights.length);
    const pixels = new Uint32Array(image.data.buffer);
    let at = 0;
    for (const row of weights) for (const weight of row) pixels[at++] = shades[Math.round(weight * SHADES)];
    context.putImageData(image, 0, 0);
  }
}

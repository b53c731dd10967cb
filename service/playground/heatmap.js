// Heatmap of a matrix. The same drawing code writes to a canvas (page, PNG) and to SVG.

import { announce, download, el, percent } from "./dom.js";
import { depth } from "./legend.js";

/** @typedef {{rows: string[], columns: string[], weights: number[][]}} Grid weights[row][column] */
/** @typedef {{row: number, column: number}} Cell */

const FONT = '"Liberation Sans", Arial, system-ui, sans-serif';
const GAP = 6; // pixels between labels and cells
const LONGEST = 16; // maximum characters of a label; the readout shows the whole word

const ruler = document.createElement("canvas").getContext("2d");

/** @param {string[]} labels @param {number} size @returns {number} the width of the widest, in pixels */
function widest(labels, size) {
  ruler.font = `${size}px ${FONT}`;
  return Math.max(0, ...labels.map((label) => ruler.measureText(label).width));
}

/** @param {string} label */
const short = (label) => (label.length > LONGEST ? `${label.slice(0, LONGEST - 1)}…` : label);

/**
 * Compute the layout. Cells are as large as the width allows, but large enough for readable labels; a wider matrix
 * scrolls.
 * @param {Grid} grid @param {number} available width
 */
export function layout(grid, available) {
  const rows = grid.rows.map(short);
  const columns = grid.columns.map(short);
  const left = Math.ceil(widest(rows, 13)) + GAP;
  const cell = Math.max(11, Math.min(46, Math.floor((available - left - 24) / Math.max(1, columns.length))));
  const size = cell < 13 ? 10 : cell < 18 ? 11 : 13;
  const slanted = cell >= 22;
  const reach = widest(columns, size);
  const top = Math.ceil(slanted ? reach * 0.71 + 14 : reach) + GAP;
  const height = Math.min(cell, 34);
  const right = slanted ? Math.max(2, Math.ceil(widest(columns.slice(-1), size) * 0.71 - cell / 2 + 6)) : 2;
  const width = left + cell * columns.length + right;
  return { rows, columns, left, top, cell, height, size, slanted, width, total: top + height * rows.length + 2 };
}

/** @returns {{paper: string, ink: string, soft: string, ramp: number[][]}} the page's colours, light or dark */
function theme() {
  const style = getComputedStyle(document.documentElement);
  /** @param {string} name */
  const value = (name) => style.getPropertyValue(name).trim();
  const ramp = [0, 1, 2, 3].map((step) => [1, 3, 5].map((at) => parseInt(value(`--ramp-${step}`).slice(at, at + 2), 16)));
  return { paper: value("--paper"), ink: value("--ink"), soft: value("--soft"), ramp };
}

/** @param {number[][]} ramp @param {number} share a weight @returns {number[]} red, green, blue */
function mix(ramp, share) {
  const place = depth(share) * (ramp.length - 1);
  const step = Math.min(Math.floor(place), ramp.length - 2);
  return ramp[step].map((from, i) => Math.round(from + (ramp[step + 1][i] - from) * (place - step)));
}

/** Relative luminance (WCAG). Numbers on a cell are black or white, depending on the contrast.
 * @param {number[]} colour */
function luminance(colour) {
  const [r, g, b] = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Paint a matrix with one pixel per cell. @param {HTMLCanvasElement} canvas @param {number[][]} weights */
export function paint(canvas, weights) {
  const { ramp } = theme();
  const context = canvas.getContext("2d");
  if (!context || !weights[0]?.length) return;
  const image = context.createImageData(weights[0].length, weights.length);
  weights.flat().forEach((weight, i) => image.data.set([...mix(ramp, weight), 255], 4 * i));
  context.putImageData(image, 0, 0);
}

/**
 * @param {CanvasPen | SvgPen} pen @param {Grid} grid @param {ReturnType<typeof layout>} box
 */
function draw(pen, grid, box) {
  const { paper, ink, ramp } = theme();
  const line = box.cell >= 16 ? 1 : 0;
  pen.rect(0, 0, box.width, box.total, paper);
  box.rows.forEach((label, row) => {
    pen.text(label, box.left - GAP, box.top + (row + 0.5) * box.height, { size: box.size, fill: ink, anchor: "end" });
  });
  box.columns.forEach((label, column) => {
    const angle = box.slanted ? -45 : -90;
    pen.text(label, box.left + (column + 0.5) * box.cell, box.top - GAP, { size: box.size, fill: ink, anchor: "start", angle });
  });
  grid.weights.forEach((weights, row) =>
    weights.forEach((weight, column) => {
      const [x, y] = [box.left + column * box.cell, box.top + row * box.height];
      const colour = mix(ramp, weight);
      pen.rect(x, y, box.cell - line, box.height - line, `rgb(${colour})`);
      if (box.cell < 30 || weight < 0.005) return;
      const fill = luminance(colour) > 0.18 ? "#000000" : "#ffffff";
      const written = weight >= 0.995 ? "1" : weight.toFixed(2).slice(1);
      pen.text(written, x + box.cell / 2, y + box.height / 2, { size: 11, fill, anchor: "middle" });
    }),
  );
}

class CanvasPen {
  /** @param {CanvasRenderingContext2D} context */
  constructor(context) {
    this.context = context;
    context.textBaseline = "middle";
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height @param {string} fill */
  rect(x, y, width, height, fill) {
    this.context.fillStyle = fill;
    this.context.fillRect(x, y, width, height);
  }

  /** @param {string} text @param {number} x @param {number} y
   * @param {{size: number, fill: string, anchor: "start" | "middle" | "end", angle?: number}} look */
  text(text, x, y, { size, fill, anchor, angle = 0 }) {
    const { context } = this;
    context.font = `${size}px ${FONT}`;
    context.fillStyle = fill;
    context.textAlign = anchor === "middle" ? "center" : anchor;
    context.save();
    context.translate(x, y);
    context.rotate((angle * Math.PI) / 180);
    context.fillText(text, 0, 0);
    context.restore();
  }
}

class SvgPen {
  /** @param {number} width @param {number} height */
  constructor(width, height) {
    this.root = this.#node("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT });
  }

  /** @param {string} name @param {Record<string, unknown>} attributes */
  #node(name, attributes) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
    return node;
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height @param {string} fill */
  rect(x, y, width, height, fill) {
    this.root.append(this.#node("rect", { x, y, width, height, fill }));
  }

  /** @param {string} text @param {number} x @param {number} y
   * @param {{size: number, fill: string, anchor: string, angle?: number}} look */
  text(text, x, y, { size, fill, anchor, angle = 0 }) {
    const transform = `translate(${x} ${y}) rotate(${angle})`;
    const node = this.#node("text", { transform, fill, "font-size": size, "text-anchor": anchor, dy: "0.35em" });
    node.textContent = text;
    this.root.append(node);
  }
}

/** An interactive heatmap. Mouse, touch or arrow keys select a cell. */
export class Heatmap {
  /** @param {Grid} grid @param {{name: string, onPoint?: (cell: Cell | null) => void}} options name: name of saved files */
  constructor(grid, { name, onPoint = () => {} }) {
    this.grid = grid;
    this.onPoint = onPoint;
    /** @type {Cell | null} */
    this.cell = null;
    const label = `Attention of ${grid.rows.length} rows to ${grid.columns.length} columns; move between cells with the arrow keys`;
    this.canvas = el("canvas", { role: "img", "aria-label": label, tabindex: 0 });
    this.readout = el("p", { class: "readout" }, "Each row shows the attention of one word. Point at a cell to see its weight.");
    this.frame = el("div", { class: "scroll" }, this.canvas);
    const svg = el("button", { type: "button", class: "quiet", onclick: () => download(this.svg(), `${name}.svg`) }, "Save SVG");
    const png = el("button", { type: "button", class: "quiet", onclick: () => this.#save(name) }, "Save PNG");
    this.element = el("figure", { class: "heatmap" }, this.frame, el("figcaption", {}, this.readout, svg, png));
    this.#listen();
    new ResizeObserver(() => this.#fit()).observe(this.frame);
  }

  /** Mark a cell, or a whole row or column if only one coordinate is given. @param {Partial<Cell> | null} cell */
  point(cell) {
    if (!this.base) return;
    const { cell: size, height, left, top, width } = this.box;
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.base, 0, 0);
    context.scale(devicePixelRatio, devicePixelRatio);
    context.strokeStyle = theme().ink;
    context.lineWidth = 1.5;
    if (cell?.row !== undefined) context.strokeRect(1, top + cell.row * height - 0.5, width - 2, height);
    if (cell?.column !== undefined) context.strokeRect(left + cell.column * size - 0.5, 1, size, this.box.total - 2);
  }

  /** @returns {Blob} */
  svg() {
    const pen = new SvgPen(this.box.width, this.box.total);
    draw(pen, this.grid, this.box);
    return new Blob([new XMLSerializer().serializeToString(pen.root)], { type: "image/svg+xml" });
  }

  /** @param {string} name */
  #save(name) {
    this.point(null);
    this.canvas.toBlob((/** @type {Blob} */ blob) => download(blob, `${name}.png`));
  }

  /** Draw when the element is on the page, and again when its width changes. */
  #fit() {
    const available = this.frame.clientWidth;
    if (!available || available === this.available) return;
    this.available = available;
    this.box = layout(this.grid, available);
    const { width, total } = this.box;
    this.canvas.width = Math.ceil(width * devicePixelRatio);
    this.canvas.height = Math.ceil(total * devicePixelRatio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${total}px`;
    this.base = document.createElement("canvas");
    Object.assign(this.base, { width: this.canvas.width, height: this.canvas.height });
    const context = this.base.getContext("2d");
    context.scale(devicePixelRatio, devicePixelRatio);
    draw(new CanvasPen(context), this.grid, this.box);
    this.point(this.cell);
  }

  /** @param {Cell | null} cell */
  #choose(cell) {
    this.cell = cell;
    this.point(cell);
    this.onPoint(cell);
    if (!cell) return;
    const { rows, columns, weights } = this.grid;
    this.readout.textContent = `${rows[cell.row]} → ${columns[cell.column]}: ${percent(weights[cell.row][cell.column])}`;
  }

  #listen() {
    const point = (/** @type {PointerEvent} */ event) => {
      const { left, top, cell, height } = this.box;
      const column = Math.floor((event.offsetX - left) / cell);
      const row = Math.floor((event.offsetY - top) / height);
      if (row === this.cell?.row && column === this.cell?.column) return;
      this.#choose(this.grid.weights[row]?.[column] === undefined ? null : { row, column });
    };
    this.canvas.addEventListener("pointermove", point);
    this.canvas.addEventListener("pointerdown", point);
    // With touch, keep the selection after the finger is lifted.
    this.canvas.addEventListener("pointerleave", (/** @type {PointerEvent} */ event) => {
      if (event.pointerType === "mouse") this.#choose(null);
    });
    this.canvas.addEventListener("blur", () => this.#choose(null));
    this.canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      if (!step) return;
      event.preventDefault();
      const { row, column } = this.cell ?? { row: 0, column: 0 };
      const next = this.cell ? { row: row + step[0], column: column + step[1] } : { row, column };
      if (this.grid.weights[next.row]?.[next.column] === undefined) return;
      this.#choose(next);
      announce(this.readout.textContent);
      this.#reveal(next);
    });
  }

  /** Scroll a wide matrix to a cell. @param {Cell} cell */
  #reveal({ column }) {
    const x = this.box.left + column * this.box.cell;
    if (x < this.frame.scrollLeft || x + this.box.cell > this.frame.scrollLeft + this.frame.clientWidth) {
      this.frame.scrollLeft = x - this.frame.clientWidth / 2;
    }
  }
}

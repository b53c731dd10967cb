// Heatmap of a matrix. The same drawing code writes to a canvas (page, PNG) and to SVG.

import { luminance, mix, theme } from "./colours.js";
import { announce, download, el, percent } from "./dom.js";
import { CanvasPen, FONT, SvgPen } from "./pens.js";

/** @typedef {{rows: string[], columns: string[], weights: number[][]}} Grid weights[row][column] */
/** @typedef {{row: number, column: number}} Cell */

const GAP = 6; // pixels between labels and cells
const STEP = 24; // of the width of row labels, in pixels
const NUMBERED = 26; // pixels of a cell from which it has a number
const MAX_ZOOM = 4;
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
  // Matrices below each other have the same width of labels, up to a step.
  const left = Math.ceil((widest(rows, 13) + GAP) / STEP) * STEP;
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
      if (box.cell < NUMBERED || weight < 0.005) return;
      const fill = luminance(colour) > 0.18 ? "#000000" : "#ffffff";
      const written = weight >= 0.995 ? "1" : weight.toFixed(2).slice(1);
      pen.text(written, x + box.cell / 2, y + box.height / 2, { size: box.cell < 30 ? 10 : 11, fill, anchor: "middle" });
    }),
  );
}

/** An interactive heatmap. Mouse, touch or arrow keys select a cell; two fingers, + and - change its size. */
export class Heatmap {
  /** @param {Grid} grid @param {{name: string, onPoint?: (cell: Cell | null) => void}} options name: name of saved files */
  constructor(grid, { name, onPoint = () => {} }) {
    this.grid = grid;
    this.onPoint = onPoint;
    this.zoom = 1;
    /** @type {Cell | null} */
    this.cell = null;
    const label = `Attention of ${grid.rows.length} rows to ${grid.columns.length} columns; move between cells with the arrow keys`;
    this.canvas = el("canvas", { role: "img", "aria-label": label, tabindex: 0 });
    // A second canvas has the labels of the rows, which stay in place while a wide matrix scrolls.
    this.labels = el("canvas", { class: "labels", "aria-hidden": "true" });
    this.readout = el("p", { class: "readout" }, "Each row shows the attention of one word. Point at a cell to see its weight.");
    this.frame = el("div", { class: "scroll" }, this.canvas, this.labels);
    this.cue = el("div", { class: "cue" }, this.frame);
    const svg = el("button", { type: "button", class: "quiet", onclick: () => download(this.svg(), `${name}.svg`) }, "Save SVG");
    const png = el("button", { type: "button", class: "quiet", onclick: () => this.#save(name) }, "Save PNG");
    this.element = el("figure", { class: "heatmap" }, this.cue, el("figcaption", {}, this.readout, svg, png));
    this.#listen();
    this.#listenToPinch();
    this.frame.addEventListener("scroll", () => this.#showCue());
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

  /** Draw when the element is on the page, and again when its width or the zoom changes. */
  #fit() {
    const available = this.frame.clientWidth * this.zoom;
    if (!available || available === this.available) return;
    this.available = available;
    this.box = layout(this.grid, available);
    const { width, total, left } = this.box;
    this.base = resized(document.createElement("canvas"), width, total);
    resized(this.canvas, width, total);
    const context = this.base.getContext("2d");
    context.scale(devicePixelRatio, devicePixelRatio);
    draw(new CanvasPen(context), this.grid, this.box);
    this.labels.hidden = width <= this.frame.clientWidth;
    if (!this.labels.hidden) resized(this.labels, left, total).getContext("2d").drawImage(this.base, 0, 0);
    this.point(this.cell);
    this.#showCue();
  }

  /** Mark the sides at which more columns follow. */
  #showCue() {
    const { scrollLeft, scrollWidth, clientWidth } = this.frame;
    this.cue.classList.toggle("more-right", scrollLeft + clientWidth < scrollWidth - 2);
  }

  /** @param {number} zoom */
  #zoomTo(zoom) {
    this.zoom = Math.min(MAX_ZOOM, Math.max(1, zoom));
    this.#fit();
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
    this.canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const larger = { "+": 1.25, "-": 0.8 }[event.key];
    if (larger && !event.ctrlKey && !event.metaKey) this.#zoomTo(this.zoom * larger);
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const { row, column } = this.cell ?? { row: 0, column: 0 };
    const next = this.cell ? { row: row + step[0], column: column + step[1] } : { row, column };
    if (this.grid.weights[next.row]?.[next.column] === undefined) return;
    this.#choose(next);
    announce(this.readout.textContent);
    this.#reveal(next);
  }

  /** Two fingers change the size of the cells. */
  #listenToPinch() {
    let before = 0;
    const distance = (/** @type {TouchEvent} */ { touches: [a, b] }) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    this.frame.addEventListener("touchstart", (/** @type {TouchEvent} */ event) => (before = event.touches.length === 2 ? distance(event) : 0));
    this.frame.addEventListener("touchmove", (/** @type {TouchEvent} */ event) => {
      if (event.touches.length !== 2 || !before) return;
      event.preventDefault();
      const now = distance(event);
      if (Math.abs(now / before - 1) < 0.05) return;
      this.#zoomTo(this.zoom * (now / before));
      before = now;
    }, { passive: false });
  }

  /** Scroll a wide matrix to a cell. @param {Cell} cell */
  #reveal({ column }) {
    const x = this.box.left + column * this.box.cell;
    const hidden = this.frame.scrollLeft + this.box.left; // the labels cover the columns before
    if (x < hidden || x + this.box.cell > this.frame.scrollLeft + this.frame.clientWidth) {
      this.frame.scrollLeft = x - this.frame.clientWidth / 2;
    }
  }
}

/** Set the size of a canvas in CSS pixels. @param {any} canvas @param {number} width @param {number} height @returns {any} the canvas */
function resized(canvas, width, height) {
  canvas.width = Math.ceil(width * devicePixelRatio);
  canvas.height = Math.ceil(height * devicePixelRatio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  return canvas;
}

// Two pens with the same methods: one draws to a canvas, the other to SVG.

export const FONT = '"Liberation Sans", Arial, system-ui, sans-serif';

export class CanvasPen {
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

export class SvgPen {
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

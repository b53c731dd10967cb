// A chart of scores from 0 to 1 over the number of removed words, in SVG.

const [HEIGHT, LEFT, RIGHT, BOTTOM, LINE] = [200, 50, 110, 26, 15];

/** @param {string} name @param {Record<string, unknown>} attributes @param {...(Node | string)} children */
function svg(name, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

/**
 * @param {{name: string, values: number[], first: boolean}[]} lines first: the line in the foreground
 * @param {[number, number][]} random points of another line @param {number} at the marked number of words
 * @param {{label: string, width: number}} options width in pixels
 */
export function curve(lines, random, at, { label, width }) {
  const steps = Math.max(1, ...lines.map(({ values }) => values.length - 1));
  const x = (/** @type {number} */ count) => LEFT + (count / steps) * (width - LEFT - RIGHT);
  const y = (/** @type {number} */ score) => 8 + (1 - score) * (HEIGHT - BOTTOM - 8);
  const path = (/** @type {[number, number][]} */ points) => points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ");
  const root = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label });
  for (const tick of [0, 0.5, 1]) {
    root.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }));
    root.append(svg("text", { x: LEFT - 8, y: y(tick), "text-anchor": "end", dy: "0.35em" }, `${tick * 100} %`));
  }
  root.append(svg("text", { x: LEFT, y: HEIGHT - 6 }, "0"), svg("text", { x: width - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `${steps} words removed`));
  if (random.length > 1) root.append(svg("polyline", { class: "random", points: path(random) }), named("random words", random[random.length - 1], "random"));
  for (const { values, first } of [...lines].sort((a, b) => Number(a.first) - Number(b.first))) {
    root.append(svg("polyline", { class: first ? "first" : "other", points: path(values.map((value, i) => [i, value])) }));
  }
  const front = lines.find(({ first }) => first);
  if (front) root.append(svg("circle", { cx: x(at), cy: y(front.values[at] ?? 0), r: 5 }));
  const last = lines.map(({ name, values, first }) => ({ name, first, y: y(values[values.length - 1]) })).sort((a, b) => a.y - b.y);
  last.forEach((each, i) => {
    if (i > 0) each.y = Math.max(each.y, last[i - 1].y + LINE); // labels do not overlap
  });
  last.forEach((each, i) => {
    each.y = Math.min(each.y, HEIGHT - LINE * (last.length - i) + LINE / 2); // nor leave the picture
  });
  for (const { name, first, y: height } of last) {
    root.append(svg("text", { class: first ? "first" : "", x: width - RIGHT + 8, y: height, dy: "0.35em" }, name));
  }
  return root;

  /** @param {string} name @param {[number, number]} point @param {string} kind */
  function named(name, [count, score], kind) {
    return svg("text", { class: kind, x: x(count) + 6, y: y(score) < 2 * LINE ? y(score) + LINE : y(score) - 6 }, name);
  }
}

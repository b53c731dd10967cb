// The state of the page is in the URL hash: a link shares it, and browsers do not send it to a server.

/** @type {string[]} */
const NONE = [];

/** Default values of each view. The hash contains only other values. */
export const DEFAULTS = {
  classify: { text: "", model: NONE, unit: "word", matrix: "summary", cut: false, explain: false },
  translate: { q: "", source: "", target: "", model: NONE, unit: "word", matrix: "summary", beam: 4, alternatives: 0, glossary: "", memory: "" },
  generate: { prompt: "", model: NONE, matrix: "summary", length: 200, temperature: 0.7, seed: 1, top_p: 1, stop: "" },
  models: { name: "" },
};

/** The value of a view that is its text. */
export const TEXT_OF = { classify: "text", translate: "q", generate: "prompt" };

/** Maximum bytes of a text in the hash. */
export const MAX_TEXT = 2048;

/** @typedef {keyof typeof DEFAULTS} View */

/** View -> its hash and values. The values also have a text that is too long for the hash.
 * @type {Map<View, {hash: string, values: any}>} */
const current = new Map();

/**
 * @param {string} hash with or without its #
 * @returns {{view: View, values: any}} the view and its valid values
 */
export function parse(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const named = given.get("view") ?? "";
  const view = /** @type {View} */ (Object.hasOwn(DEFAULTS, named) ? named : "classify");
  const known = current.get(view);
  if (known?.hash === hash) return { view, values: known.values };
  /** @type {Record<string, unknown>} */
  const values = {};
  for (const [name, initial] of Object.entries(DEFAULTS[view])) {
    const value = given.get(name);
    if (Array.isArray(initial)) values[name] = given.getAll(name);
    else if (value === null) values[name] = initial;
    else if (typeof initial === "number") values[name] = Number.isFinite(Number(value)) ? Number(value) : initial;
    else values[name] = typeof initial === "boolean" ? value === "true" : value;
  }
  return { view, values };
}

/** @param {View} view @param {Record<string, any>} values @param {boolean} [whole] also with a long text @returns {string} the hash */
export function serialize(view, values, whole = false) {
  const hash = new URLSearchParams({ view });
  for (const [name, initial] of Object.entries(DEFAULTS[view])) {
    const value = values[name];
    if (Array.isArray(value)) value.forEach((each) => hash.append(name, each));
    else if (value !== initial && (whole || name !== TEXT_OF[view] || !isLong(value))) hash.append(name, String(value));
  }
  return `#${hash}`;
}

/** @param {string} text @returns {boolean} true if the hash leaves the text out */
const isLong = (text) => text.length > MAX_TEXT || new TextEncoder().encode(text).length > MAX_TEXT;

/** Write the values of a view to the URL, without adding history entries.
 * @param {View} view @param {Record<string, any>} values */
export function remember(view, values) {
  const hash = serialize(view, values);
  current.set(view, { hash, values });
  if (location.hash !== hash) history.replaceState(null, "", hash);
  // The navigation link restores the view.
  document.querySelector(`[data-view=${view}]`)?.setAttribute("href", hash);
}

/** @param {View} view @returns {string | undefined} the hash with the long text of the view; undefined if its text is short */
export function longLink(view) {
  const values = current.get(view)?.values;
  return values && isLong(values[TEXT_OF[view]] ?? "") ? serialize(view, values, true) : undefined;
}

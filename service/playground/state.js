// The state of the page is in the URL hash: a link shares it, and browsers do not send it to a server.

/** Default values of each view. The hash contains only other values. */
export const DEFAULTS = {
  classify: { text: "", model: /** @type {string[]} */ ([]), unit: "word", matrix: "summary", cut: false },
  translate: {
    q: "",
    source: "",
    target: "",
    model: /** @type {string[]} */ ([]),
    unit: "word",
    matrix: "summary",
    beam: 4,
    alternatives: 0,
  },
  generate: { prompt: "", model: /** @type {string[]} */ ([]), matrix: "summary", length: 200, temperature: 0.7, seed: 1 },
  models: { name: "" },
};

/** @typedef {keyof typeof DEFAULTS} View */

/**
 * @param {string} hash with or without its #
 * @returns {{view: View, values: any}} the view and its valid values
 */
export function parse(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const named = given.get("view") ?? "";
  const view = /** @type {View} */ (Object.hasOwn(DEFAULTS, named) ? named : "classify");
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

/** @param {View} view @param {Record<string, unknown>} values @returns {string} the hash */
export function serialize(view, values) {
  const hash = new URLSearchParams({ view });
  for (const [name, initial] of Object.entries(DEFAULTS[view])) {
    const value = values[name];
    if (Array.isArray(value)) value.forEach((each) => hash.append(name, each));
    else if (value !== initial) hash.append(name, String(value));
  }
  return `#${hash}`;
}

/** Write the values of a view to the URL, without adding history entries.
 * @param {View} view @param {Record<string, unknown>} values */
export function remember(view, values) {
  const hash = serialize(view, values);
  history.replaceState(null, "", hash);
  // The navigation link restores the view.
  document.querySelector(`[data-view=${view}]`)?.setAttribute("href", hash);
}

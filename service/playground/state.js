// What is shown is in the address, behind the #: a link shares it, and a text never reaches a server's log.

/** What each view starts with; what still has this value is left out of the address. */
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
 * @returns {{view: View, values: any}} the view and its values, as far as they are known and of the right kind
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

/** @param {View} view @param {Record<string, unknown>} values @returns {string} the address's part from the # on */
export function serialize(view, values) {
  const hash = new URLSearchParams({ view });
  for (const [name, initial] of Object.entries(DEFAULTS[view])) {
    const value = values[name];
    if (Array.isArray(value)) value.forEach((each) => hash.append(name, each));
    else if (value !== initial) hash.append(name, String(value));
  }
  return `#${hash}`;
}

/** Put a view's values into the address, without a step in the history for every letter that is typed.
 * @param {View} view @param {Record<string, unknown>} values */
export function remember(view, values) {
  const hash = serialize(view, values);
  history.replaceState(null, "", hash);
  // Who comes back from another view finds this one as it was.
  document.querySelector(`[data-view=${view}]`)?.setAttribute("href", hash);
}

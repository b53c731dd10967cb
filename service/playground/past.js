// The last inputs of the user. They are kept in this browser only, and can be cleared.

import { el } from "./dom.js";
import { DEFAULTS, TEXT_OF } from "./state.js";

/** @typedef {{view: import("./state.js").View, values: any}} Input */

const KEY = "limelight-inputs";
const MOST = 20;
/** Maximum characters of a text that is kept. */
const LONGEST = 20_000;

/** @returns {Input[]} the newest first */
function read() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return found.filter((/** @type {Input} */ { view, values }) => TEXT_OF[view] && values?.[TEXT_OF[view]]);
  } catch {
    return []; // storage is disabled, or another program wrote it
  }
}

/** @param {Input[]} inputs */
function write(inputs) {
  try {
    localStorage.setItem(KEY, JSON.stringify(inputs));
  } catch {
    // Storage is disabled or full: the input is not kept.
  }
}

/** Keep an input whose answer was shown. It replaces its own beginning. @param {import("./state.js").View} view @param {any} values */
export function keepInput(view, values) {
  const text = values[TEXT_OF[view]];
  if (!text.trim() || text.length > LONGEST) return;
  const others = read().filter((input) => {
    const other = input.values[TEXT_OF[input.view]];
    return input.view !== view || !(text.startsWith(other) || other.startsWith(text));
  });
  write([{ view, values }, ...others].slice(0, MOST));
}

/** The list of inputs. @param {(input: Input) => void} onOpen @returns {HTMLElement} */
export function pastInputs(onOpen) {
  const list = el("div", { class: "choices" });
  const element = el("details", { class: "past" }, el("summary", {}, "History"), list);
  const show = () => {
    const buttons = read().map(({ view, values }) => {
      const open = () => {
        element.open = false;
        onOpen({ view, values: { ...DEFAULTS[view], ...values } });
      };
      return el("button", { type: "button", onclick: open }, el("small", {}, view), ` ${values[TEXT_OF[view]].slice(0, 80)}`);
    });
    const clear = () => {
      write([]);
      show();
    };
    const foot = el("p", {}, el("button", { type: "button", class: "quiet", onclick: clear }, "Clear"), el("small", {}, "Kept in this browser only."));
    list.replaceChildren(...(buttons.length ? [...buttons, foot] : [el("p", {}, "No inputs yet.")]));
  };
  element.addEventListener("toggle", () => element.open && show());
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape") return;
    element.open = false;
    element.querySelector("summary").focus();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!element.contains(/** @type {Node} */ (event.target))) element.open = false;
  });
  return element;
}

// DOM helpers. Strings become text nodes, never markup.

/**
 * An element. Attributes of the form `onclick` are listeners; `true` and `false` add or leave out an attribute.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Node | string)} children strings become text nodes
 * @returns {any} the HTMLElement
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...children);
  return node;
}

/** @param {string} id @returns {any} the element of index.html with this id */
export const byId = (id) => document.getElementById(id);

/** Announce a text to screen readers. @param {string} text */
export function announce(text) {
  byId("status").textContent = text;
}

/** @param {number} share from 0 to 1 */
export function percent(share) {
  const value = share * 100;
  return `${value >= 99.95 || value === 0 ? Math.round(value) : value.toFixed(value < 0.095 ? 2 : 1)} %`;
}

/** @param {number} ms */
export const duration = (ms) => (ms < 1000 ? `${Math.max(1, Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`);

/**
 * A button that copies a text to the clipboard and confirms it.
 * @param {string} label
 * @param {() => string} text
 * @param {string} [name] for screen readers, if the label alone is not clear
 */
export function copyButton(label, text, name = label) {
  const button = el("button", { type: "button", class: "quiet", "aria-label": name }, label);
  /** @param {string} shown @param {string} read */
  const set = (shown, read) => {
    button.textContent = shown;
    button.setAttribute("aria-label", read);
  };
  button.addEventListener("click", async () => {
    await copy(text());
    set("Copied", "Copied");
    announce("Copied");
    setTimeout(() => set(label, name), 1200);
  });
  return button;
}

/** Copy a text to the clipboard. @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers disable the clipboard API on pages from other machines over plain HTTP. This way still works.
    const area = el("textarea", { class: "hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/** Save a file. @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

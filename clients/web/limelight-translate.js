// <limelight-translate>: a translator for any web page, in one file without dependencies.
//
//   <script type="module" src="limelight-translate.js"></script>
//   <limelight-translate service="https://limelight.example" source="auto" target="fr"></limelight-translate>
//
// Attributes: `service`, address of the service (the origin of this file); `source`, language code or "auto" ("auto");
// `target`, language code (a choice of languages); `model`; `glossary`, name of a stored one; `label`, text of the button.
// Properties: `value`, the input; `translation`, the last translation. Method: `start()` translates the input. Event:
// `translated`, with the answer as `detail`.
// Parts for CSS: input, button, target, output, error. Variables: --limelight-mark, --limelight-gap.

const ORIGIN = new URL(import.meta.url).origin;
const HIGHLIGHT_FROM = 0.1;

const SHEET = new CSSStyleSheet();
SHEET.replaceSync(`
  :host { display: block; font: inherit; --mark: var(--limelight-mark, light-dark(#bef264, #4d7c0f)); }
  :host([hidden]) { display: none; }
  form { display: grid; gap: var(--limelight-gap, 0.5rem); }
  textarea { box-sizing: border-box; width: 100%; min-height: 5em; padding: 0.5em; font: inherit; resize: vertical; field-sizing: content; }
  .row { display: flex; gap: var(--limelight-gap, 0.5rem); flex-wrap: wrap; }
  button, select { font: inherit; padding: 0.3em 0.9em; }
  .sentence { margin: 0.6em 0; white-space: pre-wrap; }
  .sentence small { display: block; opacity: 0.75; }
  .word { border-radius: 0.2em; }
  .word:hover, .word:focus { outline: 2px solid currentColor; }
  small .word { background: color-mix(in srgb, var(--mark) calc(100% * var(--weight, 0)), transparent); }
  [role=alert]:empty { display: none; }
`);

/** @param {string} name @param {Record<string, string>} [attributes] @param {(Node | string)[]} children @returns {any} */
function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Events of an answer. @param {Response} response */
async function* eventsOf(response) {
  const reader = /** @type {any} */ (response.body).pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (text + part.value).split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const [, event, data] = /^event: (.*)\ndata: (.*)$/m.exec(block) ?? [];
      if (event) yield { event, data: JSON.parse(data) };
    }
  }
}

/** A text whose words are elements. Offsets count code points from `start`.
 * @param {string} text @param {{ start: number, end: number }[]} words @param {number} start @param {boolean} focusable
 * @returns {{ nodes: (Node | string)[], elements: any[] }} `elements` has one per word */
function wordsOf(text, words, start, focusable) {
  const letters = Array.from(text);
  const between = (/** @type {number} */ from, /** @type {number} */ to) => letters.slice(from - start, to - start).join("");
  const nodes = [];
  let end = start;
  const elements = words.map((word) => {
    const made = el("span", focusable ? { class: "word", tabindex: "0" } : { class: "word" }, between(word.start, word.end));
    if (word.end > word.start) {
      nodes.push(between(end, word.start), made);
      end = word.end;
    }
    return made;
  });
  nodes.push(between(end, start + letters.length));
  return { nodes, elements };
}

class LimelightTranslate extends HTMLElement {
  #input = el("textarea", { part: "input", "aria-label": "Text to translate", dir: "auto" });
  #target = el("select", { part: "target", "aria-label": "Target language" });
  #button = el("button", { part: "button", type: "submit" });
  #output = el("div", { part: "output", "aria-live": "polite", dir: "auto" });
  #error = el("p", { part: "error", role: "alert" });
  /** @type {AbortController | null} */
  #request = null;

  /** The last translation; "" before the first one and while a request runs. */
  translation = "";

  constructor() {
    super();
    const form = el("form", {}, this.#input, el("div", { class: "row" }, this.#target, this.#button), this.#error);
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [SHEET];
    root.append(form, this.#output);
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      if (this.#request) this.#request.abort();
      else void this.start();
    });
    this.#input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
  }

  connectedCallback() {
    this.#idle();
    this.#target.hidden = this.hasAttribute("target");
    if (!this.#target.hidden) void this.#listTargets();
  }

  disconnectedCallback() {
    this.#request?.abort();
  }

  get value() {
    return this.#input.value;
  }

  set value(text) {
    this.#input.value = text;
  }

  /** Translates the input. Sentences appear when they are translated. */
  async start() {
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    this.#button.textContent = "Cancel";
    this.#error.textContent = "";
    this.#output.replaceChildren();
    this.translation = "";
    const text = this.value;
    const body = {
      q: text,
      source: this.getAttribute("source") ?? "auto",
      target: this.getAttribute("target") ?? this.#target.value,
      attention_unit: "word",
      ...Object.fromEntries(["model", "glossary"].filter((name) => this.hasAttribute(name)).map((name) => [name, this.getAttribute(name)])),
    };
    try {
      const response = await this.#fetch("translate", {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
        body: JSON.stringify(body),
        signal: request.signal,
      });
      for await (const { event, data } of eventsOf(response)) {
        if (event === "sentence") this.#show(text, data);
        else if (event === "error") throw new Error(data.detail);
        else if (event === "done") this.#finish(data);
      }
    } catch (error) {
      if (!request.signal.aborted) this.#error.textContent = error instanceof TypeError ? "The translation service cannot be reached." : String(/** @type {Error} */ (error).message);
    } finally {
      if (this.#request === request) {
        this.#request = null;
        this.#idle();
      }
    }
  }

  #idle() {
    this.#button.textContent = this.getAttribute("label") ?? "Translate";
  }

  /** @param {any} answer */
  #finish(answer) {
    this.translation = answer.translatedText;
    if (!this.#output.hasChildNodes()) this.#output.append(this.translation);
    this.dispatchEvent(new CustomEvent("translated", { detail: answer, bubbles: true, composed: true }));
  }

  /** Answer of the service. @param {string} path @param {RequestInit} [init] @returns {Promise<Response>} */
  async #fetch(path, init) {
    const response = await fetch(`${(this.getAttribute("service") ?? ORIGIN).replace(/\/+$/, "")}/${path}`, init);
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    throw new Error(problem.detail ?? `The translation service answered with ${response.status}.`);
  }

  async #listTargets() {
    try {
      const languages = await (await this.#fetch("languages")).json();
      const source = this.getAttribute("source") ?? "auto";
      const from = languages.filter((/** @type {any} */ language) => source === "auto" || language.code === source);
      const codes = [...new Set(from.flatMap((/** @type {any} */ language) => language.targets))].sort();
      const names = new Intl.DisplayNames(navigator.languages, { type: "language", fallback: "code" });
      this.#target.replaceChildren(...codes.map((code) => el("option", { value: code }, names.of(code) ?? code)));
    } catch {
      this.#error.textContent = "The translation service cannot be reached.";
    }
  }

  /** A sentence with its source below. A word under the pointer or with the focus shades the source words it looks at.
   * @param {string} text @param {{ number: number, sentence: any }} event */
  #show(text, { number, sentence }) {
    const { start, end } = sentence.source;
    const original = wordsOf(Array.from(text).slice(start, end).join(""), sentence.source_tokens, start, false);
    const translated = wordsOf(sentence.text, sentence.target_tokens, 0, true);
    const shown = el("p", { class: "sentence", "data-number": String(number) }, ...translated.nodes, el("small", {}, ...original.nodes));
    const weights = sentence.attention[0]?.weights;
    const shade = (/** @type {Event} */ event) => {
      const row = ["pointerover", "focusin"].includes(event.type) ? weights?.[translated.elements.indexOf(event.target)] : undefined;
      original.elements.forEach((word, column) => {
        const weight = row?.[column] ?? 0;
        if (weight >= HIGHLIGHT_FROM) word.style.setProperty("--weight", String(weight));
        else word.style.removeProperty("--weight");
      });
    };
    for (const type of ["pointerover", "pointerout", "focusin", "focusout"]) shown.addEventListener(type, shade);
    const later = [...this.#output.children].find((other) => Number(other.dataset.number) > number);
    this.#output.insertBefore(shown, later ?? null);
  }
}

customElements.define("limelight-translate", LimelightTranslate);

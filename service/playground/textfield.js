// A text area that grows with its text and counts words. Ctrl+Enter sends its form.

const WORD = /\S+/g;

export class TextField {
  /** @param {any} area @param {HTMLElement} [count] place of the number of words */
  constructor(area, count) {
    this.area = area;
    this.count = count;
    area.addEventListener("input", () => this.#update());
    area.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      area.form.requestSubmit();
    });
    this.#update();
  }

  /** @param {string} text */
  set(text) {
    if (this.area.value === text) return;
    this.area.value = text;
    this.#update();
  }

  #update() {
    if (!CSS.supports("field-sizing", "content")) {
      this.area.style.height = "auto";
      this.area.style.height = `${this.area.scrollHeight + 2}px`; // the style sheet limits the height
    }
    if (!this.count) return;
    const text = this.area.value;
    const words = text.match(WORD)?.length ?? 0;
    const named = `${words.toLocaleString("en")} ${words === 1 ? "word" : "words"}`;
    this.count.textContent = text ? `${named}, ${text.length.toLocaleString("en")} characters` : "";
  }
}

// Translation of a document: upload, wait, download.

import { documentFormats, fetchDocument, sendDocument } from "./api.js";
import { announce, byId, download, el } from "./dom.js";
import { expected, problem } from "./messages.js";

export class DocumentUpload {
  /** @param {() => {source: string, target: string, model?: string, memory?: string, glossary?: string}} options fields of the form */
  constructor(options) {
    this.options = options;
    this.details = byId("translate-document");
    this.file = byId("document");
    this.place = byId("document-state");
    this.controller = new AbortController();
    this.details.addEventListener("toggle", () => this.#formats(), { once: true });
    this.file.addEventListener("change", () => this.file.files[0] && this.send(this.file.files[0]));
    // A file can also be dropped on the text.
    byId("q").addEventListener("dragover", (/** @type {DragEvent} */ event) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    });
    byId("q").addEventListener("drop", (/** @type {DragEvent} */ event) => {
      const file = event.dataTransfer?.files[0];
      if (!file) return;
      event.preventDefault();
      this.details.open = true;
      this.send(file);
    });
  }

  async #formats() {
    const formats = await documentFormats().catch(() => []);
    this.file.accept = formats.join(",");
    byId("document-formats").textContent = formats.length
      ? `Formats: ${formats.map((format) => format.slice(1)).join(", ")}. Layout, images and code stay as they are.`
      : "This service does not translate documents.";
    this.file.disabled = !formats.length;
  }

  /** @param {File} file */
  async send(file) {
    this.controller.abort();
    const { signal } = (this.controller = new AbortController());
    const form = new FormData();
    for (const [name, value] of Object.entries(this.options())) if (value) form.append(name, value);
    form.append("file", file);
    const cancel = el("button", { type: "button", class: "quiet", onclick: () => this.controller.abort() }, "Cancel");
    const bar = el("progress", { "aria-label": "Translating the document" });
    this.place.replaceChildren(el("p", { class: "progress" }, bar, `Translating ${file.name}`, cancel));
    try {
      const path = await sendDocument(form, signal);
      this.#offer(await fetchDocument(path, signal), decodeURIComponent(path.split("/").at(-1) ?? file.name));
    } catch (error) {
      if (signal.aborted) this.place.replaceChildren(el("p", { class: "note" }, "Cancelled."));
      else this.place.replaceChildren(problem(expected(error), { onRetry: () => this.send(file) }));
    }
    this.file.value = ""; // the same file can be selected again
  }

  /** @param {Blob} blob @param {string} name */
  #offer(blob, name) {
    const save = el("button", { type: "button", onclick: () => download(blob, name) }, `Save ${name}`);
    this.place.replaceChildren(el("p", { class: "progress" }, save, el("small", {}, `${Math.ceil(blob.size / 1024)} kB`)));
    announce(`${name} is translated`);
  }
}

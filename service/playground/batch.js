// Classification of the texts of a file: a table of the results, and its download.

import { ApiError, modelFields, post } from "./api.js";
import { parseCsv, writeCsv } from "./csv.js";
import { announce, byId, download, el, percent } from "./dom.js";
import { expected, problem } from "./messages.js";

/** @typedef {{label: string, score: number}} Result */

const TEXTS = 64; // of a request
const SHOWN = 200; // rows of the table

export class FileBatch {
  /** @param {() => string[]} keys the selected models */
  constructor(keys) {
    this.keys = keys;
    this.file = byId("classify-file");
    this.column = byId("classify-column");
    this.place = byId("classify-file-state");
    this.controller = new AbortController();
    this.file.addEventListener("change", () => this.file.files[0] && this.#open(this.file.files[0]));
    this.column.addEventListener("change", () => this.#classify());
  }

  /** @param {File} file */
  async #open(file) {
    this.name = file.name;
    const text = (await file.text()).replace(/^\ufeff/, "");
    const table = /\.(csv|tsv)$/i.test(file.name);
    const rows = table ? parseCsv(text) : text.split(/\r?\n/).map((line) => [line]);
    this.head = table ? (rows.shift() ?? []) : ["text"];
    this.rows = rows.filter((row) => row.some((field) => field.trim()));
    const named = this.head.findIndex((name) => /^(text|message|review|sentence|document)$/i.test(name.trim()));
    const longest = this.head.map((_, i) => this.rows.slice(0, 50).reduce((sum, row) => sum + (row[i]?.length ?? 0), 0));
    const chosen = named >= 0 ? named : longest.indexOf(Math.max(...longest));
    this.column.replaceChildren(...this.head.map((name, i) => el("option", { value: i, selected: i === chosen }, name || `column ${i + 1}`)));
    this.column.parentElement.hidden = this.head.length < 2;
    this.file.value = "";
    await this.#classify();
  }

  async #classify() {
    this.controller.abort();
    const { signal } = (this.controller = new AbortController());
    const keys = this.keys();
    const texts = this.rows.map((row) => row[Number(this.column.value)] ?? "");
    const bar = el("progress", { max: texts.length * keys.length, value: 0, "aria-label": "Progress of the file" });
    const count = el("span", {}, `0 of ${texts.length}`);
    const cancel = el("button", { type: "button", class: "quiet", onclick: () => this.controller.abort() }, "Cancel");
    this.place.replaceChildren(el("p", { class: "progress" }, bar, count, cancel));
    const done = () => {
      bar.value += 1;
      count.textContent = `${Math.floor(bar.value / keys.length)} of ${texts.length}`;
    };
    try {
      const columns = [];
      for (const key of keys) columns.push(await classifyAll(texts, key, signal, done));
      this.#show(texts, keys, columns);
    } catch (error) {
      if (signal.aborted) this.place.replaceChildren(el("p", { class: "note" }, "Cancelled."));
      else this.place.replaceChildren(problem(expected(error), { onRetry: () => this.#classify() }));
    }
  }

  /** @param {string[]} texts @param {string[]} keys @param {(Result | null)[][]} columns one per model */
  #show(texts, keys, columns) {
    const save = el("button", { type: "button", onclick: () => this.#save(keys, columns) }, "Save CSV");
    const counts = keys.map((key, i) => `${keys.length > 1 ? `${key}: ` : ""}${tally(columns[i].map((result) => result?.label ?? "empty"))}`);
    const cells = (/** @type {number} */ row) =>
      columns.map((column) => el("td", {}, column[row] ? `${column[row].label} ` : "empty", el("small", {}, column[row] ? percent(column[row].score) : "")));
    const head = el("tr", {}, el("th", {}, "text"), ...keys.map((key) => el("th", {}, key)));
    const body = texts.slice(0, SHOWN).map((text, row) => el("tr", {}, el("td", {}, text), ...cells(row)));
    const more = texts.length > SHOWN ? el("p", { class: "note" }, `The table shows ${SHOWN} of ${texts.length} texts. The file has all.`) : "";
    const table = el("table", {}, el("thead", {}, head), el("tbody", {}, ...body));
    this.place.replaceChildren(
      el("p", { class: "note" }, this.name),
      el("p", { class: "tally" }, counts.join("; ")),
      el("p", { class: "tools" }, save),
      el("div", { class: "scroll table", tabindex: 0, role: "region", "aria-label": "Results of the file" }, table),
      more,
    );
    announce(counts.join("; "));
  }

  /** @param {string[]} keys @param {(Result | null)[][]} columns */
  #save(keys, columns) {
    const head = [...this.head, ...keys.flatMap((key) => [`${key} label`, `${key} score`])];
    const rows = this.rows.map((row, i) => {
      const padded = this.head.map((_, field) => row[field] ?? "");
      return [...padded, ...columns.flatMap((column) => [column[i]?.label ?? "", column[i] ? String(column[i].score) : ""])];
    });
    download(new Blob(["\ufeff", writeCsv([head, ...rows])], { type: "text/csv" }), `${this.name.replace(/\.\w+$/, "")}-labels.csv`);
  }
}

/** @param {string[]} labels @returns {string} such as "4 spam, 1 ham" */
export function tally(labels) {
  const counts = new Map();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([label, count]) => `${count.toLocaleString("en")} ${label}`).join(", ");
}

/** Classify texts in requests of limited size. @param {string[]} texts @param {string} key @param {AbortSignal} signal
 * @param {() => void} onDone called after each text @returns {Promise<(Result | null)[]>} null for an empty text */
async function classifyAll(texts, key, signal, onDone) {
  /** @type {(Result | null)[]} */
  const results = Array(texts.length).fill(null);
  const visible = texts.flatMap((text, index) => (text.trim() ? [index] : []));
  for (let i = visible.length; i < texts.length; i++) onDone();
  const queue = [];
  for (let i = 0; i < visible.length; i += TEXTS) queue.push(visible.slice(i, i + TEXTS));
  while (queue.length) {
    const part = queue.shift() ?? [];
    try {
      const body = { text: part.map((index) => texts[index]), ...modelFields(key), attention: "none", truncate: true };
      const { predictions } = await post("classify", body, signal);
      part.forEach((index, i) => {
        results[index] = predictions[i];
        onDone();
      });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 429 && error.retryAfter) await pause(error.retryAfter, signal);
      else if (part.length < 2 || !["too_many_tokens", "batch_too_large", "payload_too_large"].includes(error.type)) throw error;
      const half = Math.ceil(part.length / 2);
      queue.unshift(part.slice(0, half), ...(part.length > half ? [part.slice(half)] : []));
    }
  }
  return results;
}

/** @param {number} seconds @param {AbortSignal} signal */
const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });

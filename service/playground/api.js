// Requests to the service. URLs are relative, so the page also works behind a path prefix of a proxy.

/**
 * @typedef {{text: string, start: number, end: number, special?: string}} Token offsets in code points
 * @typedef {{text: string, start: number, end: number, logprob: number | null}} TokenLogprob
 * @typedef {{kind: string, layer: number | null, head: number | null, weights: number[][]}} Matrix
 * @typedef {{label: string, score: number, scores: Record<string, number>, truncated: boolean, tokens: Token[],
 *   attention: Matrix[]}} Prediction
 * @typedef {{text: string, score: number, source: {start: number, end: number}, source_tokens: Token[],
 *   target_tokens: Token[], attention: Matrix[], alternatives?: {text: string, score: number}[],
 *   match?: {score: number, used: boolean, source: string, target: string}}} Sentence
 * @typedef {{name: string, version: string, ready: boolean, problem: string | null, task?: string, description?: string,
 *   default?: boolean, labels?: string[], source?: string, target?: string}} Model
 * @typedef {{name: string, value: number, data: string, detail: string}} Metric
 * @typedef {Model & {architecture?: Record<string, unknown>, limits?: Record<string, number | null>, metrics?: Metric[],
 *   attention?: {kind: string, layers: number | null, heads: number | null}[],
 *   data?: {name: string, origin: string, licence: string}[], training?: any,
 *   pictures?: {caption: string, path: string}[]}} ModelDetail
 */

/** An error answer, or a failed connection (status 0). */
export class ApiError extends Error {
  /** @param {{status: number, type: string, title: string, detail: string, retryAfter?: number}} problem */
  constructor({ status, type, title, detail, retryAfter }) {
    super(detail);
    this.status = status;
    this.type = type;
    this.title = title;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }
}

/**
 * @param {string} path
 * @param {{body?: object, signal?: AbortSignal}} [options] POST if there is a body, else GET
 * @returns {Promise<any>} the answer; rejects with ApiError, or AbortError after an abort
 */
async function send(path, { body, signal } = {}) {
  const post = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const { response, content } = await connected(signal, async () => {
    const response = await fetch(path, { signal, ...post });
    const content = await response.json().catch((error) => {
      if (response.ok || error.name === "AbortError") throw error;
    });
    return { response, content };
  });
  if (response.ok) return content;
  throw apiError(response.status, content, Number(response.headers.get("Retry-After")) || undefined);
}

/** Convert a failed connection to an ApiError. @template T @param {AbortSignal | undefined} signal @param {() => Promise<T>} exchange @returns {Promise<T>} */
async function connected(signal, exchange) {
  try {
    return await exchange();
  } catch (error) {
    if (signal?.aborted || error instanceof ApiError) throw error;
    const detail = "Check that the service is running and that your network reaches it.";
    throw new ApiError({ status: 0, type: "unreachable", title: "The service cannot be reached", detail });
  }
}

/** @param {number} status @param {any} content a problem document, or anything else @param {number} [retryAfter] seconds */
const apiError = (status, content, retryAfter) =>
  new ApiError({
    status,
    type: content?.error_type ?? "http_error",
    title: content?.title ?? `Unexpected answer: HTTP ${status}`,
    detail: content?.detail ?? "The answer came from a proxy between this page and the service.",
    retryAfter,
  });

/** @returns {Promise<Model[]>} */
export const listModels = async () => (await send("models")).models;

/** @param {string} key @returns {Promise<ModelDetail>} */
export function getModel(key) {
  const { model, version } = modelFields(key);
  return send(`models/${encodeURIComponent(model)}${version ? `?version=${version}` : ""}`);
}

/** @returns {Promise<{code: string, name: string, targets: string[]}[]>} */
export const listLanguages = () => send("languages");

/** @param {string} path @param {object} body @param {AbortSignal} signal */
export const post = (path, body, signal) => send(path, { body, signal });

/**
 * Like `post`, and calls `onEvent` with the name and the content of each event before the answer.
 * @param {string} path @param {object} body @param {AbortSignal} signal @param {(name: string, content: any) => void} onEvent
 * @returns {Promise<any>} the content of the event `done`
 */
export function stream(path, body, signal, onEvent) {
  const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
  return connected(signal, async () => {
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
    if (!response.ok || !response.body) throw await refused(response);
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) return response.json();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the stream ended early");
      const events = (text + value).split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) {
        if (event.startsWith(":")) continue; // a comment keeps the connection open
        const [name, data] = event.split("\n").map((line) => line.slice(line.indexOf(":") + 2));
        const content = JSON.parse(data);
        if (name === "error") throw apiError(content.status, content);
        if (name === "done") return content;
        onEvent(name, content);
      }
    }
  });
}

/** The languages of a text, best first. Confidences are from 0 to 100.
 * @param {string} q @param {AbortSignal} signal @returns {Promise<{language: string, confidence: number}[]>} */
export const detect = (q, signal) => send("detect", { body: { q }, signal });

/** @returns {Promise<{name: string, source: string | null, target: string | null, terms: number}[]>} */
export const listGlossaries = () => send("glossaries");

/** @returns {Promise<{name: string, source: string, target: string, units: number}[]>} an entry for each language pair */
export const listMemories = () => send("memories");

/** Store a TMX file as a translation memory. @param {string} name @param {Blob} content @param {string} token of an admin, or "" */
export function storeMemory(name, content, token) {
  const headers = { "Content-Type": "application/xml", ...(token && { Authorization: `Bearer ${token}` }) };
  return connected(undefined, async () => {
    const response = await fetch(`admin/memories/${encodeURIComponent(name)}`, { method: "PUT", headers, body: content });
    if (!response.ok) throw await refused(response);
  });
}

/** @returns {Promise<string[]>} extensions of documents that the service translates, such as ".docx" */
export const documentFormats = async () => (await send("frontend/settings")).supportedFilesFormat;

/** Send a document. @param {FormData} form @param {AbortSignal} signal @returns {Promise<string>} path of its translation */
export function sendDocument(form, signal) {
  return connected(signal, async () => {
    const response = await fetch("translate_file", { method: "POST", body: form, signal });
    if (!response.ok) throw await refused(response);
    const { translatedFileUrl } = await response.json();
    return translatedFileUrl.slice(translatedFileUrl.indexOf("download_file/"));
  });
}

/** A translated document; waits until it is ready. @param {string} path @param {AbortSignal} signal @returns {Promise<Blob>} */
export function fetchDocument(path, signal) {
  return connected(signal, async () => {
    for (;;) {
      const response = await fetch(path, { signal });
      if (response.ok) return response.blob();
      if (response.status !== 504) throw await refused(response);
    }
  });
}

/** @param {Response} response @returns {Promise<ApiError>} */
async function refused(response) {
  const content = await response.json().catch(() => undefined);
  return apiError(response.status, content, Number(response.headers.get("Retry-After")) || undefined);
}

/** Request fields that select a model. Its key is its name, or name/version if it is not the newest version.
 * @param {string} key @returns {{model: string, version?: number}} */
export function modelFields(key) {
  const [model, version] = key.split("/");
  return version ? { model, version: Number(version) } : { model };
}

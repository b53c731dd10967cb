// The service's interface. Addresses are relative, so that the page also works behind a path of a proxy.

/**
 * @typedef {{text: string, start: number, end: number, special?: string}} Token offsets in code points
 * @typedef {{text: string, start: number, end: number, logprob: number | null}} LikelyToken
 * @typedef {{kind: string, layer: number | null, head: number | null, weights: number[][]}} Matrix
 * @typedef {{label: string, score: number, scores: Record<string, number>, truncated: boolean, tokens: Token[],
 *   attention: Matrix[]}} Prediction
 * @typedef {{text: string, score: number, source: {start: number, end: number}, source_tokens: Token[],
 *   target_tokens: Token[], attention: Matrix[], alternatives?: {text: string, score: number}[]}} Sentence
 * @typedef {{name: string, version: string, ready: boolean, problem: string | null, task?: string, description?: string,
 *   default?: boolean, labels?: string[], source?: string, target?: string}} Model
 * @typedef {{name: string, value: number, data: string, detail: string}} Metric
 * @typedef {Model & {architecture?: Record<string, unknown>, limits?: Record<string, number | null>, metrics?: Metric[],
 *   attention?: {kind: string, layers: number | null, heads: number | null}[],
 *   data?: {name: string, origin: string, licence: string}[], training?: any,
 *   pictures?: {caption: string, path: string}[]}} ModelDetail
 */

/** What went wrong, in the words of the service where it had any. */
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
 * @param {{body?: object, signal?: AbortSignal}} [options] with a body it is a POST
 * @returns {Promise<any>} the answer; rejects with ApiError, or AbortError where the signal says so
 */
async function ask(path, { body, signal } = {}) {
  const post = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const { response, content } = await reached(signal, async () => {
    const response = await fetch(path, { signal, ...post });
    const content = await response.json().catch((error) => {
      if (response.ok || error.name === "AbortError") throw error;
    });
    return { response, content };
  });
  if (response.ok) return content;
  throw refusal(response.status, content, Number(response.headers.get("Retry-After")) || undefined);
}

/** @template T @param {AbortSignal | undefined} signal @param {() => Promise<T>} exchange @returns {Promise<T>} */
async function reached(signal, exchange) {
  try {
    return await exchange();
  } catch (error) {
    if (signal?.aborted || error instanceof ApiError) throw error;
    const detail = "Check that it is running and that this machine has a connection to it.";
    throw new ApiError({ status: 0, type: "unreachable", title: "The service cannot be reached", detail });
  }
}

/** @param {number} status @param {any} content a problem document, if it is one @param {number} [retryAfter] */
const refusal = (status, content, retryAfter) =>
  new ApiError({
    status,
    type: content?.error_type ?? "http_error",
    title: content?.title ?? `The answer was HTTP ${status}`,
    detail: content?.detail ?? "Something between this page and the service answered in its place.",
    retryAfter,
  });

/** @returns {Promise<Model[]>} */
export const listModels = async () => (await ask("models")).models;

/** @param {string} key @returns {Promise<ModelDetail>} */
export function getModel(key) {
  const { model, version } = named(key);
  return ask(`models/${encodeURIComponent(model)}${version ? `?version=${version}` : ""}`);
}

/** @returns {Promise<{code: string, name: string, targets: string[]}[]>} */
export const listLanguages = () => ask("languages");

/** @param {string} path @param {object} body @param {AbortSignal} signal */
export const post = (path, body, signal) => ask(path, { body, signal });

/**
 * The same answer, and every token as soon as it is written.
 * @param {string} path @param {object} body @param {AbortSignal} signal @param {(token: any) => void} heard
 * @returns {Promise<any>}
 */
export function stream(path, body, signal, heard) {
  const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
  return reached(signal, async () => {
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
    if (!response.ok || !response.body) {
      const content = await response.json().catch(() => undefined);
      throw refusal(response.status, content, Number(response.headers.get("Retry-After")) || undefined);
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the stream broke off");
      const events = (text + value).split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) {
        const [name, data] = event.split("\n").map((line) => line.slice(line.indexOf(":") + 2));
        const content = JSON.parse(data);
        if (name === "token") heard(content);
        if (name === "error") throw refusal(content.status, content);
        if (name === "done") return content;
      }
    }
  });
}

/** A model's key is its name, or name/version of one that is not the newest: what a request has to say to get it.
 * @param {string} key @returns {{model: string, version?: number}} */
export function named(key) {
  const [model, version] = key.split("/");
  return version ? { model, version: Number(version) } : { model };
}

/** @param {string} path @param {object} body @returns {string} the request as a command for a shell */
export function curl(path, body) {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl -s ${new URL(path, document.baseURI)} -H 'Content-Type: application/json' -d '${quoted}'`;
}

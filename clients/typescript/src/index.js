/**
 * Client of the Limelight service for browsers and Node.
 * @module
 */

import { Deadline, sleep } from "./deadline.js";
import { AnswerError, ConnectionFailed, errorOf, LimelightError, TimedOut } from "./errors.js";
import { eventsOf } from "./events.js";
import { partOf, translations } from "./results.js";

export { AnswerError, ConnectionFailed, LimelightError, partOf, TimedOut };

/**
 * @typedef {import("./openapi.js").paths} Paths
 * @typedef {{ signal?: AbortSignal }} Abortable `signal` cancels the request, which then rejects with its reason
 * @typedef {Partial<Omit<Paths["/classify"]["post"]["requestBody"]["content"]["application/json"], "text">> & Abortable} ClassifyOptions
 * @typedef {Partial<Omit<Paths["/translate"]["post"]["requestBody"]["content"]["application/json"], "q" | "source" | "target" | "api_key">> & Abortable} TranslateOptions
 * @typedef {Partial<Omit<Paths["/generate"]["post"]["requestBody"]["content"]["application/json"], "prompt">> & Abortable} GenerateOptions
 * @typedef {Partial<Omit<Paths["/explain"]["post"]["requestBody"]["content"]["application/json"], "text">> & Abortable} ExplainOptions
 * @typedef {{ model?: string, beam_size?: number, glossary?: string, waitMs?: number } & Abortable} DocumentOptions
 * @typedef {{ source?: string, target?: string } & Abortable} PairOptions
 *
 * @typedef {import("./results.js").Prediction} Prediction
 * @typedef {import("./results.js").Translation} Translation
 * @typedef {import("./results.js").Sentence} Sentence
 * @typedef {import("./results.js").Generation} Generation
 * @typedef {import("./results.js").Explanation} Explanation
 * @typedef {import("./results.js").Document} Document
 * @typedef {import("./results.js").StoredGlossary} StoredGlossary
 * @typedef {import("./results.js").Detection} Detection
 * @typedef {import("./results.js").Language} Language
 * @typedef {import("./results.js").Model} Model
 * @typedef {import("./results.js").ModelDetail} ModelDetail
 * @typedef {import("./results.js").TranslateEvent} TranslateEvent
 * @typedef {import("./results.js").GenerateEvent} GenerateEvent
 *
 * @typedef {{ method?: string, body?: any, accept?: string, signal?: AbortSignal }} Request
 */

const POLL_MS = 1000;
const BUSY = [429, 503];
const EVENTS = "text/event-stream";

/**
 * Client of the service at `url`. Options of the methods have the names of the HTTP API. One text returns one result, a
 * list returns a list. Requests that are answered with 429 or 503 are repeated after `Retry-After`.
 *
 * Methods reject with an AnswerError if the service answers with an error, with ConnectionFailed if it cannot be
 * reached, and with TimedOut if it does not answer in time. All are a LimelightError.
 */
export class Limelight {
  #url;
  #apiKey;
  #retries;
  #timeoutMs;
  #fetch;

  /**
   * @param {string} url
   * @param {object} [options]
   * @param {string} [options.apiKey] sent as `Authorization: Bearer`
   * @param {number} [options.retries] maximum number of repeats after 429 and 503
   * @param {number} [options.timeoutMs] maximum wait for an answer, and for each event of a stream
   * @param {typeof fetch} [options.fetch]
   */
  constructor(url, { apiKey, retries = 3, timeoutMs = 60_000, fetch = globalThis.fetch } = {}) {
    this.#url = url.replace(/\/+$/, "");
    this.#apiKey = apiKey;
    this.#retries = retries;
    this.#timeoutMs = timeoutMs;
    this.#fetch = fetch.bind(globalThis);
  }

  /**
   * Classify a text, or each text of a list.
   * @template {string | string[]} T
   * @param {T} text
   * @param {ClassifyOptions} [options]
   * @returns {Promise<T extends string ? Prediction : Prediction[]>}
   */
  async classify(text, { signal, ...options } = {}) {
    const { predictions } = await this.#json("/classify", { body: { text, ...options }, signal });
    return typeof text === "string" ? predictions[0] : predictions;
  }

  /**
   * Translate a text, or each text of a list.
   * @template {string | string[]} T
   * @param {T} q
   * @param {string} source language code, or "auto"
   * @param {string} target language code
   * @param {TranslateOptions} [options]
   * @returns {Promise<T extends string ? Translation : Translation[]>}
   */
  async translate(q, source, target, { signal, ...options } = {}) {
    const found = translations(await this.#json("/translate", { body: { q, source, target, ...options }, signal }));
    return /** @type {any} */ (typeof q === "string" ? found[0] : found);
  }

  /**
   * Yield each sentence when it is translated, then the full translation (`done`).
   * @param {string} q
   * @param {string} source
   * @param {string} target
   * @param {TranslateOptions} [options]
   * @returns {AsyncGenerator<TranslateEvent, void, undefined>}
   */
  async *stream(q, source, target, { signal, ...options } = {}) {
    for await (const { event, data } of this.#events("/translate", { body: { q, source, target, ...options }, signal })) {
      if (event === "token") yield { event, token: data };
      else if (event === "sentence") yield { event, ...data };
      else if (event === "done") yield { event, translation: translations(data)[0] };
    }
  }

  /**
   * Continue a prompt.
   * @param {string} prompt
   * @param {GenerateOptions} [options]
   * @returns {Promise<Generation>}
   */
  async generate(prompt, { signal, ...options } = {}) {
    return this.#json("/generate", { body: { prompt, ...options }, signal });
  }

  /**
   * Yield each token when it is generated, then the full result (`done`).
   * @param {string} prompt
   * @param {GenerateOptions} [options]
   * @returns {AsyncGenerator<GenerateEvent, void, undefined>}
   */
  async *write(prompt, { signal, ...options } = {}) {
    for await (const { event, data } of this.#events("/generate", { body: { prompt, ...options }, signal })) {
      if (event === "token") yield { event, token: data };
      else if (event === "done") yield { event, generation: data };
    }
  }

  /**
   * Return a weight per word (or token) by several methods, with their faithfulness.
   * @param {string} text
   * @param {ExplainOptions} [options]
   * @returns {Promise<Explanation>}
   */
  async explain(text, { signal, ...options } = {}) {
    return this.#json("/explain", { body: { text, ...options }, signal });
  }

  /**
   * Translate a document. The format follows from the extension of its name.
   *
   * Rejects with an AnswerError with status 504 if the translation takes longer than `waitMs` (10 minutes).
   * @param {Blob} content
   * @param {string} name
   * @param {string} source language code, or "auto"
   * @param {string} target
   * @param {DocumentOptions} [options]
   * @returns {Promise<Document>}
   */
  async translateDocument(content, name, source, target, { signal, waitMs = 600_000, ...options } = {}) {
    const end = Date.now() + waitMs;
    const form = new FormData();
    form.append("file", content, name);
    for (const [key, value] of Object.entries({ source, target, ...options })) form.append(key, String(value));
    const { translatedFileUrl } = await this.#json("/translate_file", { body: form, signal });
    const [job, file] = new URL(translatedFileUrl).pathname.split("/").slice(-2);
    for (;;) {
      try {
        const found = await this.#ask(`/download_file/${job}/${file}`, { signal }, (response) => response.blob());
        return { name: decodeURIComponent(file), content: found };
      } catch (error) {
        if (!(error instanceof AnswerError) || error.status !== 504 || Date.now() >= end) throw error;
        await sleep(POLL_MS, signal);
      }
    }
  }

  /** Return the stored glossaries, one entry per language pair. @returns {Promise<StoredGlossary[]>} */
  async glossaries() {
    return this.#json("/glossaries");
  }

  /**
   * Store terms for a language pair, or for every pair. Needs the admin token as `apiKey`.
   * @param {string} name
   * @param {Record<string, string>} terms source terms with their required translations
   * @param {PairOptions} [options]
   * @returns {Promise<StoredGlossary[]>} the entries of the glossary
   */
  async putGlossary(name, terms, { signal, ...pair } = {}) {
    return this.#json(glossaryPath(name, pair), { method: "PUT", body: terms, signal });
  }

  /**
   * Remove a glossary, or its terms for a language pair. Needs the admin token as `apiKey`.
   * @param {string} name
   * @param {PairOptions} [options]
   * @returns {Promise<void>}
   */
  async deleteGlossary(name, { signal, ...pair } = {}) {
    await this.#ask(glossaryPath(name, pair), { method: "DELETE", signal }, (response) => response.text());
  }

  /** Return the most likely languages of a text, best first. @param {string} q @returns {Promise<Detection[]>} */
  async detect(q) {
    return this.#json("/detect", { body: { q } });
  }

  /** Return all models. @returns {Promise<Model[]>} */
  async models() {
    return (await this.#json("/models")).models;
  }

  /**
   * Return a model with its limits, metrics and data.
   * @param {string} name
   * @param {number} [version] the highest by default
   * @returns {Promise<ModelDetail>}
   */
  async model(name, version) {
    return this.#json(`/models/${encodeURIComponent(name)}${version === undefined ? "" : `?version=${version}`}`);
  }

  /** Return the source languages with their targets. @returns {Promise<Language[]>} */
  async languages() {
    return this.#json("/languages");
  }

  /** @param {string} path @param {Request} [request] @returns {Promise<any>} */
  #json(path, request = {}) {
    return this.#ask(path, request, async (response) => {
      const text = await response.text();
      if (!(response.headers.get("content-type") ?? "").startsWith("application/json")) throw errorOf(response.status, text);
      return JSON.parse(text);
    });
  }

  /**
   * @template T
   * @param {string} path
   * @param {Request} request
   * @param {(response: Response) => Promise<T>} read
   * @returns {Promise<T>}
   */
  async #ask(path, request, read) {
    const deadline = new Deadline(this.#timeoutMs, request.signal);
    try {
      const response = await this.#send(path, request, deadline);
      return await read(response);
    } catch (error) {
      throw this.#errorOf(error, deadline);
    } finally {
      deadline.close();
    }
  }

  /** @param {string} path @param {Request} request @returns {AsyncGenerator<{ event: string, data: any }>} */
  async *#events(path, request) {
    const deadline = new Deadline(this.#timeoutMs, request.signal);
    let done = false;
    try {
      const response = await this.#send(path, { ...request, accept: EVENTS }, deadline);
      const body = /** @type {ReadableStream<BufferSource>} */ (response.body);
      for await (const { event, data } of eventsOf(body.pipeThrough(new TextDecoderStream()).getReader())) {
        deadline.stop();
        if (event === "error") throw new AnswerError(data.status, data.error_type, data.detail);
        done ||= event === "done";
        yield { event, data };
        deadline.start();
      }
      if (!done) throw new ConnectionFailed("the stream ended before the answer was complete");
    } catch (error) {
      throw this.#errorOf(error, deadline);
    } finally {
      if (!done) deadline.abort();
      deadline.close();
    }
  }

  /**
   * Send a request, again while the service is busy, and return the answer if it is no error.
   * @param {string} path @param {Request} request @param {Deadline} deadline @returns {Promise<Response>}
   */
  async #send(path, { method, body, accept = "application/json" }, deadline) {
    const form = body instanceof FormData;
    const headers = new Headers({ Accept: accept });
    if (this.#apiKey) headers.set("Authorization", `Bearer ${this.#apiKey}`);
    if (body !== undefined && !form) headers.set("Content-Type", "application/json");
    for (let attempt = 0; ; attempt++) {
      deadline.start();
      const response = await this.#fetch(this.#url + path, {
        method: method ?? (body === undefined ? "GET" : "POST"),
        headers,
        body: body === undefined || form ? body : JSON.stringify(body),
        signal: deadline.signal,
      });
      if (response.ok) return response;
      const content = await response.text();
      if (!BUSY.includes(response.status) || attempt >= this.#retries) throw errorOf(response.status, content);
      deadline.stop();
      const after = response.headers.get("retry-after") ?? "";
      await sleep(/^\d+$/.test(after) ? 1000 * Number(after) : 500 * 2 ** attempt, deadline.signal);
    }
  }

  /** @param {unknown} error @param {Deadline} deadline @returns {unknown} an error of the client, or the caller's reason */
  #errorOf(error, deadline) {
    if (error instanceof LimelightError) return error;
    if (deadline.passed) return new TimedOut(`no answer from ${this.#url} in time`, { cause: error });
    if (deadline.signal.aborted) return deadline.signal.reason;
    return new ConnectionFailed(`no answer from ${this.#url}: ${error}`, { cause: error });
  }
}

/** @param {string} name @param {Record<string, string | undefined>} pair @returns {string} */
function glossaryPath(name, pair) {
  const given = Object.entries(pair).flatMap(([side, code]) => (code === undefined ? [] : [[side, code]]));
  const query = new URLSearchParams(given).toString();
  return `/admin/glossaries/${encodeURIComponent(name)}${query && `?${query}`}`;
}

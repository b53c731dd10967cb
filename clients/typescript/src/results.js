/**
 * @typedef {import("./openapi.js").components["schemas"]} Schemas
 * @typedef {Schemas["Prediction"]} Prediction
 * @typedef {Schemas["Sentence"]} Sentence
 * @typedef {Schemas["GenerateResponse"]} Generation
 * @typedef {import("./openapi.js").paths["/explain"]["post"]["responses"]["200"]["content"]["application/json"]} Explanation
 * @typedef {Schemas["StoredGlossary"]} StoredGlossary
 * @typedef {Schemas["Detection"]} Detection
 * @typedef {Schemas["Language"]} Language
 * @typedef {Schemas["Model"]} Model
 * @typedef {Schemas["ModelDetail"]} ModelDetail
 *
 * @typedef {object} FoundByTranslate
 * @property {string | null} language detected source language if `source` was "auto"
 * @property {string[]} alternatives other translations, best first
 * @typedef {Schemas["Translation"] & FoundByTranslate} Translation
 *
 * @typedef {{ name: string, content: Blob }} Document
 *
 * @typedef {{ translation: number, number: number, text: string, weights?: number[] }} TargetToken a new token of a
 *   sentence; only with `beam_size` 1
 * @typedef {{ event: "sentence", translation: number, number: number, sentence: Sentence }} SentenceEvent
 * @typedef {{ event: "token", token: TargetToken } | SentenceEvent | { event: "done", translation: Translation }} TranslateEvent
 * @typedef {Schemas["LikelyToken"] & { weights?: number[] }} GeneratedToken
 * @typedef {{ event: "token", token: GeneratedToken } | { event: "done", generation: Generation }} GenerateEvent
 */

/**
 * @param {any} answer of /translate
 * @returns {Translation[]}
 */
export function translations(answer) {
  const listed = Array.isArray(answer.translatedText);
  const { alternatives: others, detectedLanguage: languages } = answer;
  return answer.translations.map((/** @type {any} */ translation, /** @type {number} */ n) => ({
    ...translation,
    language: languages ? (listed ? languages[n] : languages).language : null,
    alternatives: others ? (listed ? others[n] : others) : [],
  }));
}

/**
 * The part of a text with these offsets. The service counts code points; strings count UTF-16 units.
 * @param {string} text
 * @param {{ start: number, end: number }} span a token, a sentence's `source`, or another part
 * @returns {string}
 */
export function partOf(text, { start, end }) {
  return Array.from(text).slice(start, end).join("");
}

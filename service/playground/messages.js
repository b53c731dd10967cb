// Error messages.

import { ApiError } from "./api.js";
import { el } from "./dom.js";

/** error_type -> title. Other errors have the title of the service. */
const TITLES = {
  empty_text: "The text is empty",
  text_too_long: "The text is too long for this model",
  payload_too_large: "The text exceeds the limit of the service",
  model_not_ready: "The model is not ready",
  model_not_found: "Unknown model",
  overloaded: "The service is busy",
  inference_timeout: "The answer took too long",
  unsupported_language_pair: "No model translates between these languages",
};

/** error_type -> a cure. */
const CURES = {
  unreachable: "The page tries again until the service answers.",
  empty_text: "Type a text with at least one letter.",
  text_too_long: "Shorten the text, or select a model with a higher limit.",
  payload_too_large: "Split the text, or translate it as a document.",
  too_many_tokens: "Shorten the text.",
  batch_too_large: "Send fewer texts.",
  model_not_ready: "The page tries again when it is loaded.",
  model_not_found: "Select a model of the list.",
  unsupported_language_pair: "Select another language.",
  unsupported_option: "Change the option, or select another model.",
  inference_timeout: "Shorten the text, or try again when the service is less busy.",
  unauthorized: "This service needs an API key: call it with curl or a client.",
  forbidden: "This service needs an API key: call it with curl or a client.",
  glossary_not_found: "Select a glossary of the list.",
  memory_not_found: "Select a translation memory of the list.",
  unsupported_format: "Save the document in one of the formats above.",
};

/**
 * @param {ApiError} error
 * @param {{onRetry?: () => void, onCut?: () => void}} [actions] onCut: called to truncate the text at the limit
 * @returns {HTMLElement}
 */
export function problem(error, { onRetry, onCut } = {}) {
  const box = el("div", { class: "problem", role: "alert", "data-type": error.type });
  const wait = error.retryAfter ? ` Wait ${error.retryAfter} s before the next try.` : "";
  box.append(el("strong", {}, TITLES[error.type] ?? error.title), el("p", {}, [sentence(error.detail) + wait, CURES[error.type]].filter(Boolean).join(" ")));
  const again = ["unreachable", "overloaded", "model_not_ready", "inference_timeout", "inference_failed"];
  if (onCut && error.type === "text_too_long") {
    box.append(el("button", { type: "button", class: "quiet", onclick: onCut }, "Truncate the text"));
  } else if (onRetry && (again.includes(error.type) || error.status >= 500)) {
    box.append(el("button", { type: "button", class: "quiet", onclick: onRetry }, "Try again"));
  }
  return box;
}

/** @param {unknown} error @returns {ApiError} the error itself; other errors are defects of the page and are thrown */
export function expected(error) {
  if (error instanceof ApiError) return error;
  throw error;
}

/** @param {string} detail @returns {string} with a capital and a full stop */
function sentence(detail) {
  const text = detail.replace(/^text 0\b/, "the text"); // the page sends a single text
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

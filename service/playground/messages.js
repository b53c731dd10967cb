// What a person is told when there is no answer.

import { ApiError } from "./api.js";
import { el } from "./dom.js";

/** error_type -> a title in the page's words; for any other the service's own title is shown. */
const TITLES = {
  empty_text: "There is nothing to read yet",
  text_too_long: "The text is too long for this model",
  payload_too_large: "The text is too long for this service",
  model_not_ready: "The model is not ready",
  model_not_found: "There is no such model",
  overloaded: "The service is busy",
  inference_timeout: "The answer took too long",
  unsupported_language_pair: "Nothing here translates between these languages",
};

/**
 * @param {ApiError} error
 * @param {{onRetry?: () => void, onCut?: () => void}} [actions] onCut: where the text may be cut to the limit
 * @returns {HTMLElement}
 */
export function problem(error, { onRetry, onCut } = {}) {
  const box = el("div", { class: "problem", role: "alert", "data-type": error.type });
  const wait = error.retryAfter ? ` Wait ${error.retryAfter} s before the next try.` : "";
  box.append(el("strong", {}, TITLES[error.type] ?? error.title), el("p", {}, sentence(error.detail) + wait));
  const again = ["unreachable", "overloaded", "model_not_ready", "inference_timeout", "inference_failed"];
  if (onCut && error.type === "text_too_long") {
    box.append(el("button", { type: "button", class: "quiet", onclick: onCut }, "Read only its beginning"));
  } else if (onRetry && (again.includes(error.type) || error.status >= 500)) {
    box.append(el("button", { type: "button", class: "quiet", onclick: onRetry }, "Try again"));
  }
  return box;
}

/** @param {unknown} error @returns {ApiError} it, where it is one; a mistake in this page is not hidden behind a message */
export function expected(error) {
  if (error instanceof ApiError) return error;
  throw error;
}

/** @param {string} detail @returns {string} with a capital and a full stop */
function sentence(detail) {
  const text = detail.replace(/^text 0\b/, "the text"); // the page asks about one only
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

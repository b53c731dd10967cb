// A link to the state of the page. A long text is not in the URL; the user is asked about it.

import { copy, copyButton, el, announce } from "./dom.js";
import { longLink, parse } from "./state.js";

/** @returns {HTMLElement} the button, and the question about a long text */
export function shareButton() {
  const place = el("span", { class: "share" });
  const button = copyButton("Copy link", () => location.href);
  const ask = (/** @type {MouseEvent} */ event) => {
    const long = longLink(parse(location.hash).view);
    if (!long) return;
    event.stopImmediatePropagation();
    const whole = new URL(long, location.href).href;
    const answer = (/** @type {string} */ label, /** @type {string} */ link) =>
      el("button", { type: "button", class: "quiet", onclick: () => take(link) }, label);
    question.replaceChildren(
      `The text makes the link ${Math.ceil(whole.length / 1000)} kB long. `,
      answer("Without the text", location.href),
      answer("With the text", whole),
    );
    question.hidden = false;
  };
  const take = async (/** @type {string} */ link) => {
    await copy(link);
    question.hidden = true;
    button.focus();
    announce("Copied");
  };
  const question = el("span", { class: "question", hidden: true, role: "status" });
  button.addEventListener("click", ask, { capture: true });
  place.append(button, question);
  return place;
}

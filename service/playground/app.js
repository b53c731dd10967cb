// Entry point: routes the URL hash to a view.

import { Catalogue } from "./catalogue.js";
import { Classify } from "./classify.js";
import { byId } from "./dom.js";
import { Generate } from "./generate.js";
import { Models } from "./models.js";
import { pastInputs } from "./past.js";
import { Recovery, isUnreachable } from "./recovery.js";
import { shareButton } from "./share.js";
import { parse, remember } from "./state.js";
import { Translate } from "./translate.js";

const catalogue = new Catalogue();
const views = {
  classify: new Classify(catalogue),
  translate: new Translate(catalogue),
  generate: new Generate(catalogue),
  models: new Models(catalogue),
};

/** Show the view of the URL hash. */
function route() {
  const { view, values } = parse(location.hash);
  for (const [name, each] of Object.entries(views)) each.section.hidden = name !== view;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.getAttribute("data-view") === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `Limelight: ${view}`;
  views[view].show(values);
}

/** The view of the URL hash. */
const shown = () => views[parse(location.hash).view];

/** Send the request of a view again if it got no answer. */
function repeat() {
  const { outcomes = [] } = /** @type {any} */ (shown());
  if (outcomes.some((/** @type {any} */ { error }) => isUnreachable(error))) /** @type {any} */ (shown()).ask();
}

/** Show an earlier input. @param {import("./past.js").Input} input */
function open({ view, values }) {
  remember(view, values);
  route();
}

addEventListener("hashchange", route);
catalogue.addEventListener("change", () => shown().refresh());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  // Draw again: a heatmap keeps the colours it was drawn with.
  for (const view of Object.values(views)) view.render();
});
byId("share").append(pastInputs(open), shareButton());
const recovery = new Recovery(catalogue, repeat);
route();
recovery.load();

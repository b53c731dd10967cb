// Entry point: routes the URL hash to a view.

import { Catalogue } from "./catalogue.js";
import { Classify } from "./classify.js";
import { byId } from "./dom.js";
import { Generate } from "./generate.js";
import { expected, problem } from "./messages.js";
import { Models } from "./models.js";
import { shareButton } from "./share.js";
import { parse } from "./state.js";
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

async function load() {
  byId("outage").replaceChildren();
  try {
    await catalogue.load();
  } catch (error) {
    byId("outage").replaceChildren(problem(expected(error), { onRetry: load }));
  }
}

addEventListener("hashchange", route);
catalogue.addEventListener("change", () => views[parse(location.hash).view].refresh());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  // Draw again: a heatmap keeps the colours it was drawn with.
  for (const view of Object.values(views)) view.render();
});
byId("share").append(shareButton());
route();
load();

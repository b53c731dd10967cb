// A request as code of other programs.

import { copyButton, el } from "./dom.js";

/** Options with their default values, which code leaves out. */
const UNSAID = { attention: "summary", attention_unit: "token", beam_size: 4, truncate: false, top_p: 1 };

/** Name of the client's method -> names of the fields that come first, without their names. */
const POSITIONAL = { classify: ["text"], explain: ["text"], translate: ["q", "source", "target"], generate: ["prompt"] };

/** Installs the Python client and the JavaScript client, in the repository of the service. */
const INSTALL = { python: "pip install ./clients/python", javascript: "npm install ./clients/typescript" };

/** Name of the client's method -> lines of Python that print an answer. */
const PRINTED = {
  classify: (/** @type {string} */ call) => [`prediction = ${call}`, "print(prediction.label, prediction.score)"],
  translate: (/** @type {string} */ call) => [`print(${call}.text)`],
  generate: (/** @type {string} */ call) => [`print(${call}.text)`],
  explain: (/** @type {string} */ call) => [
    `explanation = ${call}`,
    'for token, weight in zip(explanation.tokens, explanation.weights("occlusion")):',
    "    print(token.text, weight)",
  ],
};

/** Name of the client's method -> lines of JavaScript that print an answer. */
const LOGGED = {
  classify: (/** @type {string} */ call) => [`const prediction = await ${call};`, "console.log(prediction.label, prediction.score);"],
  translate: (/** @type {string} */ call) => [`const translation = await ${call};`, "console.log(translation.text);"],
  generate: (/** @type {string} */ call) => [`const generation = await ${call};`, "console.log(generation.text);"],
  explain: (/** @type {string} */ call) => [
    `const { tokens, explanations } = await ${call};`,
    'const { weights } = explanations.find(({ method }) => method === "occlusion");',
    "tokens.forEach(({ text }, index) => console.log(text, weights[index]));",
  ],
};

/** @returns {string} address of the service, without a slash at the end */
const base = () => new URL(".", document.baseURI).href.replace(/\/$/, "");

/** @param {string} path @param {object} body @returns {string} the request as a shell command */
export function curl(path, body) {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl -s ${base()}/${path} -H 'Content-Type: application/json' -d '${quoted}'`;
}

/** The arguments of a client's method: those without names, then those with names and other values than the defaults.
 * @param {string} path @param {Record<string, any>} body @returns {{first: any[], named: [string, any][]}} */
function methodArguments(path, body) {
  const names = POSITIONAL[path].filter((/** @type {string} */ name) => name in body);
  const named = Object.entries(body).filter(([name, value]) => !names.includes(name) && UNSAID[name] !== value);
  return { first: names.map((/** @type {string} */ name) => body[name]), named };
}

/** @param {string} path @param {Record<string, any>} body @returns {string} a program with the Python client */
export function python(path, body) {
  const { first, named } = methodArguments(path, body);
  const given = [...first.map(literal), ...named.map(([name, value]) => `${name}=${literal(value)}`)];
  const call = `limelight.${path}(${given.join(", ")})`;
  const start = [`# ${INSTALL.python}`, "from limelight_client import Limelight", "", `limelight = Limelight(${literal(base())})`];
  return [...start, ...PRINTED[path](call), ""].join("\n");
}

/** @param {any} value of JSON @returns {string} the value in Python */
function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, each]) => `${literal(name)}: ${literal(each)}`).join(", ")}}`;
  return JSON.stringify(value);
}

/** @param {string} path @param {Record<string, any>} body @returns {string} a module with the JavaScript client, for browsers and Node */
export function javascript(path, body) {
  const { first, named } = methodArguments(path, body);
  const options = named.map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(", ");
  const given = [...first.map((value) => JSON.stringify(value)), ...(options ? [`{ ${options} }`] : [])];
  const call = `limelight.${path}(${given.join(", ")})`;
  const start = [`// ${INSTALL.javascript}`, 'import { Limelight } from "limelight-client";', ""];
  return [...start, `const limelight = new Limelight(${JSON.stringify(base())});`, ...LOGGED[path](call), ""].join("\n");
}

/** Buttons that copy a request as code, and its answer.
 * @param {string} path @param {object} body @param {object} answer @param {string} [label] @returns {HTMLElement} */
export function copies(path, body, answer, label = "Copy as") {
  const buttons = [
    copyButton("curl", () => curl(path, body), `${label} curl`),
    copyButton("Python", () => python(path, body), `${label} Python`),
    copyButton("JavaScript", () => javascript(path, body), `${label} JavaScript`),
    copyButton("JSON", () => JSON.stringify(answer, null, 2), `${label} JSON`),
  ];
  return el("p", { class: "tools" }, el("span", { "aria-hidden": "true" }, label), ...buttons);
}

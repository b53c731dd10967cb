// A request as code of other programs.

import { copyButton, el } from "./dom.js";

/** Options with their default values, which code leaves out. */
const UNSAID = { attention: "summary", attention_unit: "token", beam_size: 4, truncate: false, top_p: 1 };

/** Name of the client's method -> names of the fields that come first, without their names. */
const POSITIONAL = { classify: ["text"], explain: ["text"], translate: ["q", "source", "target"], generate: ["prompt"] };

/** Name of the client's method -> expression of an answer's main value. */
const SHOWN = {
  classify: (call) => [`prediction = ${call}`, "print(prediction.label, prediction.score)"],
  translate: (call) => [`print(${call}.text)`],
  generate: (call) => [`print(${call}.text)`],
  explain: (call) => [`print(${call})`],
};

/** @returns {string} address of the service, without a slash at the end */
const base = () => new URL(".", document.baseURI).href.replace(/\/$/, "");

/** @param {string} path @param {object} body @returns {string} the request as a shell command */
export function curl(path, body) {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl -s ${base()}/${path} -H 'Content-Type: application/json' -d '${quoted}'`;
}

/** @param {string} path @param {Record<string, any>} body @returns {string} a program with the Python client */
export function python(path, body) {
  const first = POSITIONAL[path].filter((/** @type {string} */ name) => name in body);
  const named = Object.entries(body).filter(([name, value]) => !first.includes(name) && UNSAID[name] !== value);
  const given = [...first.map((/** @type {string} */ name) => literal(body[name])), ...named.map(([name, value]) => `${name}=${literal(value)}`)];
  const call = `limelight.${path}(${given.join(", ")})`;
  return ["from limelight_client import Limelight", "", `limelight = Limelight(${literal(base())})`, ...SHOWN[path](call), ""].join("\n");
}

/** @param {any} value of JSON @returns {string} the value in Python */
function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, each]) => `${literal(name)}: ${literal(each)}`).join(", ")}}`;
  return JSON.stringify(value);
}

/** @param {string} path @param {object} body @returns {string} a program for browsers and Node */
export function javascript(path, body) {
  const url = JSON.stringify(`${base()}/${path}`);
  return [
    `const response = await fetch(${url}, {`,
    '  method: "POST",',
    '  headers: { "Content-Type": "application/json" },',
    `  body: JSON.stringify(${JSON.stringify(body)}),`,
    "});",
    "console.log(await response.json());",
    "",
  ].join("\n");
}

/** Buttons that copy a request as code, and its answer.
 * @param {string} path @param {object} body @param {object} answer @returns {HTMLElement} */
export function copies(path, body, answer) {
  const buttons = [
    copyButton("curl", () => curl(path, body), "Copy as curl"),
    copyButton("Python", () => python(path, body), "Copy as Python"),
    copyButton("JavaScript", () => javascript(path, body), "Copy as JavaScript"),
    copyButton("JSON", () => JSON.stringify(answer, null, 2), "Copy as JSON"),
  ];
  return el("p", { class: "tools" }, el("span", { "aria-hidden": "true" }, "Copy as"), ...buttons);
}

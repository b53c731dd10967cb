/** The client against a service over the fakes (LIMELIGHT_ADDRESS), and against answers made here. */

import assert from "node:assert/strict";
import test from "node:test";

import { AnswerError, ConnectionFailed, Limelight, LimelightError, partOf, TimedOut } from "../src/index.js";

const address = process.env.LIMELIGHT_ADDRESS;
const limelight = new Limelight(`${address}/`);
const text = "Wind! No way, rain.";
const doubled = (text) => Array.from(text, (letter) => (letter === " " ? letter : letter + letter)).join("");
const sum = (row) => row.reduce((total, weight) => total + weight, 0);

/** A client whose requests get these answers in order: responses, or errors of the network. */
function answered(answers, options) {
  const requests = [];
  const fetch = async (url, init) => {
    requests.push({ url, ...init });
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { client: new Limelight("http://service", { fetch, ...options }), requests };
}

const json = (value, status = 200, headers = {}) =>
  new Response(JSON.stringify(value), { status, headers: { "Content-Type": "application/json", ...headers } });

const problem = { error_type: "overloaded", detail: "try again" };

test("classify", async () => {
  const one = await limelight.classify("wind 😀 rain");
  assert.equal(one.score, one.scores[one.label]);
  assert.ok(Math.abs(sum(one.attention[0].weights[0]) - 1) < 1e-3);
  assert.equal(partOf("wind 😀 rain", one.tokens.at(-1)), "rain");
  const list = await limelight.classify(["wind", "rain"], { model: "toy", attention: "none" });
  assert.deepEqual(list.map((prediction) => prediction.attention), [[], []]);
});

test("translate", async () => {
  const one = await limelight.translate(text, "en", "xx");
  assert.equal(one.text, doubled(text));
  assert.deepEqual([one.language, one.alternatives], [null, []]);
  assert.deepEqual(one.sentences.map((sentence) => partOf(text, sentence.source)), ["Wind!", "No way, rain."]);
  const [two] = await limelight.translate(["wind"], "auto", "xx", { alternatives: 2 });
  assert.equal(two.language, "en");
  assert.equal(two.alternatives.length, 2);
  assert.equal((await limelight.translate("wind", "auto", "xx", { alternatives: 1 })).alternatives.length, 1);
});

test("events of a translation", async () => {
  const events = [];
  for await (const event of limelight.stream(text, "en", "xx", { beam_size: 1 })) events.push(event);
  const sentences = events.filter(({ event }) => event === "sentence").sort((a, b) => a.number - b.number);
  assert.deepEqual(sentences.map(({ sentence }) => sentence.text), [doubled("Wind!"), doubled("No way, rain.")]);
  assert.ok(events.some(({ event, token }) => event === "token" && token.weights.length > 0));
  assert.equal(events.at(-1).translation.text, doubled(text));
});

test("generate, and its events", async () => {
  const options = { max_tokens: 9, seed: 3 };
  const whole = await limelight.generate("The wind", options);
  assert.deepEqual([whole.tokens.length, whole.seed, whole.finish_reason], [9, 3, "length"]);
  let written = "";
  for await (const event of limelight.write("The wind", options)) {
    if (event.event === "token") written += event.token.text;
    else assert.deepEqual(event.generation.tokens, whole.tokens);
  }
  assert.equal(written, whole.text);
});

test("a stream can be left", async () => {
  for await (const event of limelight.write("The wind", { max_tokens: 200 })) {
    assert.equal(event.event, "token");
    break;
  }
});

test("explain", async () => {
  const found = await limelight.explain("wind and rain", { methods: ["attention", "occlusion"] });
  assert.deepEqual(found.explanations.map(({ method }) => method), ["attention", "occlusion"]);
  assert.equal(found.explanations[0].weights.length, found.tokens.length);
});

test("documents", async () => {
  const subtitle = "1\n00:00:01,000 --> 00:00:02,000\n";
  const found = await limelight.translateDocument(new Blob([`${subtitle}wind\n`]), "my film.srt", "en", "xx", { beam_size: 1 });
  assert.equal(found.name, "my film_xx.srt");
  assert.equal(await found.content.text(), `${subtitle}wwiinndd\n`);
});

test("glossaries", async () => {
  const stored = [{ name: "my-terms", source: "en", target: "xx", terms: 1 }];
  assert.deepEqual(await limelight.putGlossary("my-terms", { rain: "pluie" }, { source: "en", target: "xx" }), stored);
  assert.deepEqual(await limelight.glossaries(), stored);
  const translation = await limelight.translate("No rain.", "en", "xx", { glossary: "my-terms" });
  assert.equal(translation.glossary[0].target.text, "pluie");
  await limelight.deleteGlossary("my-terms");
  assert.deepEqual(await limelight.glossaries(), []);
});

test("what is served", async () => {
  assert.deepEqual((await limelight.models()).map(({ name }) => name), ["en-xx", "toy", "writer"]);
  assert.deepEqual((await limelight.model("toy", 1)).labels, ["cold", "mild", "warm"]);
  assert.deepEqual(await limelight.languages(), [
    { code: "en", name: "English", targets: ["xx"] },
    { code: "xx", name: "xx", targets: [] },
  ]);
  assert.equal((await limelight.detect("Bonjour tout le monde"))[0].language, "fr");
});

test("errors of the service", async () => {
  const expected = { name: "AnswerError", status: 422, errorType: "empty_text", message: /^422 empty_text: / };
  await assert.rejects(limelight.classify(" "), expected);
  await assert.rejects(limelight.stream("wind", "en", "zz").next(), { errorType: "unsupported_language_pair" });
  assert.ok(new AnswerError(422, "", "") instanceof LimelightError);
});

test("overload is repeated, with the key", async () => {
  const busy = () => json(problem, 429, { "Retry-After": "0" });
  const { client, requests } = answered([busy(), json({ models: [] })], { apiKey: "secret" });
  assert.deepEqual(await client.models(), []);
  assert.deepEqual(requests.map(({ headers }) => headers.get("Authorization")), ["Bearer secret", "Bearer secret"]);
  const bounded = answered([busy(), json(problem, 503)], { retries: 0 });
  await assert.rejects(bounded.client.models(), { status: 429, errorType: "overloaded" });
  assert.equal(bounded.requests.length, 1);
});

test("failed connections are errors of the client", async () => {
  await assert.rejects(answered([new TypeError("fetch failed")]).client.models(), (error) => {
    assert.ok(error instanceof ConnectionFailed && error.cause instanceof TypeError);
    return error.status === null && error.errorType === "connection_failed";
  });
  await assert.rejects(new Limelight("http://127.0.0.1:9").models(), ConnectionFailed);
  await assert.rejects(answered([new Response("<h1>Login</h1>")]).client.models(), { errorType: "http_error" });
});

test("late answers are errors of the client", async () => {
  const never = (_url, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  await assert.rejects(new Limelight("http://service", { timeoutMs: 5, fetch: never }).models(), TimedOut);
  const controller = new AbortController();
  const request = new Limelight("http://service", { fetch: never }).classify("wind", { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(request, { message: "enough" });
});

test("streams that end early or with an error", async () => {
  const token = 'event: token\ndata: {"text": "a", "start": 0, "end": 1, "logprob": -1}\n\n';
  const tail = 'event: error\ndata: {"status": 500, "error_type": "inference_failed", "detail": "no"}\n\n';
  const early = answered([new Response(`: keep-alive\n\n${token}`)]).client.write("a");
  assert.equal((await early.next()).value.token.text, "a");
  await assert.rejects(early.next(), ConnectionFailed);
  const failed = answered([new Response(token + tail)]).client.write("a");
  await failed.next();
  await assert.rejects(failed.next(), { status: 500, errorType: "inference_failed" });
});

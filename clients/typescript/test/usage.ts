/** Programs that must have these types; the compiler reads this file, nothing runs it. */

import { Limelight, type Prediction, type Translation } from "limelight-client";

const limelight = new Limelight("http://localhost:8000", { apiKey: "secret" });

export async function typed(): Promise<[string, number, string[]]> {
  const one: Prediction = await limelight.classify("wind", { attention: "full" });
  const several: Translation[] = await limelight.translate(["wind"], "auto", "fr", { beam_size: 2 });
  // @ts-expect-error: a list of texts gets a list
  const wrong: Translation = await limelight.translate(["wind"], "en", "fr");
  // @ts-expect-error: there is no such option
  await limelight.generate("wind", { maximum: 7 });
  for await (const event of limelight.stream("wind", "en", "fr")) {
    if (event.event === "done") return [event.translation.text, wrong.sentences[0].score, []];
  }
  const tokens = (await limelight.generate("wind", { seed: 3 })).tokens.map((token) => token.text);
  return [one.label, several[0].sentences[0].source.start, tokens];
}

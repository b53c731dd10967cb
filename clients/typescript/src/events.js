/**
 * Server-sent events of a stream of text.
 * @param {ReadableStreamDefaultReader<string>} reader
 * @returns {AsyncGenerator<{ event: string, data: any }, void, undefined>}
 */
export async function* eventsOf(reader) {
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += part.value;
    const blocks = text.split("\n\n");
    text = /** @type {string} */ (blocks.pop());
    for (const block of blocks) {
      const fields = block.split("\n").filter((line) => !line.startsWith(":"));
      const event = fields.find((line) => line.startsWith("event: "))?.slice(7);
      const data = fields.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
      if (event && data) yield { event, data: JSON.parse(data) };
    }
  }
}

// Server-sent events out of a fetch body: whole frames, whatever the chunks.

const BUFFER_CHARACTERS_MAX = 4 * 1024 * 1024; // one event longer than this is no event of ours

export async function* frames(body, onText) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onText(value);
    buffer = (buffer + value).replaceAll("\r\n", "\n");
    const parts = buffer.split("\n\n");
    buffer = parts.pop();
    if (buffer.length > BUFFER_CHARACTERS_MAX) throw new Error("An event of the answer is too long");
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trimStart()).join("\n");
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

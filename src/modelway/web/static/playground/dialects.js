// The three protocols as this page writes and reads them: a body from the conversation, changes from events.
//
// A turn is {role: "user", text, files} or {role: "assistant", text, thinking, calls, blocks}; a call is
// {id, name, arguments, result}. `read` gets one event and the turn and changes the turn.

const plain = (text) => text.length > 0;
const payload = (file) => file.url.slice(file.url.indexOf(",") + 1);
const isImage = (file) => file.kind.startsWith("image/");

function failed(error) {
  throw new Error(error.message ?? error.code ?? JSON.stringify(error));
}

function parsed(text) {
  try { return JSON.parse(text || "{}"); } catch { return {}; }
}

const SCHEMA = {
  type: "object", properties: { city: { type: "string" } }, required: ["city"],
};
const ABOUT = { name: "get_weather", description: "The weather in a city." };

const chat = {
  exampleTool: [{ type: "function", function: { ...ABOUT, parameters: SCHEMA } }],

  body(model, system, turns, tools, parameters) {
    const messages = turns.flatMap((turn) => turn.role === "user" ? [this.user(turn)] : this.assistant(turn));
    if (plain(system)) messages.unshift({ role: "system", content: system });
    return { model, messages, ...(tools && { tools }), ...parameters,
      stream: true, stream_options: { include_usage: true } };
  },

  user({ text, files }) {
    if (!files.length) return { role: "user", content: text };
    const parts = files.map((file) => file.words !== undefined
      ? { type: "text", text: `${file.name}:\n${file.words}` }
      : isImage(file)
        ? { type: "image_url", image_url: { url: file.url } }
        : { type: "file", file: { filename: file.name, file_data: file.url } });
    return { role: "user", content: [...parts, { type: "text", text }] };
  },

  assistant({ text, calls }) {
    const message = { role: "assistant", content: text || null };
    if (calls.length) {
      message.tool_calls = calls.map((call) => (
        { id: call.id, type: "function", function: { name: call.name, arguments: call.arguments } }));
    }
    return [message, ...calls.map((call) => (
      { role: "tool", tool_call_id: call.id, content: call.result }))];
  },

  read(event, turn) {
    if (event.error) failed(event.error);
    const choice = event.choices?.[0];
    const delta = choice?.delta ?? {};
    turn.text += delta.content ?? "";
    turn.thinking += delta.reasoning_content ?? delta.reasoning ?? "";
    for (const part of delta.tool_calls ?? []) {
      const call = turn.calls[part.index] ??= { id: "", name: "", arguments: "", result: "" };
      call.id ||= part.id ?? "";
      call.name += part.function?.name ?? "";
      call.arguments += part.function?.arguments ?? "";
    }
    turn.finish = choice?.finish_reason ?? turn.finish;
    if (event.usage) {
      turn.usage = { input: event.usage.prompt_tokens, output: event.usage.completion_tokens,
        cached: event.usage.prompt_tokens_details?.cached_tokens ?? 0, cost: event.usage.cost };
    }
  },
};

const messages = {
  exampleTool: [{ ...ABOUT, input_schema: SCHEMA }],

  body(model, system, turns, tools, parameters) {
    const list = turns.flatMap((turn) => turn.role === "user" ? [this.user(turn)] : this.assistant(turn));
    return { model, ...(plain(system) && { system }), messages: list, ...(tools && { tools }), ...parameters,
      stream: true };
  },

  user({ text, files }) {
    if (!files.length) return { role: "user", content: text };
    const blocks = files.map((file) => ({
      type: isImage(file) ? "image" : "document",
      source: file.words !== undefined
        ? { type: "text", media_type: "text/plain", data: file.words }
        : { type: "base64", media_type: file.kind, data: payload(file) },
    }));
    return { role: "user", content: [...blocks, { type: "text", text }] };
  },

  assistant({ text, calls, blocks }) {
    // Thinking goes back as it came: its signature holds for these very bytes.
    const said = blocks.filter(Boolean).filter((block) => block.type !== "text" || block.text)
      .map((block) => block.type === "tool_use" ? { ...block, input: parsed(block.input) } : block);
    const turns = [{ role: "assistant", content: said.length ? said : text || "…" }];
    if (calls.length) {
      turns.push({ role: "user", content: calls.map((call) => (
        { type: "tool_result", tool_use_id: call.id, content: call.result })) });
    }
    return turns;
  },

  read(event, turn) {
    if (event.type === "error") failed(event.error);
    if (event.type === "message_start") this.count(event.message.usage, turn);
    if (event.type === "content_block_start") this.start(event.index, event.content_block, turn);
    if (event.type === "content_block_delta") this.grow(event.index, event.delta, turn);
    if (event.type === "message_delta") {
      turn.finish = event.delta.stop_reason ?? turn.finish;
      this.count(event.usage, turn);
    }
  },

  start(index, block, turn) {
    turn.blocks[index] = block.type === "tool_use" ? { ...block, input: "" } : { ...block };
    if (block.type === "tool_use") {
      turn.calls.push({ id: block.id, name: block.name, arguments: "", result: "", index });
    }
  },

  grow(index, delta, turn) {
    const block = turn.blocks[index] ?? {};
    if (delta.text) { turn.text += delta.text; block.text = (block.text ?? "") + delta.text; }
    if (delta.thinking) { turn.thinking += delta.thinking; block.thinking = (block.thinking ?? "") + delta.thinking; }
    if (delta.signature) block.signature = (block.signature ?? "") + delta.signature;
    if (delta.partial_json) {
      block.input += delta.partial_json;
      turn.calls.find((call) => call.index === index).arguments += delta.partial_json;
    }
  },

  count(usage, turn) {
    if (!usage) return;
    const cached = usage.cache_read_input_tokens ?? turn.usage?.cached ?? 0;
    const input = usage.input_tokens === undefined || usage.input_tokens === null
      ? turn.usage?.input ?? 0
      : usage.input_tokens + cached + (usage.cache_creation_input_tokens ?? 0);
    turn.usage = { input, output: usage.output_tokens ?? turn.usage?.output ?? 0, cached, cost: usage.cost };
  },
};

const responses = {
  exampleTool: [{ type: "function", ...ABOUT, parameters: SCHEMA }],

  body(model, system, turns, tools, parameters) {
    const input = turns.flatMap((turn) => turn.role === "user" ? [this.user(turn)] : this.assistant(turn));
    return { model, ...(plain(system) && { instructions: system }), input, ...(tools && { tools }),
      store: false, ...parameters, stream: true };
  },

  user({ text, files }) {
    if (!files.length) return { role: "user", content: text };
    const parts = files.map((file) => file.words !== undefined
      ? { type: "input_text", text: `${file.name}:\n${file.words}` }
      : isImage(file)
        ? { type: "input_image", image_url: file.url }
        : { type: "input_file", filename: file.name, file_data: file.url });
    return { role: "user", content: [...parts, { type: "input_text", text }] };
  },

  assistant({ text, calls }) {
    const items = text ? [{ role: "assistant", content: text }] : [];
    for (const call of calls) {
      items.push({ type: "function_call", call_id: call.id, name: call.name, arguments: call.arguments });
      items.push({ type: "function_call_output", call_id: call.id, output: call.result });
    }
    return items;
  },

  read(event, turn) {
    if (event.type === "error") failed(event.error ?? event);
    if (event.type === "response.failed") failed(event.response.error ?? event);
    if (event.type === "response.output_text.delta") turn.text += event.delta;
    if (/^response\.reasoning.*\.delta$/.test(event.type)) turn.thinking += event.delta;
    if (event.type === "response.output_item.done" && event.item.type === "function_call") {
      const { call_id: id, name, arguments: given } = event.item;
      turn.calls.push({ id, name, arguments: given, result: "" });
    }
    if (event.type === "response.completed" || event.type === "response.incomplete") {
      const { usage, status, incomplete_details: details } = event.response;
      turn.finish = details?.reason ?? status;
      turn.usage = usage && { input: usage.input_tokens, output: usage.output_tokens,
        cached: usage.input_tokens_details?.cached_tokens ?? 0, cost: usage.cost };
    }
  },
};

export const dialects = { chat, messages, responses };

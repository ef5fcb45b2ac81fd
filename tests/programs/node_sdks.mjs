// What a customer's program does with the official Node SDKs, one JSON line in, one out (see running.py).
// A line is {"use": NAME, "base_url", "api_key", "arguments": {…}, …}; the answer is what the program saw, or
// {"error": {…}} with the exception's classes and attributes.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// The packages lie in a folder of their own, given as the first argument.
const installed = createRequire(join(process.argv[2], "package.json"));
const load = async (name) => import(pathToFileURL(installed.resolve(name)));
const { default: OpenAI } = await load("openai");
const { default: Anthropic } = await load("@anthropic-ai/sdk");
const { betaTool } = await load("@anthropic-ai/sdk/helpers/beta/json-schema");
const { ResponsesToolRunner } = await load("openai/helpers/responses-tool-runner");

const TIMEOUT_MS = 60_000;

const options = (asked) => ({ apiKey: asked.api_key, maxRetries: asked.max_retries ?? 0, timeout: TIMEOUT_MS });
const openai = (asked) => new OpenAI({ baseURL: asked.base_url + "/v1", ...options(asked) });
const anthropic = (asked) => new Anthropic({ baseURL: asked.base_url, ...options(asked) });

// One shape for all three protocols; `calls` are [id, name, arguments as text].
const seen = (text, calls, stop, usage, model) => ({
  text,
  calls: calls.map(([, name, data]) => [name, JSON.parse(data)]),
  call_ids: calls.map(([id]) => id),
  stop,
  usage,
  model,
});

function completionSeen(completion) {
  const { message, finish_reason } = completion.choices[0];
  const calls = (message.tool_calls ?? []).map((c) => [c.id, c.function.name, c.function.arguments]);
  const usage = completion.usage && [completion.usage.prompt_tokens, completion.usage.completion_tokens];
  return seen(message.content ?? "", calls, finish_reason, usage, completion.model);
}

function messageSeen(message) {
  const text = message.content.filter((b) => b.type === "text").map((b) => b.text).join("");
  const uses = message.content.filter((b) => b.type === "tool_use");
  const calls = uses.map((b) => [b.id, b.name, JSON.stringify(b.input)]);
  const usage = [message.usage.input_tokens, message.usage.output_tokens];
  return seen(text, calls, message.stop_reason, usage, message.model);
}

function responseSeen(response) {
  const found = response.output.filter((item) => item.type === "function_call");
  const calls = found.map((item) => [item.call_id, item.name, item.arguments]);
  const stop = response.incomplete_details?.reason ?? response.status;
  const usage = response.usage && [response.usage.input_tokens, response.usage.output_tokens];
  return seen(response.output_text, calls, stop, usage, response.model);
}

async function kindsOf(stream) {
  const kinds = [];
  for await (const event of stream) kinds.push(event.type ?? event.object);
  return kinds;
}

const withUsage = (asked) => ({ ...asked.arguments, stream_options: { include_usage: true } });

async function chatHelper(asked) {
  const stream = openai(asked).chat.completions.stream(withUsage(asked));
  const events = await kindsOf(stream);
  return { ...completionSeen(await stream.finalChatCompletion()), events };
}

// Folds the chunks as programs do that do not use the helper.
async function chatRaw(asked) {
  const stream = await openai(asked).chat.completions.create({ ...withUsage(asked), stream: true });
  let [text, stop, usage, model] = ["", null, null, ""];
  const calls = [];
  for await (const chunk of stream) {
    model = chunk.model;
    if (chunk.usage) usage = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens];
    for (const choice of chunk.choices) {
      text += choice.delta.content ?? "";
      stop = choice.finish_reason ?? stop;
      for (const piece of choice.delta.tool_calls ?? []) {
        const call = (calls[piece.index] ??= ["", "", ""]);
        call[0] += piece.id ?? "";
        call[1] += piece.function?.name ?? "";
        call[2] += piece.function?.arguments ?? "";
      }
    }
  }
  return seen(text, calls, stop, usage, model);
}

async function messagesHelper(asked) {
  const stream = anthropic(asked).messages.stream(asked.arguments);
  const events = await kindsOf(stream);
  return { ...messageSeen(await stream.finalMessage()), events };
}

async function messagesRaw(asked) {
  const stream = await anthropic(asked).messages.create({ ...asked.arguments, stream: true });
  let [text, stop, model] = ["", null, ""];
  let usage = [0, 0];
  const blocks = new Map();
  for await (const event of stream) {
    if (event.type === "message_start") {
      model = event.message.model;
      usage = [event.message.usage.input_tokens, event.message.usage.output_tokens];
    } else if (event.type === "content_block_start" && event.content_block.type === "tool_use") {
      blocks.set(event.index, [event.content_block.id, event.content_block.name, ""]);
    } else if (event.type === "content_block_delta") {
      if (event.delta.type === "text_delta") text += event.delta.text;
      if (event.delta.type === "input_json_delta") blocks.get(event.index)[2] += event.delta.partial_json;
    } else if (event.type === "message_delta") {
      stop = event.delta.stop_reason;
      usage = [event.usage.input_tokens ?? usage[0], event.usage.output_tokens];
    }
  }
  const calls = [...blocks.values()].map(([id, name, data]) => [id, name, data || "{}"]);
  return seen(text, calls, stop, usage, model);
}

async function responsesHelper(asked) {
  const stream = openai(asked).responses.stream(asked.arguments);
  const events = await kindsOf(stream);
  return { ...responseSeen(await stream.finalResponse()), events };
}

async function responsesRaw(asked) {
  const stream = await openai(asked).responses.create({ ...asked.arguments, stream: true });
  let [text, count, last] = ["", 0, null];
  for await (const event of stream) {
    if (event.sequence_number !== count) throw new Error(`event ${count} is numbered ${event.sequence_number}`);
    count += 1;
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event;
  }
  const whole = responseSeen({ ...last.response, output_text: text });
  const parts = last.response.output.flatMap((item) => (item.type === "message" ? item.content : []));
  const said = parts.map((part) => part.text ?? "").join("");
  if (said !== text) throw new Error(`the deltas say ${text}, the last event ${said}`);
  return whole;
}

// The SDKs' own tool loops: they call `get_weather` and send its answer back.
const SUNNY = "18 °C and sunny";

async function chatLoop(asked) {
  const heard = [];
  const work = (given) => {
    heard.push(given);
    return SUNNY;
  };
  const tools = asked.arguments.tools.map(({ function: declared }) => ({
    type: "function",
    function: { ...declared, function: work, parse: JSON.parse },
  }));
  const runner = openai(asked).chat.completions.runTools({ ...asked.arguments, tools, stream: asked.stream });
  return { text: await runner.finalContent(), heard };
}

async function messagesLoop(asked) {
  const heard = [];
  const work = (given) => {
    heard.push(given);
    return SUNNY;
  };
  const tools = asked.arguments.tools.map(({ name, description, input_schema }) =>
    betaTool({ name, description, inputSchema: input_schema, run: work }),
  );
  const runner = anthropic(asked).beta.messages.toolRunner({ ...asked.arguments, tools, stream: asked.stream });
  return { text: messageSeen(await runner.runUntilDone()).text, heard };
}

async function responsesLoop(asked) {
  const heard = [];
  const execute = (given) => {
    heard.push(given);
    return SUNNY;
  };
  const { tools, ...rest } = asked.arguments;
  const functions = tools.map((tool) => ({ tool, execute }));
  const runner = new ResponsesToolRunner({ functions });
  const response = await runner.run(openai(asked), rest, { stream: asked.stream });
  return { text: response.output_text, heard };
}

async function openaiModels(asked) {
  const models = [];
  for await (const model of openai(asked).models.list()) {
    models.push([model.id, model.object, model.created, model.owned_by]);
  }
  return { models };
}

async function anthropicModels(asked) {
  const models = [];
  for await (const model of anthropic(asked).models.list({ limit: 1000 })) {
    models.push([model.id, model.type, model.created_at, model.display_name]);
  }
  return { models };
}

async function embeddings(asked) {
  const made = await openai(asked).embeddings.create(asked.arguments);
  return { vectors: made.data.map((row) => row.embedding), model: made.model };
}

const USES = {
  "chat whole": async (asked) => completionSeen(await openai(asked).chat.completions.create(asked.arguments)),
  "chat helper": chatHelper,
  "chat raw": chatRaw,
  "chat loop": chatLoop,
  "messages whole": async (asked) => messageSeen(await anthropic(asked).messages.create(asked.arguments)),
  "messages helper": messagesHelper,
  "messages raw": messagesRaw,
  "messages loop": messagesLoop,
  "responses whole": async (asked) => responseSeen(await openai(asked).responses.create(asked.arguments)),
  "responses helper": responsesHelper,
  "responses raw": responsesRaw,
  "responses loop": responsesLoop,
  "count tokens": async (asked) => anthropic(asked).messages.countTokens(asked.arguments),
  "openai models": openaiModels,
  "anthropic models": anthropicModels,
  embeddings,
};

// What a program can learn from an exception.
function failure(error) {
  const classes = [];
  for (let kind = error.constructor; kind?.name; kind = Object.getPrototypeOf(kind)) classes.push(kind.name);
  const { status, type, code, param, message } = error;
  const request_id = error.request_id ?? error.requestID;
  return { error: { classes, text: String(error), status_code: status, type, code, param, message, request_id } };
}

const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  try {
    say(await USES[asked.use](asked));
  } catch (error) {
    // Every failure is an answer here: the test decides which one was right.
    say(failure(error));
  }
}

// What a customer's program does with agent frameworks of Node, one JSON line in, one out (see running.py).
// Each use runs a whole tool loop and answers {"text": …, "heard": [[city, days], …]}, or {"error": …}.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const installed = createRequire(join(process.argv[2], "package.json"));
const load = async (name) => import(pathToFileURL(installed.resolve(name)));
const { generateText, streamText, tool, stepCountIs } = await load("ai");
const { createOpenAI } = await load("@ai-sdk/openai");
const { createAnthropic } = await load("@ai-sdk/anthropic");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const agents = await load("@openai/agents");
const { default: OpenAI } = await load("openai");
const { z } = await load("zod");

agents.setTracingDisabled(true);
const QUESTION = "What will the weather be in Paris for a week?";
const ROUNDS_MAX = 4; // the loop ends in the second
const schema = z.object({ city: z.string(), days: z.number() });

const weather = (heard) => async ({ city, days }) => {
  heard.push([city, days]);
  return `sunny-${city}-${days}`;
};

const MODELS = {
  chat: (options, model) => createOpenAI(options).chat(model),
  compatible: (options, model) => createOpenAICompatible({ name: "gateway", ...options })(model),
  messages: (options, model) => createAnthropic(options)(model),
  responses: (options, model) => createOpenAI(options).responses(model),
};

async function aiSdk(asked, heard) {
  const model = MODELS[asked.dialect]({ baseURL: asked.base_url + "/v1", apiKey: asked.api_key }, asked.model);
  const get_weather = tool({ description: "The weather", inputSchema: schema, execute: weather(heard) });
  const given = { model, prompt: QUESTION, tools: { get_weather }, stopWhen: stepCountIs(ROUNDS_MAX), maxRetries: 0 };
  if (!asked.stream) return (await generateText(given)).text;
  let text = "";
  for await (const part of streamText({ ...given, onError: () => {} }).fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") text += part.text;
  }
  return text;
}

async function openaiAgents(asked, heard) {
  const client = new OpenAI({ baseURL: asked.base_url + "/v1", apiKey: asked.api_key });
  const Model = asked.dialect === "responses" ? agents.OpenAIResponsesModel : agents.OpenAIChatCompletionsModel;
  const about = { name: "get_weather", description: "The weather", parameters: schema };
  const agent = new agents.Agent({
    name: "forecaster",
    instructions: "Be brief.",
    model: new Model(client, asked.model),
    tools: [agents.tool({ ...about, execute: weather(heard) })],
  });
  const run = await agents.run(agent, QUESTION, { stream: asked.stream });
  if (asked.stream) await run.completed;
  return run.finalOutput;
}

const USES = { "ai-sdk": aiSdk, "openai-agents": openaiAgents };

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const heard = [];
  let answer;
  try {
    answer = { text: await USES[asked.use](asked, heard), heard };
  } catch (error) {
    // Every failure is an answer here: the test shows it.
    answer = { error: String(error?.stack ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}

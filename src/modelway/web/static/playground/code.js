// The request as a program: the same three ways that the models' pages show.

const KEY = "MODELWAY_API_KEY";
const NAMES = {
  chat: { module: "openai", name: "OpenAI", base: "/v1", call: "chat.completions.create",
    python: "answer.choices[0].message.content", javascript: "answer.choices[0].message.content" },
  responses: { module: "openai", name: "OpenAI", base: "/v1", call: "responses.create",
    python: "answer.output_text", javascript: "answer.output_text" },
  messages: { module: "anthropic", name: "Anthropic", base: "", call: "messages.create",
    python: '"".join(block.text for block in answer.content if block.type == "text")',
    javascript: 'answer.content.filter((block) => block.type === "text").map((block) => block.text).join("")' },
};
// Anthropic's Python SDK has no sampling parameters since its version 2; either version takes them here.
const EXTRA = ["temperature", "top_p", "top_k"];

export function code(language, api, route, origin, asked) {
  const { stream, stream_options, ...body } = asked;
  return { curl, python, javascript }[language](api, route, origin, body);
}

function curl(api, route, origin, body) {
  const text = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  const version = api === "messages" ? '  -H "anthropic-version: 2023-06-01" \\\n' : "";
  return `curl ${origin}${route} \\\n  -H "Authorization: Bearer $${KEY}" \\\n${version}`
    + `  -H "Content-Type: application/json" \\\n  -d '${text}'\n`;
}

function python(api, route, origin, body) {
  const { module, name, base, call, python: answer } = NAMES[api];
  const known = { ...body };
  const extra = {};
  for (const key of Object.keys(known)) {
    if ((api === "messages" && EXTRA.includes(key)) || !/^[A-Za-z_]\w*$/.test(key)) {
      extra[key] = known[key];
      delete known[key];
    }
  }
  if (Object.keys(extra).length) known.extra_body = extra;
  const lines = Object.entries(known).map(([key, value]) => `    ${key}=${literal(value)},\n`).join("");
  return `import os\n\nfrom ${module} import ${name}\n\n`
    + `client = ${name}(base_url=${JSON.stringify(origin + base)}, api_key=os.environ["${KEY}"])\n`
    + `answer = client.${call}(\n${lines})\nprint(${answer})\n`;
}

function literal(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${literal(item)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}

function javascript(api, route, origin, body) {
  const { module, name, base, call, javascript: answer } = NAMES[api];
  const from = module === "anthropic" ? "@anthropic-ai/sdk" : module;
  return `import ${name} from "${from}";\n\n`
    + `const client = new ${name}({ baseURL: ${JSON.stringify(origin + base)}, apiKey: process.env.${KEY} });\n`
    + `const answer = await client.${call}(${JSON.stringify(body, null, 2)});\nconsole.log(${answer});\n`;
}

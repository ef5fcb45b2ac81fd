// The playground: a client of the public API that happens to run in a browser. Nothing here is private.

import { say } from "../site.js";
import { code } from "./code.js";
import { dialects } from "./dialects.js";
import { Wrong, chosen, parameters, readAddress, remember, tools, writeAddress } from "./form.js";
import { frames } from "./frames.js";
import { AssistantTurn, element, userTurn } from "./view.js";

const RAW_CHARACTERS_MAX = 200_000; // more of a raw answer than this nobody reads
const FILE_BYTES_MAX = 20 * 1024 * 1024; // base64 adds a third, and the gateway reads 32 MiB
const byId = (id) => document.getElementById(id);
const origin = document.querySelector(".playground").dataset.origin;

let turns = [];
let files = [];
let running = null; // the AbortController of the call under way
let language = "curl";
let asked = null; // the last request, for "as code"

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) send();
});
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("composer").requestSubmit();
});
byId("stop").addEventListener("click", () => running?.abort());
byId("clear").addEventListener("click", () => {
  running?.abort();
  turns = [];
  byId("turns").replaceChildren();
  byId("prompt").focus();
});

async function send() {
  byId("trouble").textContent = "";
  const key = byId("key").value.trim();
  const text = byId("prompt").value.trim();
  const last = turns.at(-1);
  const answersTools = last?.calls?.length > 0;
  try {
    if (!key) throw new Wrong("Paste an API key first; it begins with sk-mw-");
    if (!text && !files.length && !answersTools) throw new Wrong("Write a message first");
    if (text || files.length) turns.push({ role: "user", text, files });
    prepare();
  } catch (error) {
    if (turns.at(-1)?.role === "user" && turns.at(-1) !== last) turns.pop();
    byId("trouble").textContent = error.message;
    return;
  }
  byId("hint")?.remove();
  if (turns.at(-1).role === "user") byId("turns").append(userTurn(turns.at(-1)));
  byId("prompt").value = "";
  files = [];
  showFiles();
  await answer(key);
}

function prepare() {
  const { model, api, route } = chosen();
  const body = dialects[api].body(model, byId("system").value.trim(), turns, tools(), parameters());
  asked = { api, route, body };
  showRequest();
}

async function answer(key) {
  const { api, route, body } = asked;
  const { model, prices } = chosen();
  const turn = { role: "assistant", text: "", thinking: "", calls: [], blocks: [] };
  const view = new AssistantTurn(model);
  byId("turns").append(view.box);
  busy(new AbortController());
  const clock = { began: performance.now() };
  let trouble = "";
  let warnings = "";
  try {
    const response = await fetch(route, { method: "POST", signal: running.signal, body: JSON.stringify(body),
      headers: { "authorization": `Bearer ${key}`, "content-type": "application/json",
        ...(api === "messages" && { "anthropic-version": "2023-06-01" }) } });
    showHead(response);
    warnings = response.headers.get("x-modelway-warnings") ?? "";
    if (!response.ok) throw new Error(await refusal(response));
    for await (const event of frames(response.body, showRaw)) {
      dialects[api].read(event, turn);
      if (turn.text || turn.thinking || turn.calls.length) clock.first ??= performance.now();
      draw(view, turn);
    }
  } catch (error) {
    turn.stopped = error.name === "AbortError";
    trouble = turn.stopped ? "" : error.message;
  }
  clock.ended = performance.now();
  turn.ended = true;
  if (turn.text || turn.calls.length) turns.push(turn);
  else dropQuestion(trouble);
  view.end(turn, figures(turn, clock, prices, warnings), trouble);
  follow();
  busy(null);
  say(trouble || (turn.stopped ? "Stopped" : "The answer is complete"));
}

// A question without an answer is not kept, so that asking again does not ask twice.
function dropQuestion(trouble) {
  const question = turns.at(-1)?.role === "user" ? turns.pop() : null;
  if (trouble && question && !byId("prompt").value) byId("prompt").value = question.text;
}

async function refusal(response) {
  const text = await response.text();
  showRaw(text);
  try {
    const { error } = JSON.parse(text);
    return `${response.status} ${error.code ?? error.type}: ${error.message}`;
  } catch {
    return `${response.status}: ${text.slice(0, 300)}`;
  }
}

function busy(controller) {
  running = controller;
  byId("stop").hidden = !controller;
  byId("send").hidden = Boolean(controller);
}

let drawing = false;
function draw(view, turn) {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    view.show(turn);
    follow();
  });
}

// Keeps the end in sight, unless the reader has scrolled up.
function follow() {
  const list = byId("turns");
  if (list.scrollHeight - list.scrollTop - list.clientHeight < 160) list.scrollTop = list.scrollHeight;
}

function figures(turn, clock, prices, warnings) {
  const seconds = (from, to) => from && to ? `${((to - from) / 1000).toFixed(2)} s` : "";
  const usage = turn.usage;
  const writing = clock.first ? (clock.ended - clock.first) / 1000 : 0;
  return [
    ["Ended", turn.stopped ? "stopped" : turn.finish ?? ""],
    ["Tokens in", usage ? String(usage.input) : ""],
    ["Tokens out", usage ? String(usage.output) : ""],
    ["First token", seconds(clock.began, clock.first)],
    ["Tokens/s", usage && writing > 0 ? (usage.output / writing).toFixed(1) : ""],
    ["Cost", usage ? cost(usage, prices) : ""],
    ["Changed", warnings],
  ];
}

// What the gateway says it cost; where the protocol has no room for it, tokens times the model's price.
function cost(usage, [input, output, cached]) {
  if (usage.cost !== undefined) return dollars(Number(usage.cost));
  if (input === "" || output === "") return "unknown";
  const rate = cached === "" ? input : cached;
  return dollars(((usage.input - usage.cached) * input + usage.cached * rate + usage.output * output) / 1e6);
}

function dollars(amount) {
  return amount === 0 ? "free" : `$${amount.toFixed(amount < 0.01 ? 7 : 4)}`;
}

let raw = "";
function showHead(response) {
  const id = response.headers.get("request-id");
  raw = `HTTP ${response.status}${id ? `\nrequest-id: ${id}` : ""}\n\n`;
  byId("raw-response").textContent = raw;
}

function showRaw(text) {
  if (raw.length > RAW_CHARACTERS_MAX) return;
  raw += text;
  byId("raw-response").textContent = raw.length > RAW_CHARACTERS_MAX ? `${raw}\n…` : raw;
}

function showRequest() {
  if (!asked) return;
  byId("raw-request").textContent = `POST ${asked.route}\n\n${JSON.stringify(asked.body, null, 2)}`;
  byId("as-code").textContent = code(language, asked.api, asked.route, origin, asked.body);
}

byId("languages").addEventListener("click", (event) => {
  const button = event.target.closest("[data-language]");
  if (!button) return;
  language = button.dataset.language;
  for (const each of byId("languages").children) each.setAttribute("aria-pressed", String(each === button));
  showRequest();
});

// Before anything was sent, the code shows the request as the form stands.
function preview() {
  if (running || turns.length) return;
  try {
    turns = [{ role: "user", text: byId("prompt").value.trim() || "Hello", files }];
    prepare();
  } catch { /* half-written JSON is told when it is sent */ } finally { turns = []; }
}

byId("files").addEventListener("change", async (event) => {
  byId("trouble").textContent = "";
  for (const file of event.target.files) {
    if (file.size > FILE_BYTES_MAX) {
      byId("trouble").textContent = `${file.name} has ${file.size} bytes; at most ${FILE_BYTES_MAX} are sent`;
      continue;
    }
    files.push({ name: file.name, kind: file.type, url: await dataUrl(file),
      ...(file.type === "text/plain" && { words: await file.text() }) });
  }
  event.target.value = "";
  showFiles();
});

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

function showFiles() {
  byId("attached").replaceChildren(...files.map((file) => {
    const item = element("li", "", file.name);
    const button = element("button", "quiet small", "Remove");
    button.type = "button";
    button.setAttribute("aria-label", `Remove ${file.name}`);
    button.addEventListener("click", () => {
      files = files.filter((each) => each !== file);
      showFiles();
    });
    item.append(button);
    return item;
  }));
}

function formArrived() {
  const { accept, api } = chosen();
  byId("attach").hidden = accept === "";
  byId("files").accept = accept;
  byId("tool-example")?.addEventListener("click", () => {
    byId("tools").value = JSON.stringify(dialects[api].exampleTool, null, 2);
    changed();
  });
}

function changed() {
  writeAddress();
  preview();
}

document.querySelector(".settings").addEventListener("input", (event) => {
  if (!["key", "model", "api"].includes(event.target.id)) changed();
});
byId("prompt").addEventListener("input", preview);

let restore = () => {};
document.addEventListener("htmx:before:swap", () => { restore = remember(); });
document.addEventListener("htmx:after:swap", () => {
  restore();
  formArrived();
  changed();
});

readAddress();
formArrived();
preview();

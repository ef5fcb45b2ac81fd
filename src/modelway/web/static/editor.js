// The card editor: a client of /v1/cards. It checks as you type, shows what the card would do, and saves it.

import { say } from "./site.js";
import { element } from "./playground/view.js";

const CHECK_AFTER_MS = 300; // a pause in typing
const REALLY_MS = 5000; // a second press within this time removes
const byId = (id) => document.getElementById(id);
const box = document.querySelector(".editor");
const text = byId("text");

let cardId = box.dataset.card; // empty while the card is new
let verdict = null; // the last answer to a check of the text as it stands
let seenChange = 0; // the change that was read; 0: nothing is kept under this id
let saved = text.value; // what was read or saved last: all else would be lost with the tab
let loaded = false;
let waiting = 0;
let asking = null;
let api = "chat";

const key = () => byId("key").value.trim();

async function ask(method, path, body, signal) {
  const answer = await fetch(path, {
    method,
    signal,
    headers: { authorization: `Bearer ${key()}`, ...(body && { "content-type": "application/json" }) },
    body: body && JSON.stringify(body),
  });
  const found = await answer.json();
  return { status: answer.status, found, error: found.error };
}

const address = (id) => `/v1/cards/${id.split("/").map(encodeURIComponent).join("/")}`;

// --- what is kept -----------------------------------------------------------------------------

/** Bring what somebody wrote for this card before, once there is a key to ask with. */
async function load() {
  if (loaded || !cardId || !key()) return;
  const { status, found } = await ask("GET", address(cardId));
  if (status !== 200 && status !== 404) return; // the check says what is wrong with the key
  loaded = true;
  if (status === 404) return;
  seenChange = found.change;
  byId("remove").hidden = false;
  if (text.value === saved) text.value = saved = found.text;
}

// --- checking ---------------------------------------------------------------------------------

function soon() {
  clearTimeout(waiting);
  verdict = null;
  byId("save").disabled = true;
  waiting = setTimeout(check, CHECK_AFTER_MS);
}

async function check() {
  byId("trouble").textContent = "";
  if (!key()) return judge("Paste a management key to have the card checked as you type.", "");
  asking?.abort();
  asking = new AbortController();
  try {
    await load();
    const { status, found, error } = await ask("POST", "/v1/cards/check", { text: text.value }, asking.signal);
    if (status !== 200) return judge(error.message, "bad");
    verdict = found;
    show();
  } catch (error) {
    if (error.name !== "AbortError") judge("The gateway cannot be reached.", "bad");
  }
}

function judge(words, kind, faults = []) {
  byId("verdict").replaceChildren(element("p", kind, words));
  byId("faults").replaceChildren(...faults.map(fault));
  const wrong = kind === "bad";
  text.setAttribute("aria-invalid", String(wrong && faults.length > 0));
  if (kind !== "good") {
    byId("effects").hidden = true;
    byId("nothing").hidden = false;
  }
}

function fault(each) {
  const item = element("li");
  if (each.line) {
    const jump = element("button", "link", `Line ${each.line}`);
    jump.type = "button";
    jump.addEventListener("click", () => select(each.line));
    item.append(jump, " ");
  }
  if (each.place) item.append(element("code", "", each.place), " ");
  item.append(each.message);
  return item;
}

/** Put the cursor on a line of the text and bring it into view. */
function select(line) {
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  text.focus();
  text.setSelectionRange(start, start + lines[line - 1].length);
  text.scrollTop = (line - 4) * Number.parseFloat(getComputedStyle(text).lineHeight);
}

function show() {
  if (!verdict.valid) {
    const many = verdict.faults.length;
    return judge(many === 1 ? "One thing is wrong." : `${many} things are wrong.`, "bad", verdict.faults);
  }
  const moved = cardId && verdict.id !== cardId;
  judge(moved ? `This is another card, ${verdict.id}.` : summary(), "good");
  byId("save").disabled = false;
  byId("nothing").hidden = true;
  byId("effects").hidden = false;
  byId("served").replaceChildren(...served());
  byId("changes-part").hidden = verdict.is_new;
  drawChanges();
  drawForm();
}

function summary() {
  if (verdict.is_new) return `All right: a new card, ${verdict.id}.`;
  const many = verdict.changes.length;
  return many ? `All right: ${many === 1 ? "one fact" : `${many} facts`} would change.` : "All right: nothing would change.";
}

// --- what it would do -------------------------------------------------------------------------

function served() {
  const listed = verdict.served_by.filter((each) => each.listed);
  if (listed.length) {
    return listed.map((each) => sentence(["", each.provider, " serves it; requests name it ", each.model, "."]));
  }
  if (verdict.served_by.length) {
    return verdict.served_by.map((each) =>
      sentence(["", each.provider, " takes any name: calls to ", each.model, " go there, and only it knows whether it has the model."]));
  }
  const bare = verdict.id.split("/").at(-1);
  const row = `- {id: ${verdict.id}, targets: [{provider: NAME, model: ${bare}}]}`;
  return [
    sentence(["No provider here serves it, so a call would be answered with 404. It becomes callable with a provider whose name or kind stands before the slash of its id, or with a row below ", "models", " in the configuration:"]),
    element("pre", "config", row),
  ];
}

/** Words in turn plain and as code. */
function sentence(words) {
  const made = element("p", "note");
  words.forEach((word, place) => made.append(place % 2 ? element("code", "", word) : word));
  return made;
}

const shown = (value) => (value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));

function drawChanges() {
  const rows = verdict.changes.map(({ field, before, after }) => {
    const name = element("th");
    name.scope = "row";
    name.append(element("code", "", field));
    return row(name, element("td", "was", shown(before)), element("td", "", shown(after)));
  });
  const empty = row(Object.assign(element("td", "was", "Nothing: the card says what is known already."), { colSpan: 3 }));
  byId("changes").replaceChildren(head("Fact", "Now", "Then"), body(rows.length ? rows : [empty]));
}

function drawForm() {
  const rows = verdict.forms[api].map((field) => {
    const name = element("th", `depth-${field.name.split(".").length - 1}`);
    name.scope = "row";
    name.append(breakable(field.name));
    if (field.required) name.append(" ", element("span", "badge need", "required"));
    name.append(element("small", "", field.type));
    return row(name, allowed(field), element("td", "", field.description));
  });
  byId("form").replaceChildren(head("Parameter", "Allowed", "What it does"), body(rows));
}

/** As the server draws it: a long name breaks after a dot or underscore. */
function breakable(name) {
  const made = element("code");
  for (const part of name.split(/(?<=[._])/)) made.append(part, element("wbr"));
  return made;
}

function allowed(field) {
  const cell = element("td");
  if (field.enum) for (const value of field.enum) cell.append(element("code", "", shown(value)), " ");
  else cell.append(range(field));
  if (field.default !== undefined) {
    const small = element("small", "", "default ");
    small.append(element("code", "", shown(field.default)));
    cell.append(small);
  }
  return cell;
}

function range(field) {
  const [minimum, maximum] = [field.minimum, field.maximum].map((limit) => (Math.abs(limit) > Number.MAX_SAFE_INTEGER ? undefined : limit));
  if (minimum !== undefined && maximum !== undefined) return `${minimum.toLocaleString("en")} to ${maximum.toLocaleString("en")}`;
  if (minimum !== undefined) return `${minimum.toLocaleString("en")} or more`;
  return maximum === undefined ? "" : `${maximum.toLocaleString("en")} or less`;
}

function head(...names) {
  const made = element("thead");
  made.append(row(...names.map((name) => Object.assign(element("th", "", name), { scope: "col" }))));
  return made;
}

function body(rows) {
  const made = element("tbody");
  made.append(...rows);
  return made;
}

function row(...cells) {
  const made = element("tr");
  made.append(...cells);
  return made;
}

// --- saving and removing ----------------------------------------------------------------------

async function save() {
  const sent = text.value;
  const id = verdict.id;
  const same = id === cardId;
  const change = same || !cardId ? seenChange : verdict.change;
  const { status, found, error } = await ask("PUT", address(id), { text: sent, seen_change: change });
  if (status !== 200) return refuse(error.message);
  [verdict, seenChange, saved, cardId, loaded] = [found, found.change, sent, id, true];
  byId("remove").hidden = false;
  judge("", "good");
  const done = element("p", "good", "Saved; every worker has it within a second. ");
  const link = element("a", "", `Open ${id}`);
  link.href = `/models/${id}`;
  done.append(link);
  byId("verdict").replaceChildren(done);
  history.replaceState(null, "", `/models/edit/${id}`);
  say("Saved");
}

let asked = 0;

async function remove() {
  const button = byId("remove");
  if (!asked) {
    button.textContent = "Press again to remove";
    asked = setTimeout(calm, REALLY_MS);
    return;
  }
  calm();
  const { status, error } = await ask("DELETE", address(cardId));
  if (status !== 200) return refuse(error.message);
  saved = text.value;
  seenChange = 0;
  button.hidden = true;
  await check();
  byId("verdict").replaceChildren(element("p", "good", "Removed; what it changed is as before."));
  say("Removed");
}

function calm() {
  clearTimeout(asked);
  asked = 0;
  byId("remove").textContent = "Remove";
}

function refuse(message) {
  byId("trouble").textContent = message;
}

const guarded = (work) => () => work().catch(() => refuse("The gateway cannot be reached."));
byId("save").addEventListener("click", guarded(save));
byId("remove").addEventListener("click", guarded(remove));
text.addEventListener("input", soon);
byId("key").addEventListener("input", soon);
byId("from")?.addEventListener("change", (event) => {
  if (text.value === saved) event.target.form.submit();
});
byId("apis").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || !verdict?.valid) return;
  api = button.dataset.api;
  for (const each of byId("apis").children) each.setAttribute("aria-pressed", String(each === button));
  drawForm();
});
addEventListener("beforeunload", (event) => {
  if (text.value !== saved) event.preventDefault();
});

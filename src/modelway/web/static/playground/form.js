// The settings: read into a request, written from and into the address. The key is in neither.

const byId = (id) => document.getElementById(id);
const controls = () => [...document.querySelectorAll("[data-parameter]")];

export class Wrong extends Error {}

function valueOf(control) {
  const text = control.value.trim();
  const { kind, parameter } = control.dataset;
  if (text === "") return undefined;
  if (kind === "number") return Number(text);
  if (kind === "boolean") return text === "true";
  if (kind === "json" || (kind === "text or json" && /^[[{]/.test(text))) return json(text, parameter);
  return text;
}

function json(text, name) {
  try { return JSON.parse(text); } catch (error) {
    throw new Wrong(`${name} is not JSON: ${error.message}`);
  }
}

// `thinking.type` becomes {thinking: {type: …}}.
export function parameters() {
  const found = {};
  for (const control of controls()) {
    const value = valueOf(control);
    if (value === undefined) continue;
    const steps = control.dataset.parameter.split(".");
    const last = steps.pop();
    let holder = found;
    for (const step of steps) holder = holder[step] ??= {};
    holder[last] = value;
  }
  return found;
}

export function tools() {
  const text = byId("tools")?.value.trim();
  if (!text) return undefined;
  const value = json(text, "Tools");
  if (!Array.isArray(value)) throw new Wrong("Tools must be a JSON array");
  return value;
}

export function chosen() {
  const { model, api, route, accept, prices } = byId("form").dataset;
  return { model, api, route, accept, prices: prices.split("|").map((price) => price && Number(price)) };
}

// What a card fills in by itself is not worth a place in the address.
export function writeAddress() {
  const { model, api } = chosen();
  const query = new URLSearchParams({ model, api });
  if (byId("system").value) query.set("system", byId("system").value);
  for (const control of controls()) {
    if (control.value.trim() !== (control.defaultValue ?? "")) query.set(`p.${control.dataset.parameter}`, control.value.trim());
  }
  if (byId("tools")?.value.trim()) query.set("tools", byId("tools").value.trim());
  history.replaceState(history.state, "", `?${query}`);
}

export function readAddress() {
  const query = new URLSearchParams(location.search);
  if (query.has("system")) byId("system").value = query.get("system");
  if (query.has("tools") && byId("tools")) byId("tools").value = query.get("tools");
  fill((name) => query.get(`p.${name}`));
}

// The values of now, to be put into the form of another model as far as it has the same controls.
export function remember() {
  const values = new Map(controls().filter((control) => control.value.trim() !== (control.defaultValue ?? ""))
    .map((control) => [control.dataset.parameter, control.value]));
  const asked = byId("tools")?.value;
  return () => {
    fill((name) => values.get(name));
    if (asked && byId("tools")) byId("tools").value = asked;
  };
}

function fill(valueFor) {
  for (const control of controls()) {
    const value = valueFor(control.dataset.parameter);
    if (value === null || value === undefined) continue;
    if (control.tagName === "SELECT" && ![...control.options].some((option) => option.value === value)) continue;
    control.value = value;
    control.closest("details")?.setAttribute("open", "");
  }
}

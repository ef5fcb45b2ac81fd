// Turns as elements. Whatever a model says becomes text, never HTML.

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function userTurn(turn) {
  const box = element("article", "turn user");
  box.append(element("h2", "who", "You"));
  for (const file of turn.files) box.append(attachment(file));
  box.append(element("div", "said", turn.text));
  return box;
}

function attachment(file) {
  if (!file.kind.startsWith("image/")) return element("p", "file", file.name);
  const picture = element("img", "picture");
  picture.src = file.url;
  picture.alt = file.name;
  return picture;
}

export class AssistantTurn {
  constructor(model) {
    this.box = element("article", "turn assistant");
    this.thinking = element("details", "thinking");
    this.thought = element("div", "said");
    this.thinking.append(element("summary", "", "Thinking"), this.thought);
    this.thinking.hidden = true;
    this.said = element("div", "said waiting");
    this.calls = element("div", "calls");
    this.trouble = element("p", "trouble");
    this.figures = element("dl", "turn-figures");
    this.box.append(element("h2", "who", model), this.thinking, this.said, this.calls, this.trouble, this.figures);
  }

  show(turn) {
    if (turn.thinking && this.thinking.hidden) {
      this.thinking.hidden = false;
      this.thinking.open = true;
    }
    if (turn.text && this.thinking.open && !this.folded) {
      this.folded = true;
      this.thinking.open = false;
    }
    this.thought.textContent = turn.thinking;
    this.said.textContent = turn.text;
    this.said.classList.toggle("waiting", !turn.text && !turn.ended);
    this.showCalls(turn.calls);
  }

  showCalls(calls) {
    calls.forEach((call, place) => {
      this.calls.children[place] ?? this.calls.append(this.callBox(call));
      this.calls.children[place].querySelector("code").textContent = `${call.name}(${call.arguments})`;
    });
  }

  callBox(call) {
    const box = element("div", "call");
    const line = element("pre");
    line.append(element("code"));
    const field = element("label", "field");
    const result = element("textarea");
    result.rows = 2;
    result.placeholder = "What the tool answers";
    result.addEventListener("input", () => { call.result = result.value; });
    field.append(element("span", "", "Result"), result);
    box.append(line, field);
    return box;
  }

  end(turn, figures, trouble) {
    this.show(turn);
    this.trouble.textContent = trouble;
    this.figures.replaceChildren(...figures.filter(([, value]) => value !== "").map(([name, value]) => {
      const pair = element("div");
      pair.append(element("dt", "", name), element("dd", "", value));
      return pair;
    }));
  }
}

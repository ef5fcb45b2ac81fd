"""An upstream that does what it is asked, as a well-behaved model would: uses a tool, fills a form, answers.

For suites that ask more than a script could foresee; it answers in whichever protocol it is asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.fix_upstream import Received, Scripted, ScriptedUpstream
from tests.programs.answers import PATHS, Protocol, reply, stream
from tests.programs.turns import Turn, Use

Wire = dict[str, Any]
Asked = tuple[list[Wire], Wire | None, bool]
"""Tools as name and schema, the schema of the whole answer, whether a tool's result is the last word."""

PROTOCOL_OF = {path: protocol for protocol, path in PATHS.items()}
TEXT = "Certainly: the answer is 5, and 你好 too."


def _from_chat(body: Wire) -> Asked:
    tools = [{"name": t["function"]["name"], "schema": t["function"].get("parameters")} for t in _tools(body)]
    form = body.get("response_format") or {}
    return tools, (form.get("json_schema") or {}).get("schema"), body["messages"][-1]["role"] == "tool"


def _from_messages(body: Wire) -> Asked:
    tools = [{"name": t["name"], "schema": t.get("input_schema")} for t in _tools(body)]
    form = (body.get("output_config") or {}).get("format") or {}
    last = body["messages"][-1]["content"]
    answered = isinstance(last, list) and any(block["type"] == "tool_result" for block in last)
    return tools, form.get("schema"), answered


def _from_responses(body: Wire) -> Asked:
    tools = [{"name": t["name"], "schema": t.get("parameters")} for t in _tools(body)]
    form = (body.get("text") or {}).get("format") or {}
    answered = isinstance(body["input"], list) and body["input"][-1].get("type") == "function_call_output"
    return tools, form.get("schema"), answered


READERS: dict[Protocol, Callable[[Wire], Asked]] = {
    "chat": _from_chat,
    "messages": _from_messages,
    "responses": _from_responses,
}


def _tools(body: Wire) -> list[Wire]:
    return body.get("tools") or []


def filled_in(schema: Wire, text: str) -> Any:
    """A value that fits the schema; `text` where it wants text."""
    match schema:
        case {"enum": [first, *_]} | {"const": first}:
            return first
        case {"anyOf": [first, *_]} | {"oneOf": [first, *_]} | {"allOf": [first, *_]}:
            return filled_in(first, text)
        case {"type": "object"} | {"properties": _}:
            return {name: filled_in(inner, text) for name, inner in schema.get("properties", {}).items()}
        case {"type": "array"}:
            return [filled_in(schema.get("items", {}), text)]
        case {"type": "integer" | "number"}:
            return 3
        case {"type": "boolean"}:
            return True
        case {"type": "null"}:
            return None
        case _:
            return text


class ObedientUpstream(ScriptedUpstream):
    """Like the scripted one, but it thinks of the answers itself."""

    def take(self, received: Received) -> Scripted:
        if received.path not in PROTOCOL_OF:
            return super().take(received)
        self.calls.append(received)
        protocol = PROTOCOL_OF[received.path]
        body = received.json()
        answered = stream if body.get("stream") else reply
        return answered(protocol, self._turn(*READERS[protocol](body), text=_last_words(received.body)))

    def _turn(self, tools: list[Wire], form: Wire | None, answered: bool, *, text: str) -> Turn:
        if form is not None:
            return Turn(text=json.dumps(filled_in(form, text)), schema=form)
        if answered or not tools:
            return Turn(text=TEXT)
        tool = tools[0]
        use = Use(f"call_far_{len(self.calls)}", tool["name"], filled_in(tool["schema"] or {}, text))
        return Turn(uses=(use,))


def _last_words(body: bytes) -> str:
    """The name a suite asks about, where it checks that it comes back letter by letter."""
    known = ("你好啊集团", "こんにちは株式会社", "San Francisco")
    decoded = json.dumps(json.loads(body), ensure_ascii=False)
    return next((name for name in known if name in decoded), "some text")

"""What a provider cannot do as asked and can be brought to do another way. Pure: a request in, a changed
request out, and a filter that changes the answer's events back.

The local engine's chat templates mostly drop tools, calls and results, and it ignores a forced choice;
but it reads text and holds an answer to a JSON schema by grammar. So tools are told in the system text,
calls and results of the history are spelled out, a forced call is asked for as JSON under a grammar, and
JSON that spells a call is brought back as the call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from msgspec import structs

from modelway.conversation.errors import CallError
from modelway.conversation.events import (
    ArgumentsAdded,
    Event,
    Failed,
    Finished,
    PartEnded,
    PartStarted,
    TextAdded,
)
from modelway.conversation.parts import Part, Text, ToolCall, ToolResult, Turn
from modelway.conversation.reply import Stop
from modelway.conversation.request import Conversation, FunctionTool, OutputSpec

_encode = msgspec.json.Encoder().encode
FORCED = (
    "Reply with one JSON object that calls the function that fits the request: "
    '{"name": ..., "arguments": {...}}'
)
FREE = (
    "If a function is needed, reply with only one JSON object that calls it: "
    '{"name": ..., "arguments": {...}}. Otherwise answer in plain words.'
)


class EventFilter(Protocol):
    """Stands between a stream's reader and its writer."""

    def feed(self, event: Event) -> list[Event]: ...


@dataclass(frozen=True, slots=True)
class Workaround:
    """The request to send instead, and the filter its answer needs."""

    conversation: Conversation
    filter: EventFilter | None


def tools_as_text(conversation: Conversation, mint: Callable[[str], str]) -> Workaround:
    """A request with tools, or with tool calls in its history, for an engine that reads only text."""
    tools = _offered(conversation)
    forced = bool(tools) and _is_forced(conversation)
    turns = [_spelled(turn) for turn in conversation.turns]
    if tools:
        turns = _with_instruction(turns, tools, FORCED if forced else FREE)
    changed = structs.replace(
        conversation,
        turns=tuple(turns),
        tools=(),
        tool_choice=None,
        parallel_tools=None,
        output=_call_output(tools) if forced else conversation.output,
    )
    names = {tool.name for tool in tools}
    return Workaround(changed, JsonToCall(mint, names, forced=forced) if tools else None)


def _offered(conversation: Conversation) -> list[FunctionTool]:
    """The tools the model may call now."""
    choice = conversation.tool_choice
    functions = [tool for tool in conversation.tools if isinstance(tool, FunctionTool)]
    if choice is None or choice.mode in {"auto", "required"}:
        return functions
    return [] if choice.mode == "none" else [tool for tool in functions if tool.name in choice.names]


def _is_forced(conversation: Conversation) -> bool:
    choice = conversation.tool_choice
    return choice is not None and (choice.mode in {"required", "named"} or choice.required)


def _spelled(turn: Turn) -> Turn:
    return structs.replace(turn, parts=tuple(_as_text(part) for part in turn.parts))


def _as_text(part: Part) -> Part:
    match part:
        case ToolCall():
            return Text(
                text=f'{{"name": {_encode(part.name).decode()}, "arguments": {part.arguments or "{}"}}}'
            )
        case ToolResult():
            said = "\n".join(inner.text for inner in part.parts if isinstance(inner, Text))
            return Text(text=f"The function {'failed' if part.is_error else 'answered'}: {said}")
        case _:
            return part


def _with_instruction(turns: list[Turn], tools: list[FunctionTool], how: str) -> list[Turn]:
    """The functions, one JSON line each, at the end of the leading system text."""
    lines = [
        _encode(
            {"name": tool.name, "description": tool.description or "", "parameters": tool.schema}
        ).decode()
        for tool in tools
    ]
    text = "\n".join(["Functions:", *lines, how])
    if turns and turns[0].role in {"system", "developer"}:
        return [structs.replace(turns[0], parts=(*turns[0].parts, Text(text=text))), *turns[1:]]
    return [Turn(role="system", parts=(Text(text=text),)), *turns]


def _call_output(tools: list[FunctionTool]) -> OutputSpec:
    """A grammar for `{"name": …, "arguments": …}` of one of these tools."""
    calls: list[dict[str, Any]] = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": tool.schema or {"type": "object"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return OutputSpec("schema", name="call", schema=schema, strict=True)


class _Call(msgspec.Struct):
    name: str
    arguments: msgspec.Raw


class JsonToCall:
    """Holds back text that may spell a call and gives it out as the call, or as text if it is none."""

    def __init__(self, mint: Callable[[str], str], names: set[str], *, forced: bool) -> None:
        self._mint, self._names, self._forced = mint, names, forced
        self._held = ""
        self._index: int | None = None
        self._is_text = False

    def feed(self, event: Event) -> list[Event]:
        match event:
            case PartStarted(index, Text()) if self._index is None:
                self._index = index
                return []
            case TextAdded(index, text) if index == self._index and not self._is_text:
                return self._hold(text)
            case PartEnded(index) if index == self._index and not self._is_text:
                return []
            case Finished() if not self._is_text:
                return self._finished(event)
            case _:
                return [event]

    def _hold(self, text: str) -> list[Event]:
        self._held += text
        if self._forced or self._held.lstrip()[:1] in {"", "{"}:
            return []
        self._is_text = True
        return self._text()

    def _text(self) -> list[Event]:
        index = self._index or 0
        return [PartStarted(index, Text(text="")), TextAdded(index, self._held)]

    def _finished(self, finished: Finished) -> list[Event]:
        call = self._call()
        index = self._index or 0
        if call is not None:
            return [
                PartStarted(index, ToolCall(id=self._mint("call_"), name=call.name)),
                ArgumentsAdded(index, bytes(call.arguments).decode()),
                PartEnded(index),
                structs.replace(finished, stop=Stop("tool_use")),
            ]
        if self._forced and finished.stop.reason != "max_tokens":
            return [Failed(CallError.upstream("The local model did not produce the forced tool call"))]
        if self._forced or not self._held:
            return [finished]  # cut short: no call, and the reason says why
        return [*self._text(), PartEnded(index), finished]

    def _call(self) -> _Call | None:
        try:
            call = msgspec.json.decode(self._held, type=_Call)
        except msgspec.MsgspecError:
            return None
        return call if call.name in self._names and bytes(call.arguments).startswith(b"{") else None

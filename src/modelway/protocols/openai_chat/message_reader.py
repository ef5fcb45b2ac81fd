"""Chat messages to turns: one small function per role and per kind of part.

Takes OpenAI's parts and the Anthropic blocks that some clients put on this path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from modelway.conversation.parts import (
    Ext,
    Part,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from modelway.conversation.translation import Translation
from modelway.protocols.openai_chat.fields import entries, text, text_or_none
from modelway.protocols.openai_chat.part_reader import MARKS, cache_mark, own_fields, read_parts
from modelway.protocols.openai_chat.reasoning import read_reasoning
from modelway.protocols.openai_chat.wire import missing, wrong

Json = dict[str, Any]

ERROR_PREFIX = "[tool_error] "


def read_messages(messages: list[Json], translation: Translation) -> list[Turn]:
    """Each message as a turn; tool messages are user turns that hold one result each."""
    reader = _MessageReader(translation)
    return [reader.turn(message, f"messages.{number}") for number, message in enumerate(messages)]


class _MessageReader:
    """Counts the legacy function calls, which have no ids, while it walks."""

    def __init__(self, translation: Translation) -> None:
        self.translation = translation
        self.function_calls = 0
        self.freeform_ids: set[str] = set()  # calls of custom tools, whose results are free text, too

    def turn(self, message: Json, path: str) -> Turn:
        role = message["role"]
        read = _ROLES.get(role)
        if read is None:
            raise wrong(f"{path}.role", role, f"it may be one of {', '.join(_ROLES)}")
        return read(self, message, path)

    def instruction(self, message: Json, path: str) -> Turn:
        parts = self.content(message, path)
        role: Literal["system", "developer"] = "developer" if message["role"] == "developer" else "system"
        return _turn(role, parts, message, path)

    def user(self, message: Json, path: str) -> Turn:
        if message.get("content") is None:
            raise missing(f"{path}.content", "a text or a list of parts")
        return _turn("user", self.content(message, path), message, path)

    def assistant(self, message: Json, path: str) -> Turn:
        parts: list[Part] = [*read_reasoning(message, self.translation)]
        parts += self.content(message, path)
        if isinstance(message.get("refusal"), str) and message["refusal"]:
            parts.append(Refusal(text=message["refusal"]))
        if message.get("audio"):
            raise wrong(f"{path}.audio", message["audio"], "audio kept by OpenAI cannot be sent elsewhere")
        for number, call in enumerate(entries(message, "tool_calls", path)):
            read = _tool_call(call, f"{path}.tool_calls.{number}")
            if read.freeform:
                self.freeform_ids.add(read.id)
            parts.append(read)
        if isinstance(message.get("function_call"), dict):
            self.function_calls += 1
            parts.append(_function(f"call_fn_{self.function_calls}", message["function_call"], path))
        return _turn("assistant", tuple(parts), message, path)

    def tool(self, message: Json, path: str) -> Turn:
        call_id = message.get("tool_call_id")
        if not isinstance(call_id, str) or not call_id:
            raise missing(f"{path}.tool_call_id", "the id of the tool call this answers")
        return self.result(call_id, message, path)

    def function(self, message: Json, path: str) -> Turn:
        return self.result(f"call_fn_{max(1, self.function_calls)}", message, path)

    def result(self, call_id: str, message: Json, path: str) -> Turn:
        parts, is_error = unprefixed(self.content(message, path))
        mark = cache_mark(message)
        freeform = call_id in self.freeform_ids
        result = ToolResult(call_id=call_id, parts=parts, is_error=is_error, freeform=freeform, cache=mark)
        return Turn(role="user", parts=(result,), path=path, ext=_ext(message))

    def content(self, message: Json, path: str) -> tuple[Part, ...]:
        """The parts of `content`; a mark on the message belongs to its last part."""
        content = message.get("content")
        if content is None:
            return ()
        if isinstance(content, str):
            mark = cache_mark(message) if message["role"] != "tool" else None
            return (Text(text=content, cache=mark),) if content or mark else _empty(message)
        return _marked(read_parts(content, f"{path}.content", self.translation), message)


def _marked(parts: tuple[Part, ...], message: Json) -> tuple[Part, ...]:
    mark = cache_mark(message) if message["role"] != "tool" else None
    if mark is None or not parts or getattr(parts[-1], "cache", mark) is not None:
        return parts
    last: Any = parts[-1]
    return (*parts[:-1], msgspec.structs.replace(last, cache=mark))


def _empty(message: Json) -> tuple[Part, ...]:
    """An empty user text is kept: whether a turn may be empty is for the upstream's writer to say."""
    return (Text(text=""),) if message["role"] in ("user", "system", "developer") else ()


def _turn(
    role: Literal["system", "developer", "user", "assistant"],
    parts: tuple[Part, ...],
    message: Json,
    path: str,
) -> Turn:
    name = text_or_none(message, "name", path)
    return Turn(role=role, parts=parts, name=name, path=path, ext=_ext(message))


def _tool_call(call: Json, path: str) -> ToolCall:
    call_id = call.get("id")
    if not isinstance(call_id, str) or not call_id:
        raise missing(f"{path}.id", "the id the model gave the call")
    custom = call.get("custom")
    if isinstance(custom, dict):
        return ToolCall(
            id=call_id,
            name=text(custom, "name", path),
            arguments=text_or_none(custom, "input", path) or "",
            freeform=True,
        )
    function = call.get("function")
    if not isinstance(function, dict):
        raise missing(f"{path}.function", "an object with `name` and `arguments`")
    return _function(call_id, function, path, own_fields(call, _CALL_FIELDS))


def _function(call_id: str, function: Json, path: str, ext: Ext | None = None) -> ToolCall:
    return ToolCall(
        id=call_id,
        name=text(function, "name", path),
        arguments=argument_text(function.get("arguments")),
        ext=ext or {},
    )


def argument_text(value: Any) -> str:
    """Arguments as text: servers and clients send null and ready-made objects, too."""
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def unprefixed(parts: tuple[Part, ...]) -> tuple[tuple[Part, ...], bool]:
    """An error flag that an earlier gateway wrote as a prefix becomes a flag again."""
    if parts and isinstance(parts[0], Text) and parts[0].text.startswith(ERROR_PREFIX):
        first = msgspec.structs.replace(parts[0], text=parts[0].text.removeprefix(ERROR_PREFIX))
        return (first, *parts[1:]), True
    return parts, False


_CALL_FIELDS = frozenset({"id", "type", "function", "index"}) | MARKS
_MESSAGE_FIELDS = MARKS | {
    "role",
    "content",
    "name",
    "refusal",
    "audio",
    "tool_calls",
    "function_call",
    "tool_call_id",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "thinking_blocks",
    "annotations",
}


def _ext(message: Json) -> Ext:
    return own_fields(message, _MESSAGE_FIELDS)


_ROLES: dict[str, Callable[[_MessageReader, Json, str], Turn]] = {
    "system": _MessageReader.instruction,
    "developer": _MessageReader.instruction,
    "user": _MessageReader.user,
    "assistant": _MessageReader.assistant,
    "tool": _MessageReader.tool,
    "function": _MessageReader.function,
}

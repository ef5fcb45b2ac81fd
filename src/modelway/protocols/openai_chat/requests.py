"""A client's Chat request: checked once, passed on byte for byte, or read into a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.protocols.members import Span, replaced, spans
from modelway.protocols.openai_chat.request_reader import read_request
from modelway.protocols.openai_chat.wire import (
    DATED_TOOL,
    FOREIGN_CHOICES,
    FOREIGN_FIELDS,
    FOREIGN_PARTS,
    MESSAGES_MAX,
    RANGES,
    STOP_MAX,
    WORDS,
    Body,
    MessagePeek,
    PartPeek,
    ToolPeek,
    decode_body,
    missing,
    wrong,
)

# English runs at about four bytes a token in every vendor's vocabulary; JSON schemas a little denser.
BYTES_PER_TOKEN = 4
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
# Fields beside the messages that cost input tokens.
READ_BY_THE_MODEL = frozenset({"tools", "functions", "system", "response_format", "prompt", "system_prompt"})
# Roles and separators around one message.
TOKENS_PER_MESSAGE = 4
# What vendors bill for a picture or a few pages, whatever its bytes.
TOKENS_PER_MEDIA_PART = 1000


class ChatRequest:
    """One request body of this protocol. See `protocols.interface.Request`."""

    def __init__(self, body: bytes, typed: Body, members: dict[str, Span]) -> None:
        self.body = body
        self.typed = typed
        self.members = members
        self.model = str(typed.model)
        self.stream = bool(typed.stream)
        self.max_output_tokens = typed.max_completion_tokens or typed.max_tokens
        self.passable = _is_passable(typed, members)
        self.choices = typed.n or 1
        self.include_usage = bool(typed.stream_options and typed.stream_options.include_usage)
        self._prompt_tokens = 0

    def conversation(self, translation: Translation) -> Conversation:
        """The neutral form; raises `CallError` (400) for content nobody can carry."""
        return read_request(self.body, self.typed, self.members, translation)

    def passed(self, model: str, translation: Translation) -> bytes:
        """The body for a Chat upstream: the model's name, and usage asked for in a stream; no other byte."""
        changes: list[tuple[Span, bytes]] = []
        if model != self.model:
            changes.append((self.members["model"], msgspec.json.encode(model)))
        if self.stream and not self.include_usage:
            changes.append(self._with_usage())
        body = self.body
        for span, value in sorted(changes, reverse=True):
            body = replaced(body, span, value)
        return body

    def _with_usage(self) -> tuple[Span, bytes]:
        if "stream_options" not in self.members:
            begin = self.body.index(b"{") + 1
            return (begin, begin), b'"stream_options":{"include_usage":true},'
        begin, end = self.members["stream_options"]
        options: dict[str, Any] = msgspec.json.decode(self.body[begin:end]) or {}
        return (begin, end), msgspec.json.encode({**options, "include_usage": True})

    def prompt_tokens_estimate(self) -> int:
        """About how many tokens the model will read, from lengths alone."""
        if not self._prompt_tokens:
            count = sum([_message_tokens(message) for message in self.typed.messages or ()])
            for name, (begin, end) in self.members.items():
                if name in READ_BY_THE_MODEL:
                    count += (end - begin) // BYTES_PER_TOKEN
            self._prompt_tokens = max(1, count)
        return self._prompt_tokens


def parse_request(body: bytes, headers: Mapping[str, str]) -> ChatRequest:
    """Check and type a request; raises `CallError` (400) with the field, its value and what is right."""
    members = spans(body)
    typed = decode_body(body, members)
    _check_prompt(typed, members)
    _check_values(typed, members)
    _check_stops(typed)
    _check_tools(typed)
    _check_format(typed)
    return ChatRequest(body, typed, members)


def _check_prompt(typed: Body, members: dict[str, Span]) -> None:
    """A model, and exactly one of `messages` and the shorthand `prompt`."""
    if not isinstance(typed.model, str):
        raise missing("model", "a model's id, as GET /v1/models lists them")
    if not typed.model:
        raise wrong("model", "", "give a model's id, as GET /v1/models lists them")
    if typed.system is not None and typed.system_prompt is not None:
        raise wrong("system_prompt", typed.system_prompt, "give it or `system`, not both")
    if typed.messages is None:
        if typed.prompt is None:
            raise missing("messages", "a list of messages")
        if not typed.prompt:
            raise wrong("prompt", "", "give a text that is not empty")
        return
    if typed.prompt is not None:
        raise wrong("prompt", typed.prompt, "give it or `messages`, not both")
    if not typed.messages:
        raise wrong("messages", [], "give at least one message", "empty_array")
    if len(typed.messages) > MESSAGES_MAX:
        raise wrong("messages", len(typed.messages), f"at most {MESSAGES_MAX}", "array_above_max_length")
    for index, message in enumerate(typed.messages):
        if message.role not in ROLES:
            raise wrong(f"messages.{index}.role", message.role, f"it may be one of {', '.join(ROLES)}")


def _check_values(typed: Body, members: dict[str, Span]) -> None:
    for name in members:
        if name in RANGES:
            _check_range(name, getattr(typed, name))
        elif name in WORDS:
            value, words = getattr(typed, name), WORDS[name]
            if value is not None and value not in words:
                raise wrong(name, value, f"it may be one of {', '.join(words)}")
    if typed.top_logprobs is not None and not typed.logprobs:
        raise wrong("top_logprobs", typed.top_logprobs, "it needs `logprobs`: true")
    if typed.stream_options is not None and not typed.stream:
        raise wrong("stream_options", typed.stream_options, "it needs `stream`: true")


def _check_range(name: str, value: float | None) -> None:
    low, high = RANGES[name]
    if value is None or (low <= value and (high is None or value <= high)):
        return
    code = "integer_below_min_value" if value < low else "integer_above_max_value"
    span = f"{low} to {high}" if high is not None else f"{low} or more"
    raise wrong(name, value, f"it may be {span}", code if isinstance(value, int) else "invalid_value")


def _check_stops(typed: Body) -> None:
    if isinstance(typed.stop, list) and len(typed.stop) > STOP_MAX:
        raise wrong("stop", typed.stop, f"at most {STOP_MAX} sequences", "array_above_max_length")
    both = typed.stop is not None and typed.stop_sequences is not None
    if both and _as_list(typed.stop) != _as_list(typed.stop_sequences):
        raise wrong(
            "stop_sequences", typed.stop_sequences, "give it or `stop`, not both with different values"
        )


def _as_list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _check_tools(typed: Body) -> None:
    for name in ("tool_choice", "parallel_tool_calls"):
        value = getattr(typed, name)
        harmless = typed.tools is not None and value in ("auto", "none", True, False)
        if value is not None and not typed.tools and not harmless:
            raise wrong(name, value, "it needs `tools`")
    if typed.function_call is not None and not typed.functions:
        raise wrong("function_call", typed.function_call, "it needs `functions`")


def _check_format(typed: Body) -> None:
    form = typed.response_format
    if form is None:
        return
    kind = form.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        raise wrong("response_format.type", kind, "it may be text, json_object or json_schema")
    if kind != "json_schema":
        return
    wrapped = form.get("json_schema")
    if not isinstance(wrapped, dict):
        raise missing("response_format.json_schema", "an object with `name` and `schema`")
    if not isinstance(wrapped.get("name"), str) or not wrapped["name"]:
        raise missing("response_format.json_schema.name", "1 to 64 of a-z, A-Z, 0-9, _ and -")


def _is_passable(typed: Body, members: dict[str, Span]) -> bool:
    for name in members:
        if name in FOREIGN_FIELDS and getattr(typed, name) is not None:
            return False
    choice = typed.tool_choice
    if isinstance(choice, dict) and choice.get("type") in FOREIGN_CHOICES:
        return False
    if any(map(_is_foreign_tool, typed.tools or ())):
        return False
    return not any(map(_has_foreign_part, typed.messages or ()))


def _is_foreign_tool(tool: ToolPeek) -> bool:
    """Anthropic's tools: a bare `input_schema`, or a dated type such as web_search_20250305."""
    if tool.function is not msgspec.UNSET or tool.custom is not msgspec.UNSET:
        return False
    return tool.input_schema is not msgspec.UNSET or bool(tool.type and DATED_TOOL.search(tool.type))


def _has_foreign_part(message: MessagePeek) -> bool:
    if not isinstance(message.content, list):
        return False
    return any(isinstance(part, str) or part.type in FOREIGN_PARTS for part in message.content)


def _message_tokens(message: MessagePeek) -> int:
    content = message.content
    if content is None:
        return TOKENS_PER_MESSAGE * 5  # a tool call: its name and arguments
    if isinstance(content, str):
        return TOKENS_PER_MESSAGE + _text_tokens(content)
    return TOKENS_PER_MESSAGE + sum(_part_tokens(part) for part in content)


def _part_tokens(part: PartPeek | str) -> int:
    text = part if isinstance(part, str) else part.text
    if text is None or (isinstance(part, PartPeek) and not text and part.type != "text"):
        return TOKENS_PER_MEDIA_PART
    return _text_tokens(text)


def _text_tokens(text: str) -> int:
    # Scripts outside ASCII take about a token per character rather than one per four.
    if text.isascii():
        return len(text) // BYTES_PER_TOKEN + 1
    return len(text.encode("utf-8", "replace")) // 3 + 1

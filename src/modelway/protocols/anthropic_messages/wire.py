"""What a Messages body looks like: typed where the gateway must look, raw where it only carries.

Sources: the `anthropic` SDK's types (2.10), and docs.anthropic.com for what the types do not say.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from modelway.conversation.reply import StopReason

NAME: Final = "messages"
NOTHING = Raw()

VERSION_SAMPLING = "2023-06-01"
VERSION_NO_SAMPLING = "2026-10-21"
# Version -> the rules that apply; 2023-01-01 differs only in a stream format nobody asks for any more.
VERSIONS: dict[str, str] = {
    "": VERSION_SAMPLING,
    "2023-01-01": VERSION_SAMPLING,
    VERSION_SAMPLING: VERSION_SAMPLING,
    VERSION_NO_SAMPLING: VERSION_NO_SAMPLING,
}

MESSAGES_MAX = 100_000  # the vendor's own limit
CACHE_MARKS_MAX = 4  # breakpoints a request may set
BUDGET_TOKENS_MIN = 1024  # the smallest thinking budget the vendor takes
# A model without a card gets this: every Claude since 3.7 can write as much.
DEFAULT_OUTPUT_TOKENS = 32_000
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
BILLING_HEADER = "x-anthropic-billing-header:"  # Claude Code's attribution block; only its vendor reads it
REMINDER = "<system-reminder>\n{}\n</system-reminder>"
EMPTY_TEXT: dict[str, str] = {"type": "text", "text": ""}

STOP_REASONS: dict[str, StopReason] = {
    "end_turn": "end",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
}
STOP_WORDS: dict[StopReason, str] = {reason: word for word, reason in STOP_REASONS.items()} | {
    "unknown": "end_turn"
}


class Block(Struct):
    """One content block, as far as a request is checked before it is known where it goes."""

    type: str
    text: Raw = NOTHING
    id: Any = None
    tool_use_id: Any = None
    source: Raw = NOTHING
    content: Raw = NOTHING
    citations: Raw = NOTHING


class Message(Struct):
    role: str
    content: str | list[Block]


class Source(Struct):
    """The source of an image or document; the other kinds carry other fields."""

    type: Any = None
    media_type: Any = None
    data: Any = ""


class Thinking(Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class Tool(Struct):
    type: str | None = None
    name: str = ""


class ToolChoice(Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class OutputConfig(Struct):
    format: Raw = NOTHING


class Thread(Struct):
    """A conversation the provider keeps; `continue` sends only the messages that are new."""

    type: str = ""


class Body(Struct, kw_only=True):
    """The top level of a request. Fields not named here are carried, not checked."""

    model: Annotated[str, Meta(min_length=1)]
    messages: list[Message]
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    system: str | list[Block] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: Raw = NOTHING
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    thread: Thread | None = None


Members = dict[str, Raw]  # an object whose values are still text, so that numbers keep theirs

_bodies = msgspec.json.Decoder(Body)
_messages = msgspec.json.Decoder(list[Members])
_contents = msgspec.json.Decoder(str | list[Members])
_encoder = msgspec.json.Encoder()


def decode_body(body: bytes) -> Body:
    return _bodies.decode(body)


def decode_messages(messages: bytes) -> list[Members]:
    return _messages.decode(messages)


def decode_content(content: Raw) -> str | list[Members]:
    decoded: str | list[Members] = _contents.decode(content)
    return decoded


def loose(members: Members) -> dict[str, Any]:
    """The members decoded; a number Python cannot hold (1e400) leaves its member as the text it was."""
    return {name: _value(raw) for name, raw in members.items()}


def block_fields(members: Members) -> dict[str, Any]:
    """A content block's members decoded, but a tool's input left as the text it was."""
    fields = loose(members)
    if fields.get("type") == "tool_use" and "input" in members:
        fields["input"] = members["input"]
    return fields


def _value(raw: Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.ValidationError:
        return raw


def encode(value: object) -> bytes:
    return _encoder.encode(value)


def text_of(value: object) -> str:
    return _encoder.encode(value).decode()


def compact(raw: bytes | Raw) -> str:
    """JSON text without white space, its numbers as they were written."""
    return msgspec.json.format(bytes(raw), indent=-1).decode()


def present(raw: Raw) -> bool:
    """Whether an optional member is there and not null."""
    return len(memoryview(raw)) > 0 and bytes(raw) != b"null"

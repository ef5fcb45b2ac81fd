"""What the tests of the Messages protocol share: recordings, a translation, a request in one line."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Literal

import msgspec

from modelway.conversation.events import Event
from modelway.conversation.parts import Part, Text, ToolCall, ToolResult, Turn
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages import MESSAGES
from modelway.protocols.anthropic_messages.requests import MessagesRequest
from modelway.protocols.interface import WireProtocol

RECORDINGS = Path(__file__).parents[2] / "recordings" / "messages"
# Whole answers for which a stream of the same name exists.
BOTH = sorted(path.stem for path in RECORDINGS.glob("*.json") if path.with_suffix(".sse").exists())
STREAMS = sorted(path.stem for path in RECORDINGS.glob("*.sse"))

Json = dict[str, Any]
WIRE: WireProtocol = MESSAGES  # the type checker compares each method with the interface
Role = Literal["system", "developer", "user", "assistant"]


def recording(name: str) -> bytes:
    return (RECORDINGS / name).read_bytes()


def translation(**changes: Any) -> Translation:
    """A translation from a Messages client to Anthropic, unless told otherwise; ids count up from 1."""
    counter = itertools.count(1)
    values: Json = {
        "client": "messages",
        "upstream": "messages",
        "model_asked": "asked",
        "mint": lambda prefix: f"{prefix}{next(counter)}",
        "now_s": 1_790_000_000,
        "vendor": "anthropic",
        "envelope_secret": b"secret of the tests",
    }
    return Translation(**(values | changes))


def from_chat(**changes: Any) -> Translation:
    """A translation from a Chat client to Anthropic."""
    return translation(client="chat", **changes)


def to_chat(**changes: Any) -> Translation:
    """A translation from a Messages client to a Chat upstream."""
    return translation(**({"upstream": "chat", "vendor": "openai"} | changes))


def parse(headers: dict[str, str] | None = None, **fields: Any) -> MessagesRequest:
    """A request with the least a request needs, and `fields`; None takes a field away."""
    body: Json = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
    body = {name: value for name, value in (body | fields).items() if value is not None}
    return MESSAGES.parse(msgspec.json.encode(body), headers or {})


def read(place: Translation | None = None, **fields: Any) -> Conversation:
    return parse(**fields).conversation(place or to_chat())


def user(*parts: Part) -> Turn:
    return Turn(role="user", parts=parts)


def assistant(*parts: Part) -> Turn:
    return Turn(role="assistant", parts=parts)


def says(text: str, role: Role = "user") -> Turn:
    return Turn(role=role, parts=(Text(text=text),))


def call(identity: str = "t1", arguments: str = "{}", name: str = "f") -> ToolCall:
    return ToolCall(id=identity, name=name, arguments=arguments)


def result(identity: str = "t1", text: str = "ok") -> ToolResult:
    return ToolResult(call_id=identity, parts=(Text(text=text),))


HI = says("hi")


def write(*turns: Turn, place: Translation | None = None, **fields: Any) -> Json:
    """The body written for a conversation of `turns`."""
    conversation = Conversation(model="m", turns=turns, **fields)
    return written(conversation, place or from_chat())


def written(conversation: Conversation, place: Translation) -> Json:
    body: Json = msgspec.json.decode(MESSAGES.write_request(conversation, place))
    return body


def events_of(stream: bytes, place: Translation | None = None) -> list[Event]:
    reader = MESSAGES.reader(place or translation())
    return [*reader.read(stream), *reader.end()]


def codes(place: Translation) -> list[str]:
    return [warning.code for warning in place.warnings]

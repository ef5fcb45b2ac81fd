"""What these tests start from: recordings, and a translation whose ids count up."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from modelway.conversation.capabilities import ANY_MODEL, Capabilities
from modelway.conversation.events import Event
from modelway.conversation.parts import Part, Text, Turn
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.protocols.openai_responses import RESPONSES
from modelway.protocols.openai_responses.wire import ResponsesRequest, parse

RECORDINGS = Path(__file__).parents[2] / "recordings" / "responses"
STREAMS = sorted(path.stem for path in RECORDINGS.glob("*.sse"))
PAIRS = sorted(path.stem for path in RECORDINGS.glob("*.json") if path.with_suffix(".sse").exists())
SECRET = b"an installation's secret"
Wire = dict[str, Any]

CALL: Wire = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT: Wire = {"type": "function_call_output", "call_id": "c1", "output": "42"}
USER: Wire = {"role": "user", "content": "Hi"}

CLOSED: Wire = {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}
OPEN: Wire = {"type": "object", "properties": {"a": {}}}


def recording(name: str) -> bytes:
    return (RECORDINGS / name).read_bytes()


def translation(
    client: str = "responses",
    upstream: str = "chat",
    *,
    vendor: str = "other",
    strict: bool = False,
    capabilities: Capabilities = ANY_MODEL,
    prompt_tokens_estimate: int = 0,
) -> Translation:
    numbers = itertools.count(1)
    return Translation(
        client,
        upstream,
        "asked-model",
        lambda prefix: f"{prefix}{next(numbers):04d}",
        1_792_000_000,
        vendor=vendor,
        strict=strict,
        capabilities=capabilities,
        envelope_secret=SECRET,
        prompt_tokens_estimate=prompt_tokens_estimate,
    )


def request(**fields: Any) -> ResponsesRequest:
    return parse(json.dumps({"model": "m", "input": "Hi", **fields}).encode(), {})


def conversation(using: Translation | None = None, **fields: Any) -> Conversation:
    return request(**fields).conversation(using or translation())


def sent(conversation: Conversation, using: Translation | None = None) -> Wire:
    """The body an upstream gets."""
    using = using or translation("chat", "responses")
    body: Wire = json.loads(RESPONSES.write_request(conversation, using))
    return body


def events_of(stream: bytes, sizes: Sequence[int] = (), using: Translation | None = None) -> list[Event]:
    """The events of a stream that arrives in chunks of these sizes, the rest at once."""
    reader = RESPONSES.reader(using or translation("chat", "responses", vendor="openai"))
    events: list[Event] = []
    for size in sizes:
        chunk, stream = stream[:size], stream[size:]
        events += reader.read(chunk)
    return [*events, *reader.read(stream), *reader.end()]


def frames_of(stream: bytes) -> list[Wire]:
    """The data of each frame a client sees; every frame has its event line and its blank line."""
    found: list[Wire] = []
    for block in stream.decode().removesuffix("\n\n").split("\n\n"):
        if block.startswith(":") or not block.strip("\n"):
            continue
        name, data = block.strip("\n").split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        found.append(value)
    return found


def asking(*parts: Part, **fields: Any) -> Conversation:
    turn = Turn(role="user", parts=parts or (Text(text="Hi"),), path="messages.0")
    return structs.replace(Conversation(model="up", turns=(turn,)), **fields)


def history(*parts: Part) -> Conversation:
    turns = (
        Turn(role="user", parts=(Text(text="Go"),), path="messages.0"),
        Turn(role="assistant", parts=parts, path="messages.1"),
        Turn(role="user", parts=(Text(text="And?"),), path="messages.2"),
    )
    return Conversation(model="m", turns=turns)


def codes(using: Translation) -> list[str]:
    return [each.code for each in using.warnings]

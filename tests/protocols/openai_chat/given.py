"""What the tests of this protocol start from: a translation, a request, a recording."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from modelway.conversation.capabilities import ANY_MODEL, Capabilities
from modelway.conversation.errors import CallError
from modelway.conversation.events import Event
from modelway.conversation.parts import Part, Text, ToolResult, Turn
from modelway.conversation.reply import Reply
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.protocols.openai_chat import CHAT

RECORDINGS = Path(__file__).parents[2] / "recordings" / "chat"


def translation(
    client: str = "chat",
    upstream: str = "chat",
    *,
    capabilities: Capabilities = ANY_MODEL,
    vendor: str = "other",
    strict: bool = False,
    asked: Conversation | None = None,
) -> Translation:
    """A translation whose ids count up and whose clock stands still."""
    numbers = itertools.count(1)
    return Translation(
        client=client,
        upstream=upstream,
        model_asked="the/alias",
        mint=lambda prefix: f"{prefix}{next(numbers):024}",
        now_s=1_763_600_123,
        capabilities=capabilities,
        vendor=vendor,
        strict=strict,
        envelope_secret=b"secret of this test",
        asked=asked,
    )


def body(**fields: Any) -> bytes:
    """A request body with a model and a message, unless `fields` says otherwise (None leaves out)."""
    base: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    whole = {name: value for name, value in (base | fields).items() if value is not None}
    return json.dumps(whole).encode()


def read(shared: Translation | None = None, **fields: Any) -> Conversation:
    """A client's body as a conversation."""
    return CHAT.parse(body(**fields), {}).conversation(shared or translation())


def written(conversation: Conversation, shared: Translation | None = None) -> dict[str, Any]:
    """The body an upstream gets."""
    sent: dict[str, Any] = json.loads(CHAT.write_request(conversation, shared or translation("messages")))
    return sent


def said(*turns: Turn, **fields: Any) -> Conversation:
    return Conversation(model="m", turns=turns, **fields)


def user(*parts: Part | str) -> Turn:
    return Turn(role="user", parts=_parts(parts), path="messages.0")


def assistant(*parts: Part | str) -> Turn:
    return Turn(role="assistant", parts=_parts(parts), path="messages.1")


def system(*parts: Part | str) -> Turn:
    return Turn(role="system", parts=_parts(parts), path="system")


def _parts(parts: tuple[Part | str, ...]) -> tuple[Part, ...]:
    return tuple(Text(text=part) if isinstance(part, str) else part for part in parts)


def recording(name: str) -> bytes:
    return (RECORDINGS / name).read_bytes()


def events(name: str, shared: Translation | None = None) -> list[Event]:
    """The events of a recorded stream, read in one go."""
    reader = CHAT.reader(shared or translation())
    return reader.read(recording(name)) + reader.end()


def reply(name: str, shared: Translation | None = None) -> Reply:
    """A recorded whole answer."""
    return CHAT.read_reply(recording(name), shared or translation())


def codes(shared: Translation) -> list[str]:
    return [warning.code for warning in shared.warnings]


def result(call_id: str, *parts: Any, is_error: bool = False) -> ToolResult:
    return ToolResult(call_id=call_id, parts=parts, is_error=is_error)


def messages(conversation: Conversation, shared: Any = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = written(conversation, shared)["messages"]
    return found


def lost(
    conversation: Conversation, capabilities: Capabilities | None = None
) -> tuple[dict[str, Any], list[str]]:
    """What is sent, and the warnings; in strict mode the same must be a 400 that says so."""
    chosen = capabilities or Capabilities()
    shared = translation("messages", capabilities=chosen)
    sent = written(conversation, shared)
    strict = translation("messages", capabilities=chosen, strict=True)
    with pytest.raises(CallError) as caught:
        CHAT.write_request(conversation, strict)
    assert caught.value.code == codes(shared)[0]
    return sent, codes(shared)


def refused(conversation: Conversation, capabilities: Capabilities | None = None) -> CallError:
    with pytest.raises(CallError) as caught:
        written(conversation, translation("messages", capabilities=capabilities or Capabilities()))
    assert caught.value.kind.status == 400
    return caught.value

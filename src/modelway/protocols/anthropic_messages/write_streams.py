"""Events -> a Messages client's stream. The SDKs count blocks from 0 without gaps, want both usages, and
take a stream that simply stops for a whole answer: so blocks are numbered here, and failures are told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelway.conversation.errors import CallError
from modelway.conversation.events import (
    ArgumentsAdded,
    CitationAdded,
    Event,
    Failed,
    Finished,
    Fold,
    Heartbeat,
    PartEnded,
    PartStarted,
    ReasoningAdded,
    SecretAdded,
    Started,
    TextAdded,
    UsageReported,
)
from modelway.conversation.parts import Part, Reasoning, Refusal, Text, ToolCall
from modelway.conversation.reply import Usage
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages.usage import estimated, write_stop, write_usage
from modelway.protocols.anthropic_messages.wire import EMPTY_TEXT, encode, text_of
from modelway.protocols.anthropic_messages.write_replies import (
    blocks_of,
    citation_of,
    signature_of,
    single_call,
)
from modelway.protocols.sse import frame, one_line

Fields = dict[str, Any]

PING = frame("ping", b'{"type":"ping"}')
_DELTA = frame(
    "content_block_delta",
    b'{"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":%b}}',
)


def event_frame(kind: str, fields: Fields) -> bytes:
    return frame(kind, one_line(encode({"type": kind, **fields})))


def error_frame(error: CallError, request_id: str) -> bytes:
    """An error in mid-stream. Its `event:` line matters: without it the SDK would overlook it."""
    return frame("error", one_line(encode(error.body(request_id))))


class MessagesWriter:
    """One client stream; `write` gives whole frames."""

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._usage: Usage | None = None
        self._blocks = 0
        self._open: Part | None = None  # None too while a part is left out
        self._thinking = Fold()  # the open reasoning, whole, for its signature
        self._summary: int | None = None
        self._refusal: str | None = None
        self._called = False
        self._characters = 0

    def write(self, event: Event) -> bytes:
        handler = _HANDLERS.get(type(event))
        return handler(self, event) if handler else b""

    def _started(self, event: Started) -> bytes:
        usage = event.usage or estimated(self._translation)
        message: Fields = {
            "id": self._translation.mint("msg_"),
            "type": "message",
            "role": "assistant",
            "model": self._translation.model_asked,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(usage),
        }
        self._usage = event.usage
        return event_frame("message_start", {"message": message})

    def _part_started(self, event: PartStarted) -> bytes:
        opener = _OPENERS.get(type(event.part))
        if opener is None or (isinstance(event.part, Reasoning) and event.part.redacted):
            return self._whole(event.part)
        return opener(self, event.part)

    def _whole(self, part: Part) -> bytes:
        """Blocks that do not stream: complete in their start."""
        self._open = None
        return b"".join(self._begin(block) + self._stop() for block in blocks_of(part, self._translation))

    def _begin(self, block: Fields) -> bytes:
        self._blocks += 1
        return event_frame("content_block_start", {"index": self._blocks - 1, "content_block": block})

    def _delta(self, kind: bytes, name: bytes, value: object) -> bytes:
        # Nearly every frame of every answer: only what changes is encoded.
        return _DELTA % (self._blocks - 1, kind, name, one_line(encode(value)))

    def _stop(self) -> bytes:
        return event_frame("content_block_stop", {"index": self._blocks - 1})

    def _open_text(self, part: Text) -> bytes:
        self._open = part
        begun = self._begin({"type": "text", "text": ""})
        return begun + (self._delta(b"text_delta", b"text", part.text) if part.text else b"")

    def _open_refusal(self, part: Refusal) -> bytes:
        self._refusal = part.text
        return self._open_text(Text(text=part.text))

    def _open_reasoning(self, part: Reasoning) -> bytes:
        self._open, self._summary = part, None
        self._thinking = Fold()
        self._thinking.add(PartStarted(0, part))
        begun = self._begin({"type": "thinking", "thinking": "", "signature": ""})
        return begun + (self._delta(b"thinking_delta", b"thinking", part.text) if part.text else b"")

    def _open_call(self, part: ToolCall) -> bytes:
        if self._called and single_call(self._translation):
            return b""
        self._open, self._called = part, True
        identity = part.id or self._translation.mint("toolu_")
        begun = self._begin({"type": "tool_use", "id": identity, "name": part.name, "input": {}})
        if part.freeform:
            begun += self._delta(b"input_json_delta", b"partial_json", '{"input":"')
        return begun + (self._arguments(part.arguments) if part.arguments else b"")

    def _text_added(self, event: TextAdded) -> bytes:
        if self._open is None:
            return b""
        if self._refusal is not None:
            self._refusal += event.text
        self._characters += len(event.text)
        return self._delta(b"text_delta", b"text", event.text)

    def _reasoning_added(self, event: ReasoningAdded) -> bytes:
        """Summary parts are joined by a blank line."""
        if self._open is None:
            return b""
        text = event.text
        if event.summary is not None and self._summary is not None and event.summary != self._summary:
            text = "\n\n" + text
        self._summary = event.summary
        self._characters += len(text)
        self._thinking.add(ReasoningAdded(0, event.text, event.summary))
        return self._delta(b"thinking_delta", b"thinking", text)

    def _secret_added(self, event: SecretAdded) -> bytes:
        self._thinking.add(SecretAdded(0, event.secret))
        return b""

    def _arguments_added(self, event: ArgumentsAdded) -> bytes:
        return self._arguments(event.text) if self._open is not None else b""

    def _arguments(self, text: str) -> bytes:
        if isinstance(self._open, ToolCall) and self._open.freeform:
            text = text_of(text)[1:-1]
        self._characters += len(text)
        return self._delta(b"input_json_delta", b"partial_json", text)

    def _citation_added(self, event: CitationAdded) -> bytes:
        if self._open is None:
            return b""
        return self._delta(b"citations_delta", b"citation", citation_of(event.citation))

    def _part_ended(self, event: PartEnded) -> bytes:
        part, self._open = self._open, None
        match part:
            case None:
                return b""
            case Reasoning():
                whole = self._thinking.part(0)
                assert isinstance(whole, Reasoning)
                signature = signature_of(whole, self._translation)
                return self._delta(b"signature_delta", b"signature", signature) + self._stop()
            case ToolCall(freeform=True):
                return self._delta(b"input_json_delta", b"partial_json", '"}') + self._stop()
        return self._stop()

    def _usage_reported(self, event: UsageReported) -> bytes:
        self._usage = event.usage
        return b""

    def _finished(self, event: Finished) -> bytes:
        closed = self._part_ended(PartEnded(0))
        if self._blocks == 0:
            closed += self._begin(dict(EMPTY_TEXT)) + self._stop()
        usage = write_usage(event.usage or self._usage or estimated(self._translation, self._characters))
        delta = write_stop(event.stop, self._refusal)
        return (
            closed
            + event_frame("message_delta", {"delta": delta, "usage": usage})
            + event_frame("message_stop", {})
        )

    def _failed(self, event: Failed) -> bytes:
        return error_frame(event.error, self._translation.request_id)

    def _heartbeat(self, event: Heartbeat) -> bytes:
        return PING


_HANDLERS: dict[type, Callable[[MessagesWriter, Any], bytes]] = {
    Started: MessagesWriter._started,
    PartStarted: MessagesWriter._part_started,
    TextAdded: MessagesWriter._text_added,
    ReasoningAdded: MessagesWriter._reasoning_added,
    SecretAdded: MessagesWriter._secret_added,
    ArgumentsAdded: MessagesWriter._arguments_added,
    CitationAdded: MessagesWriter._citation_added,
    PartEnded: MessagesWriter._part_ended,
    UsageReported: MessagesWriter._usage_reported,
    Finished: MessagesWriter._finished,
    Failed: MessagesWriter._failed,
    Heartbeat: MessagesWriter._heartbeat,
}
_OPENERS: dict[type, Callable[[MessagesWriter, Any], bytes]] = {
    Text: MessagesWriter._open_text,
    Refusal: MessagesWriter._open_refusal,
    Reasoning: MessagesWriter._open_reasoning,
    ToolCall: MessagesWriter._open_call,
}

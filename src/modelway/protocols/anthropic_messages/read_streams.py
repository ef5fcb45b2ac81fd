"""Messages stream -> events. Its blocks come one after another, so this mostly renames; it holds back
what the neutral form gives out whole: signatures, server tools with their results, the stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from modelway.conversation.errors import CallError
from modelway.conversation.events import (
    ArgumentsAdded,
    CitationAdded,
    Event,
    Failed,
    Finished,
    Heartbeat,
    PartEnded,
    PartStarted,
    ReasoningAdded,
    SecretAdded,
    Started,
    TextAdded,
    UsageReported,
)
from modelway.conversation.parts import HostedCall, Opaque, Part, Reasoning, Secret, Text, ToolCall
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages.names import client_name
from modelway.protocols.anthropic_messages.read_blocks import (
    Fields,
    Place,
    arguments_of,
    join_hosted,
    read_block,
    read_citation,
    vendor_of,
)
from modelway.protocols.anthropic_messages.read_replies import freeform_text
from modelway.protocols.anthropic_messages.usage import merged, note, read_stop, read_usage
from modelway.protocols.failures import error_from_object
from modelway.protocols.sse import Frame, Frames

TRUNCATED = "The provider's stream ended before the answer was complete"


class MessagesReader:
    """One upstream stream. `read` bytes as they come, `end` when the upstream closes."""

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._place = Place(translation, vendor_of(translation), opens=False)
        self._frames = Frames()
        self._events: list[Event] = []
        self._part: Part | None = None
        self._next = 0
        self._secret: Secret | None = None
        self._json: list[str] = []  # a server or free-form tool's input, given out whole
        self._hosted: HostedCall | None = None  # waits for its results
        self._called = False
        self._stop: Fields = {}
        self._usage: Fields = {}
        self._over = False

    def read(self, chunk: bytes) -> list[Event]:
        return self._guarded(lambda: self._frames.feed(chunk))

    def end(self) -> list[Event]:
        events = self._guarded(self._frames.end)
        if self._over:
            return events
        if self._stop.get("stop_reason") is None:
            self._over = True
            return [*events, Failed(CallError.upstream(TRUNCATED, code="upstream_truncated"))]
        note(self._translation, "no_message_stop", "", "The provider left out the end of its stream")
        self._message_stop({})
        return [*events, *self._taken()]

    def _guarded(self, frames: Callable[[], list[Frame]]) -> list[Event]:
        """The events of some frames; a broken frame ends the stream as the provider's fault."""
        try:
            for frame in frames():
                if self._over:
                    break
                self._frame(frame)
        except CallError as error:
            self._fail(error if error.kind.upstream_at_fault else CallError.upstream(error.message))
        except (msgspec.MsgspecError, LookupError, TypeError, AttributeError, RecursionError) as reason:
            self._fail(CallError.upstream(f"The provider sent a malformed event: {reason}"))
        return self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _fail(self, error: CallError) -> None:
        self._over = True
        self._events.append(Failed(error))

    def _frame(self, frame: Frame) -> None:
        if not frame.data or frame.data == b"[DONE]":
            return
        data: Fields = msgspec.json.decode(frame.data)
        kind = data.get("type") or frame.event
        if data.get("error") is not None:
            kind = "error"
        handler = _HANDLERS.get(str(kind))
        if handler is None:
            note(self._translation, "unknown_event", "", f"The provider sent an unknown event, {kind!r}")
            return
        handler(self, data)

    def _ping(self, data: Fields) -> None:
        self._events.append(Heartbeat())

    def _error(self, data: Fields) -> None:
        self._fail(error_from_object(data, None))

    def _message_start(self, data: Fields) -> None:
        message = data["message"]
        self._place.model = str(message.get("model") or "")
        self._usage = message.get("usage") or {}
        usage = read_usage(self._usage) if self._usage else None
        self._events.append(Started(str(message.get("id") or ""), self._place.model, usage))

    def _message_delta(self, data: Fields) -> None:
        self._stop = merged(self._stop, data.get("delta") or {})
        if data.get("usage"):
            self._usage = merged(self._usage, data["usage"])
            if (usage := read_usage(self._usage)) is not None:
                self._events.append(UsageReported(usage))

    def _message_stop(self, data: Fields) -> None:
        self._close()
        self._give_hosted()
        self._over = True
        stop = read_stop(self._stop, self._called, self._translation)
        usage = read_usage(self._usage) if self._usage else None
        self._events.append(Finished(stop, usage, self._usage.get("service_tier")))

    def _block_start(self, data: Fields) -> None:
        self._close()
        block: Fields = data["content_block"]
        block = _EMPTY.get(str(block.get("type")), {}) | block
        part = read_block(block, self._place)
        if isinstance(part, HostedCall):
            self._take_hosted(part)
            return
        self._give_hosted()
        if isinstance(part, Opaque):
            kind = part.raw.get("type")
            note(self._translation, "unknown_block", "", f"The provider sent an unknown block, {kind!r}")
        if part is not None:
            _OPENERS.get(type(part), MessagesReader._open_whole)(self, part)

    def _begin(self, part: Part) -> None:
        self._part = part
        self._events.append(PartStarted(self._next, part))
        self._next += 1

    def _open_whole(self, part: Any) -> None:
        self._begin(part)

    def _open_text(self, part: Text) -> None:
        self._begin(Text(text="", cache=None, ext=part.ext))
        if part.text:
            self._events.append(TextAdded(self._index, part.text))
        self._events += [CitationAdded(self._index, citation) for citation in part.citations]

    def _open_reasoning(self, part: Reasoning) -> None:
        if part.redacted:
            self._begin(part)
            return
        self._begin(Reasoning(ext=part.ext))
        self._secret = part.secret
        if part.text:
            self._events.append(ReasoningAdded(self._index, part.text))

    def _open_call(self, part: ToolCall) -> None:
        translation = self._translation
        if translation.answer_tool and part.name == translation.answer_tool:
            self._begin(Text(text=""))
            return
        self._called = True
        freeform = part.name in translation.freeform
        name, namespace = client_name(part.name, translation)
        identity = part.id or translation.mint("toolu_")
        call = ToolCall(id=identity, name=name, namespace=namespace, freeform=freeform, ext=part.ext)
        self._begin(call)
        if part.arguments != "{}":  # some servers give the whole input at the start
            self._input(part.arguments)

    def _take_hosted(self, part: HostedCall) -> None:
        """A server tool's call is held until its results came, or something else did."""
        joined = join_hosted(self._hosted, part) if self._hosted else None
        if joined is None:
            self._give_hosted()
        self._hosted = joined or part
        self._json = []
        self._part = self._hosted

    def _give_hosted(self) -> None:
        if self._hosted is not None:
            self._begin(self._hosted)
            self._events.append(PartEnded(self._index))
            self._hosted = self._part = None

    @property
    def _index(self) -> int:
        return self._next - 1

    def _block_delta(self, data: Fields) -> None:
        delta: Fields = data["delta"]
        handler = _DELTAS.get(str(delta.get("type")))
        if handler is not None and self._part is not None:
            handler(self, delta)

    def _text_delta(self, delta: Fields) -> None:
        if isinstance(self._part, Text) and delta["text"]:
            self._events.append(TextAdded(self._index, delta["text"]))

    def _thinking_delta(self, delta: Fields) -> None:
        if isinstance(self._part, Reasoning) and delta["thinking"]:
            self._events.append(ReasoningAdded(self._index, delta["thinking"]))

    def _signature_delta(self, delta: Fields) -> None:
        block = {"type": "thinking", "thinking": "", "signature": delta["signature"]}
        reasoning = read_block(block, self._place)
        if isinstance(reasoning, Reasoning):
            self._secret = reasoning.secret

    def _citations_delta(self, delta: Fields) -> None:
        if isinstance(self._part, Text):
            self._events.append(CitationAdded(self._index, read_citation(delta["citation"])))

    def _json_delta(self, delta: Fields) -> None:
        if delta["partial_json"]:
            self._input(delta["partial_json"])

    def _input(self, text: str) -> None:
        match self._part:
            case Text():
                self._events.append(TextAdded(self._index, text))
            case ToolCall(freeform=False):
                self._events.append(ArgumentsAdded(self._index, text))
            case ToolCall() | HostedCall():
                self._json.append(text)

    def _block_stop(self, data: Fields) -> None:
        self._close()

    def _close(self) -> None:
        """End the open part, with what was held back of it."""
        part, self._part = self._part, None
        if isinstance(part, HostedCall):
            self._finish_hosted()
            return
        if part is None:
            return
        if isinstance(part, Reasoning) and self._secret is not None:
            self._events.append(SecretAdded(self._index, self._secret))
        if isinstance(part, ToolCall) and part.freeform and self._json:
            text = freeform_text("".join(self._json), self._translation)
            self._events.append(ArgumentsAdded(self._index, text))
        self._secret, self._json = None, []
        self._events.append(PartEnded(self._index))

    def _finish_hosted(self) -> None:
        """Put a server tool's streamed input into its call."""
        if self._hosted is None or not self._json:
            return
        text = arguments_of(msgspec.Raw("".join(self._json).encode()))
        *others, last = self._hosted.raw
        whole = {**last, "input": msgspec.json.decode(text)}
        self._hosted = msgspec.structs.replace(self._hosted, raw=(*others, whole))
        self._json = []


# What some servers leave out of a block that only begins.
_EMPTY: dict[str, Fields] = {"text": {"text": ""}, "thinking": {"thinking": ""}}
_HANDLERS: dict[str, Callable[[MessagesReader, Fields], None]] = {
    "message_start": MessagesReader._message_start,
    "content_block_start": MessagesReader._block_start,
    "content_block_delta": MessagesReader._block_delta,
    "content_block_stop": MessagesReader._block_stop,
    "message_delta": MessagesReader._message_delta,
    "message_stop": MessagesReader._message_stop,
    "ping": MessagesReader._ping,
    "error": MessagesReader._error,
}
_OPENERS: dict[type, Callable[[MessagesReader, Any], None]] = {
    Text: MessagesReader._open_text,
    Reasoning: MessagesReader._open_reasoning,
    ToolCall: MessagesReader._open_call,
}
_DELTAS: dict[str, Callable[[MessagesReader, Fields], None]] = {
    "text_delta": MessagesReader._text_delta,
    "thinking_delta": MessagesReader._thinking_delta,
    "signature_delta": MessagesReader._signature_delta,
    "citations_delta": MessagesReader._citations_delta,
    "input_json_delta": MessagesReader._json_delta,
}

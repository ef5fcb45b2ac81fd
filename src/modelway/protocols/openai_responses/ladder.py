"""Events -> the stream of a response, and the response they amount to.

An item is added, filled and done; the next is added only then. An item is closed when the next one
begins or the answer ends, because only then is it known whether it was cut short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
from modelway.conversation.parts import HostedCall, Opaque, Reasoning, Refusal, Text, ToolCall
from modelway.conversation.reply import Stop, Usage
from modelway.conversation.translation import Translation
from modelway.protocols.openai_responses.content import NAME, write_citation
from modelway.protocols.openai_responses.ladder_items import Call, Message, Rung, Thought, Whole
from modelway.protocols.openai_responses.response_object import (
    base,
    error_object,
    item_id,
    status_of,
    tier_of,
    write_usage,
)
from modelway.protocols.sse import COMMENT_HEARTBEAT, frame, one_line

Wire = dict[str, Any]

DECLINED = "The model declined this request."
_BYTES_PER_TOKEN = 4
_encoder = msgspec.json.Encoder()


class Ladder:
    """`climb` gives what each event adds to the stream; `response` is the answer so far."""

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self.response: Wire = base(translation)
        self._output: list[Wire] = self.response["output"]
        self._item: Message | Call | Thought | Whole | None = None
        self._begun = False
        self._sequence = 0
        self._usage: Usage | None = None
        self._characters = 0

    def climb(self, event: Event) -> list[Wire]:
        """The events to send, complete and numbered."""
        rungs = _STEPS[type(event)](self, event)
        return [self._numbered(kind, fields) for kind, fields in rungs]

    def _numbered(self, kind: str, fields: Wire) -> Wire:
        number, self._sequence = self._sequence, self._sequence + 1
        if kind == "output_item.added" or kind == "output_item.done":
            fields["output_index"] = len(self._output)
            if kind == "output_item.done":
                self._output.append(fields["item"])
        return {"type": f"response.{kind}", "sequence_number": number, **fields}

    # -- one step per event ------------------------------------------------------------------------

    def started(self, event: Started) -> Iterator[Rung]:
        self._usage = event.usage or self._usage
        yield from self._begin()

    def _begin(self) -> Iterator[Rung]:
        if not self._begun:
            self._begun = True
            for kind in ("created", "in_progress"):
                yield kind, {"response": {**self.response, "output": []}}

    def part_started(self, event: PartStarted) -> Iterator[Rung]:
        yield from self._begin()
        match event.part:
            case Text() | Refusal() as part:
                yield from self._message(part)
            case ToolCall() as call:
                yield from self._next(Call(call.item_id or self._new_id(call), self._index(), call))
                if call.arguments and isinstance(self._item, Call):
                    yield from self._item.arguments(call.arguments)
            case Reasoning() as part:
                own = part.ext.get(NAME, {}).get("id") or (part.secret.id if part.secret else "")
                id = own or item_id("rs", self._index(), self._translation)
                yield from self._next(Thought(id, self._index(), part, self._translation))
            case HostedCall(protocol="responses", raw=raw):
                for item in raw:
                    yield from self._next(Whole(item))
            case Opaque(protocol="responses", raw=item):
                yield from self._next(Whole(item))
            case HostedCall(name="web_search") as search:
                yield from self._next(Whole(_web_search(search, self._index(), self._translation)))

    def _new_id(self, call: ToolCall) -> str:
        return item_id("ctc" if call.freeform else "fc", self._index(), self._translation)

    def _index(self) -> int:
        """Where the next item will stand: behind the one that is still open."""
        return len(self._output) + (self._item is not None)

    def _message(self, part: Text | Refusal) -> Iterator[Rung]:
        own = part.ext.get(NAME, {})
        if not isinstance(self._item, Message) or self._item.own.get("id") != own.get("id"):
            id = own.get("id") or item_id("msg", self._index(), self._translation)
            yield from self._next(Message(id, self._index(), own))
        if isinstance(self._item, Message):
            yield from self._item.begin(part)

    def _next(self, item: Message | Call | Thought | Whole) -> Iterator[Rung]:
        yield from self._close("completed")
        self._item = item
        yield from item.open()

    def _close(self, status: str) -> Iterator[Rung]:
        if self._item is not None:
            yield from self._item.close(status)
            self._item = None

    def text_added(self, event: TextAdded) -> Iterator[Rung]:
        if isinstance(self._item, Message):
            self._characters += len(event.text)
            yield from self._item.text(event.text, event.logprobs)

    def reasoning_added(self, event: ReasoningAdded) -> Iterator[Rung]:
        if isinstance(self._item, Thought):
            self._characters += len(event.text)
            yield from self._item.add(event.text, event.summary)

    def secret_added(self, event: SecretAdded) -> Iterator[Rung]:
        if isinstance(self._item, Thought):
            self._item.keep(event.secret)
        yield from ()

    def arguments_added(self, event: ArgumentsAdded) -> Iterator[Rung]:
        if isinstance(self._item, Call) and event.text:
            self._characters += len(event.text)
            yield from self._item.arguments(event.text)

    def citation_added(self, event: CitationAdded) -> Iterator[Rung]:
        if isinstance(self._item, Message):
            annotation = write_citation(event.citation, self._item.written())
            if annotation is not None:
                yield from self._item.annotate(annotation)

    def part_ended(self, event: PartEnded) -> Iterator[Rung]:
        if isinstance(self._item, Message):
            yield from self._item.end()

    def usage_reported(self, event: UsageReported) -> Iterator[Rung]:
        self._usage = event.usage
        yield from ()

    def finished(self, event: Finished) -> Iterator[Rung]:
        yield from self._begin()
        yield from self._last_words(event.stop)
        status, reason = status_of(event.stop)
        yield from self._close(status)
        usage = event.usage or self._usage or self._estimated()
        self.response |= {"status": status, "usage": write_usage(usage)}
        self.response["incomplete_details"] = {"reason": reason} if reason else None
        if status == "completed":
            self.response["completed_at"] = self._translation.now_s
        self.response["service_tier"] = tier_of(event.service_tier, self.response["service_tier"])
        yield status, {"response": self.response}

    def _last_words(self, stop: Stop) -> Iterator[Rung]:
        """A refusal says so in words; an answer without any output is an empty message."""
        refused = isinstance(self._item, Message) and self._item.refused()
        if stop.reason == "refusal" and not refused:
            own = self._item.own if isinstance(self._item, Message) else {}
            yield from self._message(Refusal(text=stop.detail or DECLINED, ext={NAME: own}))
        elif self._item is None and not self._output:
            yield from self._message(Text(text=""))

    def _estimated(self) -> Usage:
        return Usage(
            input_tokens=self._translation.prompt_tokens_estimate,
            output_tokens=self._characters // _BYTES_PER_TOKEN + 1,
            estimated=True,
        )

    def failed(self, event: Failed) -> Iterator[Rung]:
        """`response.failed` for those who read events; `error` beside it makes the SDKs raise."""
        yield from self._begin()
        self.response |= {"status": "failed", "error": error_object(event.error)}
        yield "failed", {"response": self.response, "error": error_object(event.error)}


_STEPS: Mapping[type[Event], Callable[[Ladder, Any], Iterator[Rung]]] = {
    Started: Ladder.started,
    PartStarted: Ladder.part_started,
    TextAdded: Ladder.text_added,
    ReasoningAdded: Ladder.reasoning_added,
    SecretAdded: Ladder.secret_added,
    ArgumentsAdded: Ladder.arguments_added,
    CitationAdded: Ladder.citation_added,
    PartEnded: Ladder.part_ended,
    UsageReported: Ladder.usage_reported,
    Finished: Ladder.finished,
    Failed: Ladder.failed,
    Heartbeat: lambda ladder, event: iter(()),
}


def _web_search(search: HostedCall, index: int, translation: Translation) -> Wire:
    """Another vendor's web search, as far as Responses can tell of it: what was searched for."""
    queries = [
        block["input"].get("query", "") for block in search.raw if isinstance(block.get("input"), dict)
    ]
    action = {"type": "search", "query": str(queries[0]) if queries else ""}
    id = item_id("ws", index, translation)
    return {"id": id, "type": "web_search_call", "status": "completed", "action": action}


class LadderWriter:
    """Events -> frames. `response` is the whole answer as it would stand in a non-streamed body."""

    def __init__(self, translation: Translation) -> None:
        self._ladder = Ladder(translation)
        self._over = False

    @property
    def response(self) -> Wire:
        return self._ladder.response

    def write(self, event: Event) -> bytes:
        if isinstance(event, Heartbeat):
            return COMMENT_HEARTBEAT
        if self._over:
            return b""
        self._over = isinstance(event, Finished | Failed)
        return b"".join(_framed(each) for each in self._ladder.climb(event))


def _framed(event: Wire) -> bytes:
    return frame(event["type"], one_line(_encoder.encode(event)))


def error_frame(error: CallError, request_id: str) -> bytes:
    """An error event with OpenAI's flat fields, and the nested copy that makes the SDKs raise."""
    nested = {**error_object(error), "code": error.code}
    event = {
        "type": "error",
        "sequence_number": 0,
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "error": nested,
        "request_id": request_id,
    }
    return frame("error", one_line(_encoder.encode(event)))

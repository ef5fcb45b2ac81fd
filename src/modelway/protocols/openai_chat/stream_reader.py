"""Chat chunks to events. Chat never says where a part starts or ends; this does.

Servers differ: calls may interleave, lack an index or an id, repeat both, or come whole. The reader
keeps one slot per call, lets one part be open at a time, and holds the others back.
"""

from __future__ import annotations

from typing import Any

import msgspec

from modelway.conversation.errors import CallError
from modelway.conversation.events import (
    ArgumentsAdded,
    CitationAdded,
    Event,
    Failed,
    Finished,
    PartEnded,
    PartStarted,
    ReasoningAdded,
    SecretAdded,
    Started,
    TextAdded,
    UsageReported,
)
from modelway.conversation.parts import Citation, Part, Reasoning, Refusal, Text
from modelway.conversation.reply import Usage
from modelway.conversation.translation import Translation
from modelway.protocols.failures import error_from_object
from modelway.protocols.openai_chat.calls import Calls, Slot
from modelway.protocols.openai_chat.reasoning import read_reasoning, reasoning_text
from modelway.protocols.openai_chat.stops import is_ended, read_stop
from modelway.protocols.openai_chat.usage import read_usage
from modelway.protocols.sse import Frames
from modelway.protocols.usual import Usual

Json = dict[str, Any]
_STUBS: dict[str, Part] = {"text": Text(text=""), "reasoning": Reasoning(), "refusal": Refusal(text="")}


class ChatReader:
    """One upstream stream. `read` takes any chunking; after `Finished` or `Failed` nothing follows."""

    def __init__(self, translation: Translation) -> None:
        self._frames = Frames()
        self._chunks = ChunkReader(translation)

    def read(self, chunk: bytes) -> list[Event]:
        try:
            frames = self._frames.feed(chunk)
        except CallError as error:
            return self._chunks.fail(error)
        events: list[Event] = []
        for frame in frames:
            events += self._chunks.data(frame.data)
        return events

    def end(self) -> list[Event]:
        events: list[Event] = []
        for frame in self._frames.end():
            events += self._chunks.data(frame.data, last=True)
        return events + self._chunks.finish()


class ChunkReader:
    """The state between chunks: what is open, what waits, how it ends."""

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._calls = Calls(translation)
        self._events: list[Event] = []
        self._started = self._over = False
        self._next_index = 0
        self._open = ""  # kind of the open part, empty for none
        self._open_slot: Slot | None = None
        # Calls, reasoning, and (kind, text) that stand behind an unfinished call.
        self._held: list[Slot | Reasoning | tuple[str, str]] = []
        self._finish_reason: str | None = None
        self._stop_reason: Any = None
        self._usage: Usage | None = None
        self._service_tier: str | None = None
        self._secrets: set[str] = set()
        self._usual = Usual("content")

    # ---- in ----

    def data(self, data: bytes, last: bool = False) -> list[Event]:
        """The events of one frame."""
        if self._over or not data.strip():
            return []
        if (word := self._usual.word(data)) is not None:
            return [TextAdded(self._next_index - 1, word)] if word else []
        if data.strip() == b"[DONE]":
            return self.finish()
        try:
            chunk = msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if last:  # cut off in the middle of a frame: the end says what that means
                return []
            return self.fail(CallError.upstream("The provider sent a chunk that is not JSON"))
        events = self.chunk(chunk)
        self._remember(data, chunk, events)
        return events

    def _remember(self, data: bytes, chunk: Any, events: list[Event]) -> None:
        """A chunk that brought text and nothing else changes nothing here but the text it brings: until
        another kind comes, those like it need not be parsed.
        """
        match events:
            case [TextAdded(text=text, logprobs=None)] if self._open == "text" and not self._held:
                delta = chunk["choices"][0].get("delta") or {}
                said = {name for name, value in delta.items() if value}
                if said <= {"role", "content"} and (
                    self._usual.fits(data) or self._usual.learn(data) == text
                ):
                    return
        self._usual.forget()

    def chunk(self, chunk: Any) -> list[Event]:
        if not isinstance(chunk, dict):
            return self.fail(CallError.upstream("The provider sent a chunk that is not an object"))
        if chunk.get("error") or chunk.get("type") == "error":
            return self.fail(error_from_object(chunk))
        self._start(chunk)
        choices = chunk.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            self._choice(choices[0])
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._report(usage)
        tier = chunk.get("service_tier")
        if isinstance(tier, str):
            self._service_tier = tier
        return self._taken()

    def finish(self) -> list[Event]:
        """The upstream has said all it will. Without a reason to stop that is a failure."""
        if self._over:
            return []
        if self._finish_reason is None:
            return self.fail(
                CallError.upstream(
                    "The provider's answer ended before it was complete", code="upstream_truncated"
                )
            )
        self._calls.close()
        self._flush()
        self._close()
        stop = read_stop(self._finish_reason, self._stop_reason, self._calls.any_started)
        self._over = True
        self._events.append(Finished(stop, self._usage, self._service_tier))
        return self._taken()

    def fail(self, error: CallError) -> list[Event]:
        if self._over:
            return []
        self._over = True
        self._events.append(Failed(error))
        return self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # ---- chunk fields ----

    def _start(self, chunk: Json) -> None:
        if self._started:
            return
        self._started = True
        created, model = chunk.get("created"), chunk.get("model")
        self._translation.model_answered = model if isinstance(model, str) else ""
        self._events.append(
            Started(
                str(chunk.get("id") or ""),
                self._translation.model_answered,
                None,
                int(created) if isinstance(created, int | float) else None,
            )
        )

    def _report(self, usage: Json) -> None:
        read = read_usage(usage)
        if read is not None and read != self._usage:
            self._usage = read
            self._events.append(UsageReported(read))

    def _choice(self, choice: Json) -> None:
        """Arguments of the open call first, then what may follow it, then new calls."""
        if choice.get("index"):  # only the first of several answers is carried
            return
        delta = choice.get("delta") or choice.get("message")
        delta = delta if isinstance(delta, dict) else {}
        fresh = self._calls.take(delta)
        self._advance()
        self._reasoning(delta)
        logprobs = choice.get("logprobs")
        content = delta.get("content")
        if fresh and not self._open and isinstance(content, str) and not content.strip():
            content = ""  # a line break before a call is not an answer
        self._say("text", content, logprobs.get("content") if isinstance(logprobs, dict) else None)
        self._say("refusal", delta.get("refusal"))
        self._citations(delta.get("annotations"))
        for slot in fresh:
            self._held.append(slot)
        self._advance()
        reason = choice.get("finish_reason")
        if is_ended(reason):
            self._finish_reason = reason
        if choice.get("stop_reason") is not None:
            self._stop_reason = choice["stop_reason"]

    def _reasoning(self, delta: Json) -> None:
        details = delta.get("reasoning_details") or delta.get("thinking_blocks")
        if not details:
            self._say("reasoning", reasoning_text(delta))
            return
        for part in read_reasoning(delta, self._translation, in_reply=True):
            if self._must_wait():
                self._held.append(part)
            else:
                self._think(part)

    def _think(self, part: Reasoning) -> None:
        """A detail, or a fragment of one. Its secret comes last, and once even if the server repeats it."""
        if part.redacted and not part.text:
            self._close()
            self._whole(part)
            return
        if part.text or part.summaries:
            self._open_part("reasoning")
            self._events += [
                ReasoningAdded(self._next_index - 1, summary, number)
                for number, summary in enumerate(part.summaries)
            ]
            if part.text:
                self._events.append(ReasoningAdded(self._next_index - 1, part.text))
        if part.secret and part.secret.value not in self._secrets:
            self._secrets.add(part.secret.value)
            self._open_part("reasoning")
            self._events.append(SecretAdded(self._next_index - 1, part.secret))
            self._close()

    def _must_wait(self) -> bool:
        """Whether an unfinished call, or something behind one, stands before what comes now."""
        return bool(self._held) or (self._open_slot is not None and not self._open_slot.is_done())

    def _say(self, kind: str, text: Any, logprobs: list[Json] | None = None) -> None:
        if isinstance(text, list):  # Mistral's and Anthropic-like servers answer in parts
            for part in text:
                self._say_part(kind, part)
            return
        if not isinstance(text, str) or not text:
            return
        if self._must_wait():
            self._held.append((kind, text))
            return
        self._open_part(kind)
        index = self._next_index - 1
        if kind == "reasoning":
            self._events.append(ReasoningAdded(index, text))
        else:
            self._events.append(TextAdded(index, text, logprobs))

    def _say_part(self, kind: str, part: Any) -> None:
        match part:
            case {"type": "text", "text": str(said)}:
                self._say(kind, said)
            case {"type": "refusal", "refusal": str(said)}:
                self._say("refusal", said)
            case {"type": "thinking", "thinking": str(said)}:
                self._say("reasoning", said)
            case {"type": "thinking", "thinking": list(inner)}:
                for entry in inner:
                    self._say_part("reasoning", entry)

    def _citations(self, annotations: Any) -> None:
        if not isinstance(annotations, list) or self._open != "text":
            return
        for entry in annotations:
            cited = entry.get("url_citation") if isinstance(entry, dict) else None
            if isinstance(cited, dict):
                citation = Citation(
                    kind="url",
                    url=str(cited.get("url") or ""),
                    title=str(cited.get("title") or ""),
                    start=_number(cited.get("start_index")),
                    end=_number(cited.get("end_index")),
                    vendor="openai",
                    raw=entry,
                )
                self._events.append(CitationAdded(self._next_index - 1, citation))

    # ---- parts ----

    def _open_part(self, kind: str) -> None:
        if self._open == kind:
            return
        self._close()
        self._events.append(PartStarted(self._next_index, _STUBS[kind]))
        self._open, self._next_index = kind, self._next_index + 1

    def _whole(self, part: Part) -> None:
        self._events += [PartStarted(self._next_index, part), PartEnded(self._next_index)]
        self._next_index += 1

    def _close(self) -> None:
        if self._open_slot is not None:
            self._events += self._rest(self._open_slot)
            self._open_slot = None
        if self._open:
            self._events.append(PartEnded(self._next_index - 1))
            self._open = ""

    def _advance(self) -> None:
        """Give out what the open call has; open what waits as soon as nothing before it is unfinished."""
        while True:
            if self._open_slot is not None:
                self._events += self._pieces(self._open_slot)
                if not self._held or not self._open_slot.is_done():
                    return
            if not self._held or (isinstance(self._held[0], Slot) and not self._held[0].is_named()):
                return
            self._next_held()

    def _next_held(self) -> None:
        first = self._held.pop(0)
        waiting, self._held = self._held, []
        match first:
            case Slot():
                self._close()
                self._open_call(first)
            case Reasoning():
                self._think(first)
            case kind, text:
                self._say(kind, text)
        self._held = waiting

    def _open_call(self, slot: Slot) -> None:
        self._events.append(PartStarted(self._next_index, slot.started()))
        self._open, self._open_slot = "call", slot
        self._next_index += 1

    def _flush(self) -> None:
        while self._held:
            self._next_held()

    def _pieces(self, slot: Slot) -> list[Event]:
        text = slot.given()
        return [ArgumentsAdded(self._next_index - 1, text)] if text else []

    def _rest(self, slot: Slot) -> list[Event]:
        text = slot.remaining()
        return [ArgumentsAdded(self._next_index - 1, text)] if text else []


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None

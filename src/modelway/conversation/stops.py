"""Stop sequences kept by the gateway itself, for upstreams whose dialect cannot carry them.

Only text is cut: thinking and tool arguments may contain a sequence. No text is given out while it
could still become one, so no part of a sequence ever reaches the client.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from modelway.conversation.events import (
    Event,
    Failed,
    Finished,
    PartEnded,
    PartStarted,
    Started,
    TextAdded,
    UsageReported,
    fold,
    unfold,
)
from modelway.conversation.parts import Text
from modelway.conversation.reply import Reply, Stop, Usage

LogProbs = list[dict[str, Any]]


class StopFilter:
    """Passes events on until the text holds one of `sequences`; then it ends the answer before it.

    `hit` is the sequence, once one was met: nothing follows then, and the upstream may be let go. The
    usage is what the upstream had reported by then.
    """

    def __init__(self, sequences: Iterable[str]) -> None:
        self.hit: str | None = None
        self._sequences = tuple(sequence for sequence in sequences if sequence)
        self._texts: set[int] = set()
        self._held = ""
        self._logprobs: LogProbs = []
        self._usage: Usage | None = None

    def feed(self, event: Event) -> list[Event]:
        if self.hit is not None:
            return []
        match event:
            case TextAdded(index) if index in self._texts:
                return self._text(event)
            case PartStarted(index, Text()):
                self._texts.add(index)
            case PartEnded(index) if self._held:
                return [self._released(index, len(self._held)), event]
            case Started(usage=Usage() as usage) | UsageReported(usage):
                self._usage = usage
            case Failed() | Finished():
                self._held = ""
        return [event]

    def _text(self, event: TextAdded) -> list[Event]:
        self._held += event.text
        self._logprobs.extend(event.logprobs or ())
        if found := _first(self._held, self._sequences):
            begin, self.hit = found
            before: list[Event] = [self._released(event.index, begin)] if begin else []
            stop = Stop("stop_sequence", sequence=self.hit, raw=self.hit)
            return [*before, PartEnded(event.index), Finished(stop, self._usage)]
        safe = len(self._held) - _waiting(self._held, self._sequences)
        return [self._released(event.index, safe)] if safe else []

    def _released(self, index: int, length: int) -> TextAdded:
        """The first `length` characters of what was held, with the tokens that lie in them."""
        text, self._held = self._held[:length], self._held[length:]
        count, characters = 0, 0
        for entry in self._logprobs:
            characters += len(str(entry.get("token", "")))
            if characters > length:
                break
            count += 1
        logprobs, self._logprobs = self._logprobs[:count], self._logprobs[count:]
        return TextAdded(index, text, logprobs or None)


def _first(text: str, sequences: Sequence[str]) -> tuple[int, str] | None:
    """Where the sequence begins that is whole first, as a model that writes it would have stopped."""
    found = [(at + len(each), at, each) for each in sequences if (at := text.find(each)) >= 0]
    if not found:
        return None
    _, begin, sequence = min(found)
    return begin, sequence


def _waiting(text: str, sequences: Sequence[str]) -> int:
    """How many characters at the end of `text` may be the beginning of a sequence."""
    longest = 0
    for sequence in sequences:
        for length in range(min(len(sequence) - 1, len(text)), longest, -1):
            if text.endswith(sequence[:length]):
                longest = length
                break
    return longest


def stopped(reply: Reply, sequences: Iterable[str]) -> tuple[Reply, str | None]:
    """A whole reply cut at the first sequence, and that sequence; untouched if there is none."""
    cutting = StopFilter(sequences)
    events = [each for event in unfold(reply) for each in cutting.feed(event)]
    if cutting.hit is None:
        return reply, None
    cut = fold(events)
    return cut, cutting.hit

"""An answer that its provider paused, gone on with until it is whole: one answer out of several rounds.

Anthropic pauses a long turn of its own tools and wants its words sent back to go on. Messages clients
know that and do it themselves; for clients of other protocols, which have no word for it, we do.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from modelway.conversation.events import (
    ArgumentsAdded,
    CitationAdded,
    Event,
    Finished,
    Fold,
    PartEnded,
    PartStarted,
    ReasoningAdded,
    SecretAdded,
    Started,
    TextAdded,
    UsageReported,
)
from modelway.conversation.parts import HostedCall, Part, Turn
from modelway.conversation.reply import Stop, Usage
from modelway.conversation.request import Conversation

# Anthropic's own examples stop after fewer; a model that pauses more often is going round in a circle.
ROUNDS_MAX = 10

_WITHIN_PART = (TextAdded, ReasoningAdded, ArgumentsAdded, SecretAdded, CitationAdded, PartEnded)


class Rounds:
    """Makes one stream of events out of several: one start and one end, indexes that go on counting,
    usage that adds up. `paused` turns true when a round ended in a pause; `resumed` begins the next.

    `cut_short` is true once the last round that is allowed ended in a pause, too: the answer ends there.
    """

    def __init__(self) -> None:
        self.paused = False
        self.cut_short = False
        self._round = 1
        self._fold = Fold()
        self._offset = 0  # from the round's own index of the open part to the answer's
        self._count = 0  # parts given out so far
        self._before: Usage | None = None  # what those rounds used
        self._usage: Usage | None = None
        self._held: HostedCall | None = None  # the vendor's own call; its results may come in the next round

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts so far."""
        return self._fold.parts if self._held is None else (*self._fold.parts, self._held)

    def resumed(self) -> None:
        self.paused = False
        self._round += 1
        self._before, self._usage = self._total(None), None

    def take(self, events: Sequence[Event]) -> list[Event]:
        """The events of this round as events of the whole answer."""
        return [out for event in events for out in self._take(event)]

    def _take(self, event: Event) -> list[Event]:
        if isinstance(event, _WITHIN_PART):
            if self._held is not None and isinstance(event, PartEnded):
                return []  # it comes with the part that is held
            return [self._given(self._shifted(event))]
        match event:
            case PartStarted():
                return self._part(event)
            case Started():
                return self._start(event)
            case UsageReported(usage):
                self._usage = usage
                return [UsageReported(self._total(usage) or usage)]
            case Finished():
                return self._end(event)
        return [event]

    def _given(self, event: Event) -> Event:
        self._fold.add(event)
        return event

    def _shifted(
        self, event: TextAdded | ReasoningAdded | ArgumentsAdded | SecretAdded | CitationAdded | PartEnded
    ) -> Event:
        return structs.replace(event, index=event.index + self._offset) if self._offset else event

    def _part(self, event: PartStarted) -> list[Event]:
        part, released = event.part, self._release(event.part)
        if isinstance(part, HostedCall):
            self._held = part if self._held is None else structs.replace(part, raw=self._held.raw + part.raw)
            return released
        self._offset = self._count - event.index
        self._count += 1
        return [*released, self._given(PartStarted(event.index + self._offset, part))]

    def _release(self, following: Part | None) -> list[Event]:
        """The call that is held, unless `following` holds its results: then the two are one."""
        held = self._held
        if held is None or (isinstance(following, HostedCall) and following.id == held.id):
            return []
        self._held = None
        self._count += 1
        return [self._given(PartStarted(self._count - 1, held)), self._given(PartEnded(self._count - 1))]

    def _start(self, event: Started) -> list[Event]:
        self._usage = event.usage
        if self._round == 1:
            return [self._given(event)]
        total = self._total(event.usage)
        return [UsageReported(total)] if total is not None else []

    def _end(self, event: Finished) -> list[Event]:
        self._usage = event.usage or self._usage
        if event.stop.reason == "pause" and self._round < ROUNDS_MAX:
            self.paused = True
            return []
        stop = event.stop
        if stop.reason == "pause":
            self.cut_short = True
            stop = Stop("end", raw=stop.raw)
        released = self._release(None)
        return [*released, structs.replace(event, stop=stop, usage=self._total(self._usage))]

    def _total(self, usage: Usage | None) -> Usage | None:
        """What was used with this round's `usage` (None: as far as it is known)."""
        now = usage or self._usage
        if self._before is None or now is None:
            return now or self._before
        return self._before.plus(now)


def going_on(conversation: Conversation, parts: Sequence[Part]) -> Conversation:
    """The conversation that makes the provider go on after `parts`."""
    turn = Turn(role="assistant", parts=tuple(parts), path="messages")
    return structs.replace(conversation, turns=(*conversation.turns, turn))

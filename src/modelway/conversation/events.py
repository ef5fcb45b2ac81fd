"""What happens while an answer streams. Readers make these, writers consume them; `fold` makes a reply.

At most one part is open at a time: a reader whose upstream interleaves (Chat's tool calls may come
0,1,0) holds the later part back until the earlier one has ended. Part indexes count 0, 1, 2, …
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct, structs

from modelway.conversation.errors import CallError
from modelway.conversation.parts import Citation, Part, Reasoning, Refusal, Secret, Text, ToolCall
from modelway.conversation.reply import Reply, Stop, Usage


class Started(Struct, frozen=True):
    """The upstream began to answer. `usage` where it already says what the prompt cost."""

    id: str
    model: str
    usage: Usage | None = None
    created_s: int | None = None


class PartStarted(Struct, frozen=True):
    """A part opens with what is known: an empty Text, Reasoning or Refusal, a ToolCall with id and name.
    Kinds that do not stream (HostedCall, Opaque, redacted Reasoning) come complete.
    """

    index: int
    part: Part


class TextAdded(Struct, frozen=True):
    """More text of a Text or Refusal part. `logprobs` are Chat's token objects for it."""

    index: int
    text: str
    logprobs: list[dict[str, Any]] | None = None


class ReasoningAdded(Struct, frozen=True):
    """More thinking; `summary` says which summary part it belongs to, None the thinking itself."""

    index: int
    text: str
    summary: int | None = None


class SecretAdded(Struct, frozen=True):
    """The signature or encrypted form of a Reasoning part, whole, at most once, before the part ends."""

    index: int
    secret: Secret


class ArgumentsAdded(Struct, frozen=True):
    """More argument text of a ToolCall."""

    index: int
    text: str


class CitationAdded(Struct, frozen=True):
    index: int
    citation: Citation


class PartEnded(Struct, frozen=True):
    index: int


class UsageReported(Struct, frozen=True):
    """The usage so far, cumulative; the last one counts."""

    usage: Usage


class Finished(Struct, frozen=True):
    """The answer is whole. Nothing follows."""

    stop: Stop
    usage: Usage | None = None
    service_tier: str | None = None


class Failed(Struct, frozen=True):
    """The answer broke off. Nothing follows, and no success may be made of it."""

    error: CallError


class Heartbeat(Struct, frozen=True):
    """The upstream lives and has nothing to say yet."""


Event = (
    Started
    | PartStarted
    | TextAdded
    | ReasoningAdded
    | SecretAdded
    | ArgumentsAdded
    | CitationAdded
    | PartEnded
    | UsageReported
    | Finished
    | Failed
    | Heartbeat
)


class Fold:
    """Gathers events into parts and, at the end, a reply. Text is joined once, when it is asked for."""

    def __init__(self) -> None:
        self.started: Started | None = None
        self.usage: Usage | None = None
        self.finished: Finished | None = None
        self.error: CallError | None = None
        self._stubs: list[Part] = []
        self._texts: list[list[str]] = []
        self._summaries: list[dict[int, list[str]]] = []
        self._citations: list[list[Citation]] = []
        self._secrets: list[Secret | None] = []
        self._logprobs: list[dict[str, Any]] = []

    def add(self, event: Event) -> None:
        match event:
            case TextAdded(index, text, logprobs):
                self._texts[index].append(text)
                if logprobs:
                    self._logprobs.extend(logprobs)
            case ArgumentsAdded(index, text):
                self._texts[index].append(text)
            case ReasoningAdded(index, text, None):
                self._texts[index].append(text)
            case ReasoningAdded(index, text, summary) if summary is not None:
                self._summaries[index].setdefault(summary, []).append(text)
            case PartStarted(_, part):
                self._open(part)
            case SecretAdded(index, secret):
                self._secrets[index] = secret
            case CitationAdded(index, citation):
                self._citations[index].append(citation)
            case UsageReported(usage):
                self.usage = usage
            case _:
                self._mark(event)

    def _open(self, part: Part) -> None:
        self._stubs.append(part)
        self._texts.append([])
        self._summaries.append({})
        self._citations.append([])
        self._secrets.append(None)

    def _mark(self, event: Event) -> None:
        match event:
            case Started():
                self.started = event
                self.usage = event.usage or self.usage
            case Finished():
                self.finished = event
                self.usage = event.usage or self.usage
            case Failed(error):
                self.error = error

    def part(self, index: int) -> Part:
        """The part as it stands now, text joined."""
        stub = self._stubs[index]
        text = "".join(self._texts[index])
        match stub:
            case Text():
                citations = (*stub.citations, *self._citations[index])
                return structs.replace(stub, text=stub.text + text, citations=citations)
            case Refusal():
                return structs.replace(stub, text=stub.text + text)
            case ToolCall():
                return structs.replace(stub, arguments=stub.arguments + text)
            case Reasoning():
                summaries = tuple("".join(self._summaries[index][k]) for k in sorted(self._summaries[index]))
                return structs.replace(
                    stub,
                    text=stub.text + text,
                    summaries=stub.summaries + summaries,
                    secret=self._secrets[index] or stub.secret,
                )
            case _:
                return stub

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(self.part(index) for index in range(len(self._stubs)))

    def reply(self) -> Reply:
        """The whole answer; raises the stream's own error, or 502 if it never finished."""
        if self.error is not None:
            raise self.error
        if self.finished is None:
            raise CallError.upstream(
                "The provider's answer ended before it was complete", code="upstream_truncated"
            )
        started = self.started or Started("", "")
        return Reply(
            id=started.id,
            model=started.model,
            parts=self.parts,
            stop=self.finished.stop,
            usage=self.usage,
            created_s=started.created_s,
            service_tier=self.finished.service_tier,
            logprobs=self._logprobs or None,
        )


def fold(events: Iterable[Event]) -> Reply:
    """What a streamed answer amounts to, once it is whole."""
    folding = Fold()
    for event in events:
        folding.add(event)
    return folding.reply()


def unfold(reply: Reply) -> Iterator[Event]:
    """A whole answer as the events that would have made it."""
    yield Started(reply.id, reply.model, reply.usage, reply.created_s)
    for index, part in enumerate(reply.parts):
        yield from _unfold_part(index, part, reply.logprobs)
    yield Finished(reply.stop, reply.usage, reply.service_tier)


def _unfold_part(index: int, part: Part, logprobs: list[dict[str, Any]] | None) -> Iterator[Event]:
    match part:
        case Text():
            yield PartStarted(index, structs.replace(part, text="", citations=()))
            if part.text:
                yield TextAdded(index, part.text, logprobs)
            for citation in part.citations:
                yield CitationAdded(index, citation)
        case Refusal():
            yield PartStarted(index, structs.replace(part, text=""))
            yield TextAdded(index, part.text)
        case ToolCall():
            yield PartStarted(index, structs.replace(part, arguments=""))
            if part.arguments:
                yield ArgumentsAdded(index, part.arguments)
        case Reasoning() if not part.redacted:
            yield PartStarted(index, structs.replace(part, text="", summaries=(), secret=None))
            for number, summary in enumerate(part.summaries):
                yield ReasoningAdded(index, summary, number)
            if part.text:
                yield ReasoningAdded(index, part.text)
            if part.secret:
                yield SecretAdded(index, part.secret)
        case _:
            yield PartStarted(index, part)
    yield PartEnded(index)

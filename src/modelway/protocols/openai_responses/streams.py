"""A Responses stream -> events. Deltas make the text; what an item is when it is done has the last word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
)
from modelway.conversation.parts import HostedCall, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from modelway.conversation.translation import Translation
from modelway.protocols.failures import error_from_object
from modelway.protocols.openai_responses.content import NAME, read_citation
from modelway.protocols.openai_responses.items import text_in
from modelway.protocols.openai_responses.replies import (
    failure_of,
    open_call,
    read_item,
    sent_back,
    stop_of,
)
from modelway.protocols.openai_responses.response_object import read_usage
from modelway.protocols.sse import Frame, Frames

Wire = dict[str, Any]
# (output_index, content_index) of a text part; -1 for items that have no parts.
Place = tuple[int, int]


class Reader:
    """One stream. Items that interleave are given out one after the other, in the order they began."""

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._frames = Frames()
        self._over = False
        self._events: list[Event] = []
        self._next_index = 0
        # Of each open part: its index, what was said of it so far, and what still waits for its turn.
        self._open: Place | None = None
        self._index: dict[Place, int] = {}
        self._waiting: dict[Place, list[Event]] = {}
        self._ended: set[Place] = set()
        self._said: dict[Place, list[str]] = {}
        self._calls: dict[int, ToolCall] = {}
        self._items: dict[int, Wire] = {}
        self._parts: list[Part] = []

    def read(self, chunk: bytes) -> list[Event]:
        for each in self._frames.feed(chunk):
            self._frame(each)
        return self._taken()

    def end(self) -> list[Event]:
        for each in self._frames.end():
            if _is_json(each.data):  # else it is the first half of a frame
                self._frame(each)
        if not self._over:
            message = "The provider's stream ended before the answer was complete"
            self._fail(CallError.upstream(message, code="upstream_truncated"))
        return self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _frame(self, each: Frame) -> None:
        if self._over or each.data == b"[DONE]":
            return
        try:
            data = msgspec.json.decode(each.data)
        except msgspec.MsgspecError:
            self._fail(CallError.upstream("The provider sent an event that is not valid JSON"))
            return
        if not isinstance(data, dict):
            return
        kind = str(data.get("type") or each.event)
        step = _STEPS.get(kind)
        if step:
            self._take(step, data, kind)
        elif kind == "error" or "error" in data:
            self._fail(error_from_object(data))

    def _take(self, step: Callable[[Reader, Wire], None], data: Wire, kind: str) -> None:
        try:
            step(self, data)
        except (AttributeError, KeyError, TypeError, ValueError) as reason:
            # A field of another type than documented: no event may be made of half of it.
            self._fail(CallError.upstream(f"The provider sent a {kind} that cannot be read: {reason!r}"))

    def _fail(self, error: CallError) -> None:
        self._over = True
        self._events.append(Failed(error))

    # -- parts, one at a time ----------------------------------------------------------------------

    def _start(self, place: Place, part: Part) -> None:
        if place in self._waiting:
            return
        self._waiting[place] = []
        self._index[place] = len(self._index)
        self._said[place] = []
        self._parts.append(part)
        self._say(place, PartStarted(self._index[place], part))

    def _say(self, place: Place, event: Event) -> None:
        if self._open is None:
            self._open = place
        if self._open == place:
            self._events.append(event)
        else:
            self._waiting[place].append(event)

    def _finish(self, place: Place) -> None:
        if place not in self._index or place in self._ended:
            return
        self._ended.add(place)
        self._say(place, PartEnded(self._index[place]))
        while self._open in self._ended:
            self._open = self._following(self._open)
            if self._open is not None:
                self._events.extend(self._waiting[self._open])
                self._waiting[self._open] = []

    def _following(self, place: Place | None) -> Place | None:
        places = list(self._index)
        number = places.index(place) + 1 if place in self._index else 0
        return places[number] if number < len(places) else None

    # -- one step per event type -------------------------------------------------------------------

    def created(self, data: Wire) -> None:
        response = data.get("response") or {}
        created = int(response.get("created_at") or 0) or None
        model = str(response.get("model") or "")
        self._events.append(Started(str(response.get("id") or ""), model, None, created))

    def heartbeat(self, data: Wire) -> None:
        self._events.append(Heartbeat())

    def item_added(self, data: Wire) -> None:
        item, index = data.get("item") or {}, _index(data)
        self._items[index] = item
        if item.get("type") in ("function_call", "custom_tool_call"):
            self._calls[index] = open_call(item, self._translation)
            self._start((index, -1), self._calls[index])

    def part_added(self, data: Wire) -> None:
        self._text_part(data, (data.get("part") or {}).get("type") == "refusal")

    def _text_part(self, data: Wire, refusal: bool) -> Place:
        place = (_index(data), int(data.get("content_index") or 0))
        if place not in self._index:
            item = self._items.get(place[0], {})
            own = {key: item[key] for key in ("id", "phase") if isinstance(item.get(key), str)}
            self._start(
                place, Refusal(text="", ext={NAME: own}) if refusal else Text(text="", ext={NAME: own})
            )
        return place

    def text_delta(self, data: Wire) -> None:
        self._text(self._text_part(data, False), data)

    def refusal_delta(self, data: Wire) -> None:
        self._text(self._text_part(data, True), data)

    def _text(self, place: Place, data: Wire) -> None:
        text = str(data.get("delta") or "")
        if text:
            self._said[place].append(text)
            logprobs = data.get("logprobs")
            known = logprobs if isinstance(logprobs, list) and logprobs else None
            self._say(place, TextAdded(self._index[place], text, known))

    def text_done(self, data: Wire) -> None:
        refusal = "refusal" in data
        place = self._text_part(data, refusal)
        self._rest(place, str(data.get("refusal" if refusal else "text") or ""), TextAdded)

    def _rest(self, place: Place, whole: str, event: Callable[[int, str], Event]) -> None:
        """What the deltas left out of the text that was announced as whole."""
        said = "".join(self._said[place])
        if whole.startswith(said) and len(whole) > len(said):
            self._said[place] = [whole]
            self._say(place, event(self._index[place], whole[len(said) :]))

    def annotation(self, data: Wire) -> None:
        place = (_index(data), int(data.get("content_index") or 0))
        if place in self._index and isinstance(data.get("annotation"), dict):
            self._say(place, CitationAdded(self._index[place], read_citation(data["annotation"])))

    def part_done(self, data: Wire) -> None:
        self._finish((_index(data), int(data.get("content_index") or 0)))

    def summary_delta(self, data: Wire) -> None:
        self._thought(data, int(data.get("summary_index") or 0))

    def reasoning_delta(self, data: Wire) -> None:
        self._thought(data, None)

    def _thought(self, data: Wire, summary: int | None) -> None:
        place = (_index(data), -1)
        if place not in self._index:
            self._start_reasoning(place, in_content=summary is None)
        text = str(data.get("delta") or "")
        self._said[place].append(text)
        self._say(place, ReasoningAdded(self._index[place], text, summary))

    def _start_reasoning(self, place: Place, *, in_content: bool) -> None:
        """Begun with its first delta: only that tells whether its text stands in `content`."""
        item = self._items.get(place[0], {})
        own: Wire = {"id": item["id"]} if item.get("id") else {}
        own |= {"content": True} if in_content else {}
        self._start(place, Reasoning(ext={NAME: own} if own else {}))

    def arguments_delta(self, data: Wire) -> None:
        place, text = (_index(data), -1), str(data.get("delta") or "")
        if place not in self._index or not text:
            return
        self._said[place].append(text)
        if not self._wrapped(place[0]):
            self._say(place, ArgumentsAdded(self._index[place], text))

    def _wrapped(self, index: int) -> bool:
        """A freeform tool that went out as a function: its text is known only when it is whole."""
        return self._calls[index].freeform and self._items[index].get("type") == "function_call"

    def item_done(self, data: Wire) -> None:
        item, index = data.get("item") or {}, _index(data)
        place = (index, -1)
        match item.get("type"):
            case "function_call" | "custom_tool_call":
                self._call_done(item, place)
            case "reasoning":
                self._reasoning_done(item, place)
            case "message":
                self._message_done(item, index)
            case _:
                self._whole(item, place)

    def _call_done(self, item: Wire, place: Place) -> None:
        if place not in self._index:
            self._items[place[0]] = item
            self._calls[place[0]] = open_call(item, self._translation)
            self._start(place, self._calls[place[0]])
        whole = str(item.get("input" if item["type"] == "custom_tool_call" else "arguments") or "")
        if self._wrapped(place[0]):
            text = sent_back(whole or "".join(self._said[place]), self._calls[place[0]], item)
            self._say(place, ArgumentsAdded(self._index[place], text))
        else:
            self._rest(place, whole, ArgumentsAdded)
        self._finish(place)

    def _reasoning_done(self, item: Wire, place: Place) -> None:
        self._items[place[0]] = item
        if place not in self._index:
            self._start_reasoning(place, in_content=bool(item.get("content")))
        for part in read_item(item, self._translation):
            if not isinstance(part, Reasoning):
                continue
            if not self._said[place]:
                for number, summary in enumerate(part.summaries):
                    self._say(place, ReasoningAdded(self._index[place], summary, number))
                if part.text:
                    self._say(place, ReasoningAdded(self._index[place], part.text))
            if part.secret:
                self._say(place, SecretAdded(self._index[place], part.secret))
        self._finish(place)

    def _message_done(self, item: Wire, index: int) -> None:
        self._items[index] = item
        for number, part in enumerate(item.get("content") or ()):
            at = {"output_index": index, "content_index": number}
            refusal = part.get("type") == "refusal"
            whole = str(part.get("refusal" if refusal else "text") or "")
            place = (index, number)
            known = place in self._index
            if not known and not whole and len(item["content"]) > 1:
                continue
            self._text_part(at, refusal)
            if place not in self._ended:
                self._rest(place, whole, TextAdded)
            if not known:
                for raw in part.get("annotations") or ():
                    self._say(place, CitationAdded(self._index[place], read_citation(raw)))
            self._finish(place)

    def _whole(self, item: Wire, place: Place) -> None:
        for part in read_item(item, self._translation):
            if isinstance(part, HostedCall | Opaque):
                self._start(place, part)
                self._finish(place)

    def finished(self, data: Wire) -> None:
        response = data.get("response") or {}
        if error := failure_of(response):
            self._fail(error)
            return
        for number, item in enumerate(response.get("output") or ()):
            if isinstance(item, dict) and not any(place[0] == number for place in self._index):
                self.item_done({"output_index": number, "item": item})
        for place in list(self._index):
            self._finish(place)
        self._over = True
        parts = tuple(
            _as_said(part, self._said[place]) for part, place in zip(self._parts, self._index, strict=True)
        )
        stop = stop_of(response, parts)
        self._events.append(Finished(stop, read_usage(response), text_in(response, "service_tier")))

    def failed(self, data: Wire) -> None:
        response = data.get("response") or {}
        error = response.get("error") or data.get("error") or {"message": "The provider's answer failed"}
        self._fail(error_from_object({"error": error}))


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return False
    return True


def _index(data: Wire) -> int:
    return int(data.get("output_index") or 0)


def _as_said(part: Part, said: list[str]) -> Part:
    return Refusal(text="".join(said)) if isinstance(part, Refusal) else part


_STEPS: Mapping[object, Callable[[Reader, Wire], None]] = {
    "response.created": Reader.created,
    "response.queued": Reader.heartbeat,
    "response.in_progress": Reader.heartbeat,
    "response.output_item.added": Reader.item_added,
    "response.content_part.added": Reader.part_added,
    "response.output_text.delta": Reader.text_delta,
    "response.refusal.delta": Reader.refusal_delta,
    "response.output_text.done": Reader.text_done,
    "response.refusal.done": Reader.text_done,
    "response.output_text.annotation.added": Reader.annotation,
    "response.content_part.done": Reader.part_done,
    "response.reasoning_summary_text.delta": Reader.summary_delta,
    "response.reasoning_text.delta": Reader.reasoning_delta,
    "response.function_call_arguments.delta": Reader.arguments_delta,
    "response.custom_tool_call_input.delta": Reader.arguments_delta,
    "response.output_item.done": Reader.item_done,
    "response.completed": Reader.finished,
    "response.incomplete": Reader.finished,
    "response.failed": Reader.failed,
    "response.cancelled": Reader.failed,
    "error": lambda reader, data: reader._fail(error_from_object(data)),
}

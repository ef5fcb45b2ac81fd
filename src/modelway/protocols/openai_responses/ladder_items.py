"""Output items of a stream, each with the events that open, fill and close it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import structs

from modelway.conversation.envelope import seal
from modelway.conversation.parts import Reasoning, Refusal, Secret, Text, ToolCall
from modelway.conversation.translation import Translation
from modelway.protocols.openai_responses.content import NAME

Wire = dict[str, Any]
# One rung: the event's type and its fields; numbers are put in where it is sent.
Rung = tuple[str, Wire]


class Message:
    """A message item: parts of text or refusal, one after the other."""

    def __init__(self, id: str, index: int, own: Wire, phase: str | None = None) -> None:
        self.own = own
        self._at = {"item_id": id, "output_index": index}
        self._item: Wire = {"id": id, "type": "message", "status": "in_progress", "role": "assistant"}
        if phase or own.get("phase"):
            self._item["phase"] = own.get("phase") or phase
        self._content: list[Wire] = []
        self._texts: list[str] | None = None
        self._logprobs: list[Wire] = []

    def open(self) -> Iterator[Rung]:
        yield "output_item.added", {"item": {**self._item, "content": []}}

    def begin(self, part: Text | Refusal) -> Iterator[Rung]:
        if isinstance(part, Refusal):
            wire: Wire = {"type": "refusal", "refusal": ""}
        else:
            wire = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        self._texts, self._logprobs = [], []
        self._content.append(wire)
        yield "content_part.added", {**self._here(), "part": dict(wire)}
        if part.text:
            yield from self.text(part.text, None)

    def text(self, text: str, logprobs: list[Wire] | None) -> Iterator[Rung]:
        if self._texts is None or not text:
            return
        self._texts.append(text)
        if self._content[-1]["type"] == "refusal":
            yield "refusal.delta", {**self._here(), "delta": text}
            return
        self._logprobs.extend(logprobs or ())
        yield "output_text.delta", {**self._here(), "delta": text, "logprobs": logprobs or []}

    def annotate(self, annotation: Wire) -> Iterator[Rung]:
        annotations = self._content[-1]["annotations"]
        annotations.append(annotation)
        at = {**self._here(), "annotation_index": len(annotations) - 1}
        yield "output_text.annotation.added", {**at, "annotation": annotation}

    def written(self) -> int:
        return sum(map(len, self._texts or ()))

    def refused(self) -> bool:
        return any(part["type"] == "refusal" for part in self._content)

    def end(self) -> Iterator[Rung]:
        if self._texts is None:
            return
        text, here, part = "".join(self._texts), self._here(), self._content[-1]
        self._texts = None
        if part["type"] == "refusal":
            part["refusal"] = text
            yield "refusal.done", {**here, "refusal": text}
        else:
            part["text"], part["logprobs"] = text, self._logprobs
            yield "output_text.done", {**here, "text": text, "logprobs": self._logprobs}
        yield "content_part.done", {**here, "part": part}

    def close(self, status: str) -> Iterator[Rung]:
        yield from self.end()
        yield "output_item.done", {"item": {**self._item, "status": status, "content": self._content}}

    def _here(self) -> Wire:
        return {**self._at, "content_index": len(self._content) - 1}


class Call:
    """A function call, or a custom tool's call with free text."""

    def __init__(self, id: str, index: int, call: ToolCall) -> None:
        self._at = {"item_id": id, "output_index": index}
        self._field = "input" if call.freeform else "arguments"
        self._events = "custom_tool_call_input" if call.freeform else "function_call_arguments"
        kind = "custom_tool_call" if call.freeform else "function_call"
        self._item: Wire = {"id": id, "type": kind, "call_id": call.id, "name": call.name}
        if call.namespace is not None:
            self._item["namespace"] = call.namespace
        self._texts: list[str] = []

    def open(self) -> Iterator[Rung]:
        yield "output_item.added", {"item": {**self._item, "status": "in_progress", self._field: ""}}

    def arguments(self, text: str) -> Iterator[Rung]:
        self._texts.append(text)
        yield f"{self._events}.delta", {**self._at, "delta": text}

    def close(self, status: str) -> Iterator[Rung]:
        text = "".join(self._texts)
        if not text and self._field == "arguments" and status == "completed":
            text = "{}"  # a call without arguments must still carry a JSON object
            yield from self.arguments(text)
        yield f"{self._events}.done", {**self._at, "name": self._item["name"], self._field: text}
        yield "output_item.done", {"item": {**self._item, "status": status, self._field: text}}


class Thought:
    """A reasoning item: what may be read goes into the summary, the whole into the sealed content."""

    def __init__(self, id: str, index: int, part: Reasoning, translation: Translation) -> None:
        self._id, self._part, self._translation = id, part, translation
        self._at = {"item_id": id, "output_index": index}
        self._secret: Secret | None = part.secret
        self._in_content = bool(part.ext.get(NAME, {}).get("content"))
        self._slots: dict[int | None, int] = {}
        self._summaries: list[list[str]] = []
        self._open_summary = False
        self._content: list[str] = []
        self._texts: list[str] = []

    def open(self) -> Iterator[Rung]:
        yield "output_item.added", {"item": {"id": self._id, "type": "reasoning", "summary": []}}
        for number, summary in enumerate(self._part.summaries):
            yield from self.add(summary, number)
        if self._part.text:
            yield from self.add(self._part.text, None)

    def add(self, text: str, summary: int | None) -> Iterator[Rung]:
        if summary is None:
            self._texts.append(text)
        if summary is None and self._in_content:
            self._content.append(text)
            yield "reasoning_text.delta", {**self._at, "content_index": 0, "delta": text}
            return
        if summary not in self._slots:
            yield from self._end_summary()
            self._slots[summary] = len(self._summaries)
            self._summaries.append([])
            self._open_summary = True
            yield "reasoning_summary_part.added", {**self._last(), "part": _summary("")}
        self._summaries[-1].append(text)
        yield "reasoning_summary_text.delta", {**self._last(), "delta": text}

    def keep(self, secret: Secret) -> None:
        self._secret = secret

    def close(self, status: str) -> Iterator[Rung]:
        yield from self._end_summary()
        item: Wire = {"id": self._id, "type": "reasoning"}
        item["summary"] = [_summary("".join(texts)) for texts in self._summaries]
        if self._content:
            text = "".join(self._content)
            item["content"] = [{"type": "reasoning_text", "text": text}]
            yield "reasoning_text.done", {**self._at, "content_index": 0, "text": text}
        if encrypted := self._encrypted():
            item["encrypted_content"] = encrypted
        yield "output_item.done", {"item": item}

    def _encrypted(self) -> str | None:
        """OpenAI's own secret goes back as it is; all other reasoning goes into our envelope."""
        secret = self._secret
        if secret and secret.vendor == "openai" and secret.kind == "encrypted":
            return secret.value
        if not self._translation.envelope_secret:
            return None
        numbered = [self._summaries[slot] for number, slot in self._slots.items() if number is not None]
        whole = structs.replace(
            self._part,
            text="".join(self._texts),
            summaries=tuple("".join(texts) for texts in numbered),
            secret=secret,
        )
        return seal(whole, self._translation.envelope_secret)

    def _end_summary(self) -> Iterator[Rung]:
        if self._open_summary:
            self._open_summary = False
            text, here = "".join(self._summaries[-1]), self._last()
            yield "reasoning_summary_text.done", {**here, "text": text}
            yield "reasoning_summary_part.done", {**here, "part": _summary(text)}

    def _last(self) -> Wire:
        return {**self._at, "summary_index": len(self._summaries) - 1}


def _summary(text: str) -> Wire:
    return {"type": "summary_text", "text": text}


class Whole:
    """An item that comes complete: a hosted tool's call, or one nobody here knows."""

    def __init__(self, item: Wire) -> None:
        self._item = item

    def open(self) -> Iterator[Rung]:
        yield "output_item.added", {"item": self._item}

    def close(self, status: str) -> Iterator[Rung]:
        yield "output_item.done", {"item": self._item}

"""Events to Chat chunks: one small method per event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

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
from modelway.conversation.parts import Reasoning, Refusal, Text, ToolCall
from modelway.conversation.reply import Usage
from modelway.conversation.translation import Translation
from modelway.protocols.openai_chat.reasoning import write_detail
from modelway.protocols.openai_chat.replies import annotation, reply_id
from modelway.protocols.openai_chat.stops import DECLINED, written_stop
from modelway.protocols.openai_chat.usage import estimated, write_usage
from modelway.protocols.sse import COMMENT_HEARTBEAT, frame, one_line

Json = dict[str, Any]
_encode = msgspec.json.encode
DONE = frame("", b"[DONE]")


def error_frame(error: CallError, request_id: str) -> bytes:
    """An error inside a stream. Both vendors' SDKs raise it: one reads the event's name, both `error`."""
    return frame("error", one_line(_encode(error.body(request_id))))


class ChatWriter:
    """One client stream."""

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._include_usage = bool(translation.asked and translation.asked.include_usage)
        self._head = b""
        self._tail = b',"usage":null}' if self._include_usage else b"}"
        self._role_said = False
        self._usage: Usage | None = None
        self._calls = -1
        self._argued = False
        self._parts: dict[int, Fold] = {}  # reasoning parts, gathered for their signature
        self._details = 0
        self._refused = False
        self._content_chars = self._part_chars = 0
        self._characters = 0  # of everything said, for a provider that counts nothing
        self._annotations: list[tuple[Any, int, int]] = []
        self._open: Any = None

    def write(self, event: Event) -> bytes:
        return self._WRITE[type(event)](self, event)

    # ---- frames ----

    def _chunk(self, delta: Json, finish: Json | None = None, logprobs: list[Json] | None = None) -> bytes:
        if not self._role_said:
            delta = {"role": "assistant", "content": None} | delta
            self._role_said = True
        choice: Json = {"index": 0, "delta": delta}
        choice["logprobs"] = {"content": logprobs, "refusal": None} if logprobs else None
        choice |= finish or {"finish_reason": None}
        return frame("", one_line(self._begin() + b'"choices":[' + _encode(choice) + b"]" + self._tail))

    def _begin(self) -> bytes:
        """What every chunk starts with: the same id, time and model throughout."""
        if not self._head:
            head = {
                "id": reply_id(self._translation),
                "object": "chat.completion.chunk",
                "created": self._translation.now_s,
                "model": self._translation.model_asked,
                "system_fingerprint": None,
            }
            self._head = _encode(head)[:-1] + b","
        return self._head

    # ---- one method per event ----

    def _on_started(self, event: Started) -> bytes:
        self._usage = event.usage or self._usage
        return b""

    def _on_part(self, event: PartStarted) -> bytes:
        self._open = event.part
        match event.part:
            case Text():
                self._part_chars = 0
                return b"" if self._role_said else self._chunk({"content": ""})
            case ToolCall() as call:
                self._calls += 1
                self._argued = False
                return self._chunk(self._call_delta(call))
            case Reasoning() as part:
                gathering = Fold()
                gathering.add(PartStarted(0, part))
                self._parts[event.index] = gathering
        return b""

    def _call_delta(self, call: ToolCall) -> Json:
        if self._translation.legacy_functions:
            return {"function_call": {"name": call.name, "arguments": ""}} if self._calls == 0 else {}
        head: Json = {"index": self._calls, "id": call.id}
        if call.freeform:
            head |= {"type": "custom", "custom": {"name": call.name, "input": ""}}
        else:
            head |= {"type": "function", "function": {"name": call.name, "arguments": ""}}
        return {"tool_calls": [head | call.ext.get("chat", {})]}

    def _on_text(self, event: TextAdded) -> bytes:
        self._characters += len(event.text)
        if isinstance(self._open, Refusal):
            self._refused = True
            return self._chunk({"refusal": event.text})
        self._part_chars += len(event.text)
        return self._chunk({"content": event.text}, logprobs=event.logprobs)

    def _on_reasoning(self, event: ReasoningAdded) -> bytes:
        gathered = self._parts[event.index]
        text = event.text
        self._characters += len(text)
        if event.summary:  # a further summary part begins on a line of its own
            before = gathered.part(0)
            if isinstance(before, Reasoning) and len(before.summaries) == event.summary:
                text = "\n\n" + text
        gathered.add(ReasoningAdded(0, event.text, event.summary))
        return self._chunk({"reasoning_content": text})

    def _on_secret(self, event: SecretAdded) -> bytes:
        self._parts[event.index].add(SecretAdded(0, event.secret))
        return b""

    def _on_arguments(self, event: ArgumentsAdded) -> bytes:
        self._argued = True
        self._characters += len(event.text)
        return self._chunk(self._argument_delta(event.text))

    def _argument_delta(self, text: str) -> Json:
        if self._translation.legacy_functions:
            return {"function_call": {"arguments": text}} if self._calls == 0 else {}
        if self._open.freeform:
            return {"tool_calls": [{"index": self._calls, "custom": {"input": text}}]}
        return {"tool_calls": [{"index": self._calls, "function": {"arguments": text}}]}

    def _on_citation(self, event: CitationAdded) -> bytes:
        if event.citation.url:
            self._annotations.append((event.citation, self._content_chars, event.index))
        return b""

    def _on_part_ended(self, event: PartEnded) -> bytes:
        opened, self._open = self._open, None
        match opened:
            case Text():
                return self._text_ended()
            case ToolCall(freeform=False) if not self._argued:
                self._open = opened
                written = self._chunk(self._argument_delta("{}"))
                self._open = None
                return written
            case Reasoning():
                return self._reasoning_ended(event.index)
        return b""

    def _text_ended(self) -> bytes:
        """Citations come once, at the end; a part's length is known only now."""
        begin, length = self._content_chars, self._part_chars
        self._annotations = [
            (annotation(entry[0], begin, length), -1, 0) if entry[1] != -1 else entry
            for entry in self._annotations
        ]
        self._content_chars += length
        return b""

    def _reasoning_ended(self, index: int) -> bytes:
        part = self._parts.pop(index).part(0)
        number, self._details = self._details, self._details + 1
        if not isinstance(part, Reasoning) or part.secret is None:
            return b""
        detail = write_detail(part, number, self._translation, sealing=True)
        return self._chunk({"reasoning_details": [detail]})

    def _on_usage(self, event: UsageReported) -> bytes:
        self._usage = event.usage
        return b""

    def _on_finished(self, event: Finished) -> bytes:
        written = b"" if self._role_said else self._chunk({"content": ""})
        if event.stop.reason == "refusal" and not self._refused:
            written += self._chunk({"refusal": event.stop.detail or DECLINED})
        delta: Json = {"annotations": [entry[0] for entry in self._annotations]} if self._annotations else {}
        finish: Json = {"finish_reason": written_stop(event.stop, self._translation.legacy_functions)}
        if event.stop.sequence is not None:
            finish["stop_reason"] = event.stop.sequence
        written += self._chunk(delta, finish)
        if self._include_usage:
            written += self._usage_chunk(event.usage or self._usage)
        return written + DONE

    def _usage_chunk(self, usage: Usage | None) -> bytes:
        usage = usage or estimated(self._translation.prompt_tokens_estimate, self._characters)
        told = _encode(write_usage(usage))
        return frame("", self._begin() + b'"choices":[],"usage":' + told + b"}")

    def _on_failed(self, event: Failed) -> bytes:
        return error_frame(event.error, self._translation.request_id)

    def _on_heartbeat(self, event: Heartbeat) -> bytes:
        return COMMENT_HEARTBEAT

    _WRITE: ClassVar[dict[type, Callable[[ChatWriter, Any], bytes]]] = {
        Started: _on_started,
        PartStarted: _on_part,
        TextAdded: _on_text,
        ReasoningAdded: _on_reasoning,
        SecretAdded: _on_secret,
        ArgumentsAdded: _on_arguments,
        CitationAdded: _on_citation,
        PartEnded: _on_part_ended,
        UsageReported: _on_usage,
        Finished: _on_finished,
        Failed: _on_failed,
        Heartbeat: _on_heartbeat,
    }

"""Turns to Chat messages. Chat wants every tool result directly behind its call, and text only in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from modelway.conversation.parts import (
    Audio,
    CacheMark,
    Document,
    FileReference,
    HostedCall,
    Image,
    Inline,
    Nested,
    Opaque,
    Part,
    Plain,
    Reasoning,
    Refusal,
    SearchResult,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Url,
)
from modelway.conversation.translation import Translation
from modelway.protocols.openai_chat.losses import lose
from modelway.protocols.openai_chat.message_reader import ERROR_PREFIX
from modelway.protocols.openai_chat.reasoning import write_reasoning
from modelway.protocols.openai_chat.tool_writer import ToolNames, sent_id

Json = dict[str, Any]

# Claude Code puts a changing line first in its system prompt, which would defeat every prefix cache.
_BILLING = re.compile(r"\s*x-anthropic-billing-header:")
_REMINDER = "<system-reminder>\n{}\n</system-reminder>"


def write_messages(turns: tuple[Turn, ...], translation: Translation) -> list[Json]:
    """All messages of a request, in the order Chat asks for."""
    writer = _MessageWriter(translation)
    for number, turn in enumerate(turns):
        writer.add(turn, leading=all(_is_instruction(before) for before in turns[:number]))
    return writer.finished()


def _is_instruction(turn: Turn) -> bool:
    return turn.role in ("system", "developer")


class _MessageWriter:
    def __init__(self, translation: Translation) -> None:
        self.translation = translation
        self.names = ToolNames(translation)
        self.messages: list[Json] = []
        self._awaited: set[str] = set()  # calls whose results must come next
        self._held: list[Json] = []  # what has to wait until they have come

    def add(self, turn: Turn, leading: bool) -> None:
        if _is_instruction(turn):
            self._add_instruction(turn, leading)
        elif turn.role == "assistant":
            self._release()
            self._add_assistant(turn)
        else:
            self._add_user(turn)

    def finished(self) -> list[Json]:
        self._release()
        return self.messages

    def _place(self, message: Json) -> None:
        """Behind the results, if some are still to come."""
        (self._held if self._awaited else self.messages).append(message)

    def _release(self) -> None:
        self._awaited = set()
        self.messages += self._held
        self._held = []

    # ---- one turn each ----

    def _add_instruction(self, turn: Turn, leading: bool) -> None:
        texts = [part for part in turn.parts if isinstance(part, Text) and not _BILLING.match(part.text)]
        if not texts and turn.parts:
            return
        capabilities = self.translation.capabilities
        if capabilities.leading_system_only and not leading:
            lose(self.translation, "system.mid", turn.path)
            said = _REMINDER.format("\n\n".join(part.text for part in texts))
            self._place({"role": "user", "content": said})
            return
        developer = turn.role == "developer" and capabilities.developer_role
        message: Json = {"role": "developer" if developer else "system"}
        message["content"] = self._content(tuple(texts), turn.path, "\n\n") or ""
        self._place(message | self._extras(turn))

    def _add_assistant(self, turn: Turn) -> None:
        calls: list[Json] = []
        said: list[Part] = []
        refusals: list[str] = []
        for part in turn.parts:
            match part:
                case ToolCall():
                    calls.append(self._call(part))
                case Reasoning():
                    pass
                case Refusal():
                    refusals.append(part.text)
                case HostedCall():
                    lose(self.translation, "part.hosted_call", turn.path, f"{part.name}: it was left out")
                case _:
                    if calls and isinstance(part, Text) and part.text:
                        lose(self.translation, "part.order", turn.path)
                    said.append(part)
        text = self._assistant_text(said, turn.path)
        message: Json = {"role": "assistant", "content": text if text or not calls else None}
        reasoning = self._reasoning(turn)
        if reasoning and not text:
            message["content"] = None
        if refusals:
            message |= {"refusal": "".join(refusals), "content": text or None}
        message |= reasoning
        if calls:
            message["tool_calls"] = calls
        self.messages.append(message | self._extras(turn))
        self._awaited = {part.id for part in turn.parts if isinstance(part, ToolCall)}

    def _assistant_text(self, parts: list[Part], path: str) -> str | list[Json]:
        texts = [part for part in parts if isinstance(part, Text)]
        for part in parts:
            if not isinstance(part, Text):
                self._part(part, path)  # raises for what an assistant message cannot hold
        if any(part.citations for part in texts):
            lose(self.translation, "part.citations", path)
        if any(self._marked(part) for part in texts):
            return self._content(tuple(texts), path, "") or ""
        return "".join(part.text for part in texts)

    def _add_user(self, turn: Turn) -> None:
        results = [part for part in turn.parts if isinstance(part, ToolResult)]
        rest = tuple(part for part in turn.parts if not isinstance(part, ToolResult))
        media: list[Json] = []
        for result in results:
            self.messages.append(self._result(result, turn.path, media))
            self._awaited.discard(result.call_id)
        if media:
            self._held.append({"role": "user", "content": media})
        if not self._awaited:
            self._release()
        if rest or not results:
            content = self._content(rest, turn.path, "\n\n")
            self._place({"role": "user", "content": content} | self._extras(turn))

    def _result(self, result: ToolResult, path: str, media: list[Json]) -> Json:
        """One tool message. Pictures and files go to `media`, behind a label that names the call."""
        call_id = sent_id(result.call_id)
        lines: list[str] = []
        pictures = 0
        for part in result.parts:
            if isinstance(part, Text):
                lines.append(part.text)
                continue
            written = self._part(part, path)
            if written["type"] == "text":
                lines.append(written["text"])
                continue
            pictures += 1
            lose(self.translation, "part.tool_result.media", path)
            noun = "image" if isinstance(part, Image) else "file"
            lines.append(f"[{noun} {pictures} of {call_id}: see next user message]")
            media += [{"type": "text", "text": f"[{noun} {pictures} of {call_id}]"}, written]
        text = "\n".join(lines)
        if result.is_error:
            lose(self.translation, "part.tool_result.is_error", path)
            text = ERROR_PREFIX + text
        return {"role": "tool", "tool_call_id": call_id, "content": text}

    def _call(self, call: ToolCall) -> Json:
        name = self.names.sent(call.name, call.namespace)
        if call.freeform and self.translation.capabilities.freeform_tools:
            return {
                "id": sent_id(call.id),
                "type": "custom",
                "custom": {"name": name, "input": call.arguments},
            }
        arguments = call.arguments if call.arguments.strip() else "{}"
        if call.freeform:
            arguments = msgspec.json.encode({"input": call.arguments}).decode()
        written: Json = {"id": sent_id(call.id), "type": "function"}
        written["function"] = {"name": name, "arguments": arguments}
        return written | call.ext.get("chat", {})

    def _reasoning(self, turn: Turn) -> Json:
        parts = [part for part in turn.parts if isinstance(part, Reasoning)]
        if not parts:
            return {}
        if self.translation.vendor == "openai":
            lose(self.translation, "part.reasoning", turn.path)
            return {}
        return write_reasoning(parts, self.translation, sealing=False)

    def _extras(self, turn: Turn) -> Json:
        named: Json = {"name": turn.name} if turn.name else {}
        return named | turn.ext.get("chat", {})

    # ---- parts ----

    def _content(self, parts: tuple[Part, ...], path: str, separator: str) -> str | list[Json]:
        """A plain string where that says everything; parts otherwise."""
        if len(parts) == 1 and isinstance(parts[0], Text) and not self._marked(parts[0]):
            return parts[0].text
        if not parts:
            return ""
        if self.translation.capabilities.string_content_only:
            return separator.join(_only_text(self._part(part, path)) for part in parts)
        return [self._part(part, path) for part in parts]

    def _marked(self, part: Text) -> bool:
        return _has_own_fields(part) or (part.cache is not None and self.translation.capabilities.cache_marks)

    def _part(self, part: Part, path: str) -> Json:
        write = _WRITERS.get(type(part))
        if write is None:
            lose(self.translation, "part.opaque", path, f"A {type(part).__name__} cannot stand here")
            return {"type": "text", "text": ""}
        written = write(part, path, self.translation)
        mark: CacheMark | None = getattr(part, "cache", None)
        return written | part.ext.get("chat", {}) | write_mark(mark, self.translation)


def _has_own_fields(part: Part) -> bool:
    return bool(part.ext.get("chat"))


def _only_text(part: Json) -> str:
    return str(part.get("text", ""))


def write_mark(mark: CacheMark | None, translation: Translation) -> Json:
    """A cache breakpoint in the words of the vendor behind this Chat endpoint."""
    if mark is None or not translation.capabilities.cache_marks:
        return {}
    if translation.vendor == "openai":
        return {"prompt_cache_breakpoint": {"mode": "explicit"}}
    control = {"type": "ephemeral"} | ({"ttl": "1h"} if mark.ttl in ("1h", "12h") else {})
    return {"cache_control": control}


def _text(part: Text, path: str, translation: Translation) -> Json:
    return {"type": "text", "text": part.text}


def _image(part: Image, path: str, translation: Translation) -> Json:
    if not translation.capabilities.vision:
        lose(translation, "part.image", path)
    match part.source:
        case Inline(media_type, data):
            url = f"data:{media_type};base64,{data}"
        case Url(address):
            url = address
        case _:
            lose(translation, "part.image.file", path)
            url = ""
    image: Json = {"url": url}
    if part.detail:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _document(part: Document, path: str, translation: Translation) -> Json:
    match part.source:
        case Plain(text):
            return _flattened(part, text, path, translation)
        case Nested(parts):
            text = "\n".join(inner.text for inner in parts if isinstance(inner, Text))
            return _flattened(part, text, path, translation)
        case Inline(media_type, data):
            if not translation.capabilities.documents:
                lose(translation, "part.document", path)
            name = part.title or f"document.{'pdf' if media_type == 'application/pdf' else 'txt'}"
            file = {"filename": name, "file_data": f"data:{media_type};base64,{data}"}
            return {"type": "file", "file": file}
        case FileReference(vendor="openai", id=file_id) if translation.vendor == "openai":
            return {"type": "file", "file": {"file_id": file_id}}
    lose(translation, "part.document.file", path)
    return {"type": "text", "text": ""}


def _flattened(part: Document, text: str, path: str, translation: Translation) -> Json:
    lose(translation, "part.document.text", path)
    title = f' title="{part.title}"' if part.title else ""
    context = f"\n<context>{part.context}</context>" if part.context else ""
    return {"type": "text", "text": f"<document{title}>{context}\n{text}\n</document>"}


def _audio(part: Audio, path: str, translation: Translation) -> Json:
    return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}


def _search_result(part: SearchResult, path: str, translation: Translation) -> Json:
    lose(translation, "part.search_result", path)
    text = "\n".join(inner.text for inner in part.parts)
    head = f'<search_result source="{part.source}" title="{part.title}">'
    return {"type": "text", "text": f"{head}\n{text}\n</search_result>"}


def _refusal(part: Refusal, path: str, translation: Translation) -> Json:
    return {"type": "text", "text": part.text}


def _opaque(part: Opaque, path: str, translation: Translation) -> Json:
    if part.protocol != "chat":
        kind = part.raw.get("type", "")
        lose(translation, "part.opaque", path, f"Content of type {kind!r} does not exist in Chat Completions")
    return part.raw


_WRITERS: dict[type, Callable[[Any, str, Translation], Json]] = {
    Text: _text,
    Image: _image,
    Document: _document,
    Audio: _audio,
    SearchResult: _search_result,
    Refusal: _refusal,
    Opaque: _opaque,
}

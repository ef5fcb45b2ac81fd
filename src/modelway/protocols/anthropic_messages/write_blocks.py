"""Parts -> content blocks for a Messages upstream. One small writer per kind of part."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    Audio,
    CacheMark,
    Citation,
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
    Url,
)
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages.losses import LOSS
from modelway.protocols.anthropic_messages.names import CallIds, tool_name
from modelway.protocols.anthropic_messages.wire import CACHE_MARKS_MAX, IMAGE_TYPES, NAME, compact

Fields = dict[str, Any]

_LONG = ("1h", "12h")
_objects = msgspec.json.Decoder(dict[str, Raw])


@dataclass(slots=True)
class Writing:
    """One request being written: ids given so far, calls that wait for results, cache marks set."""

    translation: Translation
    model: str = ""
    ids: CallIds = field(default_factory=CallIds)
    waiting: set[str] = field(default_factory=set)
    marked: list[Fields] = field(default_factory=list)
    path: str = ""

    def lose(self, feature: str, detail: str = "") -> None:
        self.translation.lose(LOSS[feature], self.path, detail)

    def mark(self, fields: Fields, cache: CacheMark | None) -> Fields:
        """Set a cache breakpoint behind this block, if the upstream knows them."""
        known = self.translation.client == NAME or self.translation.capabilities.cache_marks
        if cache is not None and known:
            fields["cache_control"] = cache_control(cache)
            self.marked.append(fields)
        return fields

    def thin_marks(self, taken: int) -> None:
        """Keep the last breakpoints: those behind the longest prefixes. `taken` are set elsewhere."""
        for fields in self.marked[: max(0, len(self.marked) + taken - CACHE_MARKS_MAX)]:
            del fields["cache_control"]


def cache_control(cache: CacheMark) -> Fields:
    return {"type": "ephemeral", "ttl": "1h"} if cache.ttl in _LONG else {"type": "ephemeral"}


def write_parts(parts: tuple[Part, ...], writing: Writing, role: str) -> list[Fields]:
    return [block for part in parts for block in WRITERS[type(part)](part, writing, role)]


def _extended(fields: Fields, part: Part) -> Fields:
    return {**fields, **part.ext.get(NAME, {})}


def _text(part: Text, writing: Writing, role: str) -> list[Fields]:
    if not part.text.strip():  # the vendor refuses empty text
        return []
    fields: Fields = {"type": "text", "text": part.text}
    citations = [kept for citation in part.citations if (kept := _citation(citation))]
    if citations and role == "assistant":
        fields["citations"] = citations
    return [writing.mark(_extended(fields, part), part.cache)]


def _citation(citation: Citation) -> Fields | None:
    """The vendor's own citation; one of the web is worthless to it without its encrypted index."""
    if citation.vendor != "anthropic" or not citation.raw:
        return None
    if citation.kind == "url" and not citation.raw.get("encrypted_index"):
        return None
    return citation.raw


def _image(part: Image, writing: Writing, role: str) -> list[Fields]:
    if isinstance(part.source, Inline) and part.source.media_type not in IMAGE_TYPES:
        raise CallError.invalid(
            f"The image is {part.source.media_type!r}; right are {', '.join(IMAGE_TYPES)}",
            param=writing.path,
            code="invalid_image_format",
        )
    if part.detail is not None:
        writing.lose("part.image.detail")
    fields = {"type": "image", "source": _source(part.source, "part.image.file", writing)}
    return [writing.mark(_extended(fields, part), part.cache)]


def _source(source: Any, file_feature: str, writing: Writing) -> Fields:
    match source:
        case Inline(media_type, data):
            return {"type": "base64", "media_type": media_type, "data": data}
        case Url(url):
            if not url.startswith("https://") and writing.translation.vendor == "anthropic":
                raise CallError.unsupported(
                    f"The address {url[:80]!r} is not https, which is all Anthropic fetches; "
                    "send the bytes as base64 instead",
                    param=writing.path,
                    code="unsupported_content",
                )
            return {"type": "url", "url": url}
        case FileReference(vendor, identity):
            if vendor != "anthropic":
                writing.lose(file_feature, f"The file {identity!r} is kept by another vendor")
            return {"type": "file", "file_id": identity}
        case Plain(text, _):
            return {"type": "text", "media_type": "text/plain", "data": text}
        case Nested(parts):
            return {"type": "content", "content": write_parts(parts, writing, "user")}
    raise AssertionError(source)


def _document(part: Document, writing: Writing, role: str) -> list[Fields]:
    source = part.source
    if isinstance(source, Inline) and source.media_type != "application/pdf":
        source = _plain(source, writing)
    fields: Fields = {"type": "document", "source": _source(source, "part.document.file", writing)}
    if part.title is not None:
        fields["title"] = part.title
    if part.context is not None:
        fields["context"] = part.context
    if part.citations_on:
        fields["citations"] = {"enabled": True}
    return [writing.mark(_extended(fields, part), part.cache)]


def _plain(source: Inline, writing: Writing) -> Plain:
    """The text of an inline text file; other types of file have no block."""
    try:
        if source.media_type.startswith("text/"):
            return Plain(base64.b64decode(source.data, validate=True).decode())
    except (binascii.Error, UnicodeDecodeError) as reason:
        raise CallError.invalid(
            f"The document is not base64 of UTF-8 text: {reason}", param=writing.path
        ) from None
    raise CallError.unsupported(
        f"The document is {source.media_type!r}; right are application/pdf and text",
        param=writing.path,
        code="unsupported_content",
    )


def _search_result(part: SearchResult, writing: Writing, role: str) -> list[Fields]:
    fields: Fields = {
        "type": "search_result",
        "source": part.source,
        "title": part.title,
        "content": write_parts(part.parts, writing, "user"),
    }
    if part.citations_on:
        fields["citations"] = {"enabled": True}
    return [writing.mark(_extended(fields, part), part.cache)]


def _reasoning(part: Reasoning, writing: Writing, role: str) -> list[Fields]:
    """Thinking goes back only to the vendor that signed it; a server without signatures gets the text."""
    secret, ours = part.secret, writing.translation.vendor == "anthropic"
    native = secret is not None and secret.vendor == ("anthropic" if ours else "other")
    if native and secret is not None and _bound_elsewhere(secret.model, writing):
        native = False
    if native and secret is not None and secret.kind == "redacted":
        return [_extended({"type": "redacted_thinking", "data": secret.value}, part)]
    if native and secret is not None:
        return [_extended({"type": "thinking", "thinking": part.text, "signature": secret.value}, part)]
    if not ours and part.text:
        return [{"type": "thinking", "thinking": part.text, "signature": ""}]
    if secret is not None or part.text or part.summaries:
        writing.lose("part.reasoning")
    return []


def _bound_elsewhere(model: str, writing: Writing) -> bool:
    """Some models take back only thinking of their own."""
    bound = writing.translation.capabilities.binds_thinking
    return bound and bool(model) and model != writing.model


def arguments_object(arguments: str, translation: Translation, param: str) -> Raw | dict[str, str]:
    """A call's arguments as an object: themselves, or wrapped with a warning when they are none."""
    if not arguments.strip():
        return {}
    try:
        _objects.decode(arguments.encode())
        return Raw(compact(arguments.encode()).encode())
    except (msgspec.MsgspecError, RecursionError):
        translation.warn("invalid_arguments", param, "A tool call's arguments are no JSON object")
        return {"_raw": arguments}


def _tool_call(part: ToolCall, writing: Writing, role: str) -> list[Fields]:
    fields: Fields = {
        "type": "tool_use",
        "id": writing.ids.of_call(part.id),
        "name": tool_name(part.name, part.namespace, writing.translation),
        "input": {"input": part.arguments}
        if part.freeform
        else arguments_object(part.arguments, writing.translation, writing.path),
    }
    writing.waiting.add(part.id)
    return [writing.mark(_extended(fields, part), part.cache)]


def _tool_result(part: ToolResult, writing: Writing, role: str) -> list[Fields]:
    writing.waiting.discard(part.call_id)
    fields: Fields = {"type": "tool_result", "tool_use_id": writing.ids.of_result(part.call_id)}
    content = write_parts(part.parts, writing, role)
    if content:
        fields["content"] = unwrapped(content)
    if part.is_error:
        fields["is_error"] = True
    return [writing.mark(_extended(fields, part), part.cache)]


def unwrapped(content: list[Fields]) -> str | list[Fields]:
    """One plain text as a string, which every server of this protocol understands."""
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        return str(content[0]["text"])
    return content


def _hosted(part: HostedCall, writing: Writing, role: str) -> list[Fields]:
    if part.protocol == NAME:
        return list(part.raw)
    writing.lose("part.hosted_call", f"The {part.name} call of another vendor is left out")
    return []


def _refusal(part: Refusal, writing: Writing, role: str) -> list[Fields]:
    writing.lose("part.refusal")
    return _text(Text(text=part.text), writing, role)


def _opaque(part: Opaque, writing: Writing, role: str) -> list[Fields]:
    if part.protocol != NAME:
        writing.lose("part.opaque", f"Content of type {part.raw.get('type')!r} is not known here")
    return [part.raw]


def _audio(part: Audio, writing: Writing, role: str) -> list[Fields]:
    writing.lose("part.audio")
    return []


WRITERS: dict[type, Callable[[Any, Writing, str], list[Fields]]] = {
    Text: _text,
    Image: _image,
    Document: _document,
    SearchResult: _search_result,
    Reasoning: _reasoning,
    ToolCall: _tool_call,
    ToolResult: _tool_result,
    HostedCall: _hosted,
    Refusal: _refusal,
    Opaque: _opaque,
    Audio: _audio,
}

"""Content parts: OpenAI's own, and the blocks that Anthropic's and Responses' clients put on this path."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from modelway.conversation.parts import (
    Audio,
    CacheMark,
    Document,
    Ext,
    FileReference,
    Image,
    Inline,
    Nested,
    Part,
    Plain,
    Reasoning,
    Refusal,
    SearchResult,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Url,
)
from modelway.conversation.translation import Translation
from modelway.protocols.openai_chat.fields import fields, fields_or_none, text, text_or_none
from modelway.protocols.openai_chat.reasoning import read_thinking_block
from modelway.protocols.openai_chat.wire import wrong

Json = dict[str, Any]

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),(.*)", re.IGNORECASE | re.DOTALL)
# OpenAI's life of a cache entry, Anthropic's word for the same.
_MARK_TTL = {"12h": "1h", "1h": "1h", "30m": "5m", "5m": "5m"}


def read_parts(content: Any, path: str, translation: Translation) -> tuple[Part, ...]:
    """A list of content parts, in any of the dialects this path takes."""
    if not isinstance(content, list):
        raise wrong(path, content, "give a text or a list of parts", "invalid_type")
    parts: list[Part] = []
    for number, part in enumerate(content):
        if isinstance(part, str):
            parts.append(Text(text=part))
            continue
        if not isinstance(part, dict):
            raise wrong(f"{path}.{number}", part, "give a text or an object with a `type`", "invalid_type")
        read = read_part(part, f"{path}.{number}", translation)
        if read is not None:
            parts.append(read)
    return tuple(parts)


def read_part(part: Json, path: str, translation: Translation) -> Part | None:
    kind = part.get("type")
    read = _PARTS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise wrong(f"{path}.type", kind, f"it may be one of {', '.join(_PARTS)}", "unsupported_content")
    return read(part, path, translation)


def _text(part: Json, path: str, translation: Translation) -> Part:
    return Text(text=text(part, "text", path), cache=cache_mark(part), ext=own_fields(part, _TEXT_FIELDS))


def _refusal(part: Json, path: str, translation: Translation) -> Part:
    return Refusal(text=text(part, "refusal", path))


def _image_url(part: Json, path: str, translation: Translation) -> Part:
    value = part.get("image_url")
    flat = isinstance(value, str)  # as Responses writes it
    holder = {"url": value} if flat else fields(part, "image_url", path)
    source = _from_url(text(holder, "url", f"{path}.image_url"), f"{path}.image_url.url")
    detail = text_or_none(holder, "detail", path) or text_or_none(part, "detail", path)
    return Image(source=source, detail=detail, cache=cache_mark(part))


def _from_url(url: str, path: str) -> Source:
    if url[:5].lower() != "data:":
        return Url(url)
    media_type, data = split_data_url(url, path)
    if media_type not in IMAGE_TYPES:
        raise wrong(
            path, url, f"its media type may be {', '.join(sorted(IMAGE_TYPES))}", "invalid_image_format"
        )
    return Inline(media_type, data)


def split_data_url(url: str, path: str) -> tuple[str, str]:
    """Media type (lower case, without parameters) and base64 of a data URL."""
    found = _DATA_URL.fullmatch(url)
    if not found or ";base64" not in found[2].lower():
        raise wrong(path, url, "give data:<media type>;base64,<data>", "invalid_image_format")
    return found[1].strip().lower(), "".join(found[3].split())


def _input_audio(part: Json, path: str, translation: Translation) -> Part:
    audio, inside = fields(part, "input_audio", path), f"{path}.input_audio"
    return Audio(data=text(audio, "data", inside), format=text(audio, "format", inside))


def _file(part: Json, path: str, translation: Translation) -> Part:
    file, inside = fields(part, "file", path), f"{path}.file"
    name, file_id = text_or_none(file, "filename", inside), text_or_none(file, "file_id", inside)
    mark = cache_mark(part)
    if file_id:
        return Document(source=FileReference("openai", file_id), title=name, cache=mark)
    data = text(file, "file_data", f"{path}.file")
    if data[:5].lower() == "data:":
        media_type, base64_data = split_data_url(data, f"{path}.file.file_data")
    else:  # bare base64: the name is all that tells the kind
        media_type, base64_data = "application/pdf", data
    if media_type in IMAGE_TYPES:
        return Image(source=Inline(media_type, base64_data), cache=mark)
    return Document(source=Inline(media_type, base64_data), title=name, cache=mark)


def _image(part: Json, path: str, translation: Translation) -> Part:
    source = _source(fields(part, "source", path), f"{path}.source", translation)
    return Image(source=source, cache=cache_mark(part))


def _document(part: Json, path: str, translation: Translation) -> Part:
    citations = part.get("citations")
    return Document(
        source=_source(fields(part, "source", path), f"{path}.source", translation),
        title=text_or_none(part, "title", path),
        context=text_or_none(part, "context", path),
        citations_on=isinstance(citations, dict) and citations.get("enabled") is True,
        cache=cache_mark(part),
    )


def _source(source: Json, path: str, translation: Translation) -> Source:
    match source.get("type"):
        case "base64":
            return Inline(text(source, "media_type", path), text(source, "data", path))
        case "url":
            return Url(text(source, "url", path))
        case "file":
            return FileReference("anthropic", text(source, "file_id", path))
        case "text":
            return Plain(text(source, "data", path), text_or_none(source, "media_type", path) or "text/plain")
        case "content":
            inner = source.get("content")
            if isinstance(inner, str):
                return Nested((Text(text=inner),))
            return Nested(read_parts(inner, f"{path}.content", translation))
    raise wrong(f"{path}.type", source.get("type"), "it may be base64, url, file, text or content")


def _search_result(part: Json, path: str, translation: Translation) -> Part:
    inner = read_parts(part.get("content"), f"{path}.content", translation)
    citations = part.get("citations")
    return SearchResult(
        source=text(part, "source", path),
        title=text(part, "title", path),
        parts=tuple(text for text in inner if isinstance(text, Text)),
        citations_on=isinstance(citations, dict) and citations.get("enabled") is True,
        cache=cache_mark(part),
    )


def _tool_use(part: Json, path: str, translation: Translation) -> Part:
    arguments = msgspec.json.encode(fields_or_none(part, "input", path) or {}).decode()
    return ToolCall(
        id=text(part, "id", path),
        name=text(part, "name", path),
        arguments=arguments,
        cache=cache_mark(part),
    )


def _tool_result(part: Json, path: str, translation: Translation) -> Part:
    content = part.get("content")
    inner: tuple[Part, ...] = (Text(text=content),) if isinstance(content, str) else ()
    if content is not None and not isinstance(content, str):
        inner = read_parts(content, f"{path}.content", translation)
    return ToolResult(
        call_id=text(part, "tool_use_id", path),
        parts=inner,
        is_error=part.get("is_error") is True,
        cache=cache_mark(part),
    )


def _thinking(part: Json, path: str, translation: Translation) -> Reasoning | None:
    return read_thinking_block(part, translation)


def _input_file(part: Json, path: str, translation: Translation) -> Part:
    address = text_or_none(part, "file_url", path)
    if address:
        return Document(source=Url(address), title=text_or_none(part, "filename", path))
    return _file({"file": part}, path, translation)


def cache_mark(holder: Json) -> CacheMark | None:
    """OpenAI's breakpoint or Anthropic's mark; both vendors' lives in Anthropic's two words."""
    for name in ("prompt_cache_breakpoint", "cache_control"):
        mark = holder.get(name)
        if isinstance(mark, dict):
            life = _MARK_TTL.get(str(mark.get("ttl")), "5m")
            return CacheMark("1h" if life == "1h" else "5m")
    return None


MARKS = frozenset({"cache_control", "prompt_cache_breakpoint"})
_TEXT_FIELDS = frozenset({"type", "text", "citations"}) | MARKS


def own_fields(holder: Json, known: frozenset[str] | set[str]) -> Ext:
    """Fields nobody here knows, kept for a Chat upstream."""
    rest = {name: value for name, value in holder.items() if name not in known}
    return {"chat": rest} if rest else {}


_PARTS: dict[str, Callable[[Json, str, Translation], Part | None]] = {
    "text": _text,
    "image_url": _image_url,
    "input_audio": _input_audio,
    "file": _file,
    "refusal": _refusal,
    # Anthropic's blocks
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _thinking,
    # Responses' parts
    "input_text": _text,
    "output_text": _text,
    "input_image": _image_url,
    "input_file": _input_file,
}

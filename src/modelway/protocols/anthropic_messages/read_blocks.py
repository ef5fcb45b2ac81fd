"""Content blocks of Messages -> parts. One small reader per block type; unknown types stay opaque."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from msgspec import Raw, structs

from modelway.conversation.envelope import is_envelope, open_envelope
from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    CacheMark,
    Citation,
    Document,
    Ext,
    FileReference,
    HostedCall,
    Image,
    Inline,
    Nested,
    Opaque,
    Part,
    Plain,
    Reasoning,
    SearchResult,
    Secret,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Url,
    Vendor,
)
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages.wire import NAME, compact, present, text_of

Fields = dict[str, Any]


@dataclass(slots=True)
class Place:
    """Where blocks are read: the call, the vendor whose signatures these are, and the path for errors.

    `opens`: signatures may be envelopes of this gateway. In an upstream's answer they are not: one that
    looks like it belongs to a gateway further up, and goes back to it unopened.
    """

    translation: Translation
    vendor: Vendor
    model: str = ""
    path: str = ""
    opens: bool = True


def read_blocks(blocks: Iterable[Fields], place: Place) -> tuple[Part, ...]:
    """The parts, in order. A server tool's results join the call they stand behind."""
    parts: list[Part] = []
    path = place.path
    for number, fields in enumerate(blocks):
        place.path = f"{path}.content.{number}" if path else f"content.{number}"
        part = read_block(fields, place)
        if part is None:
            continue
        joined = join_hosted(parts[-1], part) if parts else None
        if joined is not None:
            parts[-1] = joined
        else:
            parts.append(part)
    place.path = path
    return tuple(parts)


def read_block(fields: Fields, place: Place) -> Part | None:
    """One part; None for reasoning that must not go on (the warning is given)."""
    kind = str(fields.get("type"))
    reader = READERS.get(kind)
    if reader is not None:
        try:
            return reader(fields, place)
        except (KeyError, TypeError) as reason:
            raise CallError.invalid(
                f"`{place.path}` is no whole {kind} block: {reason} is missing or of the wrong kind",
                param=place.path,
            ) from None
    if kind.endswith("_tool_result"):
        return _hosted(fields, str(fields.get("tool_use_id", "")), kind.removesuffix("_tool_result"))
    return Opaque(protocol=NAME, raw=fields)


def join_hosted(call: Part, result: Part) -> HostedCall | None:
    """Both as one, if `result` is what the server tool of `call` gave."""
    if isinstance(call, HostedCall) and isinstance(result, HostedCall) and call.id == result.id:
        return structs.replace(call, raw=call.raw + result.raw)
    return None


def read_cache(value: Any) -> CacheMark | None:
    if not isinstance(value, dict):
        return None
    return CacheMark("1h") if value.get("ttl") == "1h" else CacheMark("5m")


def unknown(fields: Fields, *known: str) -> Ext:
    """The members no reader looked at, for a Messages upstream."""
    rest = {name: value for name, value in fields.items() if name not in known and name != "type"}
    return {NAME: rest} if rest else {}


def read_citation(raw: Fields) -> Citation:
    web = raw.get("type") == "web_search_result_location"
    return Citation(
        kind="url" if web else "document",
        url=str(raw.get("url") or ""),
        title=str(raw.get("title") or raw.get("document_title") or ""),
        quoted=str(raw.get("cited_text") or ""),
        vendor="anthropic",
        raw=raw,
    )


def _text(fields: Fields, place: Place) -> Text:
    text = fields["text"]
    if not isinstance(text, str):
        raise KeyError("text")
    return Text(
        text=text,
        citations=tuple(read_citation(raw) for raw in fields.get("citations") or ()),
        cache=read_cache(fields.get("cache_control")),
        ext=unknown(fields, "text", "citations", "cache_control"),
    )


def _image(fields: Fields, place: Place) -> Image:
    return Image(
        source=_source(fields["source"], place),
        cache=read_cache(fields.get("cache_control")),
        ext=unknown(fields, "source", "cache_control"),
    )


def _document(fields: Fields, place: Place) -> Document:
    citations = fields.get("citations") or {}
    return Document(
        source=_source(fields["source"], place),
        title=fields.get("title"),
        context=fields.get("context"),
        citations_on=bool(citations.get("enabled")),
        cache=read_cache(fields.get("cache_control")),
        ext=unknown(fields, "source", "title", "context", "citations", "cache_control"),
    )


def _nested(content: Any, place: Place) -> tuple[Part, ...]:
    """Parts of a string, a list of blocks, or nothing."""
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(text=content),)
    return read_blocks(content, place)


_SOURCES: dict[str, Callable[[Fields, Place], Source]] = {
    "base64": lambda source, place: Inline(source["media_type"], source["data"]),
    "url": lambda source, place: Url(source["url"]),
    "file": lambda source, place: FileReference("anthropic", source["file_id"]),
    "text": lambda source, place: Plain(source["data"], source.get("media_type") or "text/plain"),
    "content": lambda source, place: Nested(_nested(source["content"], place)),
}


def _source(source: Fields, place: Place) -> Source:
    reader = _SOURCES.get(source["type"])
    if reader is None:
        raise CallError.invalid(
            f"`{place.path}.source.type` is {source['type']!r}; right are {', '.join(_SOURCES)}",
            param=f"{place.path}.source.type",
            code="unsupported_content",
        )
    return reader(source, place)


def _search_result(fields: Fields, place: Place) -> SearchResult:
    citations = fields.get("citations") or {}
    return SearchResult(
        source=fields["source"],
        title=fields["title"],
        parts=tuple(_text(block, place) for block in fields["content"]),
        citations_on=bool(citations.get("enabled")),
        cache=read_cache(fields.get("cache_control")),
        ext=unknown(fields, "source", "title", "content", "citations", "cache_control"),
    )


def _opened(sealed: str, place: Place) -> Reasoning | None:
    """Reasoning that this installation sealed for a Messages client, as it was."""
    reasoning = open_envelope(sealed, place.translation.envelope_secret)
    if reasoning is None:
        place.translation.warn(
            "reasoning_dropped", place.path, "The thinking's signature is not one this gateway gave"
        )
    return reasoning


def _thinking(fields: Fields, place: Place) -> Reasoning | None:
    signature = str(fields.get("signature") or "")
    if place.opens and is_envelope(signature):
        return _opened(signature, place)
    secret = Secret(place.vendor, "signature", signature, place.model) if signature else None
    return Reasoning(
        text=fields["thinking"], secret=secret, ext=unknown(fields, "thinking", "signature", "cache_control")
    )


def _redacted(fields: Fields, place: Place) -> Reasoning | None:
    data = str(fields["data"])
    if place.opens and is_envelope(data):
        return _opened(data, place)
    return Reasoning(
        redacted=True,
        secret=Secret(place.vendor, "redacted", data, place.model),
        ext=unknown(fields, "data", "cache_control"),
    )


def arguments_of(value: Any) -> str:
    """A tool's input as compact JSON text; numbers of raw input stay as they were written."""
    if isinstance(value, Raw):
        return compact(value) if present(value) else "{}"
    return "{}" if value is None else text_of(value)


def _tool_use(fields: Fields, place: Place) -> ToolCall:
    return ToolCall(
        id=str(fields["id"]),
        name=str(fields["name"]),
        arguments=arguments_of(fields.get("input")),
        cache=read_cache(fields.get("cache_control")),
        ext=unknown(fields, "id", "name", "input", "cache_control"),
    )


def _tool_result(fields: Fields, place: Place) -> ToolResult:
    return ToolResult(
        call_id=str(fields["tool_use_id"]),
        parts=_nested(fields.get("content"), place),
        is_error=bool(fields.get("is_error")),
        cache=read_cache(fields.get("cache_control")),
        ext=unknown(fields, "tool_use_id", "content", "is_error", "cache_control"),
    )


def _hosted(fields: Fields, identity: str, name: str) -> HostedCall:
    return HostedCall(protocol=NAME, id=identity, name=name, raw=(fields,))


def _server_tool_use(fields: Fields, place: Place) -> HostedCall:
    return _hosted(fields, str(fields["id"]), str(fields["name"]))


READERS: dict[str, Callable[[Fields, Place], Part | None]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "server_tool_use": _server_tool_use,
    "mcp_tool_use": _server_tool_use,
}


def vendor_of(translation: Translation) -> Vendor:
    """Whose signatures an upstream of this protocol gives."""
    return cast(Vendor, translation.vendor) if translation.vendor == "anthropic" else "other"

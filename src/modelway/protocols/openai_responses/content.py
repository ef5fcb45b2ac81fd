"""Content parts, both ways: input_text, input_image, input_file, output_text, refusal."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    Audio,
    CacheMark,
    Citation,
    Document,
    FileReference,
    Image,
    Inline,
    Nested,
    Opaque,
    Part,
    Plain,
    Refusal,
    SearchResult,
    Text,
    Url,
)
from modelway.conversation.translation import Translation
from modelway.protocols.openai_responses.losses import ROWS

Wire = dict[str, Any]
NAME = "responses"
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")

_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*?)(;base64)?,(.*)", re.IGNORECASE | re.DOTALL)
_DETAILS = ("auto", "low", "high", "original")


# -- reading ---------------------------------------------------------------------------------------


def read_parts(value: str | Sequence[Wire], path: str) -> tuple[Part, ...]:
    """A message's or output's content; raises `CallError` (400) for content nobody could carry."""
    if isinstance(value, str):
        return (Text(text=value),)
    return tuple(_read_part(part, f"{path}.{number}") for number, part in enumerate(value))


def _read_part(part: Wire, path: str) -> Part:
    read = _READERS.get(part["type"])
    return read(part, path) if read else Opaque(protocol=NAME, raw=part)


def _read_text(part: Wire, path: str) -> Part:
    return Text(text=_string(part, "text", path), cache=_mark(part))


def _read_output_text(part: Wire, path: str) -> Part:
    citations = tuple(read_citation(each) for each in part.get("annotations") or ())
    return Text(text=_string(part, "text", path), citations=citations, cache=_mark(part))


def _read_refusal(part: Wire, path: str) -> Part:
    return Refusal(text=_string(part, "refusal", path))


def _read_image(part: Wire, path: str) -> Part:
    detail = part.get("detail")
    if isinstance(part.get("file_id"), str):
        source: Inline | Url | FileReference = FileReference("openai", part["file_id"])
    else:
        source = _image_source(_string(part, "image_url", path), f"{path}.image_url")
    return Image(source=source, detail=detail, cache=_mark(part))


def _image_source(url: str, path: str) -> Inline | Url:
    if url[:5].lower() != "data:":
        return Url(url)
    source = _inline(url, path)
    if source.media_type not in IMAGE_TYPES:
        raise CallError.invalid(
            f"`{path}` is of type {source.media_type or '(none)'}; images are {', '.join(IMAGE_TYPES)}",
            param=path,
            code="invalid_image_format",
        )
    return source


def _inline(url: str, path: str) -> Inline:
    """A data URL's type and base64 text; parameters such as a charset are not kept."""
    found = _DATA_URL.fullmatch(url)
    if not found or not found[3]:
        raise CallError.invalid(f"`{path}` is no base64 data URL: {url[:40]!r}", param=path)
    return Inline(found[1].lower(), "".join(found[4].split()))


def _read_file(part: Wire, path: str) -> Part:
    title, cache = part.get("filename"), _mark(part)
    if isinstance(part.get("file_id"), str):
        return Document(source=FileReference("openai", part["file_id"]), title=title, cache=cache)
    if isinstance(part.get("file_url"), str):
        return Document(source=Url(part["file_url"]), title=title, cache=cache)
    data = _string(part, "file_data", path)
    where = f"{path}.file_data"
    # OpenAI also takes bare base64 there; the name then tells the type.
    source = _inline(data, where) if data[:5].lower() == "data:" else Inline(_type_of(title), data)
    if source.media_type.startswith("text/"):
        return Document(source=_plain(source, where), title=title, cache=cache)
    return Document(source=source, title=title, cache=cache)


def _type_of(filename: object) -> str:
    return "text/plain" if str(filename or "").lower().endswith((".txt", ".md")) else "application/pdf"


def _plain(source: Inline, path: str) -> Plain:
    try:
        text = base64.b64decode(source.data, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise CallError.invalid(f"`{path}` is no UTF-8 text in base64: {error}", param=path) from None
    return Plain(text, source.media_type)


def _read_audio(part: Wire, path: str) -> Part:
    audio = part.get("input_audio")
    if not isinstance(audio, dict):
        raise CallError.invalid(f"`{path}.input_audio` is missing", param=f"{path}.input_audio")
    return Audio(data=str(audio.get("data", "")), format=str(audio.get("format", "wav")))


def _string(part: Wire, name: str, path: str) -> str:
    value = part.get(name)
    if not isinstance(value, str):
        raise CallError.invalid(
            f"`{path}.{name}` is {value!r}; a {part['type']} needs a string there",
            param=f"{path}.{name}",
            code="missing_required_parameter" if name not in part else "invalid_type",
        )
    return value


_LIVES: dict[object, Literal["30m", "12h"]] = {"30m": "30m", "12h": "12h"}


def _mark(part: Wire) -> CacheMark | None:
    """`prompt_cache_breakpoint`: without a `ttl` it is the short life every vendor starts from."""
    mark = part.get("prompt_cache_breakpoint")
    return CacheMark(_LIVES.get(mark.get("ttl"), "5m")) if isinstance(mark, dict) else None


_READERS: Mapping[str, Callable[[Wire, str], Part]] = {
    "input_text": _read_text,
    "text": _read_text,
    "output_text": _read_output_text,
    "refusal": _read_refusal,
    "input_image": _read_image,
    "input_file": _read_file,
    "input_audio": _read_audio,
}


def read_citation(raw: Wire) -> Citation:
    """An annotation: url_citation means something to everyone, the others only to OpenAI."""
    if raw.get("type") == "url_citation":
        return Citation(
            kind="url",
            url=str(raw.get("url", "")),
            title=str(raw.get("title", "")),
            start=_position(raw.get("start_index")),
            end=_position(raw.get("end_index")),
            vendor="openai",
            raw=raw,
        )
    return Citation(kind="document", title=str(raw.get("filename", "")), vendor="openai", raw=raw)


def _position(value: object) -> int | None:
    return value if isinstance(value, int) else None


# -- writing ---------------------------------------------------------------------------------------


# OpenAI's own kinds of annotation besides url_citation, which Chat writes in another shape.
_ANNOTATIONS = ("file_citation", "container_file_citation", "file_path")


def write_citation(citation: Citation, text_length: int) -> Wire | None:
    """An annotation, or None for one that Responses has no words for."""
    if citation.raw.get("type") in _ANNOTATIONS or "start_index" in citation.raw:
        return citation.raw
    if citation.kind != "url":
        return None
    start = citation.start or 0
    end = text_length if citation.end is None else citation.end
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title,
        "start_index": start,
        "end_index": end,
    }


def write_input(part: Part, path: str, translation: Translation) -> Wire | None:
    """A part of a user, system or tool-output content; None where the loss table drops it."""
    match part:
        case Text():
            if part.citations:
                translation.lose(ROWS["part.citations"], path)
            return _marked({"type": "input_text", "text": part.text}, part.cache)
        case Image():
            return _marked(_write_image(part, path, translation), part.cache)
        case Document():
            return _marked(_write_document(part, path, translation), part.cache)
        case SearchResult():
            translation.lose(ROWS["part.search_result"], path)
            return {"type": "input_text", "text": _wrapped(_joined(part.parts), part.title, part.source)}
        case Refusal():
            return {"type": "input_text", "text": part.text}
        case Opaque(protocol="responses", raw=raw):
            return raw
        case Audio():
            translation.lose(ROWS["part.audio"], path)
        case _:
            translation.lose(ROWS["part.opaque"], path)
    return None


def _marked(wire: Wire, mark: CacheMark | None) -> Wire:
    if mark is None:
        return wire
    ttl = {"1h": "12h", "12h": "12h", "30m": "30m"}.get(mark.ttl)
    return {**wire, "prompt_cache_breakpoint": {"mode": "explicit"} | ({"ttl": ttl} if ttl else {})}


def _write_image(part: Image, path: str, translation: Translation) -> Wire:
    detail = part.detail if part.detail in _DETAILS else "auto"
    match part.source:
        case Inline(media_type, data):
            return {"type": "input_image", "image_url": f"data:{media_type};base64,{data}", "detail": detail}
        case Url(url):
            return {"type": "input_image", "image_url": url, "detail": detail}
        case FileReference(vendor, id) if vendor == translation.vendor:
            return {"type": "input_image", "file_id": id, "detail": detail}
    translation.lose(ROWS["part.image.file"], path)
    raise CallError.unsupported("This image cannot be sent to the provider", param=path)


def _write_document(part: Document, path: str, translation: Translation) -> Wire:
    match part.source:
        case Inline(media_type, data):
            name = part.title or "document.pdf"
            return {
                "type": "input_file",
                "filename": name,
                "file_data": f"data:{media_type};base64,{data}",
            }
        case Url(url):
            return {"type": "input_file", "file_url": url}
        case FileReference(vendor, id) if vendor == translation.vendor:
            return {"type": "input_file", "file_id": id}
        case Plain(text):
            translation.lose(ROWS["part.document.text"], path)
            return {"type": "input_text", "text": _wrapped(text, part.title, part.context)}
        case Nested(parts):
            translation.lose(ROWS["part.document.text"], path)
            return {"type": "input_text", "text": _wrapped(_joined(parts), part.title, part.context)}
    translation.lose(ROWS["part.document.file"], path)
    raise CallError.unsupported("This document cannot be sent to the provider", param=path)


def _joined(parts: Sequence[Part]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, Text))


def _wrapped(text: str, title: str | None, context: str | None) -> str:
    about = f' title="{title}"' if title else ""
    about += f' context="{context}"' if context else ""
    return f"<document{about}>\n{text}\n</document>"

"""Chat messages to turns: one small function per role and per kind of part.

Takes OpenAI's parts and the Anthropic blocks that some clients put on this path.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

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
    Turn,
    Url,
)
from modelway.conversation.translation import Translation
from modelway.protocols.openai_chat.reasoning import read_reasoning, read_thinking_block
from modelway.protocols.openai_chat.wire import missing, wrong

Json = dict[str, Any]

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
ERROR_PREFIX = "[tool_error] "
_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),(.*)", re.IGNORECASE | re.DOTALL)
# OpenAI's life of a cache entry, Anthropic's word for the same.
_MARK_TTL = {"12h": "1h", "1h": "1h", "30m": "5m", "5m": "5m"}


def read_messages(messages: list[Json], translation: Translation) -> list[Turn]:
    """Each message as a turn; tool messages are user turns that hold one result each."""
    reader = _MessageReader(translation)
    return [reader.turn(message, f"messages.{number}") for number, message in enumerate(messages)]


class _MessageReader:
    """Counts the legacy function calls, which have no ids, while it walks."""

    def __init__(self, translation: Translation) -> None:
        self.translation = translation
        self.function_calls = 0

    def turn(self, message: Json, path: str) -> Turn:
        role = message["role"]
        read = _ROLES.get(role)
        if read is None:
            raise wrong(f"{path}.role", role, f"it may be one of {', '.join(_ROLES)}")
        return read(self, message, path)

    def instruction(self, message: Json, path: str) -> Turn:
        parts = self.content(message, path)
        role: Literal["system", "developer"] = "developer" if message["role"] == "developer" else "system"
        return Turn(role=role, parts=parts, name=message.get("name"), path=path, ext=_ext(message))

    def user(self, message: Json, path: str) -> Turn:
        if message.get("content") is None:
            raise missing(f"{path}.content", "a text or a list of parts")
        parts = self.content(message, path)
        return Turn(role="user", parts=parts, name=message.get("name"), path=path, ext=_ext(message))

    def assistant(self, message: Json, path: str) -> Turn:
        parts: list[Part] = [*read_reasoning(message, self.translation)]
        parts += self.content(message, path)
        if isinstance(message.get("refusal"), str) and message["refusal"]:
            parts.append(Refusal(text=message["refusal"]))
        if message.get("audio"):
            raise wrong(f"{path}.audio", message["audio"], "audio kept by OpenAI cannot be sent elsewhere")
        for number, call in enumerate(message.get("tool_calls") or ()):
            parts.append(_tool_call(call, f"{path}.tool_calls.{number}"))
        if isinstance(message.get("function_call"), dict):
            self.function_calls += 1
            parts.append(_function(f"call_fn_{self.function_calls}", message["function_call"], path))
        return Turn(
            role="assistant", parts=tuple(parts), name=message.get("name"), path=path, ext=_ext(message)
        )

    def tool(self, message: Json, path: str) -> Turn:
        call_id = message.get("tool_call_id")
        if not isinstance(call_id, str) or not call_id:
            raise missing(f"{path}.tool_call_id", "the id of the tool call this answers")
        return self.result(call_id, message, path)

    def function(self, message: Json, path: str) -> Turn:
        return self.result(f"call_fn_{max(1, self.function_calls)}", message, path)

    def result(self, call_id: str, message: Json, path: str) -> Turn:
        parts, is_error = unprefixed(self.content(message, path))
        mark = cache_mark(message)
        result = ToolResult(call_id=call_id, parts=parts, is_error=is_error, cache=mark)
        return Turn(role="user", parts=(result,), path=path, ext=_ext(message))

    def content(self, message: Json, path: str) -> tuple[Part, ...]:
        """The parts of `content`; a mark on the message belongs to its last part."""
        content = message.get("content")
        if content is None:
            return ()
        if isinstance(content, str):
            mark = cache_mark(message) if message["role"] != "tool" else None
            return (Text(text=content, cache=mark),) if content or mark else _empty(message)
        return _marked(read_parts(content, f"{path}.content", self.translation), message)


def _marked(parts: tuple[Part, ...], message: Json) -> tuple[Part, ...]:
    mark = cache_mark(message) if message["role"] != "tool" else None
    if mark is None or not parts or getattr(parts[-1], "cache", mark) is not None:
        return parts
    last: Any = parts[-1]
    return (*parts[:-1], msgspec.structs.replace(last, cache=mark))


def _empty(message: Json) -> tuple[Part, ...]:
    """An empty user text is kept: whether a turn may be empty is for the upstream's writer to say."""
    return (Text(text=""),) if message["role"] in ("user", "system", "developer") else ()


def read_parts(content: Any, path: str, translation: Translation) -> tuple[Part, ...]:
    """A list of content parts, in any of the dialects this path takes."""
    if not isinstance(content, list):
        raise wrong(path, content, "give a text or a list of parts", "invalid_type")
    parts: list[Part] = []
    for number, part in enumerate(content):
        if isinstance(part, str):
            parts.append(Text(text=part))
            continue
        read = read_part(part, f"{path}.{number}", translation)
        if read is not None:
            parts.append(read)
    return tuple(parts)


def read_part(part: Json, path: str, translation: Translation) -> Part | None:
    kind = part.get("type")
    read = _PARTS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise wrong(f"{path}.type", kind, f"it may be one of {', '.join(_PARTS)}", "unsupported_content")
    try:
        return read(part, path, translation)
    except KeyError as lacking:
        raise missing(f"{path}.{lacking.args[0]}", "the value the part's type asks for") from None


def _text(part: Json, path: str, translation: Translation) -> Part:
    return Text(text=_string(part, "text", path), cache=cache_mark(part), ext=_part_ext(part, _TEXT_FIELDS))


def _refusal(part: Json, path: str, translation: Translation) -> Part:
    return Refusal(text=_string(part, "refusal", path))


def _image_url(part: Json, path: str, translation: Translation) -> Part:
    value = part["image_url"]
    holder = value if isinstance(value, dict) else {"url": value}  # Responses' flat spelling, too
    source = _from_url(_string(holder, "url", f"{path}.image_url"), f"{path}.image_url.url")
    detail = holder.get("detail") or part.get("detail")
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
    audio = part["input_audio"]
    return Audio(data=_string(audio, "data", path), format=_string(audio, "format", path))


def _file(part: Json, path: str, translation: Translation) -> Part:
    file = part["file"]
    mark = cache_mark(part)
    if file.get("file_id"):
        return Document(
            source=FileReference("openai", file["file_id"]), title=file.get("filename"), cache=mark
        )
    data = _string(file, "file_data", f"{path}.file")
    if data[:5].lower() == "data:":
        media_type, base64_data = split_data_url(data, f"{path}.file.file_data")
    else:  # bare base64: the name is all that tells the kind
        media_type, base64_data = "application/pdf", data
    if media_type in IMAGE_TYPES:
        return Image(source=Inline(media_type, base64_data), cache=mark)
    return Document(source=Inline(media_type, base64_data), title=file.get("filename"), cache=mark)


def _image(part: Json, path: str, translation: Translation) -> Part:
    return Image(source=_source(part["source"], f"{path}.source", translation), cache=cache_mark(part))


def _document(part: Json, path: str, translation: Translation) -> Part:
    citations = part.get("citations")
    return Document(
        source=_source(part["source"], f"{path}.source", translation),
        title=part.get("title"),
        context=part.get("context"),
        citations_on=isinstance(citations, dict) and citations.get("enabled") is True,
        cache=cache_mark(part),
    )


def _source(source: Json, path: str, translation: Translation) -> Source:
    match source.get("type"):
        case "base64":
            return Inline(_string(source, "media_type", path), _string(source, "data", path))
        case "url":
            return Url(_string(source, "url", path))
        case "file":
            return FileReference("anthropic", _string(source, "file_id", path))
        case "text":
            return Plain(_string(source, "data", path), source.get("media_type", "text/plain"))
        case "content":
            inner = source["content"]
            if isinstance(inner, str):
                return Nested((Text(text=inner),))
            return Nested(read_parts(inner, f"{path}.content", translation))
    raise wrong(f"{path}.type", source.get("type"), "it may be base64, url, file, text or content")


def _search_result(part: Json, path: str, translation: Translation) -> Part:
    inner = read_parts(part["content"], f"{path}.content", translation)
    citations = part.get("citations")
    return SearchResult(
        source=_string(part, "source", path),
        title=_string(part, "title", path),
        parts=tuple(text for text in inner if isinstance(text, Text)),
        citations_on=isinstance(citations, dict) and citations.get("enabled") is True,
        cache=cache_mark(part),
    )


def _tool_use(part: Json, path: str, translation: Translation) -> Part:
    arguments = msgspec.json.encode(part.get("input") or {}).decode()
    return ToolCall(
        id=_string(part, "id", path),
        name=_string(part, "name", path),
        arguments=arguments,
        cache=cache_mark(part),
    )


def _tool_result(part: Json, path: str, translation: Translation) -> Part:
    content = part.get("content") or ()
    inner: tuple[Part, ...] = (Text(text=content),) if isinstance(content, str) else ()
    if isinstance(content, list):
        inner = read_parts(content, f"{path}.content", translation)
    return ToolResult(
        call_id=_string(part, "tool_use_id", path),
        parts=inner,
        is_error=part.get("is_error") is True,
        cache=cache_mark(part),
    )


def _thinking(part: Json, path: str, translation: Translation) -> Reasoning | None:
    return read_thinking_block(part, translation)


def _input_file(part: Json, path: str, translation: Translation) -> Part:
    if part.get("file_url"):
        return Document(source=Url(part["file_url"]), title=part.get("filename"))
    return _file({"file": part}, path, translation)


def _tool_call(call: Json, path: str) -> ToolCall:
    call_id = call.get("id")
    if not isinstance(call_id, str) or not call_id:
        raise missing(f"{path}.id", "the id the model gave the call")
    custom = call.get("custom")
    if isinstance(custom, dict):
        return ToolCall(
            id=call_id, name=_string(custom, "name", path), arguments=custom.get("input") or "", freeform=True
        )
    function = call.get("function")
    if not isinstance(function, dict):
        raise missing(f"{path}.function", "an object with `name` and `arguments`")
    return _function(call_id, function, path, _part_ext(call, _CALL_FIELDS))


def _function(call_id: str, function: Json, path: str, ext: Ext | None = None) -> ToolCall:
    return ToolCall(
        id=call_id,
        name=_string(function, "name", path),
        arguments=argument_text(function.get("arguments")),
        ext=ext or {},
    )


def argument_text(value: Any) -> str:
    """Arguments as text: servers and clients send null and ready-made objects, too."""
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def unprefixed(parts: tuple[Part, ...]) -> tuple[tuple[Part, ...], bool]:
    """An error flag that an earlier gateway wrote as a prefix becomes a flag again."""
    if parts and isinstance(parts[0], Text) and parts[0].text.startswith(ERROR_PREFIX):
        first = msgspec.structs.replace(parts[0], text=parts[0].text.removeprefix(ERROR_PREFIX))
        return (first, *parts[1:]), True
    return parts, False


def cache_mark(holder: Json) -> CacheMark | None:
    """OpenAI's breakpoint or Anthropic's mark; both vendors' lives in Anthropic's two words."""
    for name in ("prompt_cache_breakpoint", "cache_control"):
        mark = holder.get(name)
        if isinstance(mark, dict):
            life = _MARK_TTL.get(mark.get("ttl") or "5m", "5m")
            return CacheMark("1h" if life == "1h" else "5m")
    return None


def _string(holder: Any, name: str, path: str) -> str:
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, str):
        if value is None:
            raise missing(f"{path}.{name}", "a text")
        raise wrong(f"{path}.{name}", value, "give a text", "invalid_type")
    return value


_MARKS = frozenset({"cache_control", "prompt_cache_breakpoint"})
_TEXT_FIELDS = frozenset({"type", "text", "citations"}) | _MARKS
_CALL_FIELDS = frozenset({"id", "type", "function", "index"}) | _MARKS
_MESSAGE_FIELDS = _MARKS | {
    "role",
    "content",
    "name",
    "refusal",
    "audio",
    "tool_calls",
    "function_call",
    "tool_call_id",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "thinking_blocks",
    "annotations",
}


def _ext(message: Json) -> Ext:
    return _part_ext(message, _MESSAGE_FIELDS)


def _part_ext(holder: Json, known: frozenset[str] | set[str]) -> Ext:
    """Fields nobody here knows, kept for a Chat upstream."""
    rest = {name: value for name, value in holder.items() if name not in known}
    return {"chat": rest} if rest else {}


_ROLES: dict[str, Callable[[_MessageReader, Json, str], Turn]] = {
    "system": _MessageReader.instruction,
    "developer": _MessageReader.instruction,
    "user": _MessageReader.user,
    "assistant": _MessageReader.assistant,
    "tool": _MessageReader.tool,
    "function": _MessageReader.function,
}
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

"""The Chat request as it stands on the wire: its top level typed, its content peeked at, nothing rebuilt."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from modelway.conversation.errors import CallError

# A value in an error message is for recognising, not for reading.
SHOWN_CHARS_MAX = 60
# No vendor documents more; it bounds the work one request can ask of us.
MESSAGES_MAX = 100_000
STOP_MAX = 4


class PartPeek(Struct):
    """A content part: its kind, and as much as the token estimate needs."""

    type: str = ""
    text: str | None = ""


class MessagePeek(Struct):
    role: str
    content: str | list[PartPeek | str] | None = None


class ToolPeek(Struct):
    """`function` and `custom` hold OpenAI's tools; `input_schema` tells an Anthropic one."""

    type: str | None = None
    function: Raw | UnsetType = UNSET
    custom: Raw | UnsetType = UNSET
    input_schema: Raw | UnsetType = UNSET


class StreamOptions(Struct):
    include_usage: bool | None = None


class Body(Struct):
    """Known top-level fields. What a later stage reads stays `Raw`; unknown fields are kept in `body`."""

    model: str | UnsetType = UNSET
    messages: list[MessagePeek] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    stop: str | list[str] | None = None
    stop_sequences: str | list[str] | None = None
    tools: list[ToolPeek] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    prompt: str | None = None
    system_prompt: str | None = None
    system: str | list[dict[str, Any]] | None = None
    metadata: dict[str, str | None] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    cache_control: dict[str, Any] | None = None


KNOWN = frozenset(Body.__struct_fields__)
# Fields a Chat server does not know: such a body is translated even towards a Chat upstream.
FOREIGN_FIELDS = frozenset(
    {"prompt", "system_prompt", "system", "stop_sequences", "thinking", "output_config"}
)
FOREIGN_PARTS = frozenset(
    {
        "image",
        "document",
        "search_result",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
        "server_tool_use",
        "input_text",
        "input_image",
        "input_file",
        "output_text",
    }
)
DATED_TOOL = re.compile(r"_\d{8}$")
FOREIGN_CHOICES = frozenset({"auto", "any", "tool", "none"})

# field: lowest, highest (None: no end). From OpenAI's OpenAPI document.
RANGES: dict[str, tuple[float, float | None]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (0, None),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "n": (1, 128),
    "top_logprobs": (0, 20),
    "max_tokens": (1, None),
    "max_completion_tokens": (1, None),
}
WORDS: dict[str, tuple[str, ...]] = {
    "reasoning_effort": ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "verbosity": ("low", "medium", "high"),
}

_bodies = msgspec.json.Decoder(Body)
_PATH = re.compile(r"^(.*?)(?: - at `(?:key in )?\$?(.*?)`)?$", re.DOTALL)


def shown(value: object) -> str:
    """`value` as JSON, cut for a message."""
    text = value if isinstance(value, bytes) else msgspec.json.encode(value, enc_hook=str)
    line = text.decode("utf-8", "replace")
    return line if len(line) <= SHOWN_CHARS_MAX else line[: SHOWN_CHARS_MAX - 1] + "…"


def decode_body(body: bytes, spans: dict[str, tuple[int, int]]) -> Body:
    """The typed top level of `body`, whose members stand at `spans`; 400 names the field at fault."""
    try:
        return _bodies.decode(body)
    except RecursionError:
        raise CallError.invalid("The body nests too deep", code="invalid_json") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as reason:
        raise _mistyped(str(reason), body, spans) from None


def _mistyped(reason: str, body: bytes, spans: dict[str, tuple[int, int]]) -> CallError:
    found = _PATH.match(reason)
    said, path = (found[1], found[2] or "") if found else (reason, "")
    for name, item in (("messages", MessagePeek), ("tools", ToolPeek)):
        if path.startswith(f".{name}[...]"):
            begin, end = spans[name]
            path = path.replace("[...]", f"[{_first_bad(body[begin:end], item)}]", 1)
    param = path.replace("[", ".").replace("]", "").strip(".")
    top = param.split(".")[0]
    begin, end = spans.get(top, (0, 0))
    if "missing required field `role`" in said:
        return missing(f"{param}.role", "one of developer, system, user, assistant, tool, function")
    value = f" is {shown(body[begin:end])}" if param == top and end else ""
    code = "invalid_type" if said.startswith("Expected") else "invalid_value"
    return CallError.invalid(f"`{param}`{value}: {said}", param=param or None, code=code)


def _first_bad(array: bytes, item: type[Struct]) -> int:
    """Where in a list the entry stands that does not fit; the decoder does not say."""
    for number, entry in enumerate(msgspec.json.decode(array, type=list[Raw])):
        try:
            msgspec.json.decode(entry, type=item)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return number
    return 0


def missing(param: str, right: str) -> CallError:
    return CallError.invalid(
        f"`{param}` is missing; give {right}", param=param, code="missing_required_parameter"
    )


def wrong(param: str, value: object, right: str, code: str = "invalid_value") -> CallError:
    """400: the field, the value seen, what would be right."""
    return CallError.invalid(f"`{param}` is {shown(value)}; {right}", param=param, code=code)

"""`/v1/embeddings`: the request checked, the reply made into what the client asked for. Pure.

OpenAI's SDK asks for base64 (little-endian float32) unless its caller named a format, and hands
through unparsed whatever is not what it asked for: so the format is honoured exactly.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from modelway.conversation.errors import CallError
from modelway.conversation.reply import Usage, count_of
from modelway.protocols import members
from modelway.protocols.failures import error_from_object

# OpenAI's API reference: at most 2,048 inputs, 8,192 tokens each, 300,000 together.
INPUTS_MAX = 2048
TOKENS_PER_INPUT_MAX = 8192
TOKENS_MAX = 300_000
_BYTES_PER_TOKEN = 4

Format = Literal["float", "base64"]


class Body(Struct):
    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: Raw = Raw()
    encoding_format: Format | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


class _Item(Struct):
    index: int
    embedding: str | list[float]


class _Answer(Struct):
    data: list[_Item]
    usage: dict[str, Any] | None = None


_bodies, _answers = msgspec.json.Decoder(Body), msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    """`input_count` texts or token lists; `input_tokens` exact for token lists, an estimate for texts."""

    model: str
    encoding_format: Format
    dimensions: int | None
    input_count: int
    input_tokens: int
    body: bytes
    members: Mapping[str, members.Span] = field(repr=False)

    def passed(self, model: str) -> bytes:
        """The body for an upstream: only the model's name is replaced."""
        return members.replaced(self.body, self.members["model"], msgspec.json.encode(model))


def parse(body: bytes) -> EmbeddingsRequest:
    """Check and type a request; raises `CallError` (400) naming the field."""
    where = members.spans(body)
    for name in ("model", "input"):
        if name not in where:
            raise CallError.invalid(f"`{name}` is missing", param=name, code="missing_required_parameter")
    try:
        fields = _bodies.decode(body)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$.")
        name = place.rstrip("`")
        begin, end = where.get(name, (0, 0))
        seen = body[begin:end][:80].decode("utf-8", "replace")
        raise CallError.invalid(f"`{name}` is {seen}: {text[:1].lower()}{text[1:]}", param=name) from None
    count, tokens = _measured(msgspec.json.decode(fields.input))
    form = fields.encoding_format or "float"
    return EmbeddingsRequest(fields.model, form, fields.dimensions, count, tokens, body, where)


def _measured(value: object) -> tuple[int, int]:
    """How many inputs, and about how many tokens; raises `CallError` for what cannot be embedded."""
    match value:
        case str():
            inputs: list[Any] = [value]
        case [int(), *_]:
            inputs = [value]
        case list():
            inputs = value
        case _:
            raise _bad("`input` must be a string, a list of strings, or lists of token ids", "invalid_type")
    if not inputs:
        raise _bad("`input` is an empty list; give at least one text", "empty_array")
    if len(inputs) > INPUTS_MAX:
        raise _bad(f"`input` has {len(inputs)} entries; at most {INPUTS_MAX}", "array_above_max_length")
    tokens = sum(_tokens(each, number, type(inputs[0])) for number, each in enumerate(inputs))
    if tokens > TOKENS_MAX and not isinstance(inputs[0], str):
        raise _bad(f"`input` has {tokens} tokens; at most {TOKENS_MAX} together", "invalid_value")
    return len(inputs), tokens


def _tokens(value: object, number: int, kind: type) -> int:
    param = f"input.{number}"
    if not isinstance(value, kind) or not isinstance(value, str | list):
        raise CallError.invalid(
            f"`{param}` is {str(value)[:60]!r}; all entries are strings, or all are lists of token ids",
            param=param,
            code="invalid_type",
        )
    if not value:
        raise CallError.invalid(f"`{param}` is empty; there is nothing to embed", param=param)
    if isinstance(value, str):
        return len(value.encode("utf-8")) // _BYTES_PER_TOKEN + 1
    if not all(isinstance(token, int) and not isinstance(token, bool) and token >= 0 for token in value):
        raise CallError.invalid(f"`{param}` holds something that is no token id", param=param)
    if len(value) > TOKENS_PER_INPUT_MAX:
        raise CallError.invalid(
            f"`{param}` has {len(value)} tokens; at most {TOKENS_PER_INPUT_MAX}", param=param
        )
    return len(value)


def _bad(message: str, code: str) -> CallError:
    return CallError.invalid(message, param="input", code=code)


def write_reply(body: bytes, request: EmbeddingsRequest) -> tuple[bytes, Usage]:
    """An upstream's answer in the format the client asked for, in the order of its inputs.

    Raises `CallError` (502) for an answer that is no list of as many vectors as were asked for, and
    400 if the model cannot make vectors of the length that was asked for.
    """
    answer = _read(body)
    items = sorted(answer.data, key=lambda item: item.index)
    if [item.index for item in items] != list(range(request.input_count)):
        raise CallError.upstream(
            f"The provider answered {len(items)} embeddings for {request.input_count} inputs"
        )
    usage = _usage(answer.usage, request)
    written = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": item.index, "embedding": _vector(item.embedding, request)}
            for item in items
        ],
        "model": request.model,
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens},
    }
    return msgspec.json.encode(written), usage


def _read(body: bytes) -> _Answer:
    try:
        return _answers.decode(body)
    except msgspec.MsgspecError as reason:
        try:
            value = msgspec.json.decode(body)
        except msgspec.MsgspecError:
            value = None
        if isinstance(value, dict) and "error" in value:
            raise error_from_object(value) from None
        raise CallError.upstream(f"The provider's answer is no list of embeddings: {reason}") from None


def _usage(raw: Mapping[str, Any] | None, request: EmbeddingsRequest) -> Usage:
    tokens = count_of((raw or {}).get("prompt_tokens"))
    if tokens is not None:
        return Usage(input_tokens=tokens)
    return Usage(input_tokens=request.input_tokens, estimated=True)


def _vector(value: str | Sequence[float], request: EmbeddingsRequest) -> str | list[float]:
    floats = _decoded(value) if isinstance(value, str) else list(value)
    if request.dimensions is not None and len(floats) != request.dimensions:
        raise CallError.unsupported(
            f"`dimensions` is {request.dimensions}; this model makes vectors of {len(floats)}",
            param="dimensions",
        )
    if request.encoding_format == "float":
        return floats
    return value if isinstance(value, str) else encoded(value)


def encoded(floats: Sequence[float]) -> str:
    """Base64 of little-endian float32."""
    try:
        return base64.b64encode(struct.pack(f"<{len(floats)}f", *floats)).decode("ascii")
    except OverflowError:
        raise CallError.upstream("The provider sent a number that is no float32") from None


def _decoded(text: str) -> list[float]:
    try:
        data = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(data) // 4}f", data))
    except (ValueError, struct.error) as reason:
        raise CallError.upstream(f"The provider's embedding is not base64 of float32: {reason}") from None

"""A Responses request as it stands on the wire: its top level typed and checked once, the rest as it came.

Unknown top-level fields are tolerated (Codex sends some); unknown items are kept in their place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from modelway.conversation.envelope import PREFIX
from modelway.conversation.errors import CallError
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.protocols import members
from modelway.protocols.openai_responses.checks import check_items
from modelway.protocols.openai_responses.requests import read_request

Item = dict[str, Any]

# A double's largest value stands for a number past it: JSON allows 1e400, Python's float does not.
_HUGE = 1.7976931348623157e308
# About 4 bytes of English or JSON make a token; an image is some 1,000, each item some 4 of framing.
_BYTES_PER_TOKEN, _IMAGE_TOKENS, _ITEM_TOKENS = 4, 1_000, 4
_BASE64 = re.compile(rb";base64,[A-Za-z0-9+/=_\\-]+")


class _Reasoning(Struct):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: Literal["standard", "pro"] | None = None


class _Format(Struct):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")] | None = None
    schema: dict[str, Raw] | None = None
    strict: bool | None = None
    description: str | None = None


class _Text(Struct):
    format: _Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Body(Struct):
    """The fields that are checked here; what they may hold is OpenAI's API reference's."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: Raw = Raw()
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Raw] | None = None
    tool_choice: Raw = Raw()
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    reasoning: _Reasoning | None = None
    text: _Text | None = None
    include: list[str] | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: Annotated[str, Meta(min_length=1)] | None = None
    conversation: Raw = Raw()
    truncation: Literal["auto", "disabled"] | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
            Meta(max_length=16),
        ]
        | None
    ) = None
    prompt: Raw = Raw()
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: Annotated[str, Meta(max_length=128)] | None = None
    prompt_cache_key: str | None = None


_decoder = msgspec.json.Decoder(Body)
_anything = msgspec.json.Decoder()


@dataclass(slots=True)
class ResponsesRequest:
    """One request: `body` untouched, `fields` its checked top level, `items` its input as a list.

    `item_paths` says where the client wrote each item: those taken from storage say so. `continues`
    is the id of the response whose items stand in front, for the reply to echo.
    """

    model: str
    stream: bool
    max_output_tokens: int | None
    body: bytes
    fields: Body = field(repr=False)
    items: tuple[Item, ...] = field(repr=False)
    item_paths: tuple[str, ...] = field(repr=False)
    passable: bool
    members: dict[str, members.Span] = field(repr=False)
    continues: str | None = None
    choices: int = 1
    include_usage: bool = True

    def conversation(self, translation: Translation) -> Conversation:
        """The neutral form; raises `CallError` (400) for content nobody can carry."""
        return read_request(
            loaded(self.body), self.items, self.item_paths, translation, continues=self.continues
        )

    def passed(self, model: str, translation: Translation) -> bytes:
        """`body` with another model's name in it; every other byte stays as it is."""
        if model == self.model:
            return self.body
        return members.replaced(self.body, self.members["model"], msgspec.json.encode(model))

    def prompt_tokens_estimate(self) -> int:
        """About how many tokens the model will read, from lengths alone; never 0."""
        text = self._bytes_of("input") + self._bytes_of("instructions") + self._bytes_of("tools")
        images = 0
        if b";base64," in self.body:
            encoded = [len(found) for found in _BASE64.findall(self.body)]
            text, images = max(0, text - sum(encoded)), len(encoded)
        return text // _BYTES_PER_TOKEN + images * _IMAGE_TOKENS + len(self.items) * _ITEM_TOKENS + 1

    def _bytes_of(self, name: str) -> int:
        begin, end = self.members.get(name, (0, 0))
        return end - begin


def parse(body: bytes, headers: Mapping[str, str]) -> ResponsesRequest:
    """Check and type a client's request; raises `CallError` (400) naming the field."""
    where = members.spans(body)
    try:
        fields = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _explained(str(error), body, where) from None
    _check(fields)
    items = _items(bytes(fields.input))
    check_items(items)
    if not items and fields.previous_response_id is None and not fields.conversation and not fields.prompt:
        code = "empty_array" if "input" in where else "missing_required_parameter"
        raise CallError.invalid(
            "`input` is missing or empty; give a string or a list of items", param="input", code=code
        )
    paths = tuple(f"input.{number}" for number in range(len(items)))
    return ResponsesRequest(
        model=fields.model,
        stream=bool(fields.stream),
        max_output_tokens=fields.max_output_tokens,
        body=body,
        fields=fields,
        items=items,
        item_paths=paths,
        passable=_passable(items),
        members=where,
    )


def _passable(items: Sequence[Item]) -> bool:
    """Reasoning this gateway sealed means nothing to OpenAI, which would refuse it."""
    return not any(str(item.get("encrypted_content") or "").startswith(PREFIX) for item in items)


def with_input(request: ResponsesRequest, items: Sequence[Item], paths: Sequence[str]) -> ResponsesRequest:
    """The same request with other items and without its reference to an earlier response."""
    kept = {
        name: Raw(request.body[begin:end])
        for name, (begin, end) in request.members.items()
        if name not in ("previous_response_id", "conversation")
    }
    kept["input"] = Raw(msgspec.json.encode(items))
    body = msgspec.json.encode(kept)
    fields = msgspec.structs.replace(request.fields, previous_response_id=None, conversation=Raw())
    return replace(
        request,
        body=body,
        fields=fields,
        items=tuple(items),
        item_paths=tuple(paths),
        passable=_passable(items),
        members=members.spans(body),
    )


def without(request: ResponsesRequest, name: str) -> ResponsesRequest:
    """The same request without one top-level field (`background`, when we run it ourselves)."""
    if name not in request.members:
        return request
    kept = {key: Raw(request.body[b:e]) for key, (b, e) in request.members.items() if key != name}
    body = msgspec.json.encode(kept)
    return replace(request, body=body, fields=_decoder.decode(body), members=members.spans(body))


def loaded(raw: bytes) -> Any:
    """JSON text as Python values; a number past a double's range becomes the largest double."""
    try:
        return _anything.decode(raw)
    except msgspec.MsgspecError:
        return json.loads(raw, parse_float=lambda text: max(-_HUGE, min(_HUGE, float(text))))


def _items(raw: bytes) -> tuple[Item, ...]:
    value = loaded(raw) if raw else None
    match value:
        case None:
            return ()
        case str():
            return ({"role": "user", "content": value},)
        case list() if all(isinstance(item, dict) for item in value):
            return tuple(value)
        case list():
            number, item = next((n, i) for n, i in enumerate(value) if not isinstance(i, dict))
            raise CallError.invalid(
                f"`input.{number}` is {_shown(item)}; an item is an object with a `type` or a `role`",
                param=f"input.{number}",
                code="invalid_type",
            )
    raise CallError.invalid(
        f"`input` is {_shown(value)}; give a string or a list of items", param="input", code="invalid_type"
    )


def _check(fields: Body) -> None:
    """The rules between fields."""
    if fields.previous_response_id and fields.conversation and bytes(fields.conversation) != b"null":
        raise CallError.invalid(
            "`previous_response_id` and `conversation` both name earlier turns; give one of them",
            param="previous_response_id",
        )
    form = fields.text.format if fields.text else None
    if form and form.type == "json_schema":
        for name, value in (("schema", form.schema), ("name", form.name)):
            if value is None:
                raise CallError.invalid(
                    f"`text.format` is a json_schema without `{name}`; give one",
                    param=f"text.format.{name}",
                    code="missing_required_parameter",
                )


_MISSING = re.compile(r"Object missing required field `(\w+)`(?: - at `\$(.*)`)?")
_AT = re.compile(r" - at `\$\.?(.*)`$")


def _explained(text: str, body: bytes, where: Mapping[str, members.Span]) -> CallError:
    """msgspec's message with the value it saw put in front, and `param` as OpenAI writes it."""
    if missing := _MISSING.match(text):
        path = f"{missing[2].strip('.')}.{missing[1]}" if missing[2] else missing[1]
        return CallError.invalid(f"`{path}` is missing", param=path, code="missing_required_parameter")
    place = _AT.search(text)
    path = place[1] if place else ""
    value = loaded(body)
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    wanted = _AT.sub("", text)
    return CallError.invalid(
        f"`{path}` is {_shown(value)}: {wanted[:1].lower()}{wanted[1:]}",
        param=path,
        code="invalid_type" if ", got " in wanted else "invalid_value",
    )


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."

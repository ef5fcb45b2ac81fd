"""`/v1/predict`: a text to classify goes in, a label with score and explanation comes out. Pure.

The body becomes a conversation with a JSON schema; the reply's JSON becomes the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Raw, Struct

from modelway.conversation.errors import CallError
from modelway.conversation.parts import Image, Inline, Part, Text, Turn, Url
from modelway.conversation.reply import Reply, Usage
from modelway.conversation.request import Conversation, OutputSpec, Sampling
from modelway.conversation.translation import Translation
from modelway.protocols import members

ROLES = ("system", "developer", "user", "assistant")
# Each label is written into the schema and read by the model; more than this is no classification.
LABELS_MAX = 200
_BYTES_PER_TOKEN, _INSTRUCTION_TOKENS = 4, 120
_DATA_URL = re.compile(r"data:([^;,]+)(?:;[^;,]+)*;base64,(.*)", re.DOTALL | re.IGNORECASE)

INSTRUCTIONS = (
    "You classify what the user gives you. Answer with one JSON object and nothing else: "
    '"label" is the class, "score" is how sure you are, from 0 to 1, and "explanation" says why in one '
    "or two sentences."
)


class _Input(Struct, forbid_unknown_fields=False):
    text: Annotated[str, Meta(min_length=1)]
    metadata: dict[str, Any] | None = None


class _Params(Struct):
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    labels: (
        Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=LABELS_MAX)] | None
    ) = None


class _Message(Struct):
    role: str
    content: str | list[dict[str, Any]]


class Body(Struct):
    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: _Input | None = None
    messages: Annotated[list[_Message], Meta(min_length=1)] | None = None
    params: _Params | None = None
    stream: bool | None = None


_decoder = msgspec.json.Decoder(Body)


@dataclass(slots=True)
class PredictRequest:
    """A checked body. It has no upstream protocol of its own, so it is never passed through."""

    model: str
    stream: bool
    max_output_tokens: int | None
    body: bytes
    passable: bool
    typed: Body = field(repr=False)
    members: Mapping[str, members.Span] = field(repr=False)
    choices: int = 1
    include_usage: bool = True

    def conversation(self, translation: Translation) -> Conversation:
        """The neutral form: instructions, the input, and the schema of the answer."""
        params = self.typed.params or _Params()
        turns = [Turn(role="system", parts=(Text(text=INSTRUCTIONS),), path="system")]
        return Conversation(
            model=self.model,
            turns=(*turns, *_turns(self.typed)),
            max_output_tokens=params.max_tokens,
            sampling=Sampling(temperature=params.temperature, top_p=params.top_p),
            output=OutputSpec(
                format="schema", name="prediction", schema=answer_schema(params.labels), strict=True
            ),
        )

    def passed(self, model: str, translation: Translation) -> bytes:
        raise CallError("internal", "A predict call has no upstream that speaks it; it is translated")

    def prompt_tokens_estimate(self) -> int:
        return len(self.body) // _BYTES_PER_TOKEN + _INSTRUCTION_TOKENS

    @property
    def echo(self) -> Raw:
        """What the client gave to be classified, verbatim."""
        begin, end = self.members["input" if self.typed.input is not None else "messages"]
        return Raw(self.body[begin:end])


def answer_schema(labels: Sequence[str] | None) -> dict[str, Any]:
    """JSON Schema of the model's answer; `labels` are the only ones allowed, if they are given."""
    label: dict[str, Any] = {"type": "string", "enum": list(labels)} if labels else {"type": "string"}
    return {
        "type": "object",
        "properties": {
            "label": label,
            "score": {"type": "number", "description": "from 0 to 1"},
            "explanation": {"type": "string"},
        },
        "required": ["label", "score", "explanation"],
        "additionalProperties": False,
    }


def parse(body: bytes, headers: Mapping[str, str]) -> PredictRequest:
    """Check and type a body; raises `CallError` (400) naming the field."""
    where = members.spans(body)
    try:
        typed = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None
    if (typed.input is None) == (typed.messages is None):
        raise CallError.invalid(
            "Give either `input` (with `text`) or `messages`, and not both",
            param="input",
            code="missing_required_parameter" if typed.input is None else "invalid_value",
        )
    if typed.stream:
        raise CallError.invalid("`stream` is true; a prediction comes whole", param="stream")
    for number, message in enumerate(typed.messages or ()):
        _check_message(message, f"messages.{number}")
    params = typed.params or _Params()
    return PredictRequest(typed.model, False, params.max_tokens, body, False, typed, where)


_PLACE = re.compile(r" - at `\$\.?(.*)`$")
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def _explained(text: str) -> CallError:
    place = _PLACE.search(text)
    path = place[1] if place else ""
    if missing := _MISSING.match(text):
        param = f"{path}.{missing[1]}" if path else missing[1]
        return CallError.invalid(f"`{param}` is missing", param=param, code="missing_required_parameter")
    return CallError.invalid(f"`{path}`: {_PLACE.sub('', text)}", param=path or None)


def _check_message(message: _Message, path: str) -> None:
    if message.role not in ROLES:
        raise CallError.invalid(
            f"`{path}.role` is {message.role!r}; it may be {', '.join(ROLES)}", param=f"{path}.role"
        )
    if not message.content:
        raise CallError.invalid(f"`{path}.content` is empty", param=f"{path}.content")


def _turns(typed: Body) -> list[Turn]:
    if typed.messages is not None:
        return [_turn(message, f"messages.{number}") for number, message in enumerate(typed.messages)]
    given = cast(_Input, typed.input)
    parts: list[Part] = []
    if given.metadata:
        about = json.dumps(given.metadata, ensure_ascii=False, sort_keys=True)
        parts.append(Text(text=f"Context: {about}"))
    parts.append(Text(text=given.text))
    return [Turn(role="user", parts=tuple(parts), path="input")]


def _turn(message: _Message, path: str) -> Turn:
    if isinstance(message.content, str):
        parts: tuple[Part, ...] = (Text(text=message.content),)
    else:
        parts = tuple(_part(part, f"{path}.content.{n}") for n, part in enumerate(message.content))
    return Turn(role=cast(Any, message.role), parts=parts, path=path)  # checked against ROLES in `parse`


def _part(part: Mapping[str, Any], path: str) -> Part:
    match part:
        case {"type": "text" | "input_text", "text": str(text)}:
            return Text(text=text)
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return _image(url)
        case {"type": "input_image", "image_url": str(url)}:
            return _image(url)
    raise CallError.invalid(
        f"`{path}` is of type {part.get('type')!r}; a prediction reads text and image_url parts",
        param=path,
        code="unsupported_content",
    )


def _image(url: str) -> Image:
    found = _DATA_URL.fullmatch(url)
    return Image(source=Inline(found[1].lower(), found[2]) if found else Url(url))


def write_reply(reply: Reply, request: PredictRequest, translation: Translation) -> bytes:
    """The answer; raises `CallError` (502) if the model did not answer with label, score, explanation."""
    usage = reply.usage or Usage(input_tokens=translation.prompt_tokens_estimate, estimated=True)
    answer = {
        "id": translation.mint("req_"),
        "model": translation.model_asked,
        "created": translation.now_s,
        "input": request.echo,
        "output": _output(reply, request),
        "usage": {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.prompt_tokens + usage.output_tokens,
        },
    }
    return msgspec.json.encode(answer)


def _output(reply: Reply, request: PredictRequest) -> dict[str, Any]:
    text = "".join(part.text for part in reply.parts if isinstance(part, Text)).strip()
    value = _object(text)
    match value:
        case {"label": str(label), "score": int() | float() as score}:
            allowed = (request.typed.params or _Params()).labels
            if allowed and label not in allowed:
                raise _unusable(reply, f"the label {label[:60]!r}, which is not among those asked for")
            explanation = str(value.get("explanation") or "")
            return {"label": label, "score": min(1.0, max(0.0, float(score))), "explanation": explanation}
    raise _unusable(reply, repr(text[:120]) if text else "no text")


def _object(text: str) -> Any:
    """The JSON object in an answer, which some models wrap in a fence or in words."""
    begin, end = text.find("{"), text.rfind("}") + 1
    try:
        return msgspec.json.decode(text[begin:end])
    except msgspec.MsgspecError:
        return None


def _unusable(reply: Reply, seen: str) -> CallError:
    why = f" (it stopped with {reply.stop.reason})" if reply.stop.reason != "end" else ""
    return CallError.upstream(
        f"The model answered {seen} instead of label, score and explanation{why}", code="invalid_prediction"
    )

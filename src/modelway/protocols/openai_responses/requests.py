"""A Responses request -> conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from modelway.conversation.errors import CallError
from modelway.conversation.parts import CacheMark, Ext, Text, Turn
from modelway.conversation.request import (
    Attribution,
    Conversation,
    OutputSpec,
    ReasoningSpec,
    Sampling,
    StateSpec,
)
from modelway.conversation.translation import Fate, Loss, Translation
from modelway.protocols.openai_responses.content import NAME
from modelway.protocols.openai_responses.items import read_history
from modelway.protocols.openai_responses.losses import FOREIGN
from modelway.protocols.openai_responses.pairs import paired
from modelway.protocols.openai_responses.tools import read_choice, read_tools

Wire = dict[str, Any]

# The top-level fields the neutral form has a place for; all others are Responses' own.
_READ = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_logprobs",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "store",
        "background",
        "previous_response_id",
        "metadata",
        "service_tier",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    }
)
# What a reply repeats exactly as it was asked; kept under `echo`, which no writer sends upstream.
ECHOED = ("instructions", "tools", "tool_choice", "text")
_UNKNOWN = Loss("ext.unknown", Fate.CHANGED, "unknown_field", "not known here; dropped")
_FORMATS = {"text": "text", "json_object": "json", "json_schema": "schema"}
# Values that ask for nothing, so that leaving them out changes nothing.
_IDLE: dict[str, tuple[object, ...]] = {"truncation": ("disabled",), "reasoning.mode": ("standard",)}


def read_request(
    body: Wire,
    items: Sequence[Wire],
    paths: Sequence[str],
    translation: Translation,
    continues: str | None = None,
) -> Conversation:
    """The neutral form of a checked body. `items` are its input, with the turns of `continues` in front.

    Raises `CallError` (400) for what only a stored conversation or another server could give.
    """
    if body.get("previous_response_id"):
        raise CallError.unsupported(
            f"The response {body['previous_response_id']!r} is not stored here; send the earlier items",
            param="previous_response_id",
        )
    turns, extra_tools, update = read_history(items, paths, translation)
    if isinstance(body.get("instructions"), str) and body["instructions"]:
        text = Text(text=body["instructions"])
        turns = (Turn(role="system", parts=(text,), path="instructions"), *turns)
    reasoning = {**(body.get("reasoning") or {}), **update.get("reasoning", {})}
    text_settings = {**(body.get("text") or {}), **update.get("text", {})}
    tools = read_tools([*(body.get("tools") or ()), *extra_tools], "tools", translation)
    choice = read_choice(body.get("tool_choice"), tools)
    return Conversation(
        model=body["model"],
        turns=paired(turns, translation),
        tools=tools,
        tool_choice=choice,
        parallel_tools=body.get("parallel_tool_calls"),
        max_output_tokens=body.get("max_output_tokens"),
        sampling=_sampling(body),
        reasoning=_reasoning(reasoning, translation),
        output=_output(text_settings),
        state=StateSpec(store=body.get("store"), background=body.get("background")),
        attribution=_attribution(body),
        cache=_cache(body.get("prompt_cache_options")),
        stream=bool(body.get("stream")),
        include_usage=True,
        ext=_own_fields(body, continues, translation),
    )


def _sampling(body: Wire) -> Sampling:
    wanted = "message.output_text.logprobs" in (body.get("include") or ()) or bool(body.get("top_logprobs"))
    return Sampling(
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        logprobs=True if wanted else None,
        top_logprobs=body.get("top_logprobs"),
    )


def _reasoning(settings: Wire, translation: Translation) -> ReasoningSpec:
    for name in ("context", "mode"):
        if settings.get(name):
            _foreign(f"reasoning.{name}", settings[name], translation)
    return ReasoningSpec(
        effort=settings.get("effort"), summary=settings.get("summary") or settings.get("generate_summary")
    )


def _output(settings: Wire) -> OutputSpec:
    form = settings.get("format") or {}
    return OutputSpec(
        format=cast(Any, _FORMATS.get(form.get("type", "text"), "text")),
        name=form.get("name"),
        description=form.get("description"),
        schema=form.get("schema"),
        strict=form.get("strict"),
        verbosity=settings.get("verbosity"),
    )


def _attribution(body: Wire) -> Attribution:
    return Attribution(
        user_id=body.get("safety_identifier") or body.get("user"),
        metadata=body.get("metadata") or {},
        service_tier=body.get("service_tier"),
        cache_key=body.get("prompt_cache_key"),
        cache_retention=body.get("prompt_cache_retention"),
    )


def _cache(options: object) -> CacheMark | None:
    match options:
        case {"mode": "implicit", "ttl": "12h"}:
            return CacheMark("12h")
        case {"mode": "implicit"}:
            return CacheMark("30m")
    return None


def _own_fields(body: Wire, continues: str | None, translation: Translation) -> Ext:
    """What only Responses can say, kept for its own writer; another upstream loses it, row by row."""
    own: Wire = {name: value for name, value in body.items() if name not in _READ and value is not None}
    for name, value in own.items():
        _foreign(name, value, translation)
    extra = {name: body["reasoning"][name] for name in ("context", "mode") if _said(body, "reasoning", name)}
    if extra:
        own["reasoning"] = extra
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") not in ("function", "custom", "allowed_tools"):
        own["tool_choice"] = choice
    if continues:
        own["previous_response_id"] = continues
    if isinstance(body.get("user"), str):
        own["user"] = body["user"]
    echo = {name: body[name] for name in ECHOED if body.get(name) is not None}
    if echo:
        own["echo"] = echo
    return {NAME: own} if own else {}


def _said(body: Mapping[str, Any], group: str, name: str) -> bool:
    return isinstance(body.get(group), dict) and body[group].get(name) is not None


def _foreign(name: str, value: object, translation: Translation) -> None:
    if translation.upstream == NAME or value in _IDLE.get(name, ()):
        return
    loss = FOREIGN.get(name, _UNKNOWN)
    translation.lose(loss, name, f"`{name}`: {loss.why}")

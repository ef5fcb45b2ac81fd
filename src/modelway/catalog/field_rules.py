"""The rules about fields that need or exclude each other, and fields a model has not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.catalog.findings import Find, Finding, Fragment, Rule, not_both, on
from modelway.catalog.limits import Body


def _prompt_or_messages(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    prompt, messages = body.get("prompt"), body.get("messages")
    if prompt is not None and messages is not None:
        yield Finding("/prompt", prompt, "prompt or messages, not both")
    if prompt is None and messages is None:
        yield Finding("/messages", None, "messages (or prompt)")


def _apart(first: str, second: str) -> Find:
    def find(card: Card, path: Path, body: Body) -> Iterator[Finding]:
        if body.get(first) is not None and body.get(second) is not None:
            yield Finding(f"/{second}", body[second], f"{first} or {second}, not both")

    return find


def _needs(name: str, other: str) -> Find:
    def find(card: Card, path: Path, body: Body) -> Iterator[Finding]:
        if body.get(name) is not None and not body.get(other):
            yield Finding(f"/{name}", body[name], f"only together with {other}")

    return find


def _stop_twice(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    stop, sequences = body.get("stop"), body.get("stop_sequences")
    both = stop is not None and sequences is not None
    if both and ([stop] if isinstance(stop, str) else stop) != sequences:
        yield Finding("/stop_sequences", sequences, "stop or stop_sequences, or the same texts in both")


def _format_twice(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    config = body.get("output_config")
    if body.get("output_format") is not None and isinstance(config, Mapping) and config.get("format"):
        yield Finding("/output_format", body["output_format"], "output_config.format alone")


def _without(name: str, capability: str, code: str, neutral: Any, *paths: Path) -> Rule:
    """A parameter dropped with a warning where the model has no such thing; `neutral` says nothing."""

    def find(card: Card, path: Path, body: Body) -> Iterator[Finding]:
        if body.get(name) not in (None, neutral):
            yield Finding(f"/{name}", body[name], "left out: this model has no such parameter", None, code)

    return Rule(
        f"{name}_unknown",
        f"{name} is left out: this model has no such parameter.",
        lambda card, path: path in paths and not getattr(card.capabilities, capability),
        find,
        lambda card, path: {"properties": {name: {"const": neutral} if neutral is not None else False}},
    )


def _one_choice(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    if body.get("n") not in (None, 1):
        yield Finding("/n", body["n"], "1: this model gives one answer a request", 1)


def _hosted_web_search(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    if body.get("web_search_options") is not None:
        yield Finding("/web_search_options", body["web_search_options"], "left out: no web search here")


def _no_tools(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    if body.get("tools"):
        yield Finding("/tools", body["tools"], "left out: this model calls no tools")


def _structured_output(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    parent, key = {"chat": ("", "response_format"), "responses": ("text", "format")}.get(
        path, ("output_config", "format")
    )
    holder = body.get(parent) if parent else body
    asked = holder.get(key) if isinstance(holder, Mapping) else None
    if isinstance(asked, Mapping) and asked.get("type") == "json_schema":
        place = f"/{parent}/{key}" if parent else f"/{key}"
        yield Finding(place, asked, "text: this model has no JSON Schema output", None, "structured_output")


def _only_with(name: str, other: str, said: dict[str, Any]) -> Fragment:
    """`name` needs `other`, and `other` has to be what `said` describes."""
    needed = {"required": [other], "properties": {other: said}}
    return lambda card, path: {"if": {"required": [name]}, "then": needed}


FIELD_RULES: tuple[Rule, ...] = (
    Rule(
        "prompt_or_messages",
        "Exactly one of prompt and messages.",
        on("chat"),
        _prompt_or_messages,
        lambda card, path: {"oneOf": [{"required": ["prompt"]}, {"required": ["messages"]}]},
    ),
    Rule(
        "system_once",
        "system or system_prompt, not both.",
        on("chat"),
        _apart("system", "system_prompt"),
        not_both("system", "system_prompt"),
    ),
    Rule("stop_once", "stop or stop_sequences, or the same texts in both.", on("chat"), _stop_twice),
    Rule(
        "stream_options_with_stream",
        "stream_options only with stream: true.",
        on("chat"),
        _needs("stream_options", "stream"),
        _only_with("stream_options", "stream", {"const": True}),
    ),
    Rule(
        "top_logprobs_with_logprobs",
        "top_logprobs only with logprobs: true.",
        lambda card, path: path == "chat" and card.capabilities.logprobs,
        _needs("top_logprobs", "logprobs"),
        _only_with("top_logprobs", "logprobs", {"const": True}),
    ),
    Rule(
        "tool_choice_with_tools",
        "tool_choice only with tools.",
        on("chat"),
        _needs("tool_choice", "tools"),
        _only_with("tool_choice", "tools", {"minItems": 1}),
    ),
    Rule(
        "parallel_tool_calls_with_tools",
        "parallel_tool_calls only with tools.",
        on("chat"),
        _needs("parallel_tool_calls", "tools"),
        _only_with("parallel_tool_calls", "tools", {"minItems": 1}),
    ),
    Rule(
        "one_stored_conversation",
        "previous_response_id or conversation, not both.",
        on("responses"),
        _apart("previous_response_id", "conversation"),
        not_both("previous_response_id", "conversation"),
    ),
    Rule("format_once", "output_config.format or output_format, not both.", on("messages"), _format_twice),
    Rule(
        "one_choice",
        "n is 1: this model gives one answer a request.",
        lambda card, path: path == "chat" and card.capabilities.choices_max == 1,
        _one_choice,
        lambda card, path: {"properties": {"n": {"const": 1}}},
    ),
    Rule(
        "hosted_web_search",
        "web_search_options is left out: the vendor does not search the web for this model.",
        lambda card, path: path == "chat" and not card.capabilities.hosted_web_search,
        _hosted_web_search,
        lambda card, path: {"properties": {"web_search_options": False}},
    ),
    Rule(
        "no_tools",
        "tools are left out: this model calls none.",
        lambda card, path: not card.capabilities.tools,
        _no_tools,
    ),
    Rule(
        "structured_output",
        "The model has no JSON Schema output; a forced tool stands in for it.",
        lambda card, path: not card.capabilities.structured_output,
        _structured_output,
    ),
    _without("seed", "seed", "seed", None, "chat"),
    _without("presence_penalty", "penalties", "penalties", 0, "chat"),
    _without("frequency_penalty", "penalties", "penalties", 0, "chat"),
    _without("logit_bias", "logit_bias", "logit_bias", None, "chat"),
    _without("logprobs", "logprobs", "logprobs", False, "chat"),
    _without("top_logprobs", "logprobs", "logprobs", None, "chat", "responses"),
    _without("verbosity", "verbosity", "verbosity", None, "chat"),
)

"""Hypothesis strategies: bodies that are right for a card by construction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from modelway.catalog import limits
from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.catalog.forms import form_schema
from tests.catalog.breaking import FORMS, TOOL, Body

Schema = dict[str, Any]
TEXT = st.text("abc ", min_size=1, max_size=5)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
# Conversations are written by hand: their inside is the message rules' matter.
BY_HAND: dict[str, st.SearchStrategy[Any]] = {
    "messages": st.just([{"role": "user", "content": "hi"}]),
    "input": st.just("hi"),
    "tools": st.just([TOOL]),
    "tool_choice": st.just("auto"),
    "response_format": st.just({"type": "text"}),
}
# Of each pair the first excludes the second; where the third is given, it is what the first needs.
EXCLUDES = (
    ("messages", "prompt"),
    ("system", "system_prompt"),
    ("stop", "stop_sequences"),
    ("max_tokens", "max_completion_tokens"),
    ("previous_response_id", "conversation"),
)
NEEDS: dict[str, tuple[str, Any]] = {
    "tool_choice": ("tools", [TOOL]),
    "parallel_tool_calls": ("tools", [TOOL]),
    "stream_options": ("stream", True),
    "top_logprobs": ("logprobs", True),
}
SAMPLING = ("temperature", "top_p", "top_k")
THINKING = ("thinking", "reasoning_effort", "output_config", "reasoning")


def values(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that one parameter's schema allows."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([_of_kind(kind, schema) for kind in kinds])


def _of_kind(kind: str, schema: Schema) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    strategies: dict[str, st.SearchStrategy[Any]] = {
        "null": st.none(),
        "boolean": st.booleans(),
        "integer": st.integers(low, high),
        "number": st.floats(low, high, allow_nan=False, allow_infinity=False),
    }
    if kind in strategies:
        return strategies[kind]
    if kind == "string":
        return st.from_regex(schema["pattern"], fullmatch=True) if "pattern" in schema else TEXT
    if kind == "array":
        items = values(schema["items"])
        return st.lists(items, min_size=schema.get("minItems", 0), max_size=min(schema.get("maxItems", 3), 3))
    return _object(schema)


def _object(schema: Schema) -> st.SearchStrategy[Any]:
    inner = schema.get("properties", {})
    required = schema.get("required", ())
    return st.fixed_dictionaries(
        {name: values(inner[name]) for name in required if name in inner},
        optional={name: values(inner[name]) for name in inner if name not in required},
    )


@st.composite
def right_bodies(
    draw: st.DrawFn, forms: Sequence[tuple[Card, Path]] = tuple(FORMS)
) -> tuple[Card, Path, Body]:
    """A card, a path, and a body that breaks no rule of theirs."""
    card, path = draw(st.sampled_from(forms))
    properties = form_schema(card, path)["properties"]
    required = {name for name in ("model", "messages", "max_tokens", "input") if name in properties}
    if path == "chat":
        required.discard("max_tokens")
    optional = draw(st.lists(st.sampled_from(sorted(properties)), max_size=6))
    names = sorted(required | set(optional))
    body = {name: draw(BY_HAND[name] if name in BY_HAND else values(properties[name])) for name in names}
    return card, path, settled(card, path, body)


def settled(card: Card, path: Path, body: Body) -> Body:
    """A body of right values made to keep the rules between them, by leaving out what conflicts."""
    for first, second in EXCLUDES:
        if first in body:
            body.pop(second, None)
    for name, (other, value) in NEEDS.items():
        if name in body:
            body[other] = value
    _settle_thinking(card, body)
    if card.capabilities.sampling == "one_of_temperature_top_p" and "temperature" in body:
        body.pop("top_p", None)
    if not card.capabilities.sampling_with_thinking and limits.thinks(card, path, body):
        for name in SAMPLING:
            body.pop(name, None)
    return body


def _settle_thinking(card: Card, body: Body) -> None:
    thinking = body.get("thinking")
    if not isinstance(thinking, dict):
        return
    if thinking["type"] == "enabled":
        body.pop("max_completion_tokens", None)
        body["max_tokens"] = 4000
        thinking["budget_tokens"] = 1024
    else:
        thinking.pop("budget_tokens", None)
    if card.capabilities.effort_max_without_thinking is not None and thinking["type"] != "adaptive":
        for name in THINKING[1:]:
            body.pop(name, None)

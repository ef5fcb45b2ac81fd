"""The rules about sampling and length: temperature, top_p, top_k, the limits on tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modelway.catalog import limits
from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.catalog.findings import Finding, Rule, not_both, on
from modelway.catalog.limits import Body, number

# Anthropic accepts top_p from here to 1 while the model thinks.
TOP_P_MIN_WHILE_THINKING = 0.95


def _sampling_refused(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    for name in ("temperature", "top_p"):
        if body.get(name) not in (None, 1):
            yield Finding(
                f"/{name}", body[name], "1, or left out: this model chooses by itself", None, "sampling"
            )
    if body.get("top_k") is not None:
        yield Finding("/top_k", body["top_k"], "left out: this model chooses by itself", None, "sampling")


def _temperature_and_top_p(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    if body.get("temperature") is not None and body.get("top_p") is not None:
        yield Finding("/top_p", body["top_p"], "temperature or top_p, not both", None, "sampling")


def _sampling_while_thinking(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    if not limits.thinks(card, path, body):
        return
    if body.get("temperature") not in (None, 1):
        yield Finding("/temperature", body["temperature"], "1 while the model thinks", None, "sampling")
    lowest = TOP_P_MIN_WHILE_THINKING if card.protocol == "messages" else 1
    top_p = number(body, "top_p")
    if top_p is not None and not lowest <= top_p <= 1:
        allowed = f"{lowest} to 1" if lowest < 1 else "1"
        yield Finding("/top_p", top_p, f"{allowed} while the model thinks", None, "sampling")
    if body.get("top_k") is not None:
        yield Finding("/top_k", body["top_k"], "left out while the model thinks", None, "sampling")


def _top_k_unknown(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    if body.get("top_k") is not None:
        yield Finding("/top_k", body["top_k"], "left out: this model has no top_k", None, "sampling")


def _temperature_clamped(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    temperature = number(body, "temperature")
    if temperature is not None and 1 < temperature <= limits.TEMPERATURE_MAX_OPENAI:
        yield Finding("/temperature", temperature, "0 to 1 for this model", 1, "sampling")


def _max_tokens_clamped(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    most = card.max_output_tokens or 0
    for name in limits.ANSWER_TOKENS_FIELDS[path]:
        value = number(body, name)
        if value is not None and value > most:
            yield Finding(f"/{name}", value, f"at most {most} for this model", most, "max_tokens")


def _two_max_tokens(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    newer, older = body.get("max_completion_tokens"), body.get("max_tokens")
    if newer is not None and older is not None and newer != older:
        yield Finding(
            "/max_tokens", older, "max_completion_tokens alone, or the same value", None, "max_tokens"
        )


def _refused_fragment(card: Card, path: Path) -> dict[str, Any]:
    return {"properties": {"temperature": {"const": 1}, "top_p": {"const": 1}, "top_k": False}}


SAMPLING_RULES: tuple[Rule, ...] = (
    Rule(
        "sampling_refused",
        "The model chooses its own sampling: temperature and top_p are 1 or left out, top_k is left out.",
        lambda card, path: card.capabilities.sampling == "refused",
        _sampling_refused,
        _refused_fragment,
    ),
    Rule(
        "sampling_one_of",
        "temperature or top_p, not both.",
        lambda card, path: card.capabilities.sampling == "one_of_temperature_top_p",
        _temperature_and_top_p,
        not_both("temperature", "top_p"),
    ),
    Rule(
        "top_k_unknown",
        "top_k is left out: this model has no such parameter.",
        lambda card, path: (
            path != "responses" and card.capabilities.sampling != "refused" and not card.capabilities.top_k
        ),
        _top_k_unknown,
        lambda card, path: {"properties": {"top_k": False}},
    ),
    Rule(
        "sampling_while_thinking",
        "While the model thinks, temperature is 1 and top_p and top_k are not chosen.",
        lambda card, path: (
            card.capabilities.sampling != "refused" and not card.capabilities.sampling_with_thinking
        ),
        _sampling_while_thinking,
    ),
    Rule(
        "temperature_clamped",
        "temperature is 0 to 1 for this model, though the dialect allows 2.",
        lambda card, path: (
            path != "messages"
            and card.capabilities.sampling != "refused"
            and limits.temperature_max(card, path) == limits.TEMPERATURE_MAX_ANTHROPIC
        ),
        _temperature_clamped,
    ),
    Rule(
        "max_tokens_clamped",
        "The limit on generated tokens is at most the model's own.",
        # Anthropic refuses a higher max_tokens; clients of its dialect send one size to every model, so
        # behind another vendor it is clamped instead.
        lambda card, path: (
            card.max_output_tokens is not None and (path != "messages" or card.protocol != "messages")
        ),
        _max_tokens_clamped,
    ),
    Rule(
        "max_tokens_twice",
        "max_tokens and max_completion_tokens say the same if both are given.",
        on("chat"),
        _two_max_tokens,
    ),
)

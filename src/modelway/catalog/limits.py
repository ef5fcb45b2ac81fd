"""What a card allows on one path, where the path changes the answer: efforts, thinking, ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.conversation.capabilities import ThinkingType
from modelway.conversation.request import EFFORTS, Effort

Body = Mapping[str, Any]

# The values of Messages' `output_config.effort`; `none` and `minimal` are OpenAI's words.
MESSAGES_EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
THINKING_TYPES: tuple[ThinkingType, ...] = ("adaptive", "enabled", "disabled", "between_tools")
THINKING_BUDGET_TOKENS_MIN = 1024
# Where a body limits the generated tokens; the first one given holds.
ANSWER_TOKENS_FIELDS: dict[Path, tuple[str, ...]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
}
# OpenAI's range of temperature is 0 to 2, Anthropic's 0 to 1.
TEMPERATURE_MAX_OPENAI = 2
TEMPERATURE_MAX_ANTHROPIC = 1


def number(body: Body, name: str) -> float | None:
    """The value under `name` if it is a number; true and false are none."""
    value = body.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def efforts(card: Card, path: Path) -> tuple[Effort, ...]:
    """The efforts a client can ask for on this path, weakest first.

    A Claude model that thinks on a budget takes every effort of OpenAI's dialects: each stands for a
    budget. One that thinks adaptively takes its own, and `none` where thinking can be switched off.
    """
    own = card.capabilities.efforts
    types = card.capabilities.thinking_types
    if path == "messages":
        return tuple(effort for effort in own if effort in MESSAGES_EFFORTS)
    if card.protocol != "messages":
        return own
    if "enabled" in types and "adaptive" not in types:
        return EFFORTS
    return ("none", *own) if "disabled" in types and own else own


def default_effort(card: Card, path: Path) -> Effort | None:
    default = card.capabilities.default_effort
    return default if default in efforts(card, path) else None


def thinking_types(card: Card) -> tuple[ThinkingType, ...]:
    """Values of `thinking.type` that lose nothing.

    Where the vendor has no such field: adaptive is what a reasoning model does anyway, disabled is
    effort none, or nothing at all for a model that never reasons.
    """
    own = card.capabilities.thinking_types
    if own:
        return tuple(kind for kind in THINKING_TYPES if kind in own)
    own_efforts = card.capabilities.efforts
    if not own_efforts:
        return ("disabled",)
    return ("adaptive", "disabled") if "none" in own_efforts else ("adaptive",)


def temperature_max(card: Card, path: Path) -> int:
    anthropic = path == "messages" or card.protocol == "messages"
    return TEMPERATURE_MAX_ANTHROPIC if anthropic else TEMPERATURE_MAX_OPENAI


def max_tokens_min(card: Card) -> int:
    """0 fills Anthropic's prompt cache without an answer; nobody else has that."""
    return 0 if card.protocol == "messages" else 1


def asked_effort(path: Path, body: Body) -> tuple[str, Any] | None:
    """Where the body says an effort, and which."""
    for parent, key in _EFFORT_PLACES[path]:
        holder = body.get(parent) if parent else body
        if isinstance(holder, Mapping) and holder.get(key) is not None:
            return (f"/{parent}/{key}" if parent else f"/{key}", holder[key])
    return None


_EFFORT_PLACES: dict[Path, tuple[tuple[str, str], ...]] = {
    "messages": (("output_config", "effort"),),
    "chat": (("", "reasoning_effort"), ("output_config", "effort"), ("reasoning", "effort")),
    "responses": (("reasoning", "effort"),),
}


def asked_thinking(body: Body) -> Any:
    """`thinking.type` of a body in Anthropic's spelling, or None."""
    thinking = body.get("thinking")
    return thinking.get("type") if isinstance(thinking, Mapping) else None


def asks_to_think(card: Card, path: Path, body: Body) -> bool | None:
    """Whether the body itself asks the model to think; None if it leaves that to the model."""
    kind = asked_thinking(body)
    if kind is not None:
        return kind in ("enabled", "adaptive")
    asked = asked_effort(path, body)
    # Effort alone does not switch a Claude model's thinking on in its own dialect.
    if asked is None or (path == "messages" and card.capabilities.thinking_types):
        return None
    return bool(asked[1] != "none")


def thinks(card: Card, path: Path, body: Body) -> bool:
    """Whether the model will think on this request, as far as can be known beforehand."""
    asked = asks_to_think(card, path, body)
    able = card.capabilities
    if asked is not None:
        return asked and bool(able.thinking_types or able.efforts)
    by_effort = not able.thinking_types and able.default_effort not in (None, "none")
    return able.thinking_always_on or able.thinking_default_on or by_effort


def answer_tokens_max(card: Card, path: Path, body: Body) -> int | None:
    """The limit on generated tokens that holds for this body."""
    for name in ANSWER_TOKENS_FIELDS[path]:
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return card.max_output_tokens

"""The rules about thinking, effort and forced tools, which depend on each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelway.catalog import limits
from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.catalog.findings import Finding, Rule, on
from modelway.catalog.limits import Body, number
from modelway.conversation.request import EFFORTS, Effort

# A budget stands for this effort when nothing else is said: the middle of the table.
DEFAULT_BUDGET_TOKENS = 8192


def _thinking_type(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    kind = limits.asked_thinking(body)
    allowed = limits.thinking_types(card)
    if kind in limits.THINKING_TYPES and kind not in allowed:
        instead = _thinking_instead(card, path, body, kind)
        yield Finding("/thinking", body["thinking"], f"type {' or '.join(allowed)}", instead, "thinking")
        off = kind in ("disabled", "between_tools") and instead == {"type": "adaptive"}
        if off and limits.efforts(card, path) and limits.asked_effort(path, body) is None:
            # The lowest effort comes nearest to no thinking.
            place = "/reasoning_effort" if path == "chat" else "/output_config/effort"
            allowed_effort = "the lowest: this model cannot stop thinking"
            yield Finding(place, None, allowed_effort, limits.efforts(card, path)[0], "thinking")


def _thinking_instead(card: Card, path: Path, body: Body, kind: str) -> dict[str, Any] | None:
    """The thinking nearest to what was asked that this model can do; None: say nothing about it."""
    allowed = limits.thinking_types(card)
    display = {key: value for key, value in body["thinking"].items() if key == "display"}
    if kind in ("disabled", "between_tools"):
        wanted = next((off for off in ("between_tools", "disabled") if off in allowed), "adaptive")
        return {"type": wanted}
    if "adaptive" in allowed:
        return {"type": "adaptive", **display}
    most = limits.answer_tokens_max(card, path, body) or DEFAULT_BUDGET_TOKENS + 1
    if "enabled" in allowed and most > limits.THINKING_BUDGET_TOKENS_MIN:
        return {"type": "enabled", "budget_tokens": min(DEFAULT_BUDGET_TOKENS, most - 1), **display}
    return None


def _thinking_budget(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    thinking = body.get("thinking")
    if limits.asked_thinking(body) != "enabled" or not isinstance(thinking, Mapping):
        return
    budget, most = number(thinking, "budget_tokens"), limits.answer_tokens_max(card, path, body)
    if most is None or (budget is None and not _lacks_budget(card, thinking)):
        return
    least = limits.THINKING_BUDGET_TOKENS_MIN
    place, allowed = "/thinking/budget_tokens", f"{least} or more, and below max_tokens ({most})"
    if path == "messages":
        if budget is None or budget >= most:
            yield Finding(place, budget, allowed, most - 1 if most > least else None)
    elif most <= least:
        off = {"type": "disabled"}
        yield Finding("/thinking", dict(thinking), "max_tokens above 1024 to think", off, "thinking")
    elif budget is None:
        yield Finding(place, None, allowed, min(DEFAULT_BUDGET_TOKENS, most - 1), "thinking")
    elif not least <= budget < most:
        yield Finding(place, budget, allowed, max(least, min(budget, most - 1)), "thinking")


def _lacks_budget(card: Card, thinking: Body) -> bool:
    """Anthropic wants a budget with `enabled`; one of a wrong type is the schema's matter."""
    return card.protocol == "messages" and thinking.get("budget_tokens") is None


def _effort(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    asked = limits.asked_effort(path, body)
    allowed = limits.efforts(card, path)
    if asked is None or asked[1] not in EFFORTS or asked[1] in allowed:
        return
    place, effort = asked
    if not allowed:
        if effort != "none":
            yield Finding(place, effort, "left out: this model has no efforts", None, "effort")
        return
    yield Finding(place, effort, ", ".join(allowed), _effort_instead(effort, allowed), "effort")


def _effort_instead(effort: Effort, allowed: tuple[Effort, ...]) -> Effort:
    """The next lower effort, else the lowest; asking for little thinking never means asking for none."""
    thinking: list[Effort] = [known for known in allowed if known != "none"]
    weaker = [known for known in thinking if EFFORTS.index(known) < EFFORTS.index(effort)]
    return weaker[-1] if weaker else thinking[0]


def _effort_without_thinking(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    most = card.capabilities.effort_max_without_thinking
    asked = limits.asked_effort(path, body)
    off = limits.asked_thinking(body) in ("disabled", "between_tools")
    known = asked is not None and asked[1] in EFFORTS
    if off and known and asked and most and EFFORTS.index(asked[1]) > EFFORTS.index(most):
        yield Finding(asked[0], asked[1], f"at most {most} while thinking is off", most, "effort")


def _is_forced(choice: Any) -> bool:
    if isinstance(choice, Mapping):
        mode = choice.get("allowed_tools", choice)
        is_required = isinstance(mode, Mapping) and mode.get("mode") == "required"
        return is_required or choice.get("type") not in ("auto", "none", "allowed_tools", None)
    return choice in ("required", "any")


def _auto(path: Path) -> Any:
    return {"type": "auto"} if path == "messages" else "auto"


def _forced_tools(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    choice = body.get("tool_choice")
    if _is_forced(choice):
        yield Finding(
            "/tool_choice", choice, "auto or none: this model cannot be forced", _auto(path), "tool_choice"
        )


def _forced_tools_while_thinking(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    choice = body.get("tool_choice")
    if not _is_forced(choice) or not limits.asks_to_think(card, path, body):
        return
    allowed = "auto or none while the model thinks"
    if "disabled" not in card.capabilities.thinking_types:
        yield Finding("/tool_choice", choice, allowed, _auto(path), "tool_choice")
    elif limits.asked_thinking(body) is not None:
        yield Finding("/thinking", body["thinking"], allowed, {"type": "disabled"}, "thinking_dropped")
    elif (asked := limits.asked_effort(path, body)) is not None:
        yield Finding(asked[0], asked[1], allowed, "none", "thinking_dropped")


# A forced tool comes first: mending it may switch thinking off, which settles the rest.
THINKING_RULES: tuple[Rule, ...] = (
    Rule(
        "forced_tools_while_thinking",
        "A tool cannot be forced while the model thinks.",
        lambda card, path: (
            card.capabilities.forced_tools and not card.capabilities.forced_tools_with_thinking
        ),
        _forced_tools_while_thinking,
    ),
    Rule(
        "thinking_type",
        "thinking.type is one that the model has.",
        lambda card, path: path != "responses",
        _thinking_type,
    ),
    Rule(
        "thinking_budget_below_max_tokens",
        "thinking.budget_tokens is 1024 or more and below the limit on generated tokens.",
        lambda card, path: path != "responses" and "enabled" in card.capabilities.thinking_types,
        _thinking_budget,
    ),
    Rule(
        "effort_without_thinking",
        "With thinking off, the highest efforts are refused.",
        lambda card, path: card.capabilities.effort_max_without_thinking is not None,
        _effort_without_thinking,
    ),
    Rule("effort", "The effort is one that the model has.", on("chat", "responses", "messages"), _effort),
    Rule(
        "forced_tools",
        "tool_choice cannot force a tool on this model.",
        lambda card, path: not card.capabilities.forced_tools,
        _forced_tools,
    ),
)

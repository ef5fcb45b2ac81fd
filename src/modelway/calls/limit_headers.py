"""How much of its rate limits a caller has left, as each vendor's clients read it. Values in, headers out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from modelway.limits.rules import INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS, Dimension, State

Headers = list[tuple[bytes, bytes]]

_TOKENS = (INPUT_TOKENS, OUTPUT_TOKENS)


def limit_headers(protocol: str, states: Iterable[State], now_s: float) -> Headers:
    """The headers of a path: of the key's and the account's limits, whichever has less left. Only of limits
    that there are; neither vendor has one for calls at once.
    """
    tightest: dict[int, State] = {}
    for state in states:
        index = state.rule.index
        if index not in tightest or state.remaining < tightest[index].remaining:
            tightest[index] = state
    if not tightest:
        return []
    is_messages = protocol == "messages"
    headers: Headers = []
    for find, names, messages_names in _ROWS:
        found = find(tightest)
        if found is None or not (messages_names if is_messages else names):
            continue
        limit, remaining, reset = messages_names if is_messages else names
        when = moment(now_s, found.reset_ms) if is_messages else duration(found.reset_ms)
        headers += (
            (limit, b"%d" % found.rule.limit),
            (remaining, b"%d" % found.remaining),
            (reset, when.encode()),
        )
    return headers


def _tokens(tightest: dict[int, State]) -> State | None:
    """The limit on tokens that has less left, as Anthropic has it."""
    found = [tightest[each.index] for each in _TOKENS if each.index in tightest]
    return min(found, key=lambda state: state.remaining, default=None)


def _names(pattern: str) -> tuple[bytes, ...]:
    return tuple(pattern.replace("*", part).encode() for part in ("limit", "remaining", "reset"))


Find = Callable[[dict[int, State]], State | None]


def _of(dimension: Dimension) -> Find:
    return lambda tightest: tightest.get(dimension.index)


# What a header tells, and its names on OpenAI's paths and on Anthropic's.
_ROWS: tuple[tuple[Find, tuple[bytes, ...], tuple[bytes, ...]], ...] = (
    (_of(REQUESTS), _names("x-ratelimit-*-requests"), _names("anthropic-ratelimit-requests-*")),
    (_tokens, _names("x-ratelimit-*-tokens"), _names("anthropic-ratelimit-tokens-*")),
    (_of(INPUT_TOKENS), (), _names("anthropic-ratelimit-input-tokens-*")),
    (_of(OUTPUT_TOKENS), (), _names("anthropic-ratelimit-output-tokens-*")),
)


def moment(now_s: float, later_ms: int) -> str:
    """RFC 3339, whole seconds, never too early: `2026-11-20T12:00:07Z`."""
    seconds = -(-(round(now_s * 1000) + later_ms) // 1000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(ms: int) -> str:
    """As OpenAI writes it: `12ms`, `1s`, `8.64s`, `6m0s`."""
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest_ms = divmod(ms, 60_000)
    seconds = f"{rest_ms / 1000:g}s"
    return f"{minutes}m{seconds}" if minutes else seconds

"""What commonly goes wrong with a request: cause, remedy, when to try again, and the codes it has here."""

from __future__ import annotations

from typing import NamedTuple

from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.conversation.errors import KINDS


class CommonError(NamedTuple):
    """One row. `status` is that of the path shown."""

    status: int
    type: str
    code: str
    cause: str
    fix: str
    retry: str


# Kind, cause, fix, when to try again; in the order people meet them.
_ROWS: tuple[tuple[str, str, str, str], ...] = (
    (
        "unauthenticated",
        "No key, a key in a wrong header, or one that is unknown, revoked or expired.",
        "Send Authorization: Bearer <key> or x-api-key: <key>.",
        "Only after the key is right.",
    ),
    (
        "invalid",
        "A field is missing, of the wrong type or outside its range; {limits}.",
        "The message says what is allowed, param where; POST /v1/validate checks without a call.",
        "Only after the request is changed.",
    ),
    (
        "context_length",
        "The conversation and the answer together are longer than {context} tokens.",
        "Shorten the conversation or ask for fewer tokens.",
        "Only after the request is changed.",
    ),
    (
        "unknown_model",
        "The name is spelled wrong, or nobody serves the model here.",
        "The message names the nearest; GET /v1/models lists all.",
        "Only after the name is right.",
    ),
    (
        "forbidden",
        "The key may not use this model or path.",
        "Ask whoever made the key.",
        "Only with another key.",
    ),
    (
        "no_credit",
        "The account, key or budget has no money left.",
        "The message says which; top up or wait for its reset.",
        "After a top-up; not before.",
    ),
    (
        "rate_limited",
        "Too many calls or tokens in a short time, here or at the provider.",
        "Wait as long as retry-after says; spread the calls.",
        "After retry-after; without it 1, 2, 4 s with jitter.",
    ),
    (
        "upstream_overloaded",
        "The provider is overloaded.",
        "Nothing in the request is wrong.",
        "After retry-after; without it 1, 2, 4 s with jitter.",
    ),
    (
        "upstream_timeout",
        "The provider took too long or fell silent.",
        "Stream long answers; ask for fewer tokens.",
        "At once, then 1, 2, 4 s.",
    ),
    (
        "upstream",
        "The provider failed or stopped half way.",
        "Nothing in the request is wrong; the request id finds it in the log.",
        "At once, then 1, 2, 4 s.",
    ),
)


def common_errors(card: Card, path: Path) -> list[CommonError]:
    """The rows for one model on one path."""
    words = {
        "limits": _limits(card),
        "context": f"{card.context_window_tokens:,}" if card.context_window_tokens else "the model reads",
    }
    rows = []
    for name, cause, fix, retry in _ROWS:
        kind = KINDS[name]
        status = kind.messages_status if path == "messages" else kind.status
        rows.append(CommonError(status, kind.type, kind.code, cause.format_map(words), fix, retry))
    return rows


def _limits(card: Card) -> str:
    if card.max_output_tokens is None:
        return "the table above has the ranges"
    return f"this model writes at most {card.max_output_tokens:,} tokens"

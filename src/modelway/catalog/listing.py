"""A card as the model object of `GET /v1/models`: one superset that both vendors' SDKs parse."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any

import msgspec

from modelway.catalog import limits
from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.catalog.forms import flat
from modelway.catalog.samples import request_example

# The lines Anthropic's SDK knows; another word would not parse there.
LINES = frozenset(("haiku", "sonnet", "opus", "fable", "mythos"))
# Anthropic's words for the strength of effort; OpenAI's `none` and `minimal` have no key there.
EFFORT_KEYS = limits.MESSAGES_EFFORTS
# "May be set to an epoch value if the release date is unknown" (Anthropic's model object).
RELEASE_UNKNOWN = date(1970, 1, 1)

_PRICE_KEYS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


def model_object(card: Card, name: str | None = None, *, path: Path | None = "chat") -> dict[str, Any]:
    """The object both SDK families read. `name` is what the client called the model (its id by default).

    With a `path`, the flat parameter list and a request example of that path are in it too.
    """
    released = card.released or RELEASE_UNKNOWN
    model = {
        "id": name or card.id,
        "object": "model",
        "created": int(_midnight(released).timestamp()),
        "owned_by": card.vendor,
        "shutdown_date": card.retires.isoformat() if card.retires else None,
        "type": "model",
        "display_name": card.name,
        "description": card.description,
        "created_at": _rfc3339(released),
        "lifecycle": card.lifecycle,
        "deprecated_at": _rfc3339(card.deprecated),
        "retires_at": _rfc3339(card.retires),
        "line": card.line if card.line in LINES else None,
        "max_input_tokens": card.context_window_tokens,
        "max_tokens": card.max_output_tokens,
        "input_modalities": list(card.input),
        "output_modalities": list(card.output),
        "capabilities": capabilities_object(card),
        "pricing": _pricing(card),
    }
    if path is not None:
        model["form_schema"] = flat(card, path)
        model["request_example"] = request_example(card, path)
    return model


def models_object(models: Sequence[dict[str, Any]], *, has_more: bool = False) -> dict[str, Any]:
    """A page of model objects in the envelope both SDK families read."""
    return {
        "object": "list",
        "data": list(models),
        "has_more": has_more,
        "first_id": models[0]["id"] if models else None,
        "last_id": models[-1]["id"] if models else None,
    }


def capabilities_object(card: Card) -> dict[str, Any]:
    """Anthropic's capability object; every key is there, each with `supported`."""
    able = card.capabilities
    offered = limits.efforts(card, "messages")
    thinking = limits.thinking_types(card) if able.thinking_types or able.efforts else ()
    return {
        "batch": _supported(able.batch),
        "citations": _supported(able.citations),
        "code_execution": _supported(able.code_execution),
        # Anthropic edits the context on its own side; the gateway passes that through only to Anthropic.
        "context_management": _supported(card.protocol == "messages"),
        "effort": _supported(bool(offered)) | {key: _supported(key in offered) for key in EFFORT_KEYS},
        "image_input": _supported(able.vision),
        "pdf_input": _supported(able.documents),
        "server_tools": _supported(able.hosted_web_search or able.code_execution)
        | {
            "web_search": _supported(able.hosted_web_search),
            "code_execution": _supported(able.code_execution),
        },
        "structured_outputs": _supported(able.structured_output),
        "thinking": _supported(bool(thinking))
        | {"types": {kind: _supported(kind in thinking) for kind in limits.THINKING_TYPES}},
    }


def _supported(value: bool) -> dict[str, Any]:
    return {"supported": value}


def _pricing(card: Card) -> dict[str, Any] | None:
    """List prices in USD per million tokens, as decimal strings."""
    if card.prices is None:
        return None
    built = msgspec.to_builtins(card.prices)
    return {key: built[key] for key in (*_PRICE_KEYS, "tiers", "batch") if built[key]}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _rfc3339(day: date | None) -> str | None:
    return None if day is None else f"{day.isoformat()}T00:00:00Z"

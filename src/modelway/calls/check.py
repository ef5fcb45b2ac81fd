"""Is the request right for the model it names? Its card says; what can be mended is, with a warning.

A body that needs nothing costs one decode and one look at the rules (about 30 µs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from modelway.calls.call import Call, Services
from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card, unknown_card
from modelway.catalog.validation import Repair, Violation, accepts, apply, repairs, validate
from modelway.conversation.errors import CallError
from modelway.conversation.translation import Warning
from modelway.protocols.interface import Request
from modelway.providers.registry import Model

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Checked:
    """The request to send on, and what was changed in it."""

    request: Request
    warnings: tuple[Warning, ...] = ()


def card_of(model: Model) -> Card:
    """The card of a configured model, or a stand-in that has all its provider's dialect has."""
    return model.card or unknown_card(model.id, model.targets[0].provider.protocol)


async def received(call: Call, services: Services) -> Request:
    """The request, typed and right for the model it names; what was mended is in `call.warnings`."""
    request = call.asked = call.protocol.parse(await call.read_body(), call.headers)
    fitting = checked(request, services.registry.find(request.model), call)
    call.warnings.extend(fitting.warnings)
    return fitting.request


def checked(request: Request, model: Model, call: Call) -> Checked:
    """`request` as the model takes it. Raises 400 for what no rule mends; with strictness, for every repair.

    A model without a card is not checked: its upstream knows better.
    """
    card = model.card
    if card is None:
        return Checked(request)
    path: Path = call.protocol.name
    try:
        body = _decode(request.body)
    except msgspec.MsgspecError:  # a tool's input may hold numbers (1e400) that pass, and that we cannot hold
        return Checked(request)
    if accepts(card, path, body):
        return Checked(request)
    violations = validate(card, path, body, strict=call.strict)
    if violations:
        raise refusal(violations)
    changes = repairs(card, path, body)
    mended = apply(body, changes)
    if mended != body:
        request = call.protocol.parse(msgspec.json.encode(mended), call.headers)
    if any(_is_inside_the_conversation(change) for change in changes):
        request.passable = False  # the translator makes these, with a warning of its own
    outside = [change for change in changes if not _is_inside_the_conversation(change)]
    return Checked(request, tuple(_warning(change) for change in outside))


def refusal(violations: Sequence[Violation]) -> CallError:
    """One 400 for all that is wrong: the first in the message, every one in the details."""
    first, *more = violations
    others = f" (and {len(more)} more: see error.details.violations)" if more else ""
    nearest = f"; the nearest is {first.nearest}" if first.nearest is not None else ""
    return CallError(
        "invalid",
        f"{first.message}{nearest}{others}",
        param=first.param,
        details={"violations": [violation_object(violation) for violation in violations]},
    )


def violation_object(violation: Violation) -> dict[str, Any]:
    """A violation as an answer shows it."""
    return {
        "param": violation.param,
        "rule": violation.rule,
        "received": _shown(violation.received),
        "allowed": violation.allowed,
        "nearest": violation.nearest,
        "message": violation.message,
    }


def repair_object(change: Repair) -> dict[str, Any]:
    """A repair as an answer shows it; `becomes` null: left out."""
    return {
        "code": change.code,
        "param": change.param,
        "rule": change.rule,
        "received": _shown(change.received),
        "becomes": change.becomes,
    }


def _warning(change: Repair) -> Warning:
    detail = "left out" if change.becomes is None else f"sent as {change.becomes!r}"
    return Warning(change.code, change.param, f"{change.param} is {detail} for this model")


def _is_inside_the_conversation(change: Repair) -> bool:
    return change.param.startswith(("/messages/", "/input/"))


def _shown(value: Any) -> Any:
    """A wrong value, unless it is large: then it may hold anything, and only its kind is told."""
    if isinstance(value, dict):
        return {}
    if isinstance(value, list):
        return []
    return value[:80] if isinstance(value, str) else value

"""What is wrong with a body, in words: where, the value seen, and what would be right."""

from __future__ import annotations

import re

import msgspec

from modelway.conversation.errors import CallError
from modelway.protocols.members import Span

_WHERE = re.compile(r" - at `\$(.*)`$")
_MISSING = re.compile(r"missing required field `(\w+)`")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
# Values are shown so that the caller recognises them, not in full: they may be long or private.
SHOWN_CHARACTERS_MAX = 80


def explained(reason: msgspec.MsgspecError, body: bytes, members: dict[str, Span]) -> CallError:
    """The 400 for a body that is JSON but not a Messages request."""
    text = str(reason)
    where = _WHERE.search(text)
    steps = [name or number for name, number in _STEP.findall(where[1])] if where else []
    what = _WHERE.sub("", text)
    if missing := _MISSING.search(what):
        param = ".".join([*steps, missing[1]])
        return CallError.invalid(
            f"`{param}` is missing; /v1/messages needs it",
            param=param,
            code="missing_required_parameter",
        )
    param = ".".join(steps)
    if not param:
        return CallError.invalid(f"The body is not a Messages request: {what}", code="invalid_json")
    return CallError.invalid(f"`{param}` is {_shown(body, members, steps)}: {what.lower()}", param=param)


def _shown(body: bytes, members: dict[str, Span], steps: list[str]) -> str:
    begin, end = members[steps[0]]
    try:
        value = msgspec.json.decode(body[begin:end])
        for step in steps[1:]:
            value = value[int(step)] if step.isdigit() else value[step]
        text = msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, LookupError, TypeError):
        text = body[begin:end].decode("utf-8", "replace")
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "…"

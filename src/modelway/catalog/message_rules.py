"""The rules about the conversation itself: where instructions stand, what it may hold, how it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.catalog.findings import Finding, Rule, on
from modelway.catalog.limits import Body

SYSTEM_ROLES = ("system", "developer")
# What Chat's `tool` messages and Responses' outputs become in a conversation of turns.
USER_ROLES = ("user", "tool", "function")
# Part type, in any of the three dialects -> the capability it needs.
PART_NEEDS = {
    "image": "vision",
    "image_url": "vision",
    "input_image": "vision",
    "document": "documents",
    "file": "documents",
    "input_file": "documents",
    "input_audio": "audio",
    "video_url": "video",
}


def _turns(path: Path, body: Body) -> tuple[str, list[Any]]:
    name = "input" if path == "responses" else "messages"
    turns = body.get(name)
    return name, turns if isinstance(turns, list) else []


def _system_position(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    name, turns = _turns(path, body)
    able = card.capabilities.mid_system and not card.capabilities.leading_system_only
    before: str | None = None
    for index, turn in enumerate(turns):
        role = turn.get("role") if isinstance(turn, Mapping) else None
        if role not in SYSTEM_ROLES:
            before = "user" if role in USER_ROLES or role is None else str(role)
            continue
        place = f"/{name}/{index}/role"
        if before is None:
            if path == "messages":
                yield Finding(place, role, "the top-level `system`", "system", "system_position")
        elif not able:
            yield Finding(place, role, "instructions before the conversation", "user", "system_position")
        elif before != "user" and card.protocol == "messages":
            yield Finding(place, role, "instructions right after a user turn", role, "system_position")


def _ends_with_assistant(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    name, turns = _turns(path, body)
    last = turns[-1] if turns else None
    if not isinstance(last, Mapping) or last.get("role") != "assistant":
        return
    place = f"/{name}/{len(turns) - 1}"
    if path == "messages":
        yield Finding(
            place,
            "assistant",
            "a user message at the end: this model does not support assistant message prefill",
        )
    else:
        yield Finding(place, "assistant", "a user message at the end", "Continue.", "trailing_assistant")


def _unsupported_content(card: Card, path: Path, body: Body) -> Iterator[Finding]:
    name, turns = _turns(path, body)
    for index, turn in enumerate(turns):
        if isinstance(turn, Mapping):
            for key in ("content", "output"):
                if isinstance(turn.get(key), list):
                    yield from _parts(card, turn[key], f"/{name}/{index}/{key}")


def _parts(card: Card, parts: list[Any], place: str) -> Iterator[Finding]:
    for index, part in enumerate(parts):
        if not isinstance(part, Mapping):
            continue
        kind = part.get("type")
        needed = PART_NEEDS.get(kind) if isinstance(kind, str) else None
        if needed is not None and not getattr(card.capabilities, needed) and not _is_plain_text(part):
            yield Finding(f"{place}/{index}/type", kind, f"{', '.join(card.input)} only")
        elif kind == "tool_result" and isinstance(part.get("content"), list):
            yield from _parts(card, part["content"], f"{place}/{index}/content")


def _is_plain_text(part: Mapping[str, Any]) -> bool:
    """A document that is text can be written into the prompt of any model."""
    source = part.get("source")
    if isinstance(source, Mapping):
        return source.get("type") in ("text", "content")
    file = part.get("file", part)
    data = file.get("file_data") if isinstance(file, Mapping) else None
    return isinstance(data, str) and data[:10].lower() == "data:text/"


MESSAGE_RULES: tuple[Rule, ...] = (
    Rule(
        "system_position",
        "Instructions stand where the model takes them: before the conversation, or right after a user turn.",
        lambda card, path: (
            path == "messages"
            or card.protocol == "messages"
            or not card.capabilities.mid_system
            or card.capabilities.leading_system_only
        ),
        _system_position,
    ),
    Rule(
        "prefill",
        "The conversation ends with a user message; the model does not continue an assistant message.",
        lambda card, path: (
            not card.capabilities.prefill and (path == "messages" or card.protocol == "messages")
        ),
        _ends_with_assistant,
    ),
    Rule(
        "unsupported_content",
        "Only content of the kinds the model reads.",
        on("chat", "responses", "messages"),
        _unsupported_content,
    ),
)

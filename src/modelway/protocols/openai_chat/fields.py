"""One field of a decoded object, of the type it must have; otherwise a 400 that names it."""

from __future__ import annotations

from typing import Any

from modelway.protocols.openai_chat.wire import missing, wrong

Json = dict[str, Any]


def text(holder: Json, name: str, path: str) -> str:
    value = text_or_none(holder, name, path)
    if value is None:
        raise missing(f"{path}.{name}", "a text")
    return value


def text_or_none(holder: Json, name: str, path: str) -> str | None:
    value = holder.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _mistyped(path, name, value, "a text")


def flag_or_none(holder: Json, name: str, path: str) -> bool | None:
    value = holder.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise _mistyped(path, name, value, "true or false")


def fields(holder: Json, name: str, path: str) -> Json:
    value = fields_or_none(holder, name, path)
    if value is None:
        raise missing(f"{path}.{name}", "an object")
    return value


def fields_or_none(holder: Json, name: str, path: str) -> Json | None:
    value = holder.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise _mistyped(path, name, value, "an object")


def entries(holder: Json, name: str, path: str) -> list[Json]:
    """A list of objects; none if it is left out."""
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _mistyped(path, name, value, "a list of objects")
    for number, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise _mistyped(path, f"{name}.{number}", entry, "an object")
    return value


def _mistyped(path: str, name: str, value: object, right: str) -> Exception:
    return wrong(f"{path}.{name}" if path else name, value, f"give {right}", "invalid_type")

"""The part of JSON Schema that Anthropic can enforce while a model writes.

What falls outside is taken out and told to the model in the description instead, as Anthropic's own
SDK does (`anthropic/lib/_parse/_transform.py`).
"""

from __future__ import annotations

from typing import Any

from modelway.conversation.errors import CallError
from modelway.protocols.anthropic_messages.wire import text_of

_FORMATS = frozenset(
    {
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "uri",
        "ipv4",
        "ipv6",
        "uuid",
    }
)
_KEPT = frozenset(
    {
        "type",
        "enum",
        "const",
        "title",
        "description",
        "default",
        "$ref",
        "$defs",
        "definitions",
        "required",
    }
)
_PLURALS = ("anyOf", "oneOf", "allOf")

Schema = dict[str, Any]


def enforceable(schema: Schema, where: str) -> tuple[Schema, list[str]]:
    """The schema inside the subset, and the names of the constraints that were taken out of it.

    Raises `CallError` (400) for a schema that has no form in the subset: references that leave the
    schema or turn back on themselves.
    """
    _check_references(schema, where)
    removed: list[str] = []
    return _filtered(schema, removed), removed


def _filtered(schema: Any, removed: list[str]) -> Any:
    if not isinstance(schema, dict):
        return schema
    kept: Schema = {}
    told: list[str] = []
    for name, value in schema.items():
        _member(name, value, schema, kept, told, removed)
    if kept.get("type") == "object" or "properties" in kept:
        kept["additionalProperties"] = False
    if told:
        note = "{" + ", ".join(told) + "}"
        kept["description"] = f"{kept['description']}\n\n{note}" if kept.get("description") else note
    return kept


def _member(name: str, value: Any, schema: Schema, kept: Schema, told: list[str], removed: list[str]) -> None:
    if name in ("$defs", "definitions", "properties") and isinstance(value, dict):
        kept[name] = {key: _filtered(inner, removed) for key, inner in value.items()}
    elif name in _PLURALS and isinstance(value, list):
        kept["anyOf" if name == "oneOf" else name] = [_filtered(inner, removed) for inner in value]
    elif name == "items" and isinstance(value, dict):
        kept[name] = _filtered(value, removed)
    elif name in _KEPT or _allowed(name, value):
        kept[name] = value
    elif name not in ("additionalProperties", "$schema"):
        told.append(f"{name}: {text_of(value)}")
        removed.append(name)
    elif name == "additionalProperties" and value not in (False, None):
        removed.append(name)


def _allowed(name: str, value: Any) -> bool:
    return (name == "format" and value in _FORMATS) or (name == "minItems" and value in (0, 1))


def _check_references(schema: Schema, where: str) -> None:
    """Refuse references to elsewhere, and definitions that use themselves."""
    definitions = {
        f"#/{group}/{name}": inner
        for group in ("$defs", "definitions")
        for name, inner in (schema.get(group) or {}).items()
    }
    uses = {path: _references(inner) for path, inner in definitions.items()}
    for path in _references(schema):
        if path not in definitions:
            raise _refused(f"the reference {path!r} leaves the schema or its root", where)
    for path in definitions:
        if _reaches(path, path, uses, set()):
            raise _refused(f"{path!r} refers to itself", where)


def _references(value: Any) -> set[str]:
    if isinstance(value, list):
        return {path for inner in value for path in _references(inner)}
    if not isinstance(value, dict):
        return set()
    found = {path for inner in value.values() for path in _references(inner)}
    if isinstance(value.get("$ref"), str):
        found.add(value["$ref"])
    return found


def _reaches(start: str, goal: str, uses: dict[str, set[str]], seen: set[str]) -> bool:
    for path in uses.get(start, ()):
        if path == goal:
            return True
        if path not in seen:
            seen.add(path)
            if _reaches(path, goal, uses, seen):
                return True
    return False


def _refused(what: str, where: str) -> CallError:
    return CallError.invalid(
        f"`{where}` cannot be enforced by this model: {what}", param=where, code="invalid_json_schema"
    )

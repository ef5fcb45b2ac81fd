"""From a card to the form of its requests: one JSON Schema per path, and the same as a flat list.

The schema drives validation, the docs table, the playground's form, OpenAPI and the request examples.
A parameter that is null counts as absent everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypedDict

from modelway.catalog import limits
from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card, merged, shipped_parameters
from modelway.catalog.rules import rules_for

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Forms are compiled once per card and path; three paths and some hundreds of cards fit several times.
FORMS_MAX = 4096

Schema = dict[str, Any]


class Field(TypedDict, total=False):
    """One row of the parameter table. Absent keys: the schema does not say."""

    name: str
    type: str
    required: bool
    default: Any
    minimum: float
    maximum: float
    enum: list[Any]
    description: str


# `x-needs`: without it the parameter is not in the form.
_NEEDS: dict[str, Callable[[Card, Path], bool]] = {
    "sampling": lambda card, path: card.capabilities.sampling != "refused",
    "top_k": lambda card, path: card.capabilities.top_k and card.capabilities.sampling != "refused",
    "choices": lambda card, path: card.capabilities.choices_max > 1,
    "efforts": lambda card, path: bool(limits.efforts(card, path)),
    "thinking": lambda card, path: path == "messages" or bool(card.capabilities.thinking_types),
    "thinking_budget": lambda card, path: "enabled" in card.capabilities.thinking_types,
    "output_config": lambda card, path: (
        bool(limits.efforts(card, path)) or card.capabilities.structured_output
    ),
    "text_options": lambda card, path: card.capabilities.structured_output or card.capabilities.verbosity,
}
# `x-from`: keyword values that depend on the card; None leaves the keyword out.
_FROM: dict[str, Callable[[Card, Path], Any]] = {
    "max_output_tokens": lambda card, path: card.max_output_tokens,
    # Anthropic's dialect always needs a limit, so the gateway sends the model's own; others need none.
    "answer_tokens_default": lambda card, path: (
        card.max_output_tokens if card.protocol == "messages" else None
    ),
    "max_tokens_min": lambda card, path: limits.max_tokens_min(card),
    "temperature_max": lambda card, path: limits.temperature_max(card, path),
    "choices_max": lambda card, path: card.capabilities.choices_max,
    "thinking_types": lambda card, path: list(limits.thinking_types(card)),
    "efforts": lambda card, path: list(limits.efforts(card, path)),
    "efforts_or_null": lambda card, path: [*limits.efforts(card, path), None],
    "default_effort": lambda card, path: limits.default_effort(card, path),
}


@lru_cache(FORMS_MAX)
def form_schema(card: Card, path: Path) -> Schema:
    """The JSON Schema 2020-12 of a request body for this model on this path. Do not change it in place.

    `allOf` holds the rules between fields that JSON Schema can say, `x-rules` says all of them in words.
    """
    definitions = merged(shipped_parameters()[path], card.parameters.get(path, {}))
    rules = rules_for(card, path)
    schema: Schema = {
        "$schema": DIALECT,
        "title": f"{card.name}, {path}",
        "type": "object",
        "required": [name for name, definition in definitions.items() if definition.get("x-required")],
        "properties": _properties(definitions, card, path),
    }
    fragments = [fragment for rule in rules if (fragment := rule.schema(card, path)) is not None]
    if fragments:
        schema["allOf"] = fragments
    schema["x-rules"] = [{"name": rule.name, "description": rule.says} for rule in rules]
    return schema


@lru_cache(FORMS_MAX)
def flat(card: Card, path: Path) -> list[Field]:
    """Every parameter of the form as one row; `thinking.budget_tokens` is a field of `thinking`."""
    return list(_rows(form_schema(card, path), ""))


def _properties(definitions: Mapping[str, Any], card: Card, path: Path) -> Schema:
    """The parameters this card has, without the `x-` keys that say so."""
    return {
        name: _property(definition, card, path)
        for name, definition in definitions.items()
        if _has(definition, card, path)
    }


def _has(definition: Mapping[str, Any], card: Card, path: Path) -> bool:
    needs = definition.get("x-needs")
    if needs is None:
        return True
    test = _NEEDS.get(needs)
    return test(card, path) if test is not None else bool(getattr(card.capabilities, needs))


def _property(definition: Mapping[str, Any], card: Card, path: Path) -> Schema:
    schema = {key: value for key, value in definition.items() if not key.startswith("x-")}
    for keyword, source in definition.get("x-from", {}).items():
        value = _FROM[source](card, path)
        if value is not None:
            schema.setdefault(keyword, value)  # what a card states itself wins
    if "properties" in schema:
        schema["properties"] = _properties(schema["properties"], card, path)
    return schema


def _rows(schema: Schema, prefix: str) -> Iterator[Field]:
    required = schema.get("required", ())
    for name, definition in schema["properties"].items():
        field: Field = {"name": prefix + name, "type": _type(definition), "required": name in required}
        for key in ("default", "minimum", "maximum", "enum"):
            if key in definition:
                field[key] = definition[key]
        field["description"] = definition.get("description", "")
        yield field
        if "properties" in definition:
            yield from _rows(definition, f"{prefix}{name}.")


def _type(definition: Schema) -> str:
    """JSON's word for the type; for an enum or a constant, that of its values."""
    declared = definition.get("type")
    if isinstance(declared, list):
        return " | ".join(declared)
    if isinstance(declared, str):
        return declared
    values = definition.get("enum", [definition.get("const")])
    kinds = {_JSON_TYPES.get(type(value), "object") for value in values if value is not None}
    return " | ".join(sorted(kinds)) or "null"


_JSON_TYPES: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}

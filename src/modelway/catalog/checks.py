"""What `modelway models validate` and the card editor say: facts that contradict each other, forms that are
no schema, examples not accepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from modelway.catalog.capabilities import PATHS, Path
from modelway.catalog.cards import Card, Catalog
from modelway.catalog.forms import form_schema
from modelway.catalog.samples import request_example
from modelway.catalog.validation import PATTERNS, compiled, validate

Steps = tuple[str | int, ...]


def problems(catalog: Catalog) -> list[str]:
    """One sentence per fault, naming card and path; empty if every form, default and example is right."""
    return [f"{card.id}: {what}" for card in catalog.all() for what, _ in of_card(card)]


def of_card(card: Card) -> Iterator[tuple[str, Steps]]:
    """What is wrong with one card, and the place in it to blame."""
    yield from _of_facts(card)
    for path in PATHS:
        yield from ((f"{path}: {what}", steps) for what, steps in _of_form(card, path))


def _of_facts(card: Card) -> Iterator[tuple[str, Steps]]:
    able = card.capabilities
    window, longest = card.context_window_tokens, card.max_output_tokens
    if window is not None and longest is not None and longest > window:
        yield f"{longest} is more than the context window of {window} holds", ("max_output_tokens",)
    if able.default_effort is not None and able.default_effort not in able.efforts:
        known = ", ".join(able.efforts) or "there are none"
        yield f"{able.default_effort} is not among the efforts: {known}", ("capabilities", "default_effort")
    if able.thinking_always_on and "disabled" in able.thinking_types:
        yield "`disabled` is offered, and the model always thinks", ("capabilities", "thinking_types")


def _of_form(card: Card, path: Path) -> Iterator[tuple[str, Steps]]:
    schema = form_schema(card, path)
    try:
        jsonschema_rs.meta.validate(schema)
        compiled(card, path)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        place: list[str | int] = list(getattr(error, "instance_path", ()))
        steps: Steps = ("parameters", path)
        if place[:1] == ["properties"]:
            steps += tuple(place[1:])
        yield f"the form is no JSON Schema: {getattr(error, 'message', error)}", steps
        return
    for name, definition in _parameters(schema):
        if "default" in definition and not _is_right(definition, definition["default"]):
            told = f"the default of `{name}`, {definition['default']!r}, breaks its own limits"
            yield told, ("parameters", path, *_within(name))
    for violation in validate(card, path, request_example(card, path), strict=True):
        first = violation.param.removeprefix("/").partition("/")[0]
        yield f"the request example is refused: {violation.message}", ("parameters", path, first)


def _is_right(definition: dict[str, Any], value: object) -> bool:
    return jsonschema_rs.is_valid(definition, value, pattern_options=PATTERNS)


def _within(name: str) -> Iterator[str]:
    """`thinking.budget_tokens` as the steps of a schema: `thinking`, `properties`, `budget_tokens`."""
    first, *rest = name.split(".")
    yield first
    for step in rest:
        yield from ("properties", step)


def _parameters(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, definition in schema.get("properties", {}).items():
        yield prefix + name, definition
        yield from _parameters(definition, f"{prefix}{name}.")

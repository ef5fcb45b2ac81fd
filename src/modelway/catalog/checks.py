"""What `modelway models validate` says about a catalog: forms that are no schema, examples not accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from modelway.catalog.capabilities import PATHS, Path
from modelway.catalog.cards import Card, Catalog
from modelway.catalog.forms import form_schema
from modelway.catalog.samples import request_example
from modelway.catalog.validation import validate


def problems(catalog: Catalog) -> list[str]:
    """One sentence per fault, naming card and path; empty if every form, default and example is right."""
    return [problem for card in catalog.all() for path in PATHS for problem in _of_form(card, path)]


def _of_form(card: Card, path: Path) -> Iterator[str]:
    where = f"{card.id}, {path}"
    schema = form_schema(card, path)
    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        yield f"{where}: the form is no JSON Schema: {error.message}"
        return
    for name, definition in _parameters(schema):
        if "default" in definition and not jsonschema_rs.is_valid(definition, definition["default"]):
            yield f"{where}: the default of `{name}`, {definition['default']!r}, breaks its own limits"
    for violation in validate(card, path, request_example(card, path), strict=True):
        yield f"{where}: the request example is refused: {violation.message}"


def _parameters(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, definition in schema.get("properties", {}).items():
        yield prefix + name, definition
        yield from _parameters(definition, f"{prefix}{name}.")

"""The description of the API says what the forms say, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from modelway.api.openapi import REQUESTS, document
from modelway.catalog.capabilities import PATHS, Path
from modelway.catalog.cards import Catalog
from modelway.catalog.forms import flat
from modelway.catalog.samples import request_example

CARDS = Catalog.shipped().all()
DOCUMENT = document(CARDS)


def names(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, definition in schema.get("properties", {}).items():
        yield prefix + name
        yield from names(definition, f"{prefix}{name}.")


@pytest.mark.parametrize("path", PATHS)
def test_every_parameter_of_a_form_is_in_openapi_and_the_other_way_round(path: Path) -> None:
    described = set(names(DOCUMENT["components"]["schemas"][REQUESTS[path]]))
    in_forms = {field["name"] for card in CARDS for field in flat(card, path)}

    assert described == in_forms


@pytest.mark.parametrize("path", PATHS)
def test_the_widened_schema_takes_every_cards_example(path: Path) -> None:
    schema = DOCUMENT["components"]["schemas"][REQUESTS[path]]
    validator = jsonschema_rs.Draft202012Validator(schema)

    refused = [card.id for card in CARDS if not validator.is_valid(request_example(card, path))]

    assert refused == []
    assert not validator.is_valid({"model": 7})


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    seen = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                seen.append(reference)
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(DOCUMENT)

    assert len(seen) > 20
    assert [each for each in seen if each.removeprefix("#/components/schemas/") not in schemas] == []


def test_operations_have_names_of_their_own() -> None:
    ids = [row["operationId"] for verbs in DOCUMENT["paths"].values() for row in verbs.values()]

    assert len(ids) == len(set(ids))


def test_only_what_is_served_is_described() -> None:
    served = document(CARDS, frozenset({("GET", "/v1/models"), ("GET", "/v1/odd/")}))

    assert set(served["paths"]) == {"/v1/models", "/v1/odd/{id}"}
    assert set(served["paths"]["/v1/models"]) == {"get"}

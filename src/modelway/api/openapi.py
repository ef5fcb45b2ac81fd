"""`/openapi.json`: OpenAPI 3.1 of this installation, its request schemas built from the models' cards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import msgspec

from modelway import __version__
from modelway.api.discovery import Answer
from modelway.api.edge import AsgiClient, Scope
from modelway.api.managed import ROWS
from modelway.api.openapi_managed import components, operation
from modelway.api.openapi_objects import (
    EITHER_HEADER,
    Schema,
    failures,
    operation_id,
    reference,
    schemas,
)
from modelway.api.operations import OPERATIONS, REFUSALS, Operation
from modelway.calls.call import Services
from modelway.calls.check import card_of
from modelway.catalog.capabilities import PATHS, Path
from modelway.catalog.cards import Card
from modelway.catalog.forms import form_schema
from modelway.catalog.samples import request_example
from modelway.protocols import predict

# A form's schema may be asked for two sets of cards: those configured and those shipped.
UNIONS_MAX = 8
REQUESTS: dict[Path, str] = {
    "chat": "ChatRequest",
    "responses": "ResponsesRequest",
    "messages": "MessagesRequest",
}


def openapi(services: Services, listed: frozenset[tuple[str, str]]) -> Answer:
    """`listed`: method and path of every route that is served; a path served but not in OPERATIONS gets a
    plain entry.
    """

    async def answer(scope: Scope, client: AsgiClient) -> None:
        await client.answer(200, of_installation(services, listed))

    return answer


def of_installation(services: Services, listed: frozenset[tuple[str, str]]) -> dict[str, Any]:
    """The description of what this installation serves now."""
    return document((card_of(model) for model in services.registry.models), listed)


def document(cards: Iterable[Card], listed: frozenset[tuple[str, str]] | None = None) -> dict[str, Any]:
    """The whole description; `listed` None: every operation there is."""
    known = {(row.method, _prefix(row.path)) for row in OPERATIONS}
    known |= {(row.method, _prefix(row.path)) for row in ROWS}
    served = known if listed is None else listed
    plain = [_plain(*each) for each in sorted(served - known - REFUSALS)]
    paths: dict[str, dict[str, Any]] = {}
    for row in (*OPERATIONS, *plain):
        if (row.method, _prefix(row.path)) in served:
            paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    for managed in ROWS:
        if (managed.method, _prefix(managed.path)) in served:
            paths.setdefault(managed.path, {})[managed.method.lower()] = operation(managed)
    offered = tuple(cards)
    requests = {REQUESTS[path]: request_schema(offered, path) for path in PATHS}
    requests["AnyRequest"] = {"anyOf": [reference(name) for name in REQUESTS.values()]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Modelway",
            "version": __version__,
            "description": "One API key and one base URL for every model.",
        },
        "paths": paths,
        "components": {
            "schemas": requests | _typed_requests() | components(ROWS) | schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _typed_requests() -> dict[str, Schema]:
    """Requests that no card describes, from the types they are parsed into."""
    (asked,), parts = msgspec.json.schema_components(
        (predict.Body,), ref_template="#/components/schemas/{name}"
    )
    return {"PredictRequest": asked, **parts}


@lru_cache(UNIONS_MAX)
def request_schema(cards: tuple[Card, ...], path: Path) -> Schema:
    """What at least one of the models takes on this path: the forms of all, widened into one."""
    wide: Schema = {}
    for card in cards:
        form = form_schema(card, path)
        wide = (
            _widest(wide, {"type": "object", "properties": form["properties"]})
            if wide
            else {
                "type": "object",
                "required": form["required"],
                "properties": form["properties"],
            }
        )
    if wide:
        model = wide["properties"]["model"]
        wide["properties"] = {
            **wide["properties"],
            "model": {**model, "examples": [card.id for card in cards]},
        }
        wide["examples"] = [request_example(cards[0], path)]
        wide["description"] = (
            "Every parameter that a model here takes. What one model takes is its form: "
            "GET /v1/models/{id}/form_schema."
        )
    return wide


def _widest(one: Schema, other: Schema) -> Schema:
    """A schema that takes what either takes, keyword by keyword; a keyword only one has is dropped if it
    limits.
    """
    both = {key: value for key, value in one.items() if key not in _LIMITS or key in other}
    for key, value in other.items():
        if key in both:
            both[key] = _WIDEN[key](both[key], value) if key in _WIDEN else both[key]
        elif key not in _LIMITS:
            both[key] = value
    if both.get("default") != other.get("default") or "default" not in one:
        both.pop("default", None)  # it differs from model to model
    return both


def _properties(one: Schema, other: Schema) -> Schema:
    return {
        name: _widest(one[name], other[name])
        if name in one and name in other
        else one.get(name) or other[name]
        for name in {**one, **other}
    }


def _either(one: Any, other: Any) -> Any:
    kinds = [*_as_list(one), *(kind for kind in _as_list(other) if kind not in _as_list(one))]
    return kinds[0] if len(kinds) == 1 else kinds


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


_LIMITS = frozenset(
    ("minimum", "maximum", "enum", "maxItems", "minItems", "maxLength", "maxProperties", "pattern")
)
_WIDEN: dict[str, Callable[[Any, Any], Any]] = {
    "minimum": min,
    "maximum": max,
    "maxItems": max,
    "minItems": min,
    "maxLength": max,
    "maxProperties": max,
    "enum": lambda one, other: [*one, *(value for value in other if value not in one)],
    "type": _either,
    "properties": _properties,
}


def _prefix(path: str) -> str:
    """A path with a placeholder as the routes spell it: everything before it."""
    return path.partition("{")[0]


def _plain(method: str, path: str) -> Operation:
    shown = path + "{id}" if path.endswith("/") else path
    parameters = (("path", "id", ""),) if path.endswith("/") else ()
    return Operation(method, shown, "More", f"{method} {shown}", "", parameters=parameters)


def _operation(row: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation_id(row.method, row.path),
        "summary": row.summary,
        "description": row.description,
        "tags": [row.group],
        "security": [] if row.open else EITHER_HEADER,
        "responses": {"200": _success(row)},
    }
    if row.parameters:
        made["parameters"] = [
            {"in": where, "name": name, "required": where == "path", "description": says,
             "schema": {"type": "string"}}
            for where, name, says in row.parameters
        ]  # fmt: skip
    if row.request:
        content = {"application/json": {"schema": reference(row.request)}}
        made["requestBody"] = {"required": True, "content": content}
    if not row.open:
        made["responses"] |= failures(inference=row.group == "Inference")
    return made


def _success(row: Operation) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "The answer."}
    if row.answer:
        answer["content"] = {"application/json": {"schema": reference(row.answer)}}
        if row.group == "Inference":
            answer["content"]["text/event-stream"] = {
                "schema": {"type": "string", "description": "With stream: true, the protocol's own events."}
            }
    return answer

"""The API reference, drawn from the same description that /openapi.json gives to machines."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from modelway.web.render import page
from modelway.web.sources import base_url, sources

Schema = dict[str, Any]
# Fields inside fields inside a parameter: deeper ones are the form's own affair.
DEPTH_MAX = 2


async def show(request: Request) -> Response:
    document = sources(request).document()
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, verbs in document["paths"].items():
        for method, operation in verbs.items():
            described = _described(document, method.upper(), path, operation)
            groups.setdefault(operation["tags"][0], []).append(described)
    return page(request, "reference.html", groups=groups, origin=base_url(request), info=document["info"])


def _described(document: Schema, method: str, path: str, operation: Schema) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    request = content.get("application/json", {}).get("schema")
    success = operation["responses"]["200"].get("content", {}).get("application/json", {}).get("schema")
    return {
        "anchor": (path if method == "POST" else f"{method.lower()}{path}").replace("/", ""),
        "method": method,
        "path": path,
        "summary": operation["summary"],
        "description": operation["description"],
        "open": not operation.get("security"),
        "parameters": operation.get("parameters", []),
        "fields": _fields(document, request) if request else [],
        "any_of": [_name(each) for each in _resolved(document, request or {}).get("anyOf", [])],
        "answer": _fields(document, success) if success else [],
        "streams": "text/event-stream" in operation["responses"]["200"].get("content", {}),
        "failures": {
            status: each["description"] for status, each in operation["responses"].items() if status != "200"
        },
    }


def _fields(document: Schema, schema: Schema, prefix: str = "", depth: int = 0) -> list[dict[str, Any]]:
    """A schema's properties as rows, those of objects inside it below them."""
    rows: list[dict[str, Any]] = []
    resolved = _resolved(document, schema)
    for name, definition in resolved.get("properties", {}).items():
        inner = _resolved(document, definition.get("items", definition))
        rows.append(
            {
                "name": prefix + name,
                "depth": depth,
                "type": _type(document, definition),
                "required": name in resolved.get("required", ()),
                "allowed": _allowed(definition),
                "description": definition.get("description", ""),
            }
        )
        if depth < DEPTH_MAX and "$ref" not in definition.get("items", {}) and "properties" in inner:
            rows += _fields(document, inner, f"{prefix}{name}.", depth + 1)
    return rows


def _resolved(document: Schema, schema: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = document["components"]["schemas"][_name(schema)]
    return {**found, **{key: value for key, value in schema.items() if key != "$ref"}}


def _name(schema: Schema) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _type(document: Schema, definition: Schema) -> str:
    if "$ref" in definition:
        return _name(definition)
    if "anyOf" in definition:
        return " | ".join(dict.fromkeys(_type(document, each) for each in definition["anyOf"]))
    kind = definition.get("type", "string" if "enum" in definition else "any")
    if kind == "array":
        return f"{_type(document, definition.get('items', {}))}[]"
    return " | ".join(kind) if isinstance(kind, list) else str(kind)


def _allowed(definition: Schema) -> str:
    if "enum" in definition:
        return ", ".join("null" if value is None else str(value) for value in definition["enum"])
    low, high = definition.get("minimum"), definition.get("maximum")
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    if low is not None:
        return f"{low:,} or more"
    return f"{high:,} or less" if high is not None else ""

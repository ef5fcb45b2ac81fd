"""Management paths in OpenAPI: parameters and bodies come from the types they are read into."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from modelway.accounts.roles import RULES
from modelway.api.management import Managed
from modelway.api.openapi_objects import EITHER_HEADER, Schema, failures, operation_id, reference

_REFERENCES = "#/components/schemas/{name}"
_FORMAT = {
    "in": "query",
    "name": "format",
    "required": False,
    "description": "json (unless said) or csv; `Accept: text/csv` says the same.",
    "schema": {"enum": ["json", "csv"]},
}


def operation(row: Managed) -> dict[str, Any]:
    """One row as an operation; its description says who may."""
    made: dict[str, Any] = {
        "operationId": operation_id(row.method, row.path),
        "summary": row.summary,
        "description": f"{row.says} {_who(row)}".strip(),
        "tags": [row.group],
        "security": EITHER_HEADER,
        "parameters": _parameters(row),
        "responses": {"200": _success(row)} | failures(inference=False),
    }
    if row.body is not None:
        content = {"application/json": {"schema": reference(row.body.__name__)}}
        made["requestBody"] = {"required": True, "content": content}
    return made


def components(rows: Iterable[Managed]) -> dict[str, Schema]:
    """The bodies, and what stands in them, by the names of their types."""
    bodies = tuple({row.body for row in rows if row.body is not None})
    _, made = msgspec.json.schema_components(bodies, ref_template=_REFERENCES)
    return made


def _who(row: Managed) -> str:
    rule = RULES[row.action]
    keys = "any API key, or a management key" if rule.api_keys else "a management key"
    where = " in the account that owns the installation" if rule.installation else ""
    return f"Takes {keys} of a member who is {', '.join(rule.roles)}{where}."


def _parameters(row: Managed) -> list[dict[str, Any]]:
    (shape,), parts = msgspec.json.schema_components((row.query,), ref_template=_REFERENCES)
    asked = parts[row.query.__name__] if "$ref" in shape else shape
    made = [
        {
            "in": "query",
            "name": name,
            "required": name in asked.get("required", ()),
            "description": schema.get("description", ""),
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in asked.get("properties", {}).items()
    ]
    if "{id}" in row.path:
        says = "Its id; slashes stand as they are." if row.long_id else "Its id."
        made.insert(
            0,
            {"in": "path", "name": "id", "required": True, "description": says, "schema": {"type": "string"}},
        )
    return [*made, _FORMAT] if row.is_page or row.has_csv else made


def _success(row: Managed) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "The answer."}
    if row.returns is None:
        return answer
    schema = reference(row.returns)
    if row.is_page:
        schema = {
            "type": "object",
            "properties": {
                "object": {"type": "string", "description": "list"},
                "data": {"type": "array", "items": schema},
                "has_more": {"type": "boolean", "description": "Whether another page follows."},
                "next_cursor": {"type": ["string", "null"], "description": "For `cursor`, as it is."},
            },
        }
    answer["content"] = {"application/json": {"schema": schema}}
    if row.is_page or row.has_csv:
        answer["content"]["text/csv"] = {"schema": {"type": "string"}}
    return answer

"""What every input item must have, kind by kind. Kinds that are not in the table are let through."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modelway.conversation.errors import CallError

ROLES = ("user", "assistant", "system", "developer")
CALL_ID_CHARACTERS_MAX = 64
# OpenAI's API reference: 10 MiB of tool output as a string.
OUTPUT_CHARACTERS_MAX = 10 * 1024 * 1024

# kind: the fields it must have, with the types they may have.
_Types = tuple[type, ...]
_TYPE_NAMES: dict[type, str] = {str: "a string", list: "a list"}
_TEXT: _Types = (str,)
_TEXT_OR_PARTS: _Types = (str, list)
REQUIRED: dict[str, dict[str, _Types]] = {
    "message": {"role": _TEXT, "content": _TEXT_OR_PARTS},
    "function_call": {"call_id": _TEXT, "name": _TEXT, "arguments": _TEXT},
    "function_call_output": {"call_id": _TEXT, "output": _TEXT_OR_PARTS},
    "custom_tool_call": {"call_id": _TEXT, "name": _TEXT, "input": _TEXT},
    "custom_tool_call_output": {"call_id": _TEXT, "output": _TEXT_OR_PARTS},
    "reasoning": {"summary": (list,)},
    "item_reference": {"id": _TEXT},
    "additional_tools": {"tools": (list,)},
    "compaction": {"encrypted_content": _TEXT},
}


def kind_of(item: dict[str, Any]) -> str:
    """An item's type; one without a type is a message if it has a role, a reference if only an id."""
    kind = item.get("type")
    if isinstance(kind, str):
        return kind
    if "role" in item:
        return "message"
    return "item_reference" if "id" in item else ""


def check_items(items: Sequence[dict[str, Any]]) -> None:
    """Raise `CallError` (400) for the first item that no reader could take."""
    for number, item in enumerate(items):
        _check_item(item, f"input.{number}")
    if items and kind_of(items[-1]) == "reasoning":
        last = items[-1].get("id") or "(no id)"
        raise CallError.invalid(
            f"The reasoning item {last} was provided without its required following item",
            param=f"input.{len(items) - 1}",
        )


def _check_item(item: dict[str, Any], path: str) -> None:
    kind = kind_of(item)
    if not kind:
        raise CallError.invalid(f"`{path}` has neither `type` nor `role`; give one", param=path)
    for name, types in REQUIRED.get(kind, {}).items():
        value = item.get(name)
        if isinstance(value, types):
            continue
        wanted = " or ".join(_TYPE_NAMES[each] for each in types)
        seen = "missing" if name not in item else json.dumps(value)[:80]
        raise CallError.invalid(
            f"`{path}.{name}` is {seen}; a {kind} needs {wanted} there",
            param=f"{path}.{name}",
            code="invalid_type" if name in item else "missing_required_parameter",
        )
    if kind == "message":
        _check_message(item, path)
    elif kind.endswith("_output"):
        _check_output(item, path)


def _check_message(item: dict[str, Any], path: str) -> None:
    if item["role"] not in ROLES:
        raise CallError.invalid(
            f"`{path}.role` is {item['role']!r}; it may be {', '.join(ROLES)}", param=f"{path}.role"
        )
    if isinstance(item["content"], list):
        _check_parts(item["content"], f"{path}.content")


def _check_parts(parts: list[Any], path: str) -> None:
    for number, part in enumerate(parts):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise CallError.invalid(
                f"`{path}.{number}` is {json.dumps(part)[:80]}; a part is an object with a `type`",
                param=f"{path}.{number}",
                code="invalid_type",
            )


def _check_output(item: dict[str, Any], path: str) -> None:
    call_id, output = item.get("call_id"), item.get("output")
    if isinstance(call_id, str) and not 1 <= len(call_id) <= CALL_ID_CHARACTERS_MAX:
        raise CallError.invalid(
            f"`{path}.call_id` has {len(call_id)} characters; it may have 1 to {CALL_ID_CHARACTERS_MAX}",
            param=f"{path}.call_id",
        )
    if isinstance(output, str) and len(output) > OUTPUT_CHARACTERS_MAX:
        raise CallError.invalid(
            f"`{path}.output` has {len(output)} characters; at most {OUTPUT_CHARACTERS_MAX} are read",
            param=f"{path}.output",
            code="string_above_max_length",
        )
    if isinstance(output, list):
        _check_parts(output, f"{path}.output")

"""Tools and tool_choice of a client's request: function, custom, namespaces, hosted tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from modelway.conversation.errors import CallError
from modelway.conversation.request import (
    FreeformTool,
    FunctionTool,
    HostedTool,
    Tool,
    ToolChoice,
)
from modelway.conversation.translation import Translation

Wire = dict[str, Any]
NAME = "responses"

# OpenAI's tool type: the neutral kind, and whether OpenAI runs it itself.
HOSTED: dict[str, tuple[str, bool]] = {
    "web_search": ("web_search", True),
    "web_search_2025_08_26": ("web_search", True),
    "web_search_preview": ("web_search", True),
    "web_search_preview_2025_03_11": ("web_search", True),
    "file_search": ("file_search", True),
    "code_interpreter": ("code_execution", True),
    "image_generation": ("image_generation", True),
    "mcp": ("mcp", True),
    "computer": ("computer", False),
    "computer_use_preview": ("computer", False),
    "local_shell": ("local_shell", False),
    "shell": ("shell", False),
    "apply_patch": ("apply_patch", False),
}
# They only decide which tools are loaded when; another protocol gets all tools at once.
_LOADERS = ("tool_search", "programmatic_tool_calling")
_FUNCTION_FIELDS = frozenset({"type", "name", "description", "parameters", "strict"})


def read_tools(tools: Sequence[Wire], path: str, translation: Translation) -> tuple[Tool, ...]:
    """Every tool; a namespace's tools carry its name."""
    found: list[Tool] = []
    for number, tool in enumerate(tools):
        found.extend(_read_tool(tool, f"{path}.{number}", translation))
    return tuple(found)


def _read_tool(tool: Wire, path: str, translation: Translation) -> Iterator[Tool]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str):
        raise CallError.invalid(f"`{path}` has no `type`", param=f"{path}.type")
    if kind in _TOOL_READERS:
        try:
            yield _TOOL_READERS[kind](tool, path, translation)
        except (AttributeError, TypeError) as reason:
            raise CallError.invalid(
                f"`{path}` is no well-formed {kind} tool: {reason}", param=path, code="invalid_type"
            ) from reason
    elif kind == "namespace":
        yield from _read_namespace(tool, path, translation)
    elif kind in HOSTED:
        neutral, at_vendor = HOSTED[kind]
        if neutral == "web_search" and not _searches(translation):
            # Codex offers it with every call: a model that cannot search answers without it.
            translation.warn("unsupported_tool", path, "This model does not search the web; left out")
            return
        yield HostedTool(kind=neutral, protocol=NAME, raw=tool, name=neutral, runs_at_vendor=at_vendor)
    elif translation.upstream == NAME:
        yield HostedTool(kind=kind, protocol=NAME, raw=tool, name=kind)
    elif kind in _LOADERS:
        translation.warn("tool_search", path, "All tools are loaded at once on this route")
    else:
        translation.warn("unsupported_tool", path, f"A tool of type {kind!r} is not known here; dropped")


def _searches(translation: Translation) -> bool:
    return translation.upstream == NAME or translation.capabilities.hosted_web_search


def _read_function(tool: Wire, path: str, translation: Translation) -> FunctionTool:
    schema = tool.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise CallError.invalid(
            f"`{path}.parameters` is {str(schema)[:60]!r}; it must be a JSON Schema object",
            param=f"{path}.parameters",
            code="invalid_type",
        )
    strict = tool.get("strict")
    extra = {key: value for key, value in tool.items() if key not in _FUNCTION_FIELDS}
    return FunctionTool(
        name=_name(tool, path),
        schema=schema,
        description=_text(tool, "description"),
        strict=_tried_strict(schema, translation) if strict is None else bool(strict),
        ext={NAME: extra} if extra else {},
    )


def _tried_strict(schema: Wire, translation: Translation) -> bool | None:
    """Left out, OpenAI tries strict: it is so exactly if the schema allows it. Anthropic's rules for
    schemas are others, and its strict tools are few: there nothing is promised.
    """
    return None if translation.upstream == "messages" else strict_qualifies(schema)


def _read_custom(tool: Wire, path: str, translation: Translation) -> FreeformTool:
    form = tool.get("format") or {}
    grammar = None
    if form.get("type") == "grammar":
        grammar = {"syntax": _text(form, "syntax"), "definition": _text(form, "definition") or ""}
    return FreeformTool(name=_name(tool, path), description=_text(tool, "description"), grammar=grammar)


def _read_namespace(tool: Wire, path: str, translation: Translation) -> Iterator[Tool]:
    group = _name(tool, path)
    description = _text(tool, "description")
    about = {"namespace_description": description} if description else {}
    tools = tool.get("tools")
    if not isinstance(tools, list):
        raise CallError.invalid(f"`{path}.tools` is no list of tools", param=f"{path}.tools")
    for inner in read_tools(tools, f"{path}.tools", translation):
        match inner:
            case FunctionTool(name=name, schema=schema, description=description, strict=strict, ext=ext):
                yield FunctionTool(
                    name=name,
                    schema=schema,
                    description=description,
                    strict=strict,
                    namespace=group,
                    ext={NAME: {**ext.get(NAME, {}), **about}},
                )
            case FreeformTool(name=name, description=description, grammar=grammar):
                yield FreeformTool(name=name, description=description, grammar=grammar, namespace=group)
            case HostedTool():
                yield inner


_TOOL_READERS: Mapping[str, Callable[[Wire, str, Translation], Tool]] = {
    "function": _read_function,
    "custom": _read_custom,
}


def _text(fields: Wire, name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None


def _name(tool: Wire, path: str) -> str:
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise CallError.invalid(
            f"`{path}.name` is {name!r}; a tool needs a name",
            param=f"{path}.name",
            code="missing_required_parameter",
        )
    return name


def read_choice(choice: str | Wire | None, tools: Sequence[Tool]) -> ToolChoice | None:
    """The neutral choice; raises `CallError` (400) for one that no tool here can meet."""
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(choice)
        case {"type": "function" | "custom" | "mcp", "name": str(name)}:
            return ToolChoice("named", (name,))
        case {"type": "allowed_tools", "tools": list(allowed), **rest} if _objects(allowed):
            names = tuple(str(tool.get("name") or tool.get("type")) for tool in allowed)
            return ToolChoice("allowed", names, required=rest.get("mode") == "required")
        case {"type": str(kind)} if kind != "allowed_tools":
            return ToolChoice("named", (_hosted_name(kind, tools),))
    raise CallError.invalid(
        f"`tool_choice` is {choice!r}; it may be none, auto, required or an object naming a tool",
        param="tool_choice",
    )


def _objects(values: Sequence[object]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _hosted_name(kind: str, tools: Sequence[Tool]) -> str:
    name = HOSTED.get(kind, (kind, True))[0]
    if any(isinstance(tool, HostedTool) and tool.name == name for tool in tools):
        return name
    raise CallError.unsupported(
        f"`tool_choice` is {kind!r}, which is not among the tools this model can be given",
        param="tool_choice",
        code="unsupported_tool",
    )


def strict_qualifies(schema: object) -> bool:
    """Whether OpenAI takes a schema as strict: every object closed, and all its properties required."""
    match schema:
        case dict():
            if "properties" in schema or schema.get("type") == "object":
                properties = schema.get("properties") or {}
                closed = schema.get("additionalProperties") is False
                required = schema.get("required")
                names = required if isinstance(required, list) else []
                if not closed or {str(name) for name in names} != set(properties):
                    return False
            return all(strict_qualifies(value) for value in schema.values())
        case list():
            return all(strict_qualifies(value) for value in schema)
    return True

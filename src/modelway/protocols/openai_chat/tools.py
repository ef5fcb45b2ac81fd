"""Tools and tool choice, as Chat spells them, or Anthropic."""

from __future__ import annotations

import re
from typing import Any

from modelway.conversation.request import (
    FreeformTool,
    FunctionTool,
    HostedTool,
    Tool,
    ToolChoice,
)
from modelway.protocols.openai_chat.fields import fields_or_none, flag_or_none, text_or_none
from modelway.protocols.openai_chat.part_reader import cache_mark
from modelway.protocols.openai_chat.wire import missing, wrong

Json = dict[str, Any]
NO_ARGUMENTS: Json = {"type": "object", "properties": {}}

# Dated types of Anthropic's: the part before the date, and who runs the tool.
_ANTHROPIC_KINDS: dict[str, tuple[str, bool]] = {
    "bash": ("bash", False),
    "text_editor": ("text_editor", False),
    "memory": ("memory", False),
    "computer": ("computer", False),
    "computer_toolset": ("computer", False),
    "browser_toolset": ("browser", False),
    "web_search": ("web_search", True),
    "web_fetch": ("web_fetch", True),
    "code_execution": ("code_execution", True),
}
_DATE = re.compile(r"_\d{8}$")


def read_tools(tools: list[Json], functions: list[Json]) -> tuple[Tool, ...]:
    """Tools of all spellings; doubled names are refused, because a call could mean either."""
    read = [read_tool(tool, f"tools.{number}") for number, tool in enumerate(tools)]
    read += [_function_tool(entry, f"functions.{number}") for number, entry in enumerate(functions)]
    seen: set[str] = set()
    for number, tool in enumerate(read):
        if tool.name and tool.name in seen:
            raise wrong(f"tools.{number}.function.name", tool.name, "each tool needs a name of its own")
        seen.add(tool.name)
    return tuple(read)


def read_tool(tool: Json, path: str) -> Tool:
    match tool:
        case {"function": dict(function)}:
            return _function_tool({**_marks(tool), **function}, f"{path}.function")
        case {"custom": dict(custom)}:
            return _freeform_tool(custom, f"{path}.custom")
        case {"type": str(kind)} if kind not in ("function", "custom"):
            return _hosted_tool(tool, kind, path)
        case {"input_schema": dict(schema)}:
            return _function_tool({**tool, "parameters": schema}, path)
        case {"name": str()}:
            return _function_tool(tool, path)
    raise missing(f"{path}.function", "an object with `name` and `parameters`")


def _marks(tool: Json) -> Json:
    return {name: tool[name] for name in ("cache_control",) if name in tool}


def _function_tool(function: Json, path: str) -> FunctionTool:
    return FunctionTool(
        name=_name(function, path),
        schema=fields_or_none(function, "parameters", path) or NO_ARGUMENTS,
        description=text_or_none(function, "description", path),
        strict=flag_or_none(function, "strict", path),
        cache=cache_mark(function),
    )


def _freeform_tool(custom: Json, path: str) -> FreeformTool:
    form = custom.get("format")
    grammar = None
    if isinstance(form, dict) and form.get("type") == "grammar":  # Responses writes it flat
        grammar = fields_or_none(form, "grammar", f"{path}.format") or form
    description = text_or_none(custom, "description", path)
    return FreeformTool(name=_name(custom, path), description=description, grammar=grammar)


def _hosted_tool(tool: Json, kind: str, path: str) -> HostedTool:
    family = _DATE.sub("", kind)
    known = _ANTHROPIC_KINDS.get(family) if family != kind else None
    name, runs_at_vendor = known or (family, True)
    protocol = "messages" if family != kind else "chat"
    given = tool.get("name")
    return HostedTool(
        kind=name,
        protocol=protocol,
        raw=tool,
        name=given if isinstance(given, str) else name,
        runs_at_vendor=runs_at_vendor,
    )


def _name(holder: Json, path: str) -> str:
    name = holder.get("name")
    if not isinstance(name, str) or not name:
        raise missing(f"{path}.name", "the tool's name")
    return name


def read_tool_choice(choice: Any, tools: tuple[Tool, ...]) -> ToolChoice | None:
    """OpenAI's words and objects, and Anthropic's objects."""
    match choice:
        case None:
            return None
        case "auto" | {"type": "auto"}:
            return ToolChoice("auto")
        case "none" | {"type": "none"}:
            return ToolChoice("none")
        case "required" | "any" | {"type": "any"} | {"type": "required"}:
            return ToolChoice("required")
        case {"type": "allowed_tools", "allowed_tools": {"tools": list(allowed), **rest}}:
            names = tuple(_chosen_name(entry) for entry in allowed)
            return ToolChoice("allowed", names, required=rest.get("mode") == "required")
        case {"name": str(name)} | {"function": {"name": str(name)}} | {"custom": {"name": str(name)}}:
            return _named(name, tools)
    raise wrong("tool_choice", choice, 'it may be "auto", "none", "required" or an object naming a tool')


def _chosen_name(entry: Any) -> str:
    match entry:
        case {"function": {"name": str(name)}} | {"custom": {"name": str(name)}} | {"name": str(name)}:
            return name
    raise wrong("tool_choice.allowed_tools.tools", entry, "each entry names a tool")


def _named(name: str, tools: tuple[Tool, ...]) -> ToolChoice:
    if all(tool.name != name for tool in tools):
        declared = ", ".join(tool.name for tool in tools)
        raise wrong("tool_choice", name, f"it must name one of `tools`: {declared}")
    return ToolChoice("named", (name,))

"""Tools and the choice among them -> Messages' `tools` and `tool_choice`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelway.conversation.errors import CallError
from modelway.conversation.request import (
    Conversation,
    FreeformTool,
    FunctionTool,
    HostedTool,
    Tool,
    ToolChoice,
)
from modelway.protocols.anthropic_messages.losses import LOSS
from modelway.protocols.anthropic_messages.names import tool_name
from modelway.protocols.anthropic_messages.schemas import enforceable
from modelway.protocols.anthropic_messages.wire import NAME, text_of
from modelway.protocols.anthropic_messages.write_blocks import Fields, Writing

WEB_SEARCH_TYPE = "web_search_20250305"


def write_tools(tools: tuple[Tool, ...], choice: ToolChoice | None, writing: Writing) -> list[Fields]:
    """The definitions, in order; of an allowed set only its members."""
    allowed = set(choice.names) if choice is not None and choice.mode == "allowed" else None
    written = []
    for index, tool in enumerate(tools):
        if allowed is not None and tool.name not in allowed:
            continue
        writing.path = f"tools.{index}"
        written.append(WRITERS[type(tool)](tool, writing))
    return written


def _function(tool: FunctionTool, writing: Writing) -> Fields:
    schema = tool.schema if "type" in tool.schema else {"type": "object", **tool.schema}
    fields: Fields = {"name": tool_name(tool.name, tool.namespace, writing.translation)}
    if tool.description is not None:
        fields["description"] = tool.description
    fields["input_schema"] = schema
    if tool.strict and writing.translation.client != NAME:
        fields |= _strict(schema, writing)
    elif tool.strict is not None and writing.translation.client == NAME:
        fields["strict"] = tool.strict
    return writing.mark({**fields, **tool.ext.get(NAME, {})}, tool.cache)


def _strict(schema: dict[str, Any], writing: Writing) -> Fields:
    """`strict` with the schema as it stands, if all of it can be enforced; else without."""
    removed = ["strict"]
    if writing.translation.capabilities.strict_tools:
        try:
            filtered, removed = enforceable(schema, writing.path)
        except CallError:  # a schema that cannot be enforced can still be followed
            filtered = schema
        if not removed:
            return {"input_schema": filtered, "strict": True}
    writing.lose("tool.function.strict")
    return {}


def _freeform(tool: FreeformTool, writing: Writing) -> Fields:
    """A tool that takes text: one string property, and the calls are unwrapped again."""
    name = tool_name(tool.name, tool.namespace, writing.translation)
    writing.translation.freeform.add(name)
    description = tool.description or ""
    if tool.grammar:
        writing.lose("tool.freeform.grammar", f"The grammar of {tool.name} is told, not enforced")
        grammar = tool.grammar.get("definition") or text_of(tool.grammar)
        description = f"{description}\n\n`input` must follow this grammar:\n{grammar}".strip()
    schema = {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    return {"name": name, "description": description, "input_schema": schema}


def _hosted(tool: HostedTool, writing: Writing) -> Fields:
    if tool.protocol == NAME:
        return dict(tool.raw)
    if tool.kind == "web_search" and writing.translation.capabilities.hosted_web_search:
        return _web_search(tool.raw)
    feature = f"tool.hosted.{tool.kind}" if tool.kind in ("web_fetch", "code_execution", "mcp") else ""
    detail = f"The tool {tool.kind!r} runs at its own vendor; this model cannot be given it"
    writing.lose(feature or "tool.hosted.other", detail)
    return {}


def _web_search(raw: Fields) -> Fields:
    """OpenAI's web search: its domains and location; how much context it takes has no counterpart."""
    fields: Fields = {"type": WEB_SEARCH_TYPE, "name": "web_search"}
    filters = raw.get("filters") or {}
    for name in ("allowed_domains", "blocked_domains"):
        if filters.get(name):
            fields[name] = filters[name]
    location = raw.get("user_location") or {}
    place = location.get("approximate") or location
    known = {name: place[name] for name in ("city", "region", "country", "timezone") if place.get(name)}
    if known:
        fields["user_location"] = {"type": "approximate", **known}
    return fields


WRITERS: dict[type, Callable[[Any, Writing], Fields]] = {
    FunctionTool: _function,
    FreeformTool: _freeform,
    HostedTool: _hosted,
}

_MODES = {"auto": "auto", "required": "any", "none": "none"}


def write_choice(conversation: Conversation, writing: Writing) -> Fields | None:
    """`tool_choice`, with the wish for single calls in it; None when nothing was said."""
    choice = conversation.tool_choice
    single = conversation.parallel_tools is False
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if single else None
    written = _choice(choice, conversation, writing)
    if conversation.parallel_tools is not None and written["type"] != "none":
        written["disable_parallel_tool_use"] = single
    return written


def _choice(choice: ToolChoice, conversation: Conversation, writing: Writing) -> Fields:
    if choice.mode == "named":
        namespaces = {t.name: t.namespace for t in conversation.tools if not isinstance(t, HostedTool)}
        name = tool_name(choice.names[0], namespaces.get(choice.names[0]), writing.translation)
        return {"type": "tool", "name": name}
    if choice.mode == "allowed":
        return {"type": "any" if choice.required else "auto"}
    return {"type": _MODES[choice.mode]}


def forced(choice: Fields | None) -> bool:
    return choice is not None and choice["type"] in ("any", "tool")


def unforced(choice: Fields, writing: Writing) -> Fields:
    """The choice left to the model, because this one refuses to be forced."""
    writing.translation.lose(LOSS["tool_choice"], "tool_choice")
    return {"type": "auto", **{k: v for k, v in choice.items() if k == "disable_parallel_tool_use"}}

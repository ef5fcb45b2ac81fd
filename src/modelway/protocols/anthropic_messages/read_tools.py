"""Tool definitions of Messages -> tools. A tool type that is not `custom` names one of Anthropic's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modelway.conversation.request import FunctionTool, HostedTool, Tool
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages.client_tools import CLIENT_TOOLS
from modelway.protocols.anthropic_messages.losses import LEAVING
from modelway.protocols.anthropic_messages.read_blocks import Fields, read_cache, unknown
from modelway.protocols.anthropic_messages.wire import NAME

# Type prefix -> the neutral kind, and whether Anthropic runs it itself.
_KINDS: tuple[tuple[str, str, bool], ...] = (
    ("web_search_", "web_search", True),
    ("web_fetch_", "web_fetch", True),
    ("code_execution_", "code_execution", True),
    ("tool_search_tool_", "tool_search", True),
    ("mcp_toolset", "mcp", True),
    ("advisor_", "advisor", True),
    ("bash_", "bash", False),
    ("text_editor_", "text_editor", False),
    ("memory_", "memory", False),
    ("computer_", "computer", False),
    ("browser_", "browser", False),
)
_EMPTY_SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}


def read_tools(tools: Iterable[Fields], translation: Translation) -> tuple[Tool, ...]:
    return tuple(_tool(fields, f"tools.{index}", translation) for index, fields in enumerate(tools))


def _tool(fields: Fields, path: str, translation: Translation) -> Tool:
    kind = fields.get("type")
    if kind is None or kind == "custom":
        return _custom(fields)
    neutral, at_vendor = next(
        ((name, runs) for prefix, name, runs in _KINDS if kind.startswith(prefix)), (kind, True)
    )
    emulated = CLIENT_TOOLS.get(neutral)
    if emulated is not None and translation.upstream != NAME:
        detail = f"The tool {kind} is Anthropic's; an ordinary function with its schema is sent"
        translation.lose(LEAVING["tool.client"], path, detail)
        name = fields.get("name") or emulated.name
        return FunctionTool(name=name, schema=emulated.schema, description=emulated.description)
    return HostedTool(
        kind=neutral, protocol=NAME, raw=fields, name=fields.get("name") or neutral, runs_at_vendor=at_vendor
    )


def _custom(fields: Fields) -> FunctionTool:
    known = ("name", "input_schema", "description", "strict", "cache_control")
    return FunctionTool(
        name=fields["name"],
        schema=fields.get("input_schema") or _EMPTY_SCHEMA,
        description=fields.get("description"),
        strict=fields.get("strict"),
        cache=read_cache(fields.get("cache_control")),
        ext=unknown(fields, *known),
    )

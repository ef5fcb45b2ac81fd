"""Tools and tool_choice towards an upstream that speaks Responses; names and ids it accepts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from modelway.conversation.errors import CallError
from modelway.conversation.request import (
    Conversation,
    FreeformTool,
    FunctionTool,
    HostedTool,
    Tool,
)
from modelway.conversation.translation import Loss, Translation
from modelway.protocols.openai_responses.losses import ROWS
from modelway.protocols.openai_responses.tools import strict_qualifies

Wire = dict[str, Any]
NAME = "responses"
NAME_CHARACTERS_MAX = 64
_LEGAL = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # names and ids, as OpenAI's API reference has them
# Another protocol's wishes for how a tool's input is streamed; they change nothing of it.
_HINTS = frozenset({"eager_input_streaming"})


def native(translation: Translation) -> bool:
    """Whether the upstream takes all that OpenAI's own dialect has: namespaces, custom tools."""
    return translation.vendor == "openai" or translation.capabilities.freeform_tools


def sent_name(name: str, namespace: str | None, translation: Translation) -> str:
    """The tool's name as the upstream may have it. What is changed is put back in the reply."""
    flat = name if namespace is None or native(translation) else f"{namespace}__{name}"
    legal = flat
    if not _LEGAL.fullmatch(flat):
        digest = hashlib.sha256(flat.encode()).hexdigest()[:8]
        legal = re.sub(r"[^a-zA-Z0-9_-]", "_", flat)[: NAME_CHARACTERS_MAX - 9] + "_" + digest
    if flat != name and namespace is not None:
        translation.namespaces[legal] = (namespace, name)
    elif legal != name:
        translation.renamed[legal] = name
    return legal


def sent_call_id(call_id: str) -> str:
    """A call's id as the upstream may have it: the same for call and result, in every turn."""
    if _LEGAL.fullmatch(call_id):
        return call_id
    return "call_" + hashlib.sha256(call_id.encode()).hexdigest()[:24]


def write_tools(tools: Sequence[Tool], translation: Translation) -> list[Wire]:
    """All tools, those of one namespace together at the place of its first."""
    written: list[Wire] = []
    groups: dict[str, list[Wire]] = {}
    for number, tool in enumerate(tools):
        wire = _write_tool(tool, f"tools.{number}", translation)
        group = None if isinstance(tool, HostedTool) or not native(translation) else tool.namespace
        if group is None:
            written.append(wire)
            continue
        if group not in groups:
            groups[group] = []
            about = tool.ext.get(NAME, {}).get("namespace_description") or group
            written.append({"type": "namespace", "name": group, "description": about, "tools": groups[group]})
        groups[group].append(wire)
    return written


def _write_tool(tool: Tool, path: str, translation: Translation) -> Wire:
    match tool:
        case FunctionTool():
            return _write_function(tool, path, translation)
        case FreeformTool():
            return _write_freeform(tool, path, translation)
        case HostedTool(protocol="responses", raw=raw):
            return raw
    return _write_hosted(tool, path, translation)


def _write_function(tool: FunctionTool, path: str, translation: Translation) -> Wire:
    schema = tool.schema if "type" in tool.schema else {"type": "object", **tool.schema}
    schema = schema if "properties" in schema else {**schema, "properties": {}}
    strict = bool(tool.strict)
    if strict and not (translation.capabilities.strict_tools and strict_qualifies(schema)):
        translation.lose(ROWS["tool.function.strict"], f"{path}.strict")
        strict = False
    own = {k: v for k, v in tool.ext.get(NAME, {}).items() if k != "namespace_description"}
    for protocol, fields in tool.ext.items():
        lost = [name for name in fields if protocol != NAME and name not in _HINTS]
        if lost:
            translation.lose(ROWS["tool.ext"], f"{path}.{lost[0]}")
    return {
        "type": "function",
        "name": sent_name(tool.name, tool.namespace, translation),
        **({"description": tool.description} if tool.description is not None else {}),
        "parameters": schema,
        "strict": strict,
        **own,
    }


def _write_freeform(tool: FreeformTool, path: str, translation: Translation) -> Wire:
    name = sent_name(tool.name, tool.namespace, translation)
    if native(translation):
        form = {"type": "grammar", **tool.grammar} if tool.grammar else {"type": "text"}
        return {"type": "custom", "name": name, "description": tool.description or "", "format": form}
    translation.freeform.add(name)
    about = tool.description or ""
    if tool.grammar:
        translation.lose(ROWS["tool.freeform.grammar"], path)
        about += f"\nThe input follows this grammar:\n{tool.grammar.get('definition', '')}"
    return {"type": "function", "name": name, "description": about, **_ONE_STRING}


_ONE_STRING: Wire = {
    "parameters": {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    },
    "strict": False,
}


def _write_hosted(tool: HostedTool, path: str, translation: Translation) -> Wire:
    """Another vendor's tool: its web search is ours too, what its caller runs becomes a function."""
    if tool.kind == "web_search":
        return _write_web_search(tool, path, translation)
    if not tool.runs_at_vendor:
        translation.lose(ROWS["tool.client"], path)
        name = sent_name(tool.name or tool.kind, None, translation)
        schema = CLIENT_TOOL_SCHEMAS.get(tool.kind, {"type": "object", "properties": {}})
        about = CLIENT_TOOL_DESCRIPTIONS.get(tool.kind, f"The {tool.kind} tool")
        return {
            "type": "function",
            "name": name,
            "description": about,
            "parameters": schema,
            "strict": False,
        }
    row = ROWS.get(f"tool.hosted.{tool.kind}", ROWS["tool.hosted.other"])
    translation.lose(row, path, f"{tool.kind}: {row.why}")
    raise CallError.unsupported(f"{tool.kind}: {row.why}", param=path, code=row.code)


def _write_web_search(tool: HostedTool, path: str, translation: Translation) -> Wire:
    raw = tool.raw
    options = raw.get("web_search_options") if "web_search_options" in raw else raw
    options = options if isinstance(options, dict) else {}
    wire: Wire = {"type": "web_search"}
    if domains := options.get("allowed_domains"):
        wire["filters"] = {"allowed_domains": domains}
    if size := options.get("search_context_size"):
        wire["search_context_size"] = size
    if location := options.get("user_location"):
        inner = location.get("approximate") or {k: v for k, v in location.items() if k != "type"}
        wire["user_location"] = {"type": "approximate", **inner}
    lost = next((name for name in ("max_uses", "blocked_domains") if options.get(name)), None)
    if lost:
        translation.lose(ROWS["tool.hosted.web_search"], f"{path}.{lost}")
    return wire


# The input schemas Anthropic publishes for the tools it defines and the caller runs
# (docs.claude.com, "Bash tool", "Text editor tool", "Memory tool").
_PATH = {"type": "string"}
_EDITS = {
    "path": _PATH,
    "file_text": {"type": "string"},
    "old_str": {"type": "string"},
    "new_str": {"type": "string"},
    "insert_line": {"type": "integer"},
    "insert_text": {"type": "string"},
    "view_range": {"type": "array", "items": {"type": "integer"}},
}
CLIENT_TOOL_SCHEMAS: dict[str, Wire] = {
    "bash": {
        "type": "object",
        "properties": {"command": {"type": "string"}, "restart": {"type": "boolean"}},
    },
    "text_editor": {
        "type": "object",
        "properties": {
            "command": {"type": "string", "enum": ["view", "create", "str_replace", "insert"]},
            **_EDITS,
        },
        "required": ["command", "path"],
    },
    "memory": {
        "type": "object",
        "properties": {
            "command": {
                "type": "string",
                "enum": ["view", "create", "str_replace", "insert", "delete", "rename"],
            },
            **_EDITS,
            "old_path": _PATH,
            "new_path": _PATH,
        },
        "required": ["command"],
    },
}
CLIENT_TOOL_DESCRIPTIONS: dict[str, str] = {
    "bash": "Runs a command in a persistent bash session; `restart` starts the session anew.",
    "text_editor": "Views, creates and edits text files.",
    "memory": "Reads and writes files in the memory directory /memories.",
}


def write_choice(conversation: Conversation, translation: Translation) -> str | Wire | None:
    """tool_choice; a raw one that only Responses can say is put back as it was."""
    raw = conversation.ext.get(NAME, {}).get("tool_choice")
    choice = conversation.tool_choice
    if raw is not None or choice is None:
        return raw if isinstance(raw, dict) else None
    if choice.mode == "named":
        return _named(choice.names[0], conversation.tools, translation)
    if choice.mode == "allowed":
        tools = [_named(name, conversation.tools, translation) for name in choice.names]
        mode = "required" if choice.required else "auto"
        return {"type": "allowed_tools", "mode": mode, "tools": tools}
    if not conversation.tools:
        return None
    return _forced_or_auto(choice.mode, translation)


def _forced_or_auto(mode: str, translation: Translation) -> str:
    if mode == "required" and not translation.capabilities.forced_tools:
        translation.lose(_UNFORCED, "tool_choice")
        return "auto"
    return mode


def _named(name: str, tools: Sequence[Tool], translation: Translation) -> Wire:
    for tool in tools:
        if isinstance(tool, HostedTool):
            if name in (tool.name, tool.kind):
                return {"type": tool.raw.get("type", tool.kind) if tool.protocol == NAME else "web_search"}
        elif tool.name == name:
            custom = isinstance(tool, FreeformTool) and native(translation)
            kind = "custom" if custom else "function"
            return {"type": kind, "name": sent_name(name, tool.namespace, translation)}
    return {"type": "function", "name": sent_name(name, None, translation)}


_UNFORCED = Loss(
    "tool_choice", ROWS["tool.client"].fate, "tool_choice", "this model cannot be forced to use a tool"
)

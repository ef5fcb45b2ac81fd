"""Tools and tool_choice, both ways: function, custom, namespaces, hosted tools."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from modelway.conversation.translation import Loss, Translation
from modelway.protocols.openai_responses.losses import ROWS

Wire = dict[str, Any]
NAME = "responses"
NAME_CHARACTERS_MAX = 64
_LEGAL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_LEGAL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")

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


# -- reading ---------------------------------------------------------------------------------------


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
        yield _TOOL_READERS[kind](tool, path)
    elif kind == "namespace":
        yield from _read_namespace(tool, path, translation)
    elif kind in HOSTED:
        neutral, at_vendor = HOSTED[kind]
        yield HostedTool(kind=neutral, protocol=NAME, raw=tool, name=neutral, runs_at_vendor=at_vendor)
    elif translation.upstream == NAME:
        yield HostedTool(kind=kind, protocol=NAME, raw=tool, name=kind)
    elif kind in _LOADERS:
        translation.warn("tool_search", path, "All tools are loaded at once on this route")
    else:
        translation.warn("unsupported_tool", path, f"A tool of type {kind!r} is not known here; dropped")


def _read_function(tool: Wire, path: str) -> FunctionTool:
    schema = tool.get("parameters") or {"type": "object", "properties": {}}
    strict = tool.get("strict")
    extra = {key: value for key, value in tool.items() if key not in _FUNCTION_FIELDS}
    return FunctionTool(
        name=_name(tool, path),
        schema=schema,
        description=tool.get("description"),
        # Left out, OpenAI tries strict: so it is strict exactly if the schema allows it.
        strict=strict_qualifies(schema) if strict is None else bool(strict),
        ext={NAME: extra} if extra else {},
    )


def _read_custom(tool: Wire, path: str) -> FreeformTool:
    form = tool.get("format") or {}
    grammar = None
    if form.get("type") == "grammar":
        grammar = {"syntax": form.get("syntax"), "definition": form.get("definition")}
    return FreeformTool(name=_name(tool, path), description=tool.get("description"), grammar=grammar)


def _read_namespace(tool: Wire, path: str, translation: Translation) -> Iterator[Tool]:
    group = _name(tool, path)
    about = {"namespace_description": tool.get("description")} if tool.get("description") else {}
    for inner in read_tools(tool.get("tools") or (), f"{path}.tools", translation):
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


_TOOL_READERS: Mapping[str, Callable[[Wire, str], Tool]] = {
    "function": _read_function,
    "custom": _read_custom,
}


def _name(tool: Wire, path: str) -> str:
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise CallError.invalid(
            f"`{path}.name` is {name!r}; a tool needs a name",
            param=f"{path}.name",
            code="missing_required_parameter",
        )
    return name


def read_choice(choice: str | Wire | None, path: str = "tool_choice") -> ToolChoice | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(choice)
        case {"type": "function" | "custom" | "mcp", "name": str(name)}:
            return ToolChoice("named", (name,))
        case {"type": "allowed_tools", "tools": list(tools), **rest}:
            names = tuple(str(tool.get("name") or tool.get("type")) for tool in tools)
            return ToolChoice("allowed", names, required=rest.get("mode") == "required")
        case {"type": str(kind)}:
            return ToolChoice("named", (HOSTED.get(kind, (kind, True))[0],))
    raise CallError.invalid(
        f"`{path}` is {choice!r}; it may be none, auto, required or an object naming a tool", param=path
    )


def strict_qualifies(schema: object) -> bool:
    """Whether OpenAI takes a schema as strict: every object closed, and all its properties required."""
    match schema:
        case dict():
            if "properties" in schema or schema.get("type") == "object":
                properties = schema.get("properties") or {}
                closed = schema.get("additionalProperties") is False
                if not closed or set(schema.get("required") or ()) != set(properties):
                    return False
            return all(strict_qualifies(value) for value in schema.values())
        case list():
            return all(strict_qualifies(value) for value in schema)
    return True


# -- writing ---------------------------------------------------------------------------------------


def native(translation: Translation) -> bool:
    """Whether the upstream takes all that OpenAI's own dialect has: namespaces, custom tools."""
    return translation.vendor == "openai" or translation.capabilities.freeform_tools


def sent_name(name: str, namespace: str | None, translation: Translation) -> str:
    """The tool's name as the upstream may have it. What is changed is put back in the reply."""
    flat = name if namespace is None or native(translation) else f"{namespace}__{name}"
    legal = flat
    if not _LEGAL_NAME.fullmatch(flat):
        digest = hashlib.sha256(flat.encode()).hexdigest()[:8]
        legal = re.sub(r"[^a-zA-Z0-9_-]", "_", flat)[: NAME_CHARACTERS_MAX - 9] + "_" + digest
    if flat != name and namespace is not None:
        translation.namespaces[legal] = (namespace, name)
    elif legal != name:
        translation.renamed[legal] = name
    return legal


def sent_call_id(call_id: str) -> str:
    """A call's id as the upstream may have it: the same for call and result, in every turn."""
    if _LEGAL_ID.fullmatch(call_id):
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
        if protocol != NAME and fields:
            translation.lose(ROWS["tool.ext"], f"{path}.{next(iter(fields))}")
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

"""Tools, tool choice, and the names and ids of calls, as an upstream that speaks Chat takes them."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from msgspec import structs

from modelway.conversation.parts import ToolCall
from modelway.conversation.request import (
    Conversation,
    FreeformTool,
    FunctionTool,
    HostedTool,
    ToolChoice,
)
from modelway.conversation.translation import Translation
from modelway.protocols.openai_chat.losses import lose, refuse

Json = dict[str, Any]
FREEFORM_SCHEMA: Json = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


class ToolNames:
    """Names as an upstream takes them: 64 of [a-zA-Z0-9_-]. Longer or odd ones get a digest; the
    translation remembers the way back. The same name always becomes the same.
    """

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._limit = translation.capabilities.name_max

    def sent(self, name: str, namespace: str | None = None) -> str:
        full = f"{namespace}__{name}" if namespace else name
        fitted = re.sub(r"[^a-zA-Z0-9_-]", "_", full)
        if fitted != full or len(full) > self._limit:
            digest = hashlib.sha256(full.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            fitted = f"{fitted[: self._limit - 9]}_{digest}"
        if namespace:
            self._translation.namespaces[fitted] = (namespace, name)
        elif fitted != name:
            self._translation.renamed[fitted] = name
        return fitted


def write_tools(conversation: Conversation, translation: Translation) -> Json:
    """The body's fields about tools."""
    names = ToolNames(translation)
    choice = conversation.tool_choice
    allowed = set(choice.names) if choice and choice.mode == "allowed" else None
    tools: list[Json] = []
    fields: Json = {}
    for number, tool in enumerate(conversation.tools):
        if allowed is not None and tool.name not in allowed:
            continue
        match tool:
            case FunctionTool():
                tools.append(_write_function(tool, names, translation, f"tools.{number}"))
            case FreeformTool():
                tools.append(_write_freeform(tool, names, translation, f"tools.{number}"))
            case HostedTool():
                fields |= _write_hosted(tool, tools, names, translation, f"tools.{number}")
    if not tools:
        return fields
    fields["tools"] = tools
    if choice is not None:
        fields |= _write_choice(choice, names, conversation, translation)
    if conversation.parallel_tools is not None and translation.capabilities.parallel_tools:
        fields["parallel_tool_calls"] = conversation.parallel_tools
    return fields


def _write_function(tool: FunctionTool, names: ToolNames, translation: Translation, path: str) -> Json:
    function: Json = {"name": names.sent(tool.name, tool.namespace)}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.schema if "type" in tool.schema else {"type": "object", **tool.schema}
    if tool.strict is not None and translation.capabilities.strict_tools:
        function["strict"] = tool.strict
        if tool.strict and not qualifies_as_strict(function["parameters"]):
            lose(translation, "tool.function.strict", f"{path}.strict")
            function["strict"] = False
    elif tool.strict:
        lose(translation, "tool.function.strict", f"{path}.strict", "This model has no strict tools")
    written: Json = {"type": "function", "function": function}
    if tool.cache and translation.capabilities.cache_marks and translation.vendor != "openai":
        written["cache_control"] = {"type": "ephemeral"}
    return written


def qualifies_as_strict(schema: Any) -> bool:
    """OpenAI's rule: every object closed, and every property required."""
    if isinstance(schema, list):
        return all(qualifies_as_strict(entry) for entry in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    kind = schema.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind) or isinstance(properties, dict):
        if schema.get("additionalProperties") is not False:
            return False
        if set(properties or ()) != set(schema.get("required") or ()):
            return False
    nested = [*(properties or {}).values()] if isinstance(properties, dict) else []
    for name in ("$defs", "definitions"):
        nested += list((schema.get(name) or {}).values())
    nested += [schema[name] for name in ("items", "anyOf", "allOf", "oneOf") if name in schema]
    return all(qualifies_as_strict(entry) for entry in nested)


def _write_freeform(tool: FreeformTool, names: ToolNames, translation: Translation, path: str) -> Json:
    name = names.sent(tool.name, tool.namespace)
    if translation.capabilities.freeform_tools:
        custom: Json = {"name": name}
        if tool.description is not None:
            custom["description"] = tool.description
        if tool.grammar is not None:
            custom["format"] = {"type": "grammar", "grammar": _nested_grammar(tool.grammar)}
        return {"type": "custom", "custom": custom}
    translation.freeform.add(name)
    description = tool.description or ""
    if tool.grammar is not None:
        lose(translation, "tool.freeform.grammar", f"{path}.format")
        syntax, definition = tool.grammar.get("syntax", ""), tool.grammar.get("definition", "")
        description = f"{description}\n\n`input` must follow this {syntax} grammar:\n{definition}".strip()
    function: Json = {"name": name, "description": description, "parameters": FREEFORM_SCHEMA}
    return {"type": "function", "function": function}


def _nested_grammar(grammar: Json) -> Json:
    return {name: grammar[name] for name in ("syntax", "definition") if name in grammar}


def _write_hosted(
    tool: HostedTool, tools: list[Json], names: ToolNames, translation: Translation, path: str
) -> Json:
    """A Chat server's own tool as it came, web search as options; everything else has no Chat form."""
    if tool.protocol == "chat" and tool.kind != "web_search":
        tools.append(tool.raw)
        return {}
    if not tool.runs_at_vendor and tool.kind in _CLIENT_TOOLS:
        lose(translation, "tool.client", path)
        tools.append(_emulated(tool, names))
        return {}
    if tool.kind == "web_search" and translation.capabilities.hosted_web_search:
        return {"web_search_options": tool.raw if tool.protocol == "chat" else _search_options(tool.raw)}
    feature = f"tool.hosted.{tool.kind}"
    known = (
        "tool.hosted.web_search",
        "tool.hosted.web_fetch",
        "tool.hosted.code_execution",
        "tool.hosted.mcp",
    )
    lose(translation, feature if feature in known else "tool.hosted.other", path)
    return {}


def _search_options(raw: Json) -> Json:
    options: Json = {}
    if raw.get("search_context_size"):
        options["search_context_size"] = raw["search_context_size"]
    where = raw.get("user_location")
    if isinstance(where, dict):
        place = {name: where[name] for name in ("city", "country", "region", "timezone") if where.get(name)}
        options["user_location"] = {"type": "approximate", "approximate": place}
    return options


# Input schemas of the tools that Anthropic defines and the caller runs, from its public documentation.
_CLIENT_TOOLS: dict[str, tuple[str, Json]] = {
    "bash": (
        "Run a command in a persistent bash session; `restart` starts a new one.",
        {"type": "object", "properties": {"command": {"type": "string"}, "restart": {"type": "boolean"}}},
    ),
    "text_editor": (
        "View, create and edit text files.",
        {
            "type": "object",
            "properties": {
                "command": {"type": "string", "enum": ["view", "create", "str_replace", "insert"]},
                "path": {"type": "string"},
                "file_text": {"type": "string"},
                "old_str": {"type": "string"},
                "new_str": {"type": "string"},
                "insert_line": {"type": "integer"},
                "insert_text": {"type": "string"},
                "view_range": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["command", "path"],
        },
    ),
    "memory": (
        "View, create, edit, delete and rename files in the memory directory.",
        {
            "type": "object",
            "properties": {
                "command": {
                    "type": "string",
                    "enum": ["view", "create", "str_replace", "insert", "delete", "rename"],
                },
                "path": {"type": "string"},
                "file_text": {"type": "string"},
                "old_str": {"type": "string"},
                "new_str": {"type": "string"},
                "insert_line": {"type": "integer"},
                "insert_text": {"type": "string"},
                "old_path": {"type": "string"},
                "new_path": {"type": "string"},
                "view_range": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["command"],
        },
    ),
}


def _emulated(tool: HostedTool, names: ToolNames) -> Json:
    description, schema = _CLIENT_TOOLS[tool.kind]
    function = {"name": names.sent(tool.name or tool.kind), "description": description, "parameters": schema}
    return {"type": "function", "function": function}


def _write_choice(
    choice: ToolChoice, names: ToolNames, conversation: Conversation, translation: Translation
) -> Json:
    forced = choice.mode in ("required", "named") or (choice.mode == "allowed" and choice.required)
    if forced and not translation.capabilities.forced_tools:
        refuse(translation, "tool_choice", "tool_choice")
        return {"tool_choice": "auto"}
    match choice.mode:
        case "named":
            return {"tool_choice": _name_choice(choice.names[0], names, conversation, translation)}
        case "allowed":
            return {"tool_choice": "required" if choice.required else "auto"}
    return {"tool_choice": choice.mode}


def _name_choice(name: str, names: ToolNames, conversation: Conversation, translation: Translation) -> Json:
    tool = next((tool for tool in conversation.tools if tool.name == name), None)
    sent = names.sent(name, tool.namespace if isinstance(tool, FunctionTool | FreeformTool) else None)
    if isinstance(tool, FreeformTool) and translation.capabilities.freeform_tools:
        return {"type": "custom", "custom": {"name": sent}}
    return {"type": "function", "function": {"name": sent}}


def sent_id(call_id: str) -> str:
    """A call's id as OpenAI takes it: 40 of [a-zA-Z0-9_-]. The same id always becomes the same."""
    if _ID.fullmatch(call_id):
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).digest()
    return "call_" + base64.b32encode(digest).decode().lower()[:24]


_ID = re.compile(r"[a-zA-Z0-9_-]{1,40}")


def restored(call: ToolCall, translation: Translation) -> ToolCall:
    """A call from upstream under the name, group and form the client gave its tool."""
    freeform = call.freeform or call.name in translation.freeform
    if call.name in translation.namespaces:
        namespace, name = translation.namespaces[call.name]
        return structs.replace(call, name=name, namespace=namespace, freeform=freeform)
    name = translation.renamed.get(call.name, call.name)
    return structs.replace(call, name=name, freeform=freeform)

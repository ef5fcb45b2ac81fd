"""The tools Anthropic defines and the caller runs (bash, text editor, memory), as ordinary functions.

Other vendors' models were not trained on their types, so they get the published input fields as a
schema. Source: the tools' pages in Anthropic's documentation (bash, text editor and memory tool).
"""

from __future__ import annotations

from typing import Any, NamedTuple


class ClientTool(NamedTuple):
    name: str
    description: str
    schema: dict[str, Any]


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _object(required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _commands(*names: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(names), "description": "What to do"}


_LINES = {
    "type": "array",
    "items": {"type": "integer"},
    "description": "For view: first and last line, counted from 1; -1 is the end of the file",
}

CLIENT_TOOLS: dict[str, ClientTool] = {
    "bash": ClientTool(
        "bash",
        "Run a command in a persistent bash session and see its output.",
        _object(
            [],
            command=_text("The command to run; needed unless the session is restarted"),
            restart={"type": "boolean", "description": "True restarts the session"},
        ),
    ),
    "text_editor": ClientTool(
        "str_replace_based_edit_tool",
        "View, create and edit text files.",
        _object(
            ["command", "path"],
            command=_commands("view", "create", "str_replace", "insert"),
            path=_text("The file or directory"),
            view_range=_LINES,
            file_text=_text("For create: the whole content of the new file"),
            old_str=_text("For str_replace: the text to replace, which must stand there exactly once"),
            new_str=_text("For str_replace: the text to put in its place"),
            insert_line={
                "type": "integer",
                "description": "For insert: the line to insert after, 0 for the top",
            },
            insert_text=_text("For insert: the text to insert"),
        ),
    ),
    "memory": ClientTool(
        "memory",
        "Keep notes between conversations in files below /memories.",
        _object(
            ["command"],
            command=_commands("view", "create", "str_replace", "insert", "delete", "rename"),
            path=_text("The file or directory"),
            view_range=_LINES,
            file_text=_text("For create: the content"),
            old_str=_text("For str_replace: the text to replace"),
            new_str=_text("For str_replace: the text to put in its place"),
            insert_line={"type": "integer", "description": "For insert: the line to insert after"},
            insert_text=_text("For insert: the text to insert"),
            old_path=_text("For rename: the path now"),
            new_path=_text("For rename: the path wanted"),
        ),
    ),
}

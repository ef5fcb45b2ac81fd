"""A tool server as agents start them: MCP over standard input and output, one tool that writes a file.

Run by any Python; it imports nothing of this repository.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
TOOL = {"name": "write_note", "description": "Writes a note into note.txt", "inputSchema": SCHEMA}


def answer(method: str, params: dict[str, Any], folder: Path) -> dict[str, Any] | None:
    """The result of a request, None for what is not known here."""
    match method:
        case "initialize":
            about = {"name": "notes", "version": "1"}
            version = params["protocolVersion"]
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
        case "tools/list":
            return {"tools": [TOOL]}
        case "tools/call":
            text = params["arguments"]["text"]
            (folder / "note.txt").write_text(text)
            return {"content": [{"type": "text", "text": f"noted: {text}"}], "isError": False}
        case _:
            return None


def serve(folder: Path) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        result = answer(request["method"], request.get("params") or {}, folder)
        unknown = {"error": {"code": -32601, "message": f"no {request['method']} here"}}
        reply = {"jsonrpc": "2.0", "id": request["id"], **({"result": result} if result else unknown)}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))

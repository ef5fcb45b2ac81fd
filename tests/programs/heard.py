"""What the scripted upstream heard: calls and results of a request, read from each protocol's own words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.fix_upstream import Received
from tests.programs.answers import Protocol

Wire = dict[str, Any]


@dataclass
class Heard:
    """A history: id -> tool name, id -> result text, and (text, signature) of every thought."""

    calls: dict[str, str] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    thoughts: list[tuple[str, str]] = field(default_factory=list)


def heard(protocol: Protocol, received: Received) -> Heard:
    found = Heard()
    READERS[protocol](received.json(), found)
    return found


def offered(protocol: Protocol, received: Received) -> list[str]:
    """The names of the tools in a request."""
    tools = received.json().get("tools") or []
    return [
        tool["function"]["name"] if protocol == "chat" else tool.get("name") or tool["type"] for tool in tools
    ]


def text_of(content: Any) -> str:
    """The text of content that is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [])


def _read_chat(body: Wire, found: Heard) -> None:
    for message in body["messages"]:
        for call in message.get("tool_calls") or []:
            found.calls[call["id"]] = call["function"]["name"]
        if message["role"] == "tool":
            found.results[message["tool_call_id"]] = text_of(message["content"])
        if message.get("reasoning_content"):
            signed = [detail.get("signature") or "" for detail in message.get("reasoning_details") or []]
            found.thoughts.append((message["reasoning_content"], "".join(signed)))


def _blocks(body: Wire) -> Iterator[Wire]:
    for message in body["messages"]:
        if isinstance(message["content"], list):
            yield from message["content"]


def _read_messages(body: Wire, found: Heard) -> None:
    for block in _blocks(body):
        match block["type"]:
            case "tool_use":
                found.calls[block["id"]] = block["name"]
            case "tool_result":
                found.results[block["tool_use_id"]] = text_of(block.get("content"))
            case "thinking":
                found.thoughts.append((block["thinking"], block["signature"]))


def _read_responses(body: Wire, found: Heard) -> None:
    for item in body["input"]:
        match item.get("type"):
            case "function_call" | "custom_tool_call":
                found.calls[item["call_id"]] = item["name"]
            case "function_call_output" | "custom_tool_call_output":
                found.results[item["call_id"]] = text_of(item["output"])
            case "reasoning":
                found.thoughts.append((text_of(item["summary"]), item.get("encrypted_content") or ""))


READERS: dict[Protocol, Callable[[Wire, Heard], None]] = {
    "chat": _read_chat,
    "messages": _read_messages,
    "responses": _read_responses,
}

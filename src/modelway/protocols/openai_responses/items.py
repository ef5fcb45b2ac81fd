"""Input items -> turns. Items on the assistant's side that follow each other are one turn, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from modelway.conversation.envelope import is_envelope, open_envelope
from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    Ext,
    HostedCall,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Secret,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from modelway.conversation.translation import Translation
from modelway.protocols.openai_responses.checks import kind_of
from modelway.protocols.openai_responses.content import NAME, read_parts

Item = dict[str, Any]
Role = Literal["system", "developer", "user", "assistant"]

# What marks a failed tool's text where the protocol has no field for it; it survives a round trip.
TOOL_ERROR = "[tool_error] "

# Calls of tools that OpenAI runs itself: the neutral name of each.
HOSTED_CALLS: dict[str, str] = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_execution",
    "image_generation_call": "image_generation",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcp",
    "tool_search_call": "tool_search",
    "tool_search_output": "tool_search",
}


class History:
    """Gathers turns item by item; `tools` and `update` are what control items ask for."""

    def __init__(self, translation: Translation) -> None:
        self.translation = translation
        self.turns: list[Turn] = []
        self.tools: list[Item] = []
        self.update: Item = {}
        self._role: Role = "user"
        self._parts: list[Part] = []
        self._phase: str | None = None
        self._path = ""
        self._ext: Ext = {}

    def add(self, item: Item, path: str) -> None:
        try:
            _READERS.get(kind_of(item), History.unknown)(self, item, path)
        except (AttributeError, KeyError, TypeError, ValueError) as reason:
            raise CallError.invalid(
                f"`{path}` is no well-formed {kind_of(item)}: {reason}", param=path, code="invalid_type"
            ) from reason

    def close(self) -> None:
        """End the turn that is being gathered."""
        parts = tuple(self._parts)
        if parts and self._role == "assistant" and all(isinstance(part, Reasoning) for part in parts):
            # Every vendor refuses reasoning that leads to nothing; an interrupted agent leaves it behind.
            self.translation.warn("reasoning_dropped", self._path, "Reasoning without what followed it")
        elif parts:
            self.turns.append(
                Turn(role=self._role, parts=parts, phase=self._phase, path=self._path, ext=self._ext)
            )
        self._parts, self._phase, self._ext = [], None, {}

    def _begin(self, role: Role, path: str) -> None:
        self.close()
        self._role, self._path = role, path

    def _assist(self, part: Part, path: str) -> None:
        if self._role != "assistant" or not self._parts:
            self._begin("assistant", path)
        self._parts.append(part)

    # -- one method per kind -----------------------------------------------------------------------

    def message(self, item: Item, path: str) -> None:
        parts = read_parts(item["content"], f"{path}.content")
        role: Role = item["role"]
        if role != "assistant":
            self._begin(role, path)
            self._parts = list(parts)
            self._ext = {NAME: {"id": item["id"]}} if isinstance(item.get("id"), str) else {}
            return
        open_already = self._role == "assistant" and bool(self._parts)
        calls = any(isinstance(part, ToolCall) for part in self._parts)
        if not open_already or (not calls and isinstance(self._parts[-1], Text | Refusal)):
            self._begin("assistant", path)
        phase = item.get("phase")
        self._phase = self._phase or (phase if isinstance(phase, str) else None)
        own = {key: item[key] for key in ("id", "phase") if isinstance(item.get(key), str)}
        self._parts.extend(_with_ext(part, {NAME: own} if own else {}) for part in parts)

    def function_call(self, item: Item, path: str) -> None:
        self._assist(
            ToolCall(
                id=item["call_id"],
                name=item["name"],
                arguments=item["arguments"],
                namespace=text_in(item, "namespace"),
                item_id=text_in(item, "id") or "",
            ),
            path,
        )

    def custom_tool_call(self, item: Item, path: str) -> None:
        self._assist(
            ToolCall(
                id=item["call_id"],
                name=item["name"],
                arguments=item["input"],
                freeform=True,
                namespace=text_in(item, "namespace"),
                item_id=text_in(item, "id") or "",
            ),
            path,
        )

    def output(self, item: Item, path: str) -> None:
        """Results that follow each other stand in one turn."""
        if self._role != "user" or not self._parts or not isinstance(self._parts[-1], ToolResult):
            self._begin("user", path)
        parts, failed = _without_mark(read_parts(item["output"], f"{path}.output"))
        freeform = item["type"] == "custom_tool_call_output"
        self._parts.append(
            ToolResult(call_id=item["call_id"], parts=parts, is_error=failed, freeform=freeform)
        )

    def reasoning(self, item: Item, path: str) -> None:
        part = read_reasoning(item, self.translation.envelope_secret)
        if part is None:
            self.translation.warn("reasoning_dropped", path, "This gateway did not seal that reasoning")
        else:
            self._assist(part, path)

    def hosted(self, item: Item, path: str) -> None:
        self._assist(read_hosted(item), path)

    def item_reference(self, item: Item, path: str) -> None:
        raise CallError.unsupported(
            f"`{path}` refers to the stored item {item['id']!r}, which is not stored here; send it whole",
            param=path,
        )

    def additional_tools(self, item: Item, path: str) -> None:
        if self.turns or any(True for _ in self._parts):
            self.translation.warn("additional_tools", path, "These tools are there from the beginning")
        self.tools.extend(item["tools"])

    def configuration_update(self, item: Item, path: str) -> None:
        self.translation.warn("configuration_update", path, "It holds for the whole request")
        for name in ("reasoning", "text"):
            if isinstance(item.get(name), dict):
                self.update[name] = {**self.update.get(name, {}), **item[name]}

    def compaction(self, item: Item, path: str) -> None:
        if self.translation.upstream != NAME:
            raise CallError.unsupported(
                f"`{path}` is a compacted history that only OpenAI can read; send the items themselves",
                param=path,
                code="unsupported_content",
            )
        self.unknown(item, path)

    def unknown(self, item: Item, path: str) -> None:
        """Kept in its place; whoever writes another protocol says that it is dropped."""
        self._assist(Opaque(protocol=NAME, raw=item), path)


_READERS: Mapping[str, Callable[[History, Item, str], None]] = {
    "message": History.message,
    "function_call": History.function_call,
    "custom_tool_call": History.custom_tool_call,
    "function_call_output": History.output,
    "custom_tool_call_output": History.output,
    "reasoning": History.reasoning,
    "item_reference": History.item_reference,
    "additional_tools": History.additional_tools,
    "configuration_update": History.configuration_update,
    "compaction": History.compaction,
    **dict.fromkeys(HOSTED_CALLS, History.hosted),
}


def text_in(item: Item, name: str) -> str | None:
    """A field's text; None for anything else that stands there."""
    value = item.get(name)
    return value if isinstance(value, str) else None


def _with_ext(part: Part, ext: Ext) -> Part:
    match part:
        case Text(text=text, citations=citations, cache=cache) if ext:
            return Text(text=text, citations=citations, cache=cache, ext=ext)
        case Refusal(text=text) if ext:
            return Refusal(text=text, ext=ext)
    return part


def _without_mark(parts: Sequence[Part]) -> tuple[tuple[Part, ...], bool]:
    match parts:
        case [Text(text=text, cache=cache), *rest] if text.startswith(TOOL_ERROR):
            return (Text(text=text.removeprefix(TOOL_ERROR), cache=cache), *rest), True
    return tuple(parts), False


def read_reasoning(
    item: Item, envelope_secret: bytes, vendor: str = "openai", model: str = ""
) -> Reasoning | None:
    """A reasoning item, of a history or of an answer; None for an envelope that is not ours.

    `ext["responses"]["content"]` says that the text stood in `content`, not in `summary`.
    """
    encrypted = item.get("encrypted_content")
    if isinstance(encrypted, str) and is_envelope(encrypted) and envelope_secret:
        return open_envelope(encrypted, envelope_secret)
    summaries = tuple(str(each.get("text", "")) for each in item.get("summary") or ())
    text = "".join(str(each.get("text", "")) for each in item.get("content") or ())
    secret = None
    item_id = text_in(item, "id") or ""
    if isinstance(encrypted, str) and encrypted:
        owner: Literal["openai", "other"] = "openai" if vendor == "openai" else "other"
        secret = Secret(owner, "encrypted", encrypted, model, item_id)
    own: dict[str, Any] = {"id": item_id} if item_id else {}
    own |= {"content": True} if text else {}
    return Reasoning(text=text, summaries=summaries, secret=secret, ext={NAME: own} if own else {})


def read_hosted(item: Item) -> HostedCall:
    name = HOSTED_CALLS.get(str(item.get("type")), str(item.get("type")))
    return HostedCall(protocol=NAME, id=str(item.get("id") or ""), name=name, raw=(item,))


def read_history(
    items: Sequence[Item], paths: Sequence[str], translation: Translation
) -> tuple[tuple[Turn, ...], list[Item], Item]:
    """The turns, the tools that items add, and the settings that items change."""
    history = History(translation)
    for item, path in zip(items, paths, strict=True):
        history.add(item, path)
    history.close()
    return tuple(history.turns), history.tools, history.update

"""A Messages body -> the neutral conversation. What no other protocol can say is judged here, because
only here its meaning is known: constraints are refused, hints are dropped with a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from modelway.conversation.errors import CallError
from modelway.conversation.parts import Part, Text, Turn
from modelway.conversation.repair import repaired
from modelway.conversation.request import (
    Attribution,
    Conversation,
    Effort,
    OutputSpec,
    ReasoningSpec,
    Sampling,
    ToolChoice,
)
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages.losses import LEAVING
from modelway.protocols.anthropic_messages.read_blocks import Fields, Place, read_blocks, read_cache
from modelway.protocols.anthropic_messages.read_tools import read_tools
from modelway.protocols.anthropic_messages.wire import (
    BILLING_HEADER,
    NAME,
    Members,
    block_fields,
    decode_content,
    decode_messages,
    loose,
)
from modelway.protocols.members import Span

# Read into neutral fields below.
_KNOWN = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "system",
        "stream",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "thinking",
        "output_config",
        "output_format",
        "tools",
        "tool_choice",
        "metadata",
        "service_tier",
        "speed",
        "inference_geo",
        "cache_control",
    }
)
# What a client relies on (where data goes, what it is billed, what is continued): never dropped silently.
_CONSTRAINTS = frozenset(
    {
        "container",
        "mcp_servers",
        "thread",
        "compaction",
        "billing_policy",
        "fallback_credit_token",
    }
)
# The tool runners of Anthropic's SDKs begin a thread unasked; told this, they go on without one.
_NO_THREADS: dict[str, object] = {"error_code": "thread_unsupported_request", "unsupported": ["model"]}
_CONTEXT = frozenset(
    {
        "context_management",
        "diagnostics",
        "fallbacks",
    }
)


def read_conversation(body: bytes, members: dict[str, Span], translation: Translation) -> Conversation:
    """The whole request. `members` are the spans of the top-level values."""
    top = {
        name: msgspec.json.decode(body[begin:end])
        for name, (begin, end) in members.items()
        if name != "messages"
    }
    begin, end = members["messages"]
    turns = (*_system(top.get("system"), translation), *_turns(decode_messages(body[begin:end]), translation))
    tool_choice, parallel = _tool_choice(top.get("tool_choice"), translation)
    return Conversation(
        model=top["model"],
        turns=repaired(turns, translation),
        tools=read_tools(top.get("tools") or (), translation),
        tool_choice=tool_choice,
        parallel_tools=parallel,
        max_output_tokens=top.get("max_tokens"),
        stop=tuple(top.get("stop_sequences") or ()),
        sampling=Sampling(temperature=top.get("temperature"), top_p=top.get("top_p"), top_k=top.get("top_k")),
        reasoning=_reasoning(top),
        output=_output(top),
        attribution=_attribution(top),
        cache=read_cache(top.get("cache_control")),
        stream=bool(top.get("stream")),
        include_usage=True,
        ext=_rest(top, translation),
    )


def _system(system: Any, translation: Translation) -> tuple[Turn, ...]:
    if not system:
        return ()
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    parts = read_blocks(blocks, Place(translation, "anthropic", path="system"))
    kept = _without_billing(parts, translation)
    return (Turn(role="system", parts=kept, path="system"),) if kept else ()


def _without_billing(parts: tuple[Part, ...], translation: Translation) -> tuple[Part, ...]:
    """Claude Code's attribution line changes with every call; it would defeat any other prompt cache."""
    if translation.vendor == "anthropic":
        return parts
    return tuple(
        part for part in parts if not (isinstance(part, Text) and part.text.startswith(BILLING_HEADER))
    )


def _turns(messages: list[Members], translation: Translation) -> list[Turn]:
    turns: list[Turn] = []
    for index, members in enumerate(messages):
        turn = _turn(members, f"messages.{index}", translation)
        if turn is not None:
            turns.append(turn)
    return turns


def _turn(members: Members, path: str, translation: Translation) -> Turn | None:
    role = msgspec.json.decode(members["role"], type=str)
    content = decode_content(members["content"])
    parts: tuple[Part, ...]
    if isinstance(content, str):
        parts = (Text(text=content),)
    else:
        place = Place(translation, "anthropic", path=path)
        parts = read_blocks([block_fields(block) for block in content], place)
    if role == "system":
        parts = _without_billing(parts, translation)
        if not parts:
            return None
    rest = {name: raw for name, raw in members.items() if name not in ("role", "content")}
    ext = {NAME: loose(rest)} if rest else {}
    return Turn(role=cast(Any, role), parts=parts, path=path, ext=ext)


_CHOICES: dict[str, Callable[[Fields], ToolChoice]] = {
    "auto": lambda choice: ToolChoice("auto"),
    "any": lambda choice: ToolChoice("required"),
    "required": lambda choice: ToolChoice("required"),
    "none": lambda choice: ToolChoice("none"),
    "tool": lambda choice: ToolChoice("named", (choice["name"],)),
}


def _tool_choice(choice: Any, translation: Translation) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether parallel calls are wanted (None: not said)."""
    if choice is None:
        return None, None
    if isinstance(choice, str):
        translation.warn(
            "tool_choice", "tool_choice", f'`tool_choice` is "{choice}", a word; an object is right'
        )
        choice = {"type": choice}
    reader = _CHOICES.get(choice["type"], _CHOICES["auto"])
    disabled = choice.get("disable_parallel_tool_use")
    return reader(choice), None if disabled is None else not disabled


_MODES = {"enabled": "budget", "adaptive": "adaptive", "disabled": "off", "between_tools": "between_tools"}
_SUMMARIES = {"summarized": "auto", "omitted": "none"}


def _reasoning(top: Fields) -> ReasoningSpec:
    thinking = top.get("thinking") or {}
    return ReasoningSpec(
        mode=cast(Any, _MODES.get(thinking.get("type", ""))),
        effort=cast(Effort | None, (top.get("output_config") or {}).get("effort")),
        budget_tokens=thinking.get("budget_tokens"),
        summary=cast(Any, _SUMMARIES.get(thinking.get("display", ""))),
    )


def _output(top: Fields) -> OutputSpec:
    config = top.get("output_config") or {}
    form = config.get("format") or top.get("output_format")
    if not form or form.get("type") != "json_schema":
        return OutputSpec()
    return OutputSpec(format="schema", schema=form.get("schema"), name=form.get("name"))


def _attribution(top: Fields) -> Attribution:
    return Attribution(
        user_id=(top.get("metadata") or {}).get("user_id"),
        service_tier=top.get("service_tier"),
        speed=top.get("speed"),
        inference_geo=top.get("inference_geo"),
    )


def _rest(top: Fields, translation: Translation) -> dict[str, dict[str, Any]]:
    """Fields only Messages has: kept for a Messages upstream, judged one by one for any other."""
    rest = {name: value for name, value in top.items() if name not in _KNOWN and value is not None}
    budget = (top.get("output_config") or {}).get("task_budget")
    if budget is not None:
        rest["task_budget"] = budget
    if translation.upstream != NAME:
        for name in rest:
            _judge(name, translation)
    return {NAME: rest} if rest else {}


def _judge(name: str, translation: Translation) -> None:
    if name == "thread":
        raise CallError(
            "unsupported",
            "`thread` cannot be kept on the way this call takes; send the whole conversation without it",
            param=name,
            code=LEAVING["ext.constraint"].code,
            details=_NO_THREADS,
        )
    if name in _CONSTRAINTS:
        translation.lose(
            LEAVING["ext.constraint"], name, f"`{name}` cannot be kept on the way this call takes"
        )
    elif name in _CONTEXT or name == "task_budget":
        translation.lose(LEAVING["ext.context"], name, f"`{name}` has no counterpart there and is left out")
    else:
        translation.lose(LEAVING["ext.unknown"], name, f"`{name}` is not known here and is left out")

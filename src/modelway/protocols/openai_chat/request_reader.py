"""A checked Chat body to a conversation: each group of top-level fields has one small function."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from modelway.conversation.errors import CallError
from modelway.conversation.parts import Text, Turn
from modelway.conversation.request import (
    EFFORTS,
    Attribution,
    Conversation,
    Effort,
    HostedTool,
    OutputSpec,
    ReasoningSpec,
    Sampling,
    StateSpec,
    Tool,
)
from modelway.conversation.translation import Translation
from modelway.protocols.members import Span
from modelway.protocols.openai_chat.fields import fields_or_none, flag_or_none, text_or_none
from modelway.protocols.openai_chat.history import mended
from modelway.protocols.openai_chat.losses import judge_leaving
from modelway.protocols.openai_chat.message_reader import read_messages
from modelway.protocols.openai_chat.part_reader import cache_mark, read_parts
from modelway.protocols.openai_chat.tools import read_tool_choice, read_tools
from modelway.protocols.openai_chat.wire import KNOWN, Body, wrong

Members = dict[str, Span]
Summary = Literal["none", "auto", "concise", "detailed"]
Verbosity = Literal["low", "medium", "high"]
_SUMMARIES: dict[str, Summary] = {"summarized": "auto", "omitted": "none"}
_VERBOSITIES: dict[str, Verbosity] = {"low": "low", "medium": "medium", "high": "high"}
# Read here although the typed top level does not check them; `audio` and `modalities` stay in `ext`.
_HARMLESS = frozenset({"modalities"})


def read_request(body: bytes, typed: Body, members: Members, translation: Translation) -> Conversation:
    """The neutral form of a checked body; raises `CallError` (400) for content nobody can carry."""
    translation.legacy_functions = bool(typed.functions) and not typed.tools
    tools = _tools(body, typed, members)
    choice = typed.function_call if translation.legacy_functions else typed.tool_choice
    return Conversation(
        model=str(typed.model),
        turns=mended(_turns(body, typed, members, translation), translation),
        tools=tools,
        tool_choice=read_tool_choice(choice, tools),
        parallel_tools=_parallel(typed),
        max_output_tokens=_max_output_tokens(typed, translation),
        stop=_stops(typed),
        sampling=_sampling(typed),
        reasoning=_reasoning(typed),
        output=_output(typed),
        state=StateSpec(store=typed.store),
        attribution=_attribution(typed),
        cache=cache_mark({"cache_control": typed.cache_control}),
        stream=bool(typed.stream),
        include_usage=bool(typed.stream_options and typed.stream_options.include_usage),
        ext=_ext(body, members, translation),
    )


def _decoded(body: bytes, members: Members, name: str) -> Any:
    begin, end = members[name]
    try:
        return msgspec.json.decode(body[begin:end])
    except (msgspec.MsgspecError, UnicodeDecodeError) as reason:
        raise CallError.invalid(f"`{name}` cannot be translated: {reason}", param=name) from None


def _turns(body: bytes, typed: Body, members: Members, translation: Translation) -> list[Turn]:
    if typed.messages is None:
        turns = [Turn(role="user", parts=(Text(text=typed.prompt or ""),), path="prompt")]
    else:
        turns = read_messages(_decoded(body, members, "messages"), translation)
    for name in ("system", "system_prompt"):
        said = getattr(typed, name)
        if said:
            parts = (Text(text=said),) if isinstance(said, str) else read_parts(said, name, translation)
            turns.insert(0, Turn(role="system", parts=parts, path=name))
    return turns


def _tools(body: bytes, typed: Body, members: Members) -> tuple[Tool, ...]:
    tools = read_tools(_decoded(body, members, "tools") if typed.tools else [], typed.functions or [])
    if typed.web_search_options is None:
        return tools
    search = HostedTool(kind="web_search", protocol="chat", raw=typed.web_search_options, name="web_search")
    return (*tools, search)


def _parallel(typed: Body) -> bool | None:
    if typed.parallel_tool_calls is not None:
        return typed.parallel_tool_calls
    choice = typed.tool_choice
    if isinstance(choice, dict) and choice.get("disable_parallel_tool_use") is not None:
        return not choice["disable_parallel_tool_use"]
    return None


def _max_output_tokens(typed: Body, translation: Translation) -> int | None:
    newer, older = typed.max_completion_tokens, typed.max_tokens
    if newer is not None and older is not None and newer != older:
        translation.warn(
            "max_tokens", "max_tokens", f"max_completion_tokens ({newer}) was used, not max_tokens ({older})"
        )
    return older if newer is None else newer


def _stops(typed: Body) -> tuple[str, ...]:
    given = typed.stop if typed.stop is not None else typed.stop_sequences
    sequences = [given] if isinstance(given, str) else given or []
    return tuple(dict.fromkeys(sequence for sequence in sequences if sequence))


def _sampling(typed: Body) -> Sampling:
    return Sampling(
        temperature=typed.temperature,
        top_p=typed.top_p,
        top_k=typed.top_k,
        seed=typed.seed,
        presence_penalty=typed.presence_penalty,
        frequency_penalty=typed.frequency_penalty,
        logit_bias=typed.logit_bias,
        logprobs=typed.logprobs,
        top_logprobs=typed.top_logprobs,
        n=typed.n or 1,
    )


def _reasoning(typed: Body) -> ReasoningSpec:
    """OpenAI's effort; Anthropic's `thinking`; OpenRouter's `reasoning`."""
    effort = _effort(typed.reasoning_effort, "reasoning_effort")
    if effort is None and typed.output_config:
        effort = _effort(typed.output_config.get("effort"), "output_config.effort")
    if typed.thinking is not None:
        return _thinking(typed.thinking, effort)
    if typed.reasoning is not None:
        return _openrouter(typed.reasoning, effort)
    return ReasoningSpec(effort=effort)


def _thinking(thinking: dict[str, Any], effort: Effort | None) -> ReasoningSpec:
    display = thinking.get("display")
    shown = _SUMMARIES.get(display) if isinstance(display, str) else None
    match thinking:
        case {"type": "adaptive"}:
            return ReasoningSpec("adaptive", effort, None, shown)
        case {"type": "disabled"}:
            return ReasoningSpec("off", effort, None, shown)
        case {"type": "between_tools"}:
            return ReasoningSpec("between_tools", effort, None, shown)
        case {"type": "enabled", "budget_tokens": int(budget)} if budget >= 1024:
            return ReasoningSpec("budget", effort, budget, shown)
        case {"type": "enabled"}:
            raise wrong("thinking.budget_tokens", thinking.get("budget_tokens"), "give 1024 or more")
    raise wrong("thinking.type", thinking.get("type"), "it may be adaptive, enabled, disabled, between_tools")


def _openrouter(reasoning: dict[str, Any], effort: Effort | None) -> ReasoningSpec:
    effort = _effort(reasoning.get("effort"), "reasoning.effort") or effort
    shown: Summary | None = "none" if reasoning.get("exclude") is True else None
    budget = reasoning.get("max_tokens")
    if reasoning.get("enabled") is False:
        return ReasoningSpec("off", effort, None, shown)
    if isinstance(budget, int) and budget > 0:
        return ReasoningSpec("budget", effort, budget, shown)
    return ReasoningSpec("adaptive" if reasoning.get("enabled") is True else None, effort, None, shown)


def _effort(value: Any, param: str) -> Effort | None:
    if value is None:
        return None
    for effort in EFFORTS:
        if value == effort:
            return effort
    raise wrong(param, value, f"it may be one of {', '.join(EFFORTS)}")


def _output(typed: Body) -> OutputSpec:
    spoken = _VERBOSITIES.get(typed.verbosity or "")
    where = "response_format.json_schema"
    match typed.response_format:
        case {"type": "json_object"}:
            return OutputSpec(format="json", verbosity=spoken)
        case {"type": "json_schema", "json_schema": dict(wrapped)}:
            return OutputSpec(
                format="schema",
                name=text_or_none(wrapped, "name", where),
                description=text_or_none(wrapped, "description", where),
                schema=fields_or_none(wrapped, "schema", where) or {"type": "object"},
                strict=flag_or_none(wrapped, "strict", where),
                verbosity=spoken,
            )
    match typed.output_config:
        case {"format": {"type": "json_schema", "schema": dict(schema)}}:
            return OutputSpec(format="schema", schema=schema, verbosity=spoken)
    return OutputSpec(verbosity=spoken)


def _attribution(typed: Body) -> Attribution:
    metadata = {name: value for name, value in (typed.metadata or {}).items() if value is not None}
    tier = typed.service_tier
    options = typed.prompt_cache_options or {}
    return Attribution(
        user_id=typed.safety_identifier or typed.user or metadata.get("user_id"),
        metadata=metadata,
        service_tier="default" if tier == "standard_only" else tier,
        cache_key=typed.prompt_cache_key,
        cache_retention=typed.prompt_cache_retention or text_or_none(options, "ttl", "prompt_cache_options"),
    )


def _ext(body: bytes, members: Members, translation: Translation) -> dict[str, dict[str, Any]]:
    """Top-level fields without a neutral word: kept for a Chat upstream, judged for any other."""
    names = [name for name in members if name not in KNOWN and name not in _HARMLESS]
    rest = {name: _decoded(body, members, name) for name in names}
    rest = {name: value for name, value in rest.items() if value is not None}
    spoken = _decoded(body, members, "modalities") if "modalities" in members else None
    if isinstance(spoken, list) and "audio" in spoken:
        rest["modalities"] = ["text", "audio"]
    if translation.upstream != "chat":
        for name in rest:
            judge_leaving(translation, name)
    return {"chat": rest} if rest else {}

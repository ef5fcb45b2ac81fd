"""Tokens and stop reasons, as Messages counts and words them, to the neutral form and back."""

from __future__ import annotations

from typing import Any

from modelway.conversation.reply import Stop, Usage, are_counts, count_of
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages.wire import NAME, STOP_REASONS, STOP_WORDS

Fields = dict[str, Any]
_CHARACTERS_PER_TOKEN = 4  # of an answer whose provider counted nothing

_COUNTED = frozenset(
    {
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation",
        "output_tokens_details",
    }
)


def read_usage(fields: Fields) -> Usage | None:
    """A `usage` object; None when it holds no counts. What was written to the cache without a split by life
    counts as 5 minutes.
    """
    if not are_counts(fields, "input_tokens", "output_tokens"):
        return None
    long, short = _cache_writes(fields)
    rest = {name: value for name, value in fields.items() if name not in _COUNTED and value is not None}
    tools = _inner(rest, "server_tool_use")
    if not tools:
        rest.pop("server_tool_use", None)
    return Usage(
        input_tokens=count_of(fields.get("input_tokens")) or 0,
        cache_read_tokens=count_of(fields.get("cache_read_input_tokens")),
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        output_tokens=count_of(fields.get("output_tokens")) or 0,
        reasoning_tokens=count_of(_inner(fields, "output_tokens_details").get("thinking_tokens")),
        web_searches=count_of(tools.get("web_search_requests")),
        ext={NAME: rest} if rest else {},
    )


def _inner(fields: Fields, name: str) -> Fields:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _cache_writes(fields: Fields) -> tuple[int | None, int | None]:
    """Tokens written for an hour and for five minutes."""
    total = count_of(fields.get("cache_creation_input_tokens"))
    split = _inner(fields, "cache_creation")
    long = count_of(split.get("ephemeral_1h_input_tokens"))
    if total is None:
        return long, count_of(split.get("ephemeral_5m_input_tokens"))
    return long, max(0, total - (long or 0))


def merged(before: Fields, after: Fields) -> Fields:
    """Usage is cumulative: what a later frame says replaces what an earlier one said."""
    return {**before, **{name: value for name, value in after.items() if value is not None}}


def write_usage(usage: Usage) -> Fields:
    """A `usage` object; cache fields only if the upstream spoke of them."""
    fields: Fields = {"input_tokens": usage.input_tokens}
    if usage.cache_write_tokens is not None:
        fields["cache_creation_input_tokens"] = usage.cache_write_tokens
    if usage.cache_read_tokens is not None:
        fields["cache_read_input_tokens"] = usage.cache_read_tokens
    if usage.cache_write_1h_tokens is not None:
        fields["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_5m_tokens or 0,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        }
    fields["output_tokens"] = usage.output_tokens
    if usage.reasoning_tokens is not None:
        fields["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    own = usage.ext.get(NAME, {})
    if usage.web_searches or own.get("server_tool_use"):
        counts = {"web_search_requests": usage.web_searches or 0, "web_fetch_requests": 0}
        own = {**own, "server_tool_use": counts | own.get("server_tool_use", {})}
    return {**fields, **own}


def estimated(translation: Translation, characters: int = 0) -> Usage:
    """What a reply without usage says: the prompt as estimated here, and what was written so far."""
    return Usage(
        input_tokens=translation.prompt_tokens_estimate,
        output_tokens=-(-characters // _CHARACTERS_PER_TOKEN),
        estimated=True,
    )


def read_stop(fields: Fields, called: bool, translation: Translation) -> Stop:
    """Why the model stopped. `called` tells whether a tool call stands in the answer: some servers say
    `end_turn` with one, or `tool_use` without, and an agent would stop or wait for nothing.
    """
    word, sequence = fields.get("stop_reason") or "end_turn", fields.get("stop_sequence")
    reason = STOP_REASONS.get(word, "unknown")
    if reason == "unknown":
        note(
            translation, "stop_reason", "stop_reason", f"The provider stopped for {word!r}, an unknown reason"
        )
    if reason == "end" and called:
        reason = "tool_use"
    elif reason == "end" and sequence:  # llama.cpp names the sequence and says `end_turn` all the same
        reason = "stop_sequence"
    if reason == "tool_use" and not called:
        reason = "end"
    details = fields.get("stop_details") or {}
    return Stop(
        reason,
        sequence=sequence,
        detail=details.get("explanation"),
        category=details.get("category"),
        raw=word,
    )


def write_stop(stop: Stop, refusal: str | None) -> Fields:
    """`stop_reason` and its companions. `refusal` is the text of a refusal part, if there was one."""
    refused = stop.reason == "refusal" or (refusal is not None and stop.reason in ("end", "unknown"))
    fields: Fields = {
        "stop_reason": "refusal" if refused else STOP_WORDS[stop.reason],
        "stop_sequence": stop.sequence if stop.reason == "stop_sequence" else None,
    }
    if refused:
        explanation = stop.detail or refusal
        fields["stop_details"] = {"type": "refusal", "category": stop.category, "explanation": explanation}
    return fields


def note(translation: Translation, code: str, param: str, detail: str) -> None:
    """Warn about an answer. Strict mode refuses requests; an answer that was made is not thrown away."""
    if not translation.strict:
        translation.warn(code, param, detail)

"""Chat's usage object and ours. Chat counts cached tokens inside `prompt_tokens`; we keep them apart."""

from __future__ import annotations

from typing import Any

from modelway.conversation.reply import Usage

Json = dict[str, Any]
_CHARACTERS_PER_TOKEN = 4  # of an answer whose provider counted nothing


def read_usage(usage: Json) -> Usage:
    """Chat's object as buckets that do not overlap; a cache larger than the prompt makes no negative."""
    prompt = _count(usage, "prompt_tokens")
    details = _details(usage, "prompt_tokens_details")
    answered = _details(usage, "completion_tokens_details")
    read = _maybe(details, "cached_tokens")
    if read is None:  # DeepSeek's name for it
        read = _maybe(usage, "prompt_cache_hit_tokens")
    written = _maybe(details, "cache_write_tokens")
    return Usage(
        input_tokens=max(0, prompt - (read or 0) - (written or 0)),
        cache_read_tokens=read,
        cache_write_5m_tokens=written,
        output_tokens=_count(usage, "completion_tokens"),
        reasoning_tokens=_maybe(answered, "reasoning_tokens"),
        audio_input_tokens=_maybe(details, "audio_tokens"),
        audio_output_tokens=_maybe(answered, "audio_tokens"),
        ext={"chat": answered} if "accepted_prediction_tokens" in answered else {},
    )


def estimated(prompt_tokens: int, characters: int) -> Usage:
    """What a stream says whose provider counted nothing: the prompt as estimated, and what was written."""
    return Usage(
        input_tokens=prompt_tokens,
        output_tokens=-(-characters // _CHARACTERS_PER_TOKEN),
        estimated=True,
    )


def write_usage(usage: Usage | None) -> Json:
    """Chat's object, always with both details objects."""
    usage = usage or Usage(estimated=True)
    kept = usage.ext.get("chat", {})
    prompt = usage.prompt_tokens
    details: Json = {
        "cached_tokens": usage.cache_read_tokens or 0,
        "audio_tokens": usage.audio_input_tokens or 0,
    }
    if usage.cache_write_tokens is not None:
        details["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens or 0,
            "audio_tokens": usage.audio_output_tokens or 0,
            "accepted_prediction_tokens": kept.get("accepted_prediction_tokens") or 0,
            "rejected_prediction_tokens": kept.get("rejected_prediction_tokens") or 0,
        },
    }


def _details(usage: Json, name: str) -> Json:
    value = usage.get(name)
    return value if isinstance(value, dict) else {}


def _count(usage: Json, name: str) -> int:
    return _maybe(usage, name) or 0


def _maybe(usage: Json, name: str) -> int | None:
    value = usage.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return max(0, int(value))

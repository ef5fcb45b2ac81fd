"""Chat's usage object and ours. Chat counts cached tokens inside `prompt_tokens`; we keep them apart."""

from __future__ import annotations

from typing import Any

from modelway.conversation.reply import Usage, are_counts, count_of

Json = dict[str, Any]
_CHARACTERS_PER_TOKEN = 4  # of an answer whose provider counted nothing


def read_usage(usage: Json) -> Usage | None:
    """Chat's object as buckets that do not overlap; a cache larger than the prompt makes no negative.
    None when it holds no counts.
    """
    if not are_counts(usage, "prompt_tokens", "completion_tokens"):
        return None
    details, answered = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    read = written = heard = reasoned = said = None
    ext = {}
    if isinstance(details, dict):
        read, written = count_of(details.get("cached_tokens")), count_of(details.get("cache_write_tokens"))
        heard = count_of(details.get("audio_tokens"))
    if isinstance(answered, dict):
        reasoned, said = count_of(answered.get("reasoning_tokens")), count_of(answered.get("audio_tokens"))
        ext = {"chat": answered} if "accepted_prediction_tokens" in answered else {}
    if read is None:  # DeepSeek's name for it
        read = count_of(usage.get("prompt_cache_hit_tokens"))
    prompt = count_of(usage.get("prompt_tokens")) or 0
    return Usage(
        input_tokens=max(0, prompt - (read or 0) - (written or 0)),
        cache_read_tokens=read,
        cache_write_5m_tokens=written,
        output_tokens=count_of(usage.get("completion_tokens")) or 0,
        reasoning_tokens=reasoned,
        audio_input_tokens=heard,
        audio_output_tokens=said,
        ext=ext,
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

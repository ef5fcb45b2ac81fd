"""Why an answer ended, in Chat's words and ours. Chat's servers disagree about what a word means."""

from __future__ import annotations

from typing import Any

from modelway.conversation.reply import Stop, StopReason

# finish_reason, and what servers that only resemble OpenAI's say instead.
_READ: dict[str, StopReason] = {
    "stop": "end",
    "eos": "end",
    "eos_token": "end",
    "end_turn": "end",
    "complete": "end",
    "completed": "end",
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "model_length": "context_window",
    "tool_calls": "tool_use",
    "tool_use": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
    "safety": "refusal",
    "stop_sequence": "stop_sequence",
}
_WRITTEN: dict[StopReason, str] = {
    "end": "stop",
    "max_tokens": "length",
    "context_window": "length",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "pause": "stop",
    "refusal": "content_filter",
    "unknown": "stop",
}
# No reason at all, or one that says the server gave up half way.
_UNFINISHED = frozenset({"", "error", "abort", "cancelled"})
DECLINED = "The model declined this request."


def is_ended(finish_reason: Any) -> bool:
    """Whether a choice's `finish_reason` says that its answer is whole."""
    return isinstance(finish_reason, str) and finish_reason not in _UNFINISHED


def read_stop(finish_reason: str, stop_reason: Any, called: bool) -> Stop:
    """`stop_reason` is vLLM's field: a string is the sequence that was hit, a number a token id.

    `called` says whether tool calls came: they decide between an end and a wait for results, because
    many servers say `stop` with calls, and some say `tool_calls` without any.
    """
    reason = _READ.get(finish_reason.lower(), "unknown")
    if called and reason in ("end", "unknown", "stop_sequence"):
        reason = "tool_use"
    elif reason == "tool_use" and not called:
        reason = "end"
    elif reason == "end" and isinstance(stop_reason, str) and stop_reason:
        return Stop("stop_sequence", sequence=stop_reason, raw=finish_reason)
    return Stop(reason, raw=finish_reason)


def written_stop(stop: Stop, legacy_functions: bool) -> str:
    if stop.reason == "tool_use" and legacy_functions:
        return "function_call"
    return _WRITTEN[stop.reason]

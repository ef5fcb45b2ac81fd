"""The response object around the output: ids, the request's parameters echoed, usage both ways."""

from __future__ import annotations

from typing import Any

from modelway.conversation.errors import CallError
from modelway.conversation.reply import Stop, Usage, are_counts, count_of
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.protocols.openai_responses.content import NAME
from modelway.protocols.openai_responses.tools import strict_qualifies

Wire = dict[str, Any]


def response_id(translation: Translation) -> str:
    """The client's response id: minted once per call, the same in every event and in the store."""
    if not translation.reply_id:
        translation.reply_id = translation.mint("resp_")
    return translation.reply_id


def item_id(prefix: str, index: int, translation: Translation) -> str:
    """An output item's id, made of the response's: the same streamed or whole, now or later."""
    return f"{prefix}_{response_id(translation).removeprefix('resp_')}{index:03d}"


def base(translation: Translation) -> Wire:
    """A response in progress with nothing in it: every field OpenAI's types require is there."""
    asked = translation.asked or Conversation(model=translation.model_asked, turns=())
    own = asked.ext.get(NAME, {})
    echo = own.get("echo", {})
    return {
        "id": response_id(translation),
        "object": "response",
        "created_at": translation.now_s,
        "status": "in_progress",
        "background": bool(asked.state.background),
        "error": None,
        "incomplete_details": None,
        "instructions": echo.get("instructions"),
        "max_output_tokens": asked.max_output_tokens,
        "max_tool_calls": own.get("max_tool_calls"),
        "model": translation.model_asked,
        "output": [],
        "parallel_tool_calls": asked.parallel_tools is not False,
        "previous_response_id": own.get("previous_response_id"),
        "prompt_cache_key": asked.attribution.cache_key,
        "reasoning": {"effort": asked.reasoning.effort, "summary": _summary(asked)},
        "safety_identifier": asked.attribution.user_id,
        "service_tier": tier_of(asked.attribution.service_tier, "auto"),
        # What is not said is not kept, unless whoever keeps it says so in `asked`.
        "store": bool(asked.state.store),
        "temperature": 1.0 if asked.sampling.temperature is None else asked.sampling.temperature,
        "text": {"verbosity": asked.output.verbosity or "medium", **_text(echo)},
        "tool_choice": echo.get("tool_choice") or "auto",
        "tools": [_tool(tool) for tool in echo.get("tools", ())],
        "top_logprobs": asked.sampling.top_logprobs or 0,
        "top_p": 1.0 if asked.sampling.top_p is None else asked.sampling.top_p,
        "truncation": own.get("truncation") or "disabled",
        "usage": None,
        "user": own.get("user"),
        "metadata": asked.attribution.metadata,
    }


def _summary(asked: Conversation) -> str | None:
    summary = asked.reasoning.summary
    return None if summary == "none" else summary


def _text(echo: Wire) -> Wire:
    text = echo.get("text") or {}
    return {**text, "format": text.get("format") or {"type": "text"}}


def _tool(tool: Wire) -> Wire:
    if tool.get("type") != "function":
        return tool
    strict = tool.get("strict")
    strict = strict_qualifies(tool.get("parameters")) if strict is None else strict
    return {**tool, "parameters": tool.get("parameters"), "strict": strict}


# reason: the response's status, and the reason it is incomplete.
_STATUS: dict[str, tuple[str, str | None]] = {
    "max_tokens": ("incomplete", "max_output_tokens"),
    "context_window": ("incomplete", "max_output_tokens"),
    "refusal": ("incomplete", "content_filter"),
}
# An OpenAI model that refuses in words has ended its answer all the same.
_ENDED = ("stop", "completed")


def status_of(stop: Stop) -> tuple[str, str | None]:
    """A stop as status and reason: everything that is not cut short is completed."""
    if stop.reason == "refusal" and stop.raw in _ENDED:
        return "completed", None
    return _STATUS.get(stop.reason, ("completed", None))


_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})


def tier_of(answered: str | None, asked: str) -> str:
    """The tier that served the call, in OpenAI's words: another vendor's standard is its `default`."""
    if answered is None:
        return asked
    return answered if answered in _TIERS else "default"


FAILED_CODES: dict[str, str] = {
    "rate_limit_error": "rate_limit_exceeded",
    "overloaded_error": "server_error",
}


def error_object(error: CallError) -> Wire:
    """What stands in a failed response's `error`; a rate limit and an overload have OpenAI's own names:
    Codex gives up at `server_is_overloaded` and tries again at `server_error`.
    """
    code = FAILED_CODES.get(error.type, error.code)
    return {"code": code, "message": error.message, "param": error.param, "type": error.type}


def write_usage(usage: Usage) -> Wire:
    """OpenAI counts cached and written tokens into the input; details are never left out."""
    write = usage.cache_write_tokens or 0
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cache_read_tokens or 0, "cache_write_tokens": write},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
    }


def read_usage(response: Wire) -> Usage | None:
    """The usage of a response object; None if it has none. Never negative, whatever was sent."""
    raw = response.get("usage")
    if not isinstance(raw, dict) or not are_counts(raw, "input_tokens", "output_tokens"):
        return None
    details = raw.get("input_tokens_details")
    details = details if isinstance(details, dict) else {}
    output_details = raw.get("output_tokens_details")
    output_details = output_details if isinstance(output_details, dict) else {}
    cached, written = count_of(details.get("cached_tokens")), count_of(details.get("cache_write_tokens"))
    long_lived = min(count_of(details.get("ttl_12h_tokens")) or 0, written or 0)
    total = count_of(raw.get("input_tokens")) or 0
    return Usage(
        input_tokens=max(0, total - (cached or 0) - (written or 0)),
        cache_read_tokens=cached,
        cache_write_5m_tokens=None if written is None else written - long_lived,
        cache_write_1h_tokens=long_lived or None,
        output_tokens=count_of(raw.get("output_tokens")) or 0,
        reasoning_tokens=count_of(output_details.get("reasoning_tokens")),
        web_searches=_searches(response),
    )


def _searches(response: Wire) -> int | None:
    match response.get("tool_usage"):
        case {"web_search": {"num_requests": count}}:
            return count_of(count)
    return None

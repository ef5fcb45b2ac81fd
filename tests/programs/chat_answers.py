"""An answer as a Chat upstream writes it; nothing of ours is used."""

from __future__ import annotations

from collections.abc import Iterator

from tests.programs.turns import (
    CREATED_S,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    Turn,
    Use,
    Wire,
    arguments,
    data,
    pieces,
)


def _chat_usage() -> Wire:
    total = INPUT_TOKENS + OUTPUT_TOKENS
    return {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": total}


def _chat_call(use: Use) -> Wire:
    function = {"name": use.name, "arguments": arguments(use)}
    return {"id": use.id, "type": "function", "function": function}


def _chat_details(turn: Turn) -> list[Wire]:
    """Signed reasoning as OpenRouter carries it over Chat."""
    kind = "reasoning.text"
    detail = {
        "type": kind,
        "text": turn.thinking,
        "signature": turn.signature,
        "format": "unknown",
        "index": 0,
    }
    return [detail] if turn.signature else []


def chat_whole(turn: Turn) -> Wire:
    message: Wire = {"role": "assistant", "content": turn.text or None, "refusal": None}
    if turn.uses:
        message["tool_calls"] = [_chat_call(use) for use in turn.uses]
    if turn.thinking:
        message["reasoning_content"] = turn.thinking
    if turn.signature:
        message["reasoning_details"] = _chat_details(turn)
    finish = "tool_calls" if turn.uses else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    head = {
        "id": f"chatcmpl-{turn.number}",
        "object": "chat.completion",
        "created": CREATED_S,
        "model": "far-chat",
    }
    return {**head, "choices": [choice], "usage": _chat_usage()}


def _chat_deltas(turn: Turn) -> Iterator[Wire]:
    yield {"role": "assistant", "content": ""}
    for piece in pieces(turn.thinking):
        yield {"reasoning_content": piece}
    if turn.signature:
        yield {"reasoning_details": [{**_chat_details(turn)[0], "text": ""}]}
    for piece in pieces(turn.text):
        yield {"content": piece}
    for index, use in enumerate(turn.uses):
        whole_call = _chat_call(use)
        yield {
            "tool_calls": [{"index": index, **whole_call, "function": {"name": use.name, "arguments": ""}}]
        }
        for piece in pieces(arguments(use)):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def chat_stream(turn: Turn) -> Iterator[bytes]:
    head = {
        "id": f"chatcmpl-{turn.number}",
        "object": "chat.completion.chunk",
        "created": CREATED_S,
        "model": "far-chat",
    }
    for delta in _chat_deltas(turn):
        yield data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    finish = "tool_calls" if turn.uses else "stop"
    yield data({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    yield data({**head, "choices": [], "usage": _chat_usage()})
    yield data("[DONE]")

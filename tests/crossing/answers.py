"""Answers a scripted upstream gives: built here where a test turns on one detail of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.fix_upstream import Scripted, streamed, whole

Json = dict[str, Any]

USAGE = {"input_tokens": 10, "output_tokens": 5}


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def thinking(words: str, signature: str) -> Json:
    return {"type": "thinking", "thinking": words, "signature": signature}


def tool_use(identity: str, name: str = "look", **given: object) -> Json:
    return {"type": "tool_use", "id": identity, "name": name, "input": given}


def search(identity: str) -> Json:
    return {"type": "server_tool_use", "id": identity, "name": "web_search", "input": {"query": "q"}}


def found(identity: str) -> Json:
    hit = {"type": "web_search_result", "url": "https://example.org", "title": "T", "encrypted_content": "E"}
    return {"type": "web_search_tool_result", "tool_use_id": identity, "content": [hit]}


def message(blocks: Sequence[Json], stop_reason: str = "end_turn") -> Json:
    return {
        "id": "msg_far",
        "type": "message",
        "role": "assistant",
        "model": "far",
        "content": list(blocks),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": USAGE,
    }


def message_stream(blocks: Sequence[Json], stop_reason: str = "end_turn") -> bytes:
    start = message([]) | {"stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    events: list[Json] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(blocks):
        events += _block(index, block)
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}})
    events.append({"type": "message_stop"})
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in events
    )


def _block(index: int, block: Json) -> list[Json]:
    empty, deltas = dict(block), []
    match block["type"]:
        case "text":
            empty["text"] = ""
            deltas = [{"type": "text_delta", "text": block["text"]}]
        case "thinking":
            empty |= {"thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        case "tool_use" | "server_tool_use":
            empty["input"] = {}
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
    return [
        {"type": "content_block_start", "index": index, "content_block": empty},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def says(blocks: Sequence[Json], stop_reason: str = "end_turn", *, stream: bool = False) -> Scripted:
    """A Messages provider's answer."""
    if stream:
        return streamed(message_stream(blocks, stop_reason))
    return whole(json.dumps(message(blocks, stop_reason)).encode())


def completion(content: str | None, finish: str = "stop", **more: object) -> Json:
    return {
        "id": "chatcmpl-far",
        "object": "chat.completion",
        "created": 1,
        "model": "far",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **more},
                "finish_reason": finish,
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def chat_says(content: str | None, *, stream: bool = False) -> Scripted:
    """A Chat provider's answer."""
    if not stream:
        return whole(json.dumps(completion(content)).encode())
    chunk = {"id": "chatcmpl-far", "object": "chat.completion.chunk", "created": 1, "model": "far"}
    deltas = [({"role": "assistant", "content": content or ""}, None), ({}, "stop")]
    frames = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        for delta, finish in deltas
    ]
    body = b"".join(b"data: %b\n\n" % json.dumps(frame).encode() for frame in frames)
    return streamed(body + b"data: [DONE]\n\n")

"""What a scripted upstream says, written in each protocol from one description; nothing of ours is used."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tests.fix_upstream import (
    CHAT,
    MESSAGES,
    RESPONSES,
    Scripted,
    ScriptedUpstream,
    Send,
    Wait,
    streamed,
    whole,
)

Protocol = Literal["chat", "messages", "responses"]
PROTOCOLS: tuple[Protocol, ...] = ("chat", "messages", "responses")
PATHS: dict[Protocol, str] = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
MODELS: dict[Protocol, str] = {
    "chat": "chat-model",
    "messages": "messages-model",
    "responses": "responses-model",
}
CREATED_S = 1_790_000_000
INPUT_TOKENS, OUTPUT_TOKENS = 120, 30
PIECE_CHARACTERS = 7  # small enough that every text and every argument arrives in several deltas
PASSED_ON_S = 0.3  # an error that comes with the first bytes is answered with a status instead

OVERLOADED = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
ERROR_FRAMES: dict[Protocol, bytes] = {
    "chat": b'data: {"error":{"message":"The server had an error","type":"server_error","code":null}}\n\n',
    "messages": b"event: error\ndata: " + OVERLOADED + b"\n\n",
    "responses": b'event: error\ndata: {"type":"error","code":"server_error","param":null,'
    b'"message":"The server had an error","sequence_number":99}\n\n',
}

Wire = dict[str, Any]


@dataclass(frozen=True)
class Use:
    """A tool call: the id the upstream gave it, the tool, its arguments (an object, or free text)."""

    id: str
    name: str
    arguments: Wire | str
    namespace: str | None = None


@dataclass(frozen=True)
class Turn:
    """One answer of the model: thinking with its signature, then text, then calls."""

    text: str = ""
    uses: tuple[Use, ...] = ()
    thinking: str = ""
    signature: str = ""

    @property
    def number(self) -> int:
        """Part of every id in this answer: programs take two answers with one id for the same."""
        return zlib.crc32(repr(self).encode())


def script(upstream: ScriptedUpstream, protocol: Protocol, *turns: Turn) -> str:
    """Scripts these turns as streams, one request each; the model to ask the gateway for."""
    upstream.answers(PATHS[protocol], *(stream(protocol, turn) for turn in turns))
    return MODELS[protocol]


def stream(protocol: Protocol, turn: Turn) -> Scripted:
    return streamed(b"".join(frames_of(protocol, turn)))


def reply(protocol: Protocol, turn: Turn) -> Scripted:
    return whole(json.dumps(WHOLE[protocol](turn)).encode())


def begun(protocol: Protocol, turn: Turn, *, then: bytes) -> Scripted:
    """The first half of the stream and, once that has been passed on, these bytes and its end."""
    recorded = frames_of(protocol, turn)
    half = [Send(frame) for frame in recorded[: len(recorded) // 2]]
    head = (("content-type", "text/event-stream"),)
    return Scripted((*half, Wait(PASSED_ON_S), Send(then)), headers=head)


def frames_of(protocol: Protocol, turn: Turn) -> list[bytes]:
    return list(STREAMS[protocol](turn))


def _pieces(text: str) -> list[str]:
    return [text[start : start + PIECE_CHARACTERS] for start in range(0, len(text), PIECE_CHARACTERS)]


def _data(event: Wire | str, name: str | None = None) -> bytes:
    data = event if isinstance(event, str) else json.dumps(event)
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()


def _arguments(use: Use) -> str:
    return use.arguments if isinstance(use.arguments, str) else json.dumps(use.arguments)


# --- Chat


def _chat_usage() -> Wire:
    total = INPUT_TOKENS + OUTPUT_TOKENS
    return {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": total}


def _chat_call(use: Use) -> Wire:
    function = {"name": use.name, "arguments": _arguments(use)}
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
    for piece in _pieces(turn.thinking):
        yield {"reasoning_content": piece}
    if turn.signature:
        yield {"reasoning_details": [{**_chat_details(turn)[0], "text": ""}]}
    for piece in _pieces(turn.text):
        yield {"content": piece}
    for index, use in enumerate(turn.uses):
        whole_call = _chat_call(use)
        yield {
            "tool_calls": [{"index": index, **whole_call, "function": {"name": use.name, "arguments": ""}}]
        }
        for piece in _pieces(_arguments(use)):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def chat_stream(turn: Turn) -> Iterator[bytes]:
    head = {
        "id": f"chatcmpl-{turn.number}",
        "object": "chat.completion.chunk",
        "created": CREATED_S,
        "model": "far-chat",
    }
    for delta in _chat_deltas(turn):
        yield _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    finish = "tool_calls" if turn.uses else "stop"
    yield _data({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    yield _data({**head, "choices": [], "usage": _chat_usage()})
    yield _data("[DONE]")


# --- Messages


def _blocks(turn: Turn) -> list[Wire]:
    blocks: list[Wire] = []
    if turn.thinking or turn.signature:
        blocks.append({"type": "thinking", "thinking": turn.thinking, "signature": turn.signature})
    if turn.text:
        blocks.append({"type": "text", "text": turn.text})
    for use in turn.uses:
        blocks.append({"type": "tool_use", "id": use.id, "name": use.name, "input": use.arguments})
    return blocks


def messages_whole(turn: Turn) -> Wire:
    head = {"id": f"msg_{turn.number}", "type": "message", "role": "assistant", "model": "far-messages"}
    stop = "tool_use" if turn.uses else "end_turn"
    usage = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    return {**head, "content": _blocks(turn), "stop_reason": stop, "stop_sequence": None, "usage": usage}


def _block_deltas(block: Wire) -> tuple[Wire, list[Wire]]:
    """A block as it starts, and its deltas."""
    match block["type"]:
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
            signature = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signature]
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": p} for p in _pieces(block["text"])]
        case _:
            pieces = ["", *_pieces(json.dumps(block["input"]))]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": p} for p in pieces]


def messages_stream(turn: Turn) -> Iterator[bytes]:
    message = messages_whole(turn)
    start = {**message, "content": [], "stop_reason": None}
    yield _data({"type": "message_start", "message": start}, "message_start")
    for index, block in enumerate(message["content"]):
        opened, deltas = _block_deltas(block)
        name = "content_block_start"
        yield _data({"type": name, "index": index, "content_block": opened}, name)
        name = "content_block_delta"
        for delta in deltas:
            yield _data({"type": name, "index": index, "delta": delta}, name)
        name = "content_block_stop"
        yield _data({"type": name, "index": index}, name)
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": OUTPUT_TOKENS}
    yield _data({"type": "message_delta", "delta": ending, "usage": usage}, "message_delta")
    yield _data({"type": "message_stop"}, "message_stop")


# --- Responses


def _items(turn: Turn) -> list[Wire]:
    items: list[Wire] = []
    if turn.thinking or turn.signature:
        summary = [{"type": "summary_text", "text": turn.thinking}] if turn.thinking else []
        reasoning = {"type": "reasoning", "id": f"rs_{turn.number}", "summary": summary}
        items.append({**reasoning, "encrypted_content": turn.signature or None})
    if turn.text:
        part = {"type": "output_text", "text": turn.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": f"msg_{turn.number}", "status": "completed", "role": "assistant"}
        items.append({**message, "content": [part]})
    for index, use in enumerate(turn.uses):
        items.append(_call_item(f"{turn.number}_{index}", use))
    return items


def _call_item(suffix: str, use: Use) -> Wire:
    if isinstance(use.arguments, str):
        item: Wire = {"type": "custom_tool_call", "id": f"ctc_{suffix}", "input": use.arguments}
    else:
        item = {"type": "function_call", "id": f"fc_{suffix}", "arguments": _arguments(use)}
    placed = {"namespace": use.namespace} if use.namespace else {}
    return {**item, "status": "completed", "call_id": use.id, "name": use.name, **placed}


def _response(turn: Turn, status: str, output: list[Wire]) -> Wire:
    usage = {
        "input_tokens": INPUT_TOKENS,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": OUTPUT_TOKENS,
        "output_tokens_details": {"reasoning_tokens": 10 if turn.thinking else 0},
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    }
    return {
        "id": f"resp_{turn.number}",
        "object": "response",
        "created_at": CREATED_S,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "far-responses",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage if status == "completed" else None,
    }


def responses_whole(turn: Turn) -> Wire:
    return _response(turn, "completed", _items(turn))


def _opened(item: Wire) -> Wire:
    """An item as it is first announced: nothing in it yet."""
    empty: Wire = {"message": {"content": []}, "reasoning": {"summary": [], "encrypted_content": ""}}
    fields = {"function_call": "arguments", "custom_tool_call": "input"}
    kind = item["type"]
    less: Wire = {fields[kind]: ""} if kind in fields else empty[kind]
    status = {"status": "in_progress"} if "status" in item else {}
    return {**item, **less, **status}


def _item_events(item: Wire) -> Iterator[Wire]:
    """What happens between an item's announcement and its end."""
    where: Wire = {"item_id": item["id"]}
    match item["type"]:
        case "message":
            part = item["content"][0]
            at = {**where, "content_index": 0}
            opened = {**part, "text": ""}
            yield {"type": "response.content_part.added", **at, "part": opened}
            for piece in _pieces(part["text"]):
                yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
            yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}
            yield {"type": "response.content_part.done", **at, "part": part}
        case "reasoning":
            for index, part in enumerate(item["summary"]):
                at = {**where, "summary_index": index}
                name = "response.reasoning_summary"
                yield {"type": f"{name}_part.added", **at, "part": {**part, "text": ""}}
                for piece in _pieces(part["text"]):
                    yield {"type": f"{name}_text.delta", **at, "delta": piece}
                yield {"type": f"{name}_text.done", **at, "text": part["text"]}
                yield {"type": f"{name}_part.done", **at, "part": part}
        case "function_call":
            name = "response.function_call_arguments"
            for piece in _pieces(item["arguments"]):
                yield {"type": f"{name}.delta", **where, "delta": piece}
            done = {"name": item["name"], "arguments": item["arguments"]}
            yield {"type": f"{name}.done", **where, **done}
        case _:
            name = "response.custom_tool_call_input"
            for piece in _pieces(item["input"]):
                yield {"type": f"{name}.delta", **where, "delta": piece}
            yield {"type": f"{name}.done", **where, "input": item["input"]}


def _response_events(turn: Turn) -> Iterator[Wire]:
    started = _response(turn, "in_progress", [])
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    for index, item in enumerate(_items(turn)):
        at = {"output_index": index}
        yield {"type": "response.output_item.added", **at, "item": _opened(item)}
        for event in _item_events(item):
            yield {**event, **at}
        yield {"type": "response.output_item.done", **at, "item": item}
    yield {"type": "response.completed", "response": responses_whole(turn)}


def responses_stream(turn: Turn) -> Iterator[bytes]:
    for number, event in enumerate(_response_events(turn)):
        yield _data({**event, "sequence_number": number}, event["type"])


WHOLE: dict[Protocol, Callable[[Turn], Wire]] = {
    "chat": chat_whole,
    "messages": messages_whole,
    "responses": responses_whole,
}
STREAMS: dict[Protocol, Callable[[Turn], Iterator[bytes]]] = {
    "chat": chat_stream,
    "messages": messages_stream,
    "responses": responses_stream,
}

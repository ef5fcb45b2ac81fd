"""An answer as a Messages upstream writes it; nothing of ours is used."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.programs.turns import INPUT_TOKENS, OUTPUT_TOKENS, Turn, Wire, data, pieces


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
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            signature = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signature]
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": p} for p in pieces(block["text"])]
        case _:
            texts = ["", *pieces(json.dumps(block["input"]))]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": t} for t in texts]


def messages_stream(turn: Turn) -> Iterator[bytes]:
    message = messages_whole(turn)
    start = {**message, "content": [], "stop_reason": None}
    yield data({"type": "message_start", "message": start}, "message_start")
    for index, block in enumerate(message["content"]):
        opened, deltas = _block_deltas(block)
        name = "content_block_start"
        yield data({"type": name, "index": index, "content_block": opened}, name)
        name = "content_block_delta"
        for delta in deltas:
            yield data({"type": name, "index": index, "delta": delta}, name)
        name = "content_block_stop"
        yield data({"type": name, "index": index}, name)
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": OUTPUT_TOKENS}
    yield data({"type": "message_delta", "delta": ending, "usage": usage}, "message_delta")
    yield data({"type": "message_stop"}, "message_stop")

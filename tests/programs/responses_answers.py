"""An answer as a Responses upstream writes it; nothing of ours is used."""

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
        item = {"type": "function_call", "id": f"fc_{suffix}", "arguments": arguments(use)}
    placed = {"namespace": use.namespace} if use.namespace else {}
    return {**item, "status": "completed", "call_id": use.id, "name": use.name, **placed}


def _format(schema: Wire | None) -> Wire:
    if schema is None:
        return {"type": "text"}
    return {"type": "json_schema", "name": "form", "schema": schema, "strict": True}


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
        "text": {"format": _format(turn.schema)},
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
            for piece in pieces(part["text"]):
                yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
            yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}
            yield {"type": "response.content_part.done", **at, "part": part}
        case "reasoning":
            for index, part in enumerate(item["summary"]):
                at = {**where, "summary_index": index}
                name = "response.reasoning_summary"
                yield {"type": f"{name}_part.added", **at, "part": {**part, "text": ""}}
                for piece in pieces(part["text"]):
                    yield {"type": f"{name}_text.delta", **at, "delta": piece}
                yield {"type": f"{name}_text.done", **at, "text": part["text"]}
                yield {"type": f"{name}_part.done", **at, "part": part}
        case "function_call":
            name = "response.function_call_arguments"
            for piece in pieces(item["arguments"]):
                yield {"type": f"{name}.delta", **where, "delta": piece}
            done = {"name": item["name"], "arguments": item["arguments"]}
            yield {"type": f"{name}.done", **where, **done}
        case _:
            name = "response.custom_tool_call_input"
            for piece in pieces(item["input"]):
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
        yield data({**event, "sequence_number": number}, event["type"])

"""Turns -> the input items of an upstream that speaks Responses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from modelway.conversation.parts import (
    HostedCall,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from modelway.conversation.translation import Translation
from modelway.protocols.openai_responses.content import NAME, write_citation, write_input
from modelway.protocols.openai_responses.items import TOOL_ERROR
from modelway.protocols.openai_responses.losses import ROWS
from modelway.protocols.openai_responses.outgoing_tools import (
    native,
    sent_call_id,
    sent_name,
)

Wire = dict[str, Any]
_encoder = msgspec.json.Encoder()


def write_turn(turn: Turn, translation: Translation) -> Iterator[Wire]:
    if turn.name:
        translation.lose(ROWS["turn.name"], f"{turn.path}.name")
    if turn.role == "assistant":
        yield from _write_assistant(turn, translation)
        return
    content: list[Wire] = []
    for number, part in enumerate(turn.parts):
        path = f"{turn.path}.{number}"
        if isinstance(part, ToolResult):
            if content:
                yield _message(turn, content)
                content = []
            yield _write_result(part, path, translation)
        elif (wire := write_input(part, path, translation)) is not None:
            content.append(wire)
    if content:
        yield _message(turn, content)


def _message(turn: Turn, content: list[Wire]) -> Wire:
    own = turn.ext.get(NAME, {})
    id = {"id": own["id"]} if "id" in own else {}
    return {"type": "message", **id, "role": turn.role, "content": content}


def _write_result(part: ToolResult, path: str, translation: Translation) -> Wire:
    if part.is_error:
        translation.lose(ROWS["part.tool_result.is_error"], path)
    content = [
        wire
        for number, each in enumerate(part.parts)
        if (wire := write_input(each, f"{path}.content.{number}", translation)) is not None
    ]
    mark = TOOL_ERROR if part.is_error else ""
    output: str | list[Wire]
    if not content or (len(content) == 1 and set(content[0]) == {"type", "text"}):
        output = mark + (content[0]["text"] if content else "")
    elif mark and content[0]["type"] == "input_text":
        output = [{**content[0], "text": mark + content[0]["text"]}, *content[1:]]
    else:
        output = [{"type": "input_text", "text": mark}, *content] if mark else content
    custom = part.freeform and native(translation)
    kind = "custom_tool_call_output" if custom else "function_call_output"
    return {"type": kind, "call_id": sent_call_id(part.call_id), "output": output}


def _write_assistant(turn: Turn, translation: Translation) -> Iterator[Wire]:
    message: Wire | None = None
    for number, part in enumerate(turn.parts):
        path = f"{turn.path}.{number}"
        if isinstance(part, Text | Refusal):
            own = part.ext.get(NAME, {})
            if message is None or own.get("id") not in (None, message["id"]):
                if message is not None:
                    yield message
                message = _assistant_message(turn, number, own)
            message["content"].append(_write_output(part, path, translation))
            continue
        items = list(_write_item(part, path, translation))
        if items and message is not None:
            yield message
            message = None
        yield from items
    if message is not None:
        yield message


def _assistant_message(turn: Turn, number: int, own: Wire) -> Wire:
    digest = hashlib.sha256(f"{turn.path}.{number}".encode()).hexdigest()[:24]
    phase = own.get("phase") or turn.phase
    return {
        "type": "message",
        "id": own.get("id") or f"msg_{digest}",
        "role": "assistant",
        "status": "completed",
        **({"phase": phase} if phase else {}),
        "content": [],
    }


def _write_output(part: Text | Refusal, path: str, translation: Translation) -> Wire:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    own = [write_citation(each, len(part.text)) for each in part.citations if each.vendor == "openai"]
    annotations = [annotation for annotation in own if annotation is not None]
    if len(annotations) < len(part.citations):
        translation.lose(ROWS["part.citations"], path)
    return {"type": "output_text", "text": part.text, "annotations": annotations}


def _write_item(part: Part, path: str, translation: Translation) -> Iterator[Wire]:
    match part:
        case ToolCall():
            yield _write_call(part, translation)
        case Reasoning():
            yield from _write_reasoning(part, path, translation)
        case HostedCall(protocol="responses", raw=raw):
            yield from raw
        case HostedCall():
            translation.lose(ROWS["part.hosted_call"], path)
        case Opaque(protocol="responses", raw=item):
            yield item
        case _:
            translation.lose(ROWS["part.opaque"], path)


def _write_call(call: ToolCall, translation: Translation) -> Wire:
    id = {"id": call.item_id} if call.item_id else {}
    name = sent_name(call.name, call.namespace, translation)
    space = {"namespace": call.namespace} if call.namespace and native(translation) else {}
    call_id = sent_call_id(call.id)
    if call.freeform and native(translation):
        head = {"type": "custom_tool_call", **id, "call_id": call_id, "name": name}
        return {**head, "input": call.arguments, **space}
    arguments = call.arguments if call.arguments.strip() else "{}"
    if call.freeform:
        arguments = _encoder.encode({"input": call.arguments}).decode()
        id = {}
    return {
        "type": "function_call",
        **id,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        **space,
        "status": "completed",
    }


def _write_reasoning(part: Reasoning, path: str, translation: Translation) -> Iterator[Wire]:
    """Sealed reasoning goes to its maker only; open reasoning to whoever is not OpenAI, which refuses it."""
    secret, own = part.secret, part.ext.get(NAME, {})
    ours = secret is not None and secret.vendor == translation.vendor and secret.kind == "encrypted"
    summary = [{"type": "summary_text", "text": text} for text in part.summaries]
    id = (secret.id if secret else "") or own.get("id") or "rs_" + _digest(path)
    if ours and secret is not None:
        wire: Wire = {"type": "reasoning", "id": id, "summary": summary, "encrypted_content": secret.value}
        if part.text:
            wire["content"] = [{"type": "reasoning_text", "text": part.text}]
        yield wire
        return
    if translation.vendor == "openai" or part.redacted or not (part.text or part.summaries):
        translation.warn("reasoning_dropped", path, "Reasoning goes back only to the vendor that made it")
        return
    if secret is not None:
        translation.warn("reasoning_dropped", path, "The sealed part of reasoning goes only to its maker")
    wire = {"type": "reasoning", "id": id, "summary": summary}
    if part.text:
        wire["content"] = [{"type": "reasoning_text", "text": part.text}]
    yield wire


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]

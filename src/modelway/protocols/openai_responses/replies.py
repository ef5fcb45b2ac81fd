"""Whole answers: a response object -> reply, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from modelway.conversation.errors import CallError
from modelway.conversation.events import unfold
from modelway.conversation.parts import HostedCall, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from modelway.conversation.reply import Reply, Stop
from modelway.conversation.translation import Translation
from modelway.protocols.failures import error_from_object
from modelway.protocols.openai_responses.content import NAME, read_citation
from modelway.protocols.openai_responses.items import HOSTED_CALLS, read_hosted, read_reasoning, text_in
from modelway.protocols.openai_responses.ladder import Ladder
from modelway.protocols.openai_responses.response_object import read_usage
from modelway.protocols.sse import one_line

Wire = dict[str, Any]
_encoder = msgspec.json.Encoder()


# -- reading ---------------------------------------------------------------------------------------


def read_reply(body: bytes, translation: Translation) -> Reply:
    """A provider's response object; raises `CallError` for an error inside a 200, or for nonsense."""
    try:
        response = msgspec.json.decode(body)
    except msgspec.MsgspecError as reason:
        raise CallError.upstream(f"The provider's answer is not valid JSON: {reason}") from None
    if not isinstance(response, dict):
        raise CallError.upstream("The provider's answer is not a JSON object")
    if error := failure_of(response):
        raise error
    try:
        return _read_response(response, translation)
    except (AttributeError, KeyError, TypeError, ValueError) as reason:
        raise CallError.upstream(f"The provider's answer cannot be read: {reason!r}") from None


def _read_response(response: Wire, translation: Translation) -> Reply:
    output = response.get("output")
    if not isinstance(output, list):
        raise CallError.upstream("The provider's answer has no `output`")
    parts = tuple(part for item in output if isinstance(item, dict) for part in read_item(item, translation))
    return Reply(
        id=str(response.get("id") or ""),
        model=str(response.get("model") or ""),
        parts=parts,
        stop=stop_of(response, parts),
        usage=read_usage(response),
        created_s=int(response.get("created_at") or 0) or None,
        service_tier=text_in(response, "service_tier"),
        logprobs=_logprobs(output),
    )


def failure_of(response: Wire) -> CallError | None:
    """The error in a response object that failed, was cancelled, or never was one."""
    status = response.get("status")
    if response.get("error"):
        return error_from_object(response)
    if status in ("failed", "cancelled", "queued", "in_progress"):
        return CallError.upstream(f"The provider's answer has the status {status!r}")
    return None


def read_item(item: Wire, translation: Translation) -> tuple[Part, ...]:
    read = _ITEMS.get(str(item.get("type")))
    return read(item, translation) if read else (Opaque(protocol=NAME, raw=item),)


def _read_message(item: Wire, translation: Translation) -> tuple[Part, ...]:
    own = {key: item[key] for key in ("id", "phase") if isinstance(item.get(key), str)}
    parts: list[Part] = []
    for part in item.get("content") or ():
        if part.get("type") == "refusal":
            parts.append(Refusal(text=str(part.get("refusal", "")), ext={NAME: own}))
        elif part.get("type") in ("output_text", "text"):
            citations = tuple(read_citation(each) for each in part.get("annotations") or ())
            parts.append(Text(text=str(part.get("text", "")), citations=citations, ext={NAME: own}))
    return tuple(parts)


def _read_call(item: Wire, translation: Translation) -> tuple[Part, ...]:
    call = open_call(item, translation)
    text = str(item.get("input" if item["type"] == "custom_tool_call" else "arguments") or "")
    return (msgspec.structs.replace(call, arguments=sent_back(text, call, item)),)


def _read_reasoning(item: Wire, translation: Translation) -> tuple[Part, ...]:
    model = translation.model_answered
    part = read_reasoning(item, b"", translation.vendor, model)
    return (part or Reasoning(),)


def _read_hosted(item: Wire, translation: Translation) -> tuple[Part, ...]:
    call: HostedCall = read_hosted(item)
    return (call,)


_ITEMS: Mapping[str, Callable[[Wire, Translation], tuple[Part, ...]]] = {
    "message": _read_message,
    "function_call": _read_call,
    "custom_tool_call": _read_call,
    "reasoning": _read_reasoning,
    **dict.fromkeys(HOSTED_CALLS, _read_hosted),
}


def open_call(item: Wire, translation: Translation) -> ToolCall:
    """A call with the name its client knows, still without arguments. A missing id is made."""
    sent = str(item.get("name") or "")
    namespace, name = item.get("namespace"), translation.renamed.get(sent, sent)
    if sent in translation.namespaces:
        namespace, name = translation.namespaces[sent]
    return ToolCall(
        id=str(item.get("call_id") or "") or translation.mint("call_"),
        name=name,
        freeform=item["type"] == "custom_tool_call" or sent in translation.freeform,
        namespace=namespace if isinstance(namespace, str) else None,
        item_id=str(item.get("id") or ""),
    )


def sent_back(text: str, call: ToolCall, item: Wire) -> str:
    """A call's argument text; of a freeform tool that was sent as a function, the one string in it."""
    if not call.freeform or item["type"] == "custom_tool_call":
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return str(value["input"]) if isinstance(value, dict) and "input" in value else text


_REASONS = {
    "max_output_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "content_filter": "refusal",
}


def stop_of(response: Wire, parts: tuple[Part, ...]) -> Stop:
    """Why it ended: a cut comes first, then a refusal, then whether a tool was asked for."""
    details = response.get("incomplete_details")
    if response.get("status") == "incomplete":
        reason = str(details.get("reason")) if isinstance(details, dict) else ""
        known = _REASONS.get(reason)
        if known == "refusal":
            return Stop("refusal", detail=_refusal(parts), raw=reason)
        return Stop("max_tokens" if known == "max_tokens" else "unknown", raw=reason)
    refusal = _refusal(parts)
    if refusal is not None:
        return Stop("refusal", detail=refusal, raw="completed")
    if any(isinstance(part, ToolCall) for part in parts):
        return Stop("tool_use", raw="completed")
    return Stop("end", raw="completed")


def _refusal(parts: tuple[Part, ...]) -> str | None:
    texts = [part.text for part in parts if isinstance(part, Refusal)]
    return "".join(texts) if texts else None


def _logprobs(output: list[Any]) -> list[Wire] | None:
    found: list[Wire] = []
    for item in output:
        for part in (item.get("content") or ()) if isinstance(item, dict) else ():
            logprobs = part.get("logprobs") if isinstance(part, dict) else None
            if isinstance(logprobs, list):
                found.extend(logprobs)
    return found or None


# -- writing ---------------------------------------------------------------------------------------


def response_of(reply: Reply, translation: Translation) -> Wire:
    """The client's response object: what the stream of the same answer would have ended with."""
    ladder = Ladder(translation)
    for event in unfold(reply):
        ladder.climb(event)
    return ladder.response


def write_reply(reply: Reply, translation: Translation) -> bytes:
    return one_line(_encoder.encode(response_of(reply, translation)))

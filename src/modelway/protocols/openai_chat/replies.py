"""A whole Chat completion, read and written. Reading runs it through the stream's own machine, as one
chunk, so that streamed and whole answers cannot differ.
"""

from __future__ import annotations

from typing import Any

import msgspec

from modelway.conversation.errors import CallError
from modelway.conversation.events import fold
from modelway.conversation.parts import Citation, Reasoning, Refusal, Text, ToolCall
from modelway.conversation.reply import Reply
from modelway.conversation.translation import Translation
from modelway.protocols.failures import error_from_object
from modelway.protocols.openai_chat.reasoning import write_reasoning
from modelway.protocols.openai_chat.stops import DECLINED, written_stop
from modelway.protocols.openai_chat.stream_reader import ChunkReader
from modelway.protocols.openai_chat.usage import write_usage

Json = dict[str, Any]


def read_reply(body: bytes, translation: Translation) -> Reply:
    """An upstream's whole answer; raises `CallError` (502) for nonsense or an error inside a 200."""
    try:
        completion = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise CallError.upstream("The provider's answer is not JSON") from None
    if not isinstance(completion, dict):
        raise CallError.upstream("The provider's answer is not a JSON object")
    choices = completion.get("choices")
    if completion.get("error") or not isinstance(choices, list) or not choices:
        raise _not_an_answer(completion)
    reader = ChunkReader(translation)
    return fold([*reader.chunk(completion), *reader.finish()])


def _not_an_answer(completion: Json) -> CallError:
    """An error inside a 200 is the provider's fault, whatever it calls it."""
    if not completion.get("error"):
        return CallError.upstream("The provider's answer holds no choices")
    error = error_from_object(completion)
    return error if error.kind.upstream_at_fault else CallError.upstream(error.message, code=error.code)


def write_reply(reply: Reply, translation: Translation) -> bytes:
    """The client's whole answer."""
    return msgspec.json.encode(
        {
            "id": reply_id(translation),
            "object": "chat.completion",
            "created": reply.created_s or translation.now_s,
            "model": translation.model_asked,
            "choices": [_choice(reply, translation)],
            "usage": write_usage(reply.usage),
            "service_tier": reply.service_tier,
            "system_fingerprint": None,
        }
    )


def reply_id(translation: Translation) -> str:
    """The reply's id towards the client, minted once."""
    translation.reply_id = translation.reply_id or translation.mint("chatcmpl-")
    return translation.reply_id


def _choice(reply: Reply, translation: Translation) -> Json:
    choice: Json = {
        "index": 0,
        "message": _message(reply, translation),
        "logprobs": {"content": reply.logprobs, "refusal": None} if reply.logprobs else None,
        "finish_reason": written_stop(reply.stop, translation.legacy_functions),
    }
    if reply.stop.sequence is not None:
        choice["stop_reason"] = reply.stop.sequence
    return choice


def _message(reply: Reply, translation: Translation) -> Json:
    texts = [part for part in reply.parts if isinstance(part, Text)]
    calls = [part for part in reply.parts if isinstance(part, ToolCall)]
    reasoning = [part for part in reply.parts if isinstance(part, Reasoning)]
    content = "".join(part.text for part in texts)
    message: Json = {
        "role": "assistant",
        "content": content if content or not calls else None,
        "refusal": refusal_text(reply),
    }
    message |= write_reasoning(reasoning, translation, sealing=True)
    annotations = _annotations(texts)
    if annotations:
        message["annotations"] = annotations
    if calls and translation.legacy_functions:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments or "{}"}
    elif calls:
        message["tool_calls"] = [write_call(call) for call in calls]
    return message


def refusal_text(reply: Reply) -> str | None:
    said = "".join(part.text for part in reply.parts if isinstance(part, Refusal))
    if said or reply.stop.reason != "refusal":
        return said or None
    return reply.stop.detail or DECLINED


def write_call(call: ToolCall) -> Json:
    """A call as the client's tool list named it."""
    if call.freeform:
        custom = {"name": call.name, "input": call.arguments}
        return {"id": call.id, "type": "custom", "custom": custom}
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function} | call.ext.get("chat", {})


def _annotations(texts: list[Text]) -> list[Json]:
    found: list[Json] = []
    offset = 0
    for part in texts:
        found += [annotation(citation, offset, len(part.text)) for citation in part.citations if citation.url]
        offset += len(part.text)
    return found


def annotation(citation: Citation, offset: int, length: int) -> Json:
    """OpenAI's citation of a page; indexes count over the whole content, the end exclusive."""
    start = offset + (citation.start or 0)
    end = offset + (length if citation.end is None else citation.end)
    cited = {"url": citation.url, "title": citation.title, "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": cited}

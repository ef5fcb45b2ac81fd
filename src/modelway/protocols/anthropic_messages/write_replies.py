"""The neutral reply -> a Messages client's whole answer, and the block each part of it becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from modelway.conversation.envelope import seal
from modelway.conversation.parts import (
    Citation,
    HostedCall,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from modelway.conversation.reply import Reply
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages.usage import estimated, note, write_stop, write_usage
from modelway.protocols.anthropic_messages.wire import EMPTY_TEXT, NAME, compact, encode

Fields = dict[str, Any]
_objects = msgspec.json.Decoder(dict[str, Raw])


def write_reply(reply: Reply, translation: Translation) -> bytes:
    """The answer under the client's own name for the model."""
    content = write_blocks(reply, translation)
    refusal = next((part.text for part in reply.parts if isinstance(part, Refusal)), None)
    body: Fields = {
        "id": translation.mint("msg_"),
        "type": "message",
        "role": "assistant",
        "model": translation.model_asked,
        "content": content or [EMPTY_TEXT],
        **write_stop(reply.stop, refusal),
        "usage": write_usage(reply.usage or estimated(translation)),
        **reply.ext.get(NAME, {}),
    }
    return encode(body)


def write_blocks(reply: Reply, translation: Translation) -> list[Fields]:
    """The content. Where a form was asked for there is one text block: SDKs parse each as JSON. Where
    single calls were asked for, an upstream that cannot be told so has its later ones left out.
    """
    parts = list(reply.parts)
    if translation.asked is not None and translation.asked.output.format != "text":
        parts = _one_text(parts)
    calls = [part for part in parts if isinstance(part, ToolCall)]
    for extra in calls[1:]:
        if single_call(translation):
            parts.remove(extra)
    cut = reply.stop.reason in ("max_tokens", "context_window")
    return [block for part in parts for block in blocks_of(part, translation, cut)]


def single_call(translation: Translation) -> bool:
    """Whether the client wants one call at a time; warns, because this is asked when there are more."""
    if translation.asked is None or translation.asked.parallel_tools is not False:
        return False
    note(translation, "parallel", "tool_choice", "The model made several calls; only the first is given")
    return True


def _one_text(parts: list[Part]) -> list[Part]:
    texts = [part for part in parts if isinstance(part, Text)]
    if len(texts) < 2:
        return parts
    joined = Text(text="".join(part.text for part in texts))
    return [part for part in parts if not isinstance(part, Text)] + [joined]


def blocks_of(part: Part, translation: Translation, cut: bool = False) -> list[Fields]:
    """The whole blocks of a part: none, with a warning, for what Messages cannot show; several for a
    server tool and its results. `cut`: a limit ended the reply.
    """
    writer = WRITERS.get(type(part))
    if writer is not None:
        block = writer(part, translation, cut)
        return [block] if block is not None else []
    if isinstance(part, HostedCall) and part.protocol == NAME:
        return list(part.raw)
    if isinstance(part, Opaque) and part.protocol == NAME:
        return [part.raw]
    note(
        translation,
        "content_dropped",
        "",
        f"The answer holds a {type(part).__name__}; Messages cannot say it",
    )
    return []


def _text(part: Text, translation: Translation, cut: bool) -> Fields:
    fields: Fields = {"type": "text", "text": part.text}
    if part.citations:
        fields["citations"] = [citation_of(citation, part.text) for citation in part.citations]
    return fields


def citation_of(citation: Citation, text: str = "") -> Fields:
    """Messages' own citation, or a web citation made of another vendor's."""
    if citation.vendor == "anthropic" and citation.raw:
        return citation.raw
    return {
        "type": "web_search_result_location",
        "cited_text": citation.quoted or text[citation.start : citation.end],
        "encrypted_index": "",
        "title": citation.title or None,
        "url": citation.url,
    }


def _refusal(part: Refusal, translation: Translation, cut: bool) -> Fields:
    return {"type": "text", "text": part.text}


def _reasoning(part: Reasoning, translation: Translation, cut: bool) -> Fields:
    if part.redacted:
        return {"type": "redacted_thinking", "data": signature_of(part, translation)}
    thinking = part.text or "\n\n".join(part.summaries)
    return {"type": "thinking", "thinking": thinking, "signature": signature_of(part, translation)}


def signature_of(part: Reasoning, translation: Translation) -> str:
    """Anthropic's own signature as it is; any other vendor's reasoning sealed whole, to come back whole."""
    secret = part.secret
    if secret is not None and secret.vendor == "anthropic":
        return secret.value
    return seal(part, translation.envelope_secret)


def _tool_call(part: ToolCall, translation: Translation, cut: bool) -> Fields | None:
    arguments = part.arguments.strip() or "{}"
    value: Raw | Fields
    if part.freeform:
        value = {"input": part.arguments}
    else:
        try:
            _objects.decode(arguments.encode())
            value = Raw(compact(arguments.encode()).encode())
        except (msgspec.MsgspecError, RecursionError):
            if cut:
                note(
                    translation,
                    "truncated_tool_call",
                    "",
                    f"The call of {part.name} was cut off and is left out",
                )
                return None
            note(translation, "invalid_arguments", "", f"The arguments of {part.name} are no JSON object")
            value = {"_raw": part.arguments}
    return {
        "type": "tool_use",
        "id": part.id or translation.mint("toolu_"),
        "name": part.name,
        "input": value,
    }


WRITERS: dict[type, Callable[[Any, Translation, bool], Fields | None]] = {
    Text: _text,
    Refusal: _refusal,
    Reasoning: _reasoning,
    ToolCall: _tool_call,
}

"""A Messages upstream's whole answer -> the neutral reply, and what its parts mean to this client."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, structs

from modelway.conversation.errors import CallError
from modelway.conversation.parts import Part, Text, ToolCall
from modelway.conversation.reply import Reply
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages.names import client_name
from modelway.protocols.anthropic_messages.read_blocks import Fields, Place, read_blocks, vendor_of
from modelway.protocols.anthropic_messages.usage import note, read_stop, read_usage
from modelway.protocols.anthropic_messages.wire import NAME, Members, block_fields, loose
from modelway.protocols.failures import error_from_object

_TOP = frozenset(
    {
        "id",
        "type",
        "role",
        "model",
        "content",
        "stop_reason",
        "stop_sequence",
        "stop_details",
        "usage",
    }
)
_members = msgspec.json.Decoder(Members)
_contents = msgspec.json.Decoder(list[Members])


def read_reply(body: bytes, translation: Translation) -> Reply:
    """The answer; raises `CallError` (502, or the kind the upstream names) if it is none."""
    try:
        members = _members.decode(body)
        content = members.pop("content", Raw(b"[]"))
        top = loose(members)
        blocks = [block_fields(block) for block in _contents.decode(content)]
    except (msgspec.MsgspecError, RecursionError) as reason:
        raise CallError.upstream(f"The provider's answer is no Messages reply: {reason}") from None
    if top.get("error") is not None or top.get("type") == "error":
        raise error_from_object(top, None)
    if "usage" not in top and top.get("type") != "message":
        raise CallError.upstream("The provider's answer is no Messages reply: it has no `usage`")
    return _reply(top, blocks, translation)


def _reply(top: Fields, blocks: list[Fields], translation: Translation) -> Reply:
    model = str(top.get("model") or "")
    place = Place(translation, vendor_of(translation), model, opens=False)
    try:
        parts = read_blocks(blocks, place)
    except CallError as error:
        raise CallError.upstream(f"The provider's answer is malformed: {error.message}") from None
    stop = read_stop(top, _calls(parts, translation), translation)
    usage = read_usage(top["usage"]) if isinstance(top.get("usage"), dict) else None
    rest = {name: value for name, value in top.items() if name not in _TOP and value is not None}
    return Reply(
        id=str(top.get("id") or ""),
        model=model,
        parts=tuple(client_part(part, translation) for part in parts),
        stop=stop,
        usage=usage,
        service_tier=(top.get("usage") or {}).get("service_tier"),
        ext={NAME: rest} if rest else {},
    )


def _calls(parts: tuple[Part, ...], translation: Translation) -> bool:
    return any(isinstance(part, ToolCall) and part.name != translation.answer_tool for part in parts)


def client_part(part: Part, translation: Translation) -> Part:
    """The part with the client's own names and kinds of tools back in it."""
    if not isinstance(part, ToolCall):
        return part
    if translation.answer_tool and part.name == translation.answer_tool:
        return Text(text=part.arguments)
    freeform = part.name in translation.freeform
    name, namespace = client_name(part.name, translation)
    return structs.replace(
        part,
        id=part.id or translation.mint("toolu_"),
        name=name,
        namespace=namespace,
        freeform=freeform,
        arguments=freeform_text(part.arguments, translation) if freeform else part.arguments,
    )


def freeform_text(arguments: str, translation: Translation) -> str:
    """The text inside `{"input": …}`; all of it, with a warning, if the model wrote something else."""
    try:
        value: Any = msgspec.json.decode(arguments or "{}")
        return str(value["input"])
    except (msgspec.MsgspecError, LookupError, TypeError):
        note(translation, "invalid_arguments", "tools", "A free-form tool was not called with `input`")
        return arguments

"""What a model thought before it called a tool, for Chat clients that do not bring it back.

Typed Chat clients drop the fields they do not know, and with them the signed reasoning that the vendor
wants to see again together with the tool's result. So it is kept for an hour under the account and the
turn's first tool call, in the database: any worker finds it. Only turns with signed reasoning *and* a
tool call are kept, and only histories that lack it are looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import structs

from modelway.calls.call import Services
from modelway.calls.settle import Meter
from modelway.conversation.envelope import open_envelope, seal
from modelway.conversation.errors import CallError
from modelway.conversation.parts import Part, Reasoning, Text, ToolCall, Turn
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.store import reasoning

# The vendors that sign, and refuse a turn that lacks what they signed.
SIGNING = frozenset({"anthropic", "openai"})
# Anthropic's redacted blocks run to some tens of KiB; a turn that thought more than this is not kept.
LAYOUT_BYTES_MAX = 1024 * 1024
# Turns looked up in one history, the newest first: an hour of tool calls, one every seven seconds.
TURNS_MAX = 512

_TEXT, _CALL, _REASONING = "text", "call:", "reasoning:"
_layouts = msgspec.json.Decoder(list[str])


def serves(translation: Translation) -> bool:
    """Whether a client of this kind may lose what an upstream of this kind signs."""
    return translation.client == "chat" and translation.upstream != "chat" and translation.vendor in SIGNING


async def remember(parts: Sequence[Part], translation: Translation, meter: Meter) -> None:
    """Keep the reasoning of an answer that called tools. The answer goes out even if the database is away."""
    layout = _layout(parts, translation)
    if layout is None:
        return
    call_id, kept = layout
    services, account_id = meter.services, meter.key.account_id
    now_ms = round(services.now() * 1000)
    try:
        await services.database.write(
            lambda connection: reasoning.keep(connection, account_id, call_id, kept, now_ms)
        )
    except CallError as error:
        services.log.write("error", "reasoning_not_kept", request_id=meter.call.id, error=error.message)


async def restored(
    conversation: Conversation, translation: Translation, account_id: str, services: Services
) -> Conversation:
    """The conversation with the reasoning put back that its client has lost.

    It goes back only to the vendor that signed it; a database that is away loses it, as the client did.
    """
    if conversation.reasoning.mode == "off" or conversation.reasoning.effort == "none":
        return conversation
    lacking = [number for number, turn in enumerate(conversation.turns) if _lacks(turn)][-TURNS_MAX:]
    if not lacking:
        return conversation
    wanted = {number: _first_call(conversation.turns[number].parts) for number in lacking}
    now_ms = round(services.now() * 1000)
    try:
        found = await services.database.read(
            lambda connection: reasoning.find(connection, account_id, list(wanted.values()), now_ms)
        )
    except CallError:
        return conversation
    turns = list(conversation.turns)
    for number, call_id in wanted.items():
        if call_id in found:
            turns[number] = _whole(turns[number], found[call_id], translation)
    return structs.replace(conversation, turns=tuple(turns))


def _layout(parts: Sequence[Part], translation: Translation) -> tuple[str, bytes] | None:
    """The id to keep an answer under, and the order of its parts with the reasoning sealed; None for an
    answer without tool calls or signatures.
    """
    signed = any(isinstance(part, Reasoning) and part.secret is not None for part in parts)
    call_id = _first_call(parts)
    if not signed or not call_id:
        return None
    layout = msgspec.json.encode(list(_entries(parts, translation)))
    return (call_id, layout) if len(layout) <= LAYOUT_BYTES_MAX else None


def _entries(parts: Sequence[Part], translation: Translation) -> Iterator[str]:
    for part in parts:
        match part:
            case Reasoning():
                yield _REASONING + seal(part, translation.envelope_secret)
            case ToolCall(id=identity):
                yield _CALL + identity
            case Text():
                yield _TEXT


def _first_call(parts: Sequence[Part]) -> str:
    return next((part.id for part in parts if isinstance(part, ToolCall)), "")


def _lacks(turn: Turn) -> bool:
    """Whether the turn called tools and brings no signed reasoning."""
    if turn.role != "assistant" or not _first_call(turn.parts):
        return False
    return not any(isinstance(part, Reasoning) and part.secret is not None for part in turn.parts)


def _whole(turn: Turn, layout: bytes, translation: Translation) -> Turn:
    """The turn with its reasoning where it stood; all of it or none, for a vendor takes no half."""
    entries = _layouts.decode(layout)
    opened: list[Reasoning] = []
    for entry in entries:
        if entry.startswith(_REASONING):
            part = open_envelope(entry.removeprefix(_REASONING), translation.envelope_secret)
            if part is None or (part.secret is not None and part.secret.vendor != translation.vendor):
                return turn
            opened.append(part)
    return structs.replace(turn, parts=tuple(_placed(turn.parts, entries, iter(opened))))


def _placed(parts: Sequence[Part], entries: Sequence[str], opened: Iterator[Reasoning]) -> Iterator[Part]:
    """The client's parts in the kept order. What it joined (Chat has one text) stands at its first place."""
    calls = {part.id: part for part in parts if isinstance(part, ToolCall)}
    rest: list[Part] = [part for part in parts if not isinstance(part, ToolCall | Reasoning)]
    for entry in entries:
        if entry.startswith(_REASONING):
            yield next(opened)
        elif entry == _TEXT:
            yield from rest
            rest = []
        elif (call := calls.pop(entry.removeprefix(_CALL), None)) is not None:
            yield call
    yield from rest
    yield from calls.values()

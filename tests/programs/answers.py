"""What a scripted upstream says, in each protocol from one description."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Literal

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
from tests.programs.chat_answers import chat_stream, chat_whole
from tests.programs.messages_answers import messages_stream, messages_whole
from tests.programs.responses_answers import responses_stream, responses_whole
from tests.programs.turns import Turn, Wire

Protocol = Literal["chat", "messages", "responses"]
PROTOCOLS: tuple[Protocol, ...] = ("chat", "messages", "responses")
PATHS: dict[Protocol, str] = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
MODELS: dict[Protocol, str] = {
    "chat": "chat-model",
    "messages": "messages-model",
    "responses": "responses-model",
}
PASSED_ON_S = 0.3  # an error that comes with the first bytes is answered with a status instead

OVERLOADED = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
ERROR_FRAMES: dict[Protocol, bytes] = {
    "chat": b'data: {"error":{"message":"The server had an error","type":"server_error","code":null}}\n\n',
    "messages": b"event: error\ndata: " + OVERLOADED + b"\n\n",
    "responses": b'event: error\ndata: {"type":"error","code":"server_error","param":null,'
    b'"message":"The server had an error","sequence_number":99}\n\n',
}

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

"""Streams as they flow: heartbeats in silences, prompt ends, stops the gateway keeps, clean frames."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.crossing.answers import chat_says, completion, says, text
from tests.crossing.conftest import HEARTBEAT_S
from tests.crossing.given import SDK_STREAM, told_by
from tests.fix_gateway import Gateway
from tests.fix_upstream import (
    CHAT,
    MESSAGES,
    RESPONSES,
    Hold,
    Scripted,
    ScriptedUpstream,
    Send,
    Step,
    Wait,
    frames,
    recording,
    streamed,
    whole,
)
from tests.whole.wire import assert_is_the_envelope, call, events, minimal, stream

PATHS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
HEARTBEATS = {"chat": b": hb\n\n", "messages": b"event: ping\n", "responses": b": hb\n\n"}
SILENCE_S = 3 * HEARTBEAT_S
EVENT_STREAM = (("content-type", "text/event-stream"),)


def ask(client: str, upstream: str, **more: Any) -> dict[str, Any]:
    return minimal(PATHS[client], f"{upstream}-model", stream=True, **more)


@pytest.mark.parametrize("client", PATHS)
@pytest.mark.parametrize("upstream_protocol", PATHS)
def test_T206_T239_B03_a_provider_that_is_silent_is_covered_by_heartbeats_the_sdks_pass_over(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, upstream_protocol: str
) -> None:
    body = recording(f"whole/{upstream_protocol}_text.sse")
    first, *rest = frames(body)
    steps: tuple[Step, ...] = (Wait(SILENCE_S), Send(first), Wait(SILENCE_S), *map(Send, rest))
    upstream.answers(PATHS[upstream_protocol], Scripted(steps, headers=EVENT_STREAM))

    answer = call(crossing, PATHS[client], ask(client, upstream_protocol))

    assert answer.status == 200
    assert answer.body.count(HEARTBEATS[client]) >= 2
    quiet = told_by(client, SDK_STREAM[client](answer.body))
    upstream.answers(PATHS[upstream_protocol], streamed(body))
    at_once = call(crossing, PATHS[client], ask(client, upstream_protocol))
    assert quiet == told_by(client, SDK_STREAM[client](at_once.body))


@pytest.mark.parametrize("client", PATHS)
def test_B03_a_failure_after_the_first_heartbeat_is_an_error_in_the_stream(
    crossing: Gateway, upstream: ScriptedUpstream, client: str
) -> None:
    late = b'data: {"error":{"message":"late","type":"server_error"}}\n\n'
    upstream.answers(CHAT, Scripted((Wait(SILENCE_S), Send(late)), headers=EVENT_STREAM))

    answer = call(crossing, PATHS[client], ask(client, "chat"))

    assert answer.status == 200
    last = events(answer.body)[-1]
    assert "error" in last or last["type"] == "response.failed", last


@pytest.mark.parametrize("client", PATHS)
@pytest.mark.parametrize("upstream_protocol", PATHS)
def test_B22_an_answer_ends_with_its_last_event_though_the_connection_stays_open(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, upstream_protocol: str
) -> None:
    body = recording(f"whole/{upstream_protocol}_text.sse")
    upstream.answers(PATHS[upstream_protocol], Scripted((Send(body), Hold()), headers=EVENT_STREAM))

    with stream(crossing, PATHS[client], ask(client, upstream_protocol)) as answer:
        heard = answer.rest()

    assert heard.endswith(b"\n\n")
    assert upstream.last.wait_until_left(), "the provider's connection is let go"
    assert crossing.usage_of(answer.request_id)["outcome"] == "ok"


def delta(words: str) -> bytes:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "far"}
    choice = {"index": 0, "delta": {"content": words}, "finish_reason": None}
    return b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n"


def test_T208_T047_a_stop_the_provider_cannot_keep_is_kept_here_and_the_provider_let_go(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    pieces = [delta(words) for words in ("Hello ", "E", "N", "DX", "more")]
    upstream.answers(CHAT, Scripted((*map(Send, pieces), Hold()), headers=EVENT_STREAM))
    stops = ["a1", "b2", "c3", "d4", "e5", "END"]

    answer = call(crossing, MESSAGES, ask("messages", "chat", stop_sequences=stops))

    message = SDK_STREAM["messages"](answer.body)
    assert [block.text for block in message.content] == ["Hello "]
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert len(upstream.last.json()["stop"]) == 4
    assert upstream.last.wait_until_left()


def test_T208_a_stop_is_kept_in_a_whole_answer_too(crossing: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.answers(RESPONSES, whole(recording("responses/text.json")))
    body = minimal(MESSAGES, "responses-model", stop_sequences=["wörld"])

    answer = call(crossing, MESSAGES, body).json()

    assert answer["content"] == [{"type": "text", "text": "Hello, "}]
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "wörld")


@pytest.mark.parametrize("protocol", PATHS)
@pytest.mark.parametrize("client", PATHS)
def test_T247_no_retry_and_no_id_line_reaches_a_client(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, protocol: str
) -> None:
    body = b"retry: 3000\n\n" + b"".join(
        b": hello\n\nid: %d\nretry: 5\n" % number + frame
        for number, frame in enumerate(frames(recording(f"whole/{protocol}_text.sse")))
    )
    upstream.answers(PATHS[protocol], streamed(body))

    answer = call(crossing, PATHS[client], ask(client, protocol))

    if client != "messages" or protocol != "messages":  # Anthropic's SDK reads such lines as it should
        lines = answer.body.split(b"\n")
        assert not [line for line in lines if line.startswith((b"retry", b"id"))]
    assert told_by(client, SDK_STREAM[client](answer.body)).text


def test_T294_A40_usage_comes_once_and_last_or_not_at_all(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    for protocol in PATHS:
        upstream.answers(PATHS[protocol], streamed(recording(f"whole/{protocol}_text.sse")))
        for asked in (True, False):
            more = {"stream_options": {"include_usage": True}} if asked else {}
            seen = events(call(crossing, CHAT, ask("chat", protocol, **more)).body)
            with_usage = [event for event in seen if event.get("usage")]
            assert len(with_usage) == int(asked), (protocol, asked)
            if asked:
                assert seen[-1] is with_usage[0]
                assert seen[-1]["choices"] == []


@pytest.mark.parametrize("client", PATHS)
@pytest.mark.parametrize("upstream_protocol", PATHS)
def test_T179_T296_the_model_is_the_one_that_was_asked_for_streamed_and_whole(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, upstream_protocol: str
) -> None:
    path = PATHS[upstream_protocol]
    upstream.answers(path, streamed(recording(f"whole/{upstream_protocol}_text.sse")))
    seen = call(crossing, PATHS[client], ask(client, upstream_protocol))
    upstream.answers(path, whole(recording(f"whole/{upstream_protocol}_text.json")))
    model = f"{upstream_protocol}-model"
    answer = call(crossing, PATHS[client], minimal(PATHS[client], model))

    assert answer.json()["model"] == model
    named = [
        where["model"]
        for event in events(seen.body)
        for where in (event, event.get("message") or {}, event.get("response") or {})
        if "model" in where
    ]
    assert named
    assert set(named) == {model}
    assert upstream.last.json()["model"] == "far"


ENCODERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("client", PATHS)
@pytest.mark.parametrize("streams", [False, True])
def test_B18_a_provider_that_compresses_unasked_is_read_or_refused_and_never_passed_on(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, streams: bool, encoding: str
) -> None:
    name = "whole/chat_text.sse" if streams else "whole/chat_text.json"
    packed = ENCODERS[encoding](recording(name))
    kind = EVENT_STREAM if streams else (("content-type", "application/json"),)
    half = len(packed) // 2
    scripted = Scripted(
        (Send(packed[:half]), Send(packed[half:])), headers=(*kind, ("content-encoding", encoding))
    )
    upstream.answers(CHAT, scripted)

    answer = call(
        crossing, PATHS[client], minimal(PATHS[client], "chat-model", **({"stream": True} if streams else {}))
    )

    assert upstream.last.headers["accept-encoding"] == "identity"
    assert "content-encoding" not in answer.headers
    if answer.status != 200:
        assert_is_the_envelope(answer, 502, "api_error")
        return
    told = told_by(client, SDK_STREAM[client](answer.body)) if streams else answer.json()
    assert told


@pytest.mark.parametrize("client", PATHS)
@pytest.mark.parametrize("upstream_protocol", PATHS)
def test_T295_T249_the_frame_that_ends_a_broken_stream_names_the_call(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, upstream_protocol: str
) -> None:
    body = recording(f"whole/{upstream_protocol}_text.sse")
    cut = frames(body)[: -3 if upstream_protocol == "chat" else -4]
    upstream.answers(PATHS[upstream_protocol], streamed(b"".join(cut)))

    answer = call(crossing, PATHS[client], ask(client, upstream_protocol))

    assert answer.status == 200
    last = events(answer.body)[-1]
    assert last.get("request_id", answer.request_id) == answer.request_id
    if client != "responses":
        assert last["request_id"] == answer.request_id
    assert answer.body.endswith(b"\n\n")


@pytest.mark.parametrize("client", PATHS)
def test_B01_a_stream_forbids_proxies_to_gather_it(
    crossing: Gateway, upstream: ScriptedUpstream, client: str
) -> None:
    for protocol, path in PATHS.items():
        upstream.answers(path, streamed(recording(f"whole/{protocol}_text.sse")))
        headers = call(crossing, PATHS[client], ask(client, protocol)).headers
        assert headers["x-accel-buffering"] == "no"
        assert headers["cache-control"] == "no-cache, no-transform"
        assert headers["content-type"] == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("client", PATHS)
@pytest.mark.parametrize("upstream_protocol", PATHS)
def test_B02_B20_small_frames_go_on_as_they_come(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, upstream_protocol: str
) -> None:
    body = frames(recording(f"whole/{upstream_protocol}_text.sse"))
    spoken = next(
        n for n, frame in enumerate(body) if b"Hello" in frame or b'"Bon' in frame or b"delta" in frame
    )
    spoken = max(spoken, 4)
    upstream.answers(
        PATHS[upstream_protocol],
        Scripted(
            (*map(Send, body[: spoken + 1]), Hold(), *map(Send, body[spoken + 1 :])), headers=EVENT_STREAM
        ),
    )

    with stream(crossing, PATHS[client], ask(client, upstream_protocol)) as answer:
        first = answer.frame()
        assert first, "a frame arrives though the provider has not ended"
        upstream.resume()
        assert answer.rest().endswith(b"\n\n")


@pytest.mark.parametrize("client", PATHS)
def test_A52_a_streaming_call_is_answered_by_a_stream_or_by_an_error(
    crossing: Gateway, upstream: ScriptedUpstream, client: str
) -> None:
    """A provider that ignores `stream` and answers whole."""
    for protocol, path in PATHS.items():
        upstream.answers(path, whole(recording(f"whole/{protocol}_text.json")))

        answer = call(crossing, PATHS[client], ask(client, protocol))

        kind = answer.headers["content-type"]
        assert (answer.status == 200) == kind.startswith("text/event-stream"), (protocol, answer)
        if answer.status == 200:
            assert told_by(client, SDK_STREAM[client](answer.body)).text


def test_T263_an_answer_nobody_could_write_is_a_500_or_an_error_frame(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    """A lone surrogate is legal JSON text, and no UTF-8 can carry it."""
    odd = json.dumps(completion("\ud83d")).encode()
    upstream.answers(CHAT, whole(odd))
    answered = call(crossing, MESSAGES, minimal(MESSAGES, "chat-model"))
    assert answered.status in (200, 500, 502)
    assert answered.json()
    upstream.answers(CHAT, streamed(delta("Hi ") + delta("\ud83d") + delta("x"), drip_s=0.05))
    body = call(crossing, MESSAGES, ask("messages", "chat")).body
    assert body.endswith(b"\n\n")
    assert events(body)[-1]["type"] in ("error", "message_stop")


def test_every_answer_says_who_answered_and_what_it_cost_nothing_says_twice(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(MESSAGES, says([text("x")]))
    upstream.answers(CHAT, chat_says("x"))

    for model in ("messages-model", "chat-model"):
        answer = call(crossing, CHAT, minimal(CHAT, model))
        assert answer.headers["x-modelway-model"].endswith("/far")


@pytest.mark.parametrize("client", PATHS)
def test_B03_what_a_slow_thinker_has_said_by_the_first_heartbeat_goes_out(
    crossing: Gateway, upstream: ScriptedUpstream, client: str
) -> None:
    """A role, a `response.created`: no words yet, but the client learns the answer's id."""
    # A Chat client learns the id with the first words: its role is told in one chunk with them.
    told = {name: path for name, path in PATHS.items() if client != "chat" or name == "chat"}
    for protocol, path in told.items():
        first, *rest = frames(recording(f"whole/{protocol}_text.sse"))
        held = Scripted((Send(first), Hold(), *map(Send, rest)), headers=EVENT_STREAM)
        upstream.answers(path, held)
        with stream(crossing, PATHS[client], ask(client, protocol)) as answer:
            said = [frame for frame in answer.frames(4) if not frame.startswith((b":", b"event: ping"))]
            assert any(b'"id"' in frame for frame in said), (protocol, said)
            upstream.resume()
            assert answer.rest().endswith(b"\n\n")
        upstream.reset()

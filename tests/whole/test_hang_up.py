"""A client that hangs up: its upstream is let go at once, and what it heard is on record."""

from __future__ import annotations

import http.client
import json
from dataclasses import replace

import pytest

from tests.fix_gateway import Gateway, until
from tests.fix_upstream import (
    CHAT,
    MESSAGES,
    RESPONSES,
    ScriptedUpstream,
    Send,
    Wait,
    frames,
    recording,
    silence,
    streamed,
)
from tests.whole.wire import OpenStream, headers_for, minimal, stream

# An upstream bills for every token it goes on making: this is how long one takes, and how many there may be
# after a hang-up. Ten are 0.5 s of the upstream's own time; who noticed only when there is something to write
# would let go with the next heartbeat, two hundred tokens later.
STEP = Wait(0.05)
STEPS_AFTER_MAX = 10
STEPS_MAX = 400

PATHS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
MODELS = {"chat": "chat-model", "messages": "messages-model", "responses": "responses-model"}
# How many frames of the recording bring the first words.
SPOKEN_AFTER = {"chat": 4, "messages": 5, "responses": 7}


def read_until(answer: OpenStream, words: bytes) -> None:
    heard = b""
    while words not in heard:
        frame = answer.frame()
        assert frame, f"the stream ended before {words!r}: {heard!r}"
        heard += frame


@pytest.mark.parametrize("client", PATHS)
@pytest.mark.parametrize("upstream_protocol", PATHS)
def test_a_client_that_hangs_up_in_a_stream_frees_the_upstream_and_is_on_record(
    gateway: Gateway, upstream: ScriptedUpstream, client: str, upstream_protocol: str
) -> None:
    spoken = frames(recording(f"whole/{upstream_protocol}_text.sse"))[: SPOKEN_AFTER[upstream_protocol]]
    falls_silent = replace(streamed(b"".join(spoken)), steps=(*map(Send, spoken), *[STEP] * STEPS_MAX))
    upstream.answers(PATHS[upstream_protocol], falls_silent)
    body = minimal(PATHS[client], MODELS[upstream_protocol], stream=True)

    with stream(gateway, PATHS[client], body) as answer:
        read_until(answer, b"Hello")
        before = upstream.last.steps
        answer.hang_up()
        upstream.last.wait_until_left()

    assert upstream.last.steps - before <= STEPS_AFTER_MAX, "so many tokens would have been made for nobody"
    row = gateway.usage_of(answer.request_id)
    assert row["outcome"] == "client_gone"
    assert row["input_tokens"] > 0
    assert 0 < row["output_tokens"] < 14, "what was heard, not what would have come"
    assert row["estimated"] == 1
    if upstream_protocol == "messages":
        assert row["input_tokens"] == 21, "the provider had already said what the prompt was"


@pytest.mark.parametrize("client", PATHS)
@pytest.mark.parametrize("upstream_protocol", PATHS)
def test_B13_a_client_that_hangs_up_before_a_whole_answer_frees_the_upstream(
    gateway: Gateway, upstream: ScriptedUpstream, client: str, upstream_protocol: str
) -> None:
    upstream.answers(PATHS[upstream_protocol], silence())
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
    body = json.dumps(minimal(PATHS[client], MODELS[upstream_protocol]))
    before = len(gateway.rows("SELECT request_id FROM usage WHERE outcome = 'client_gone'"))
    connection.request("POST", PATHS[client], body, headers_for(gateway, None))
    upstream.wait_for_calls(1)

    connection.close()

    upstream.last.wait_until_left()
    assert upstream.last.left_early
    until(
        lambda: len(gateway.rows("SELECT request_id FROM usage WHERE outcome = 'client_gone'")) > before,
        "a row for the call whose client left",
    )


def test_the_gateway_waits_for_an_upstream_that_is_slow_while_the_client_listens(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse"), pause_after=4))

    with stream(gateway, CHAT, minimal(CHAT, "chat-model", stream=True)) as answer:
        read_until(answer, b"Hello")
        upstream.resume()
        rest = answer.rest()

    assert rest.endswith(b"data: [DONE]\n\n")
    assert not upstream.last.left_early
    row = gateway.usage_of(answer.request_id)
    assert (row["outcome"], row["input_tokens"], row["output_tokens"]) == ("ok", 21, 14)
    assert row["cost_nano_usd"] == 21 * 1000 + 14 * 2000  # USD 1 and 2 per million tokens

"""SIGTERM: no new work, live streams to their end, exit 0."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, MESSAGES, ScriptedUpstream, recording, silence, streamed
from tests.whole.wire import assert_is_the_envelope, call, events, minimal, stream

MODELS = {CHAT: ("chat", "chat-model"), MESSAGES: ("messages", "messages-model")}
ENDINGS = {CHAT: b"data: [DONE]\n\n", MESSAGES: b'data: {"type":"message_stop"}\n\n'}


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_live_stream_finishes_while_new_calls_are_refused(
    make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream, path: str
) -> None:
    gateway = make_gateway()
    gateway.start_new()
    protocol, model = MODELS[path]
    upstream.answers(path, streamed(recording(f"whole/{protocol}_text.sse"), pause_after=5))

    with stream(gateway, path, minimal(path, model, stream=True)) as answer:
        answer.frames(3)
        gateway.terminate()
        until(lambda: gateway.status_of("/readyz") == 503, "/readyz 503 while a stream is live")
        assert gateway.status_of("/livez") == 200
        refused = call(gateway, path, minimal(path, model, stream=True))
        upstream.resume()
        rest = answer.rest()

    assert refused.status in {503, 529}, refused
    assert_is_the_envelope(refused, refused.status, "overloaded_error")
    assert int(refused.headers["retry-after"]) > 0
    assert rest.endswith(ENDINGS[path])
    assert gateway.wait() == 0, gateway.log
    assert gateway.usage_of(answer.request_id)["outcome"] == "ok"
    assert len(upstream.calls) == 1


def test_an_idle_gateway_ends_with_0(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway().start()

    assert gateway.stop() == 0, gateway.log
    assert gateway.status_of("/livez") is None


def test_a_stream_that_never_ends_gets_an_error_when_the_time_is_up(
    make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> None:
    gateway = make_gateway(MODELWAY_TIMEOUTS_DRAIN_S="1")
    gateway.start_new()
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse"), pause_after=4))

    with stream(gateway, CHAT, minimal(CHAT, "chat-model", stream=True)) as answer:
        answer.frames(3)
        gateway.terminate()
        rest = answer.rest()

    assert b"[DONE]" not in rest
    assert events(rest)[-1]["error"]["message"]
    assert gateway.wait() == 0, gateway.log
    assert gateway.usage_of(answer.request_id)["output_tokens"] > 0


def test_a_call_that_waits_for_its_whole_answer_gets_it(
    make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> None:
    gateway = make_gateway()
    gateway.start_new()
    upstream.answers(CHAT, silence(recording("whole/chat_text.json")))

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, gateway, CHAT, minimal(CHAT, "chat-model"))
        upstream.wait_for_calls(1)
        gateway.terminate()
        until(lambda: gateway.status_of("/readyz") == 503, "/readyz 503")
        upstream.resume()
        answer = waiting.result()

    assert answer.status == 200, answer
    assert gateway.wait() == 0, gateway.log

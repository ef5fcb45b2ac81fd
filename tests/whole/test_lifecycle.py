"""Every call ends: by its answer, by the clock, by its client or by the gateway's own end."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.fix_gateway import SCRIPTED_CONFIG, Gateway, until
from tests.fix_upstream import (
    CHAT,
    Scripted,
    ScriptedUpstream,
    Send,
    Wait,
    recording,
    silence,
    streamed,
    whole,
)
from tests.whole.wire import (
    Answer,
    assert_is_the_envelope,
    call,
    events,
    minimal,
    raw_socket,
    read_answer,
    stream,
)

Make = Callable[..., Gateway]

# A provider whose models are not listed: the caller's own words become the model's name.
UNLISTED = SCRIPTED_CONFIG.replace(
    "models:\n", "  - {name: lab, kind: openai-compatible, base_url: $URL/v1, api_key: $KEY}\nmodels:\n", 1
)
HUGE_CHUNK = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"far-chat","choices":'
    b'[{"index":0,"delta":{"content":"' + b"x" * 100_000 + b'"},"finish_reason":null}]}\n\n'
)
# More than the sockets between two processes of one machine hold (4 MiB a side), several times over.
HUGE_STREAM = Scripted((Send(HUGE_CHUNK),) * 400, headers=(("content-type", "text/event-stream"),))


def started(make_gateway: Make, config: str = SCRIPTED_CONFIG, **environment: str) -> Gateway:
    gateway = make_gateway(config, **environment)
    return gateway.start_new()


def post(gateway: Gateway, body: object, path: str = CHAT) -> bytes:
    data = json.dumps(body).encode()
    return head(gateway, len(data), path) + data


def head(gateway: Gateway, length: int, path: str = CHAT) -> bytes:
    lines = (
        f"POST {path} HTTP/1.1",
        "host: 127.0.0.1",
        f"authorization: Bearer {gateway.api_key}",
        "content-type: application/json",
        f"content-length: {length}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@contextmanager
def client_that_stops_reading(gateway: Gateway, upstream: ScriptedUpstream) -> Iterator[socket.socket]:
    """A stream has begun, more than fits on the way is coming, and nobody takes it."""
    upstream.answers(CHAT, HUGE_STREAM)
    with raw_socket(gateway) as connection:
        connection.sendall(post(gateway, minimal(CHAT, "chat-model", stream=True)))
        assert connection.recv(1)
        yield connection


def outcomes(gateway: Gateway) -> list[str]:
    return [row["outcome"] for row in gateway.rows("SELECT outcome FROM usage")]


def test_a_whole_answer_that_never_comes_is_told_when_the_drain_is_over(
    make_gateway: Make, upstream: ScriptedUpstream
) -> None:
    gateway = started(make_gateway, MODELWAY_TIMEOUTS_DRAIN_S="1")
    upstream.answers(CHAT, silence())

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, gateway, CHAT, minimal(CHAT, "chat-model"))
        upstream.wait_for_calls(1)
        gateway.terminate()
        answer = waiting.result()

    assert_is_the_envelope(answer, 503, "overloaded_error", "server_shutting_down")
    assert gateway.wait() == 0, gateway.log
    assert "Traceback" not in gateway.log
    assert len(outcomes(gateway)) == 1


def test_a_client_that_reads_nothing_does_not_keep_the_gateway_from_ending(
    make_gateway: Make, upstream: ScriptedUpstream
) -> None:
    gateway = started(make_gateway, MODELWAY_TIMEOUTS_DRAIN_S="1")

    with client_that_stops_reading(gateway, upstream):
        gateway.terminate()
        assert gateway.wait() == 0, gateway.log

    assert "Traceback" not in gateway.log
    assert len(outcomes(gateway)) == 1


def test_a_client_that_sends_half_a_body_does_not_keep_the_gateway_from_ending(make_gateway: Make) -> None:
    gateway = started(make_gateway, MODELWAY_TIMEOUTS_DRAIN_S="1")

    with raw_socket(gateway) as connection:
        connection.sendall(head(gateway, 100) + b"{")
        until(lambda: "modelway_calls_live 1" in gateway.metrics(), "one live call")
        gateway.terminate()
        assert gateway.wait() == 0, gateway.log

    assert "Traceback" not in gateway.log


def test_a_second_SIGTERM_ends_the_drain_at_once(make_gateway: Make, upstream: ScriptedUpstream) -> None:
    gateway = started(make_gateway, MODELWAY_TIMEOUTS_DRAIN_S="600")
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse"), pause_after=4))

    with stream(gateway, CHAT, minimal(CHAT, "chat-model", stream=True)) as answer:
        answer.frames(3)
        gateway.terminate()
        until(lambda: gateway.status_of("/readyz") == 503, "/readyz 503")
        time.sleep(1)  # one that comes at once is the same Ctrl-C, passed on by a parent
        gateway.terminate()
        rest = answer.rest()

    assert events(rest)[-1]["error"]["code"] == "server_shutting_down"
    assert gateway.wait() == 0, gateway.log


def test_a_client_that_stops_reading_is_let_go(make_gateway: Make, upstream: ScriptedUpstream) -> None:
    gateway = started(make_gateway, MODELWAY_TIMEOUTS_WRITE_STALL_S="1", MODELWAY_TIMEOUTS_HEARTBEAT_S="0.4")

    with client_that_stops_reading(gateway, upstream):
        upstream.last.wait_until_left()
        assert upstream.last.left_early
        row = until(lambda: gateway.rows("SELECT * FROM usage"), "the call's row")[0]

    assert row["outcome"] == "client_gone"
    assert row["output_tokens"] > 0, "what was sent is on record"
    until(lambda: "modelway_calls_live 0" in gateway.metrics(), "no live call")


def test_a_client_that_reads_slowly_is_not_let_go(make_gateway: Make, upstream: ScriptedUpstream) -> None:
    gateway = started(
        make_gateway,
        MODELWAY_TIMEOUTS_WRITE_STALL_S="1",
        MODELWAY_TIMEOUTS_HEARTBEAT_S="0.4",
        MODELWAY_TIMEOUTS_IDLE_S="1",
    )

    with client_that_stops_reading(gateway, upstream) as connection:
        received, began_s = 0, time.monotonic()
        connection.settimeout(10)
        while data := connection.recv(1 << 20):
            received += len(data)
            if data.endswith(b"0\r\n\r\n"):
                break
            if time.monotonic() - began_s < 4:
                time.sleep(0.1)

    assert received > 400 * 100_000


@pytest.mark.parametrize("streams", [False, True])
def test_an_answer_that_drips_for_ever_ends_when_its_time_is_up(
    make_gateway: Make, upstream: ScriptedUpstream, streams: bool
) -> None:
    gateway = started(make_gateway, MODELWAY_TIMEOUTS_TOTAL_S="1", MODELWAY_TIMEOUTS_HEARTBEAT_S="10")
    drip = b": still here\n\n" if streams else b" "
    kind = "text/event-stream" if streams else "application/json"
    upstream.answers(CHAT, Scripted((Send(drip), Wait(0.2)) * 100, headers=(("content-type", kind),)))

    answer = call(gateway, CHAT, minimal(CHAT, "chat-model", stream=streams))

    assert_is_the_envelope(answer, 504, "timeout_error", "upstream_timeout")
    upstream.last.wait_until_left()
    assert gateway.usage_of(answer.request_id)["outcome"] == "upstream_timeout"


def test_a_gateway_for_one_call_carries_one_call(make_gateway: Make, upstream: ScriptedUpstream) -> None:
    gateway = started(make_gateway, MODELWAY_CONCURRENCY_MAX="1")
    upstream.answers(CHAT, silence(recording("whole/chat_text.json")))

    with ThreadPoolExecutor(1) as pool, raw_socket(gateway) as uploading:
        uploading.sendall(head(gateway, 100) + b"{")  # a body on its way is no call yet
        first = pool.submit(call, gateway, CHAT, minimal(CHAT, "chat-model"))
        upstream.wait_for_calls(1)
        second = call(gateway, CHAT, minimal(CHAT, "chat-model"))
        upstream.resume()

    assert first.result().status == 200, first.result()
    assert_is_the_envelope(second, 503, "overloaded_error")


def test_a_model_name_that_no_header_can_carry_is_unknown(
    make_gateway: Make, upstream: ScriptedUpstream
) -> None:
    gateway = started(make_gateway, UNLISTED)
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))

    for name in ("lab/a\r\nx-forged: b", "lab/a\0b", "lab/a\x1bb", "lab/" + "x" * 300):
        answer = call(gateway, CHAT, minimal(CHAT, name))

        assert_is_the_envelope(answer, 404, "not_found_error", "model_not_found")
        assert upstream.calls == [], "nothing was paid for"
    assert call(gateway, CHAT, minimal(CHAT, "lab/any-model")).status == 200


@pytest.mark.parametrize("path", ["/v1/validate", "/v1/models", "/v1/validate?path=messages"])
@pytest.mark.parametrize("depth", [65, 900, 40_000])
def test_a_body_to_look_at_that_nests_too_deep_is_a_400(gateway: Gateway, path: str, depth: int) -> None:
    nested = '{"a":' * depth + "1" + "}" * depth
    body = '{"model":"chat-model","messages":[{"role":"user","content":"x"}],"metadata":' + nested + "}"

    assert_is_the_envelope(call(gateway, path, body.encode()), 400, "invalid_request_error")


def test_a_body_for_all_models_has_a_limit_of_its_own(gateway: Gateway) -> None:
    body = minimal(CHAT, "chat-model", messages=[{"role": "user", "content": "x" * 300_000}])

    assert_is_the_envelope(call(gateway, "/v1/models", body), 413, "request_too_large")
    assert call(gateway, "/v1/validate", body).status == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/v1/models", "/v1/models/chat-model"])
def test_HEAD_answers_like_GET_without_the_body(gateway: Gateway, path: str) -> None:
    got, headed = call(gateway, path), call(gateway, path, method="HEAD")

    assert (headed.status, headed.body) == (got.status, b"")
    assert headed.headers["content-type"] == got.headers["content-type"]
    assert call(gateway, CHAT, method="HEAD").status == 405


def test_a_body_that_drips_for_ever_is_a_408(make_gateway: Make) -> None:
    gateway = started(make_gateway, MODELWAY_TIMEOUTS_BODY_TOTAL_S="1")

    answer = _dripped(gateway, every_s=0.2, times=60)

    assert_is_the_envelope(answer, 408, "timeout_error")


def _dripped(gateway: Gateway, *, every_s: float, times: int) -> Answer:
    with raw_socket(gateway) as connection:
        connection.sendall(head(gateway, times + 1))
        connection.settimeout(every_s)
        for _ in range(times):
            try:
                connection.sendall(b" ")
                if connection.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                continue
        connection.settimeout(20)
        return read_answer(connection)

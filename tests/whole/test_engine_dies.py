"""The local model's process is killed: nobody is told that a broken answer was whole, and it comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, MESSAGES, RESPONSES
from tests.whole.wire import assert_is_the_envelope, call, events, minimal, stream

MODEL = "local/smollm2"
STORY = "Tell a very long story about a lighthouse, with many chapters."
LONG: dict[str, dict[str, object]] = {
    CHAT: {"messages": [{"role": "user", "content": STORY}], "max_tokens": 2000},
    MESSAGES: {"messages": [{"role": "user", "content": STORY}], "max_tokens": 2000},
    RESPONSES: {"input": STORY, "max_output_tokens": 2000},
}
# What each protocol says at the end of an answer that is whole.
GOOD_ENDINGS = {CHAT: b"[DONE]", MESSAGES: b"message_stop", RESPONSES: b"response.completed"}


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, of all its threads."""
    children = [
        int(child)
        for listing in Path(f"/proc/{pid}/task").glob("*/children")
        for child in listing.read_text().split()
    ]
    return children + [below for child in children for below in descendants(child)]


def engine_of(gateway: Gateway) -> int | None:
    """The process below the gateway that carries the model."""
    for pid in descendants(gateway.pid):
        if b"engine/child.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose local model may be killed: each test leaves it with a new one."""
    made = Gateway(tmp_path_factory.mktemp("mortal"), None)
    yield made.start_new()
    assert made.stop() == 0, made.log_tail


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
def test_an_engine_killed_in_a_stream_is_an_error_in_the_clients_own_words(
    gateway: Gateway, path: str
) -> None:
    body = {"model": MODEL, "stream": True, **LONG[path]}

    with stream(gateway, path, body) as answer:
        assert answer.status == 200, answer.rest()
        heard = b"".join(answer.frames(8))
        os.kill(until(lambda: engine_of(gateway), "the engine's process"), signal.SIGKILL)
        rest = answer.rest()

    assert rest.endswith(b"\n\n")
    assert GOOD_ENDINGS[path] not in heard + rest, "a broken answer was told as a whole one"
    assert_ends_with_an_error(path, rest)
    assert gateway.is_running
    assert gateway.status_of("/livez") == 200
    row = gateway.usage_of(answer.request_id)
    assert row["outcome"] not in {"ok", "client_gone"}
    assert row["output_tokens"] > 0

    short = {**minimal(path, MODEL), **({} if path == RESPONSES else {"max_tokens": 8})}
    after = call(gateway, path, short)
    if after.status != 200:
        assert_is_the_envelope(after, after.status, after.json()["error"]["type"])
        assert after.status == 503
        assert int(after.headers["retry-after"]) > 0
    until(lambda: call(gateway, path, short).status == 200, "an answer from the new engine")


def assert_ends_with_an_error(path: str, rest: bytes) -> None:
    last = events(rest)[-1]
    if path == RESPONSES:
        assert last["type"] in {"error", "response.failed"}, last
    else:
        assert last["error"]["message"], last
        assert last["error"]["type"], last
    if path == MESSAGES:
        assert rest.rstrip(b"\n").split(b"\n")[-2] == b"event: error"
        assert last["type"] == "error"

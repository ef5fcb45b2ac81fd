"""A disk that fails ends the gateway before it promises anything; a disk that is full does not."""

from __future__ import annotations

import http.client
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, ScriptedUpstream, whole
from tests.ledger.through_gateway import ANSWER, CONFIG, QUESTION, broken_books, open_account
from tests.whole.wire import call

STRACE = shutil.which("strace")


@contextmanager
def injected(gateway: Gateway, error: str, calls: str) -> Iterator[None]:
    """The kernel answers these calls of the gateway with `error`."""
    command = [STRACE or "", "-f", "-q", "-p", str(gateway.pid), "-o", str(gateway.folder / "strace.log")]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE)
    traced = f"TracerPid:\t{tracer.pid}"
    status = f"/proc/{gateway.pid}/task/{gateway.pid}/status"

    def attached() -> bool:
        if tracer.poll() is not None:
            assert tracer.stderr is not None
            pytest.skip(f"strace cannot look on here: {tracer.stderr.read().decode()[:200]}")
        with open(status) as file:
            return traced in file.read()

    until(attached, "strace")
    yield
    tracer.terminate()
    tracer.communicate()


@pytest.mark.skipif(STRACE is None, reason="strace is not installed: no disk can be made to fail")
def test_a_disk_that_fails_ends_the_gateway_and_promises_nothing(
    make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, whole(ANSWER))
    gateway = make_gateway(CONFIG)
    gateway.api_key = open_account(gateway, "us", usd=10)
    gateway.start()
    assert call(gateway, CHAT, QUESTION).status == 200

    with injected(gateway, "EIO", "fdatasync,fsync"):
        with pytest.raises((OSError, http.client.HTTPException)):
            call(gateway, CHAT, QUESTION)
        assert gateway.wait() == 74

    assert len(upstream.calls) == 1, "nothing was sent that was not on the disk"
    assert call(gateway.start(), CHAT, QUESTION).status == 200
    assert gateway.stop() == 0
    assert broken_books(f"sqlite:///{gateway.database}") == []


@pytest.mark.skipif(STRACE is None, reason="strace is not installed: no disk can be made to fill up")
def test_a_full_disk_refuses_calls_and_is_forgotten_when_there_is_space(
    make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, whole(ANSWER))
    gateway = make_gateway(CONFIG)
    gateway.api_key = open_account(gateway, "us", usd=10)
    gateway.start()

    with injected(gateway, "ENOSPC", "pwrite64"):
        assert call(gateway, CHAT, QUESTION).status == 503
        assert not upstream.calls

    until(lambda: call(gateway, CHAT, QUESTION).status == 200, "space again")
    assert gateway.stop() == 0
    assert broken_books(f"sqlite:///{gateway.database}") == []

"""Several workers behind one port, on a real PostgreSQL: one gateway to those who look at it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, ScriptedUpstream, recording, whole
from tests.whole.wire import call, minimal

CALLS = 20
# Each scrape is a connection of its own, which the kernel gives to either worker.
SCRAPES = 8


@pytest.fixture
def two_workers(postgresql_url: str, make_gateway: Callable[..., Gateway]) -> Gateway:
    gateway = make_gateway(MODELWAY_DATABASE=postgresql_url, MODELWAY_SECRET="3f" * 32, MODELWAY_WORKERS="2")
    return gateway.start_new()


def calls_counted(gateway: Gateway) -> float:
    rows = re.findall(r"^modelway_calls_total\{.*\} (\S+)$", gateway.metrics(), re.MULTILINE)
    return sum(map(float, rows))


def workers_of(gateway: Gateway) -> list[int]:
    children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def test_every_worker_shows_the_calls_of_all_even_of_one_that_was_killed(
    two_workers: Gateway, upstream: ScriptedUpstream
) -> None:
    gateway = two_workers
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))
    for _ in range(CALLS):
        assert call(gateway, CHAT, minimal(CHAT, "chat-model")).status == 200

    until(
        lambda: {calls_counted(gateway) for _ in range(SCRAPES)} == {CALLS}, f"{CALLS} calls at every scrape"
    )
    before = workers_of(gateway)
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(workers_of(gateway)) == 2 and workers_of(gateway) != before, "another worker")

    until(lambda: gateway.status_of("/readyz") == 200, "ready")
    assert {calls_counted(gateway) for _ in range(SCRAPES)} == {CALLS}


def test_workers_leave_the_port_when_their_supervisor_is_killed(two_workers: Gateway) -> None:
    gateway = two_workers
    assert len(workers_of(gateway)) == 2

    os.kill(gateway.pid, signal.SIGKILL)

    gateway.wait()
    until(lambda: gateway.status_of("/livez") is None, "nobody at the port")


def test_no_counter_goes_back_whichever_worker_is_asked(
    two_workers: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))
    seen: list[float] = []
    for _ in range(CALLS):
        assert call(two_workers, CHAT, minimal(CHAT, "chat-model")).status == 200
        seen += [calls_counted(two_workers), calls_counted(two_workers)]

    assert seen == sorted(seen)

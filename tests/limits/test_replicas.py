"""Whole gateways that share a Valkey: their limits, also while it is away."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, ScriptedUpstream, recording, whole
from tests.fix_valkey import ValkeyServer
from tests.whole.wire import call, minimal

LIMIT = 12
CALLS = 60
WORKERS = 2
LOOKS = 8  # each is a connection of its own, which the kernel gives to either worker


@pytest.fixture
def valkey(make_valkey: Callable[..., ValkeyServer]) -> ValkeyServer:
    return make_valkey("--requirepass", "s3cret-canary").start()


@pytest.fixture
def shared(
    postgresql_url: str,
    make_gateway: Callable[..., Gateway],
    valkey: ValkeyServer,
    upstream: ScriptedUpstream,
) -> Gateway:
    """Two workers on one Valkey."""
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))
    gateway = make_gateway(
        MODELWAY_WORKERS=str(WORKERS),
        MODELWAY_DATABASE=postgresql_url,
        MODELWAY_VALKEY="env:COUNTERS",
        COUNTERS=f"valkey://:s3cret-canary@127.0.0.1:{valkey.port}",
        MODELWAY_ENGINE_START="never",
    )
    words = ("keys", "create", "--name", "n", "--requests-per-minute", str(LIMIT))
    gateway.api_key = gateway.manage(*words).strip()
    return gateway.start()


def crowd(gateway: Gateway) -> Counter[int]:
    """The statuses of many calls at once; the kernel gives each to either worker."""
    body = minimal(CHAT, "chat-model")
    with ThreadPoolExecutor(20) as callers:
        answers = [callers.submit(call, gateway, CHAT, body) for _ in range(CALLS)]
        return Counter(each.result().status for each in answers)


def says(gateway: Gateway, state: str) -> bool:
    answer = call(gateway, "/readyz")
    return answer.status == 200 and answer.json().get("valkey") == state


def everybody_says(gateway: Gateway, state: str) -> bool:
    return all(says(gateway, state) for _ in range(LOOKS))


def test_workers_never_pass_a_limit_together_nor_without_valkey(
    shared: Gateway, valkey: ValkeyServer, upstream: ScriptedUpstream
) -> None:
    until(lambda: everybody_says(shared, "ready"), "ready")

    statuses = crowd(shared)

    # A place is free again every five seconds.
    assert LIMIT <= statuses[200] <= LIMIT + 3
    assert statuses == {200: statuses[200], 429: CALLS - statuses[200]}
    assert len(upstream.calls) == statuses[200]

    valkey.pause()
    while_away = crowd(shared)
    assert while_away[200] <= 3
    assert while_away[200] + while_away[429] == CALLS
    until(lambda: everybody_says(shared, "away"), "away")
    until(lambda: "modelway_valkey_away 2" in shared.metrics(), "the metric")
    valkey.resume()
    until(lambda: everybody_says(shared, "ready"), "ready")
    assert crowd(shared)[200] <= 3

    lines = [json.loads(line)["message"] for line in shared.log.splitlines() if "Valkey at" in line]
    assert {line.split()[4].rstrip(":") for line in lines} == {"away", "back"}
    assert "canary" not in shared.log


def test_a_gateway_starts_though_its_valkey_is_not_there(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(MODELWAY_VALKEY="valkey://127.0.0.1:9", MODELWAY_ENGINE_START="never").start()

    assert says(gateway, "away")
    assert gateway.stop() == 0

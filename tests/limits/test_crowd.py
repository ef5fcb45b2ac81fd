"""Two processes on one Valkey never pass the limit, whatever their clocks say and whatever Valkey does."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.fix_valkey import ValkeyServer
from tests.limits.crowd import LIMIT, crowd

PROCESSES = 2


@pytest.fixture
def valkey(make_valkey: Callable[..., ValkeyServer]) -> ValkeyServer:
    return make_valkey().start()


def test_clocks_that_jump_by_two_hours_freeze_nothing_and_let_nothing_through(valkey: ValkeyServer) -> None:
    found = crowd(valkey.url, PROCESSES, 1.5, jumps=True)

    assert found.least <= found.let_in <= found.most


def test_a_valkey_that_stops_for_a_second_lets_nothing_through(valkey: ValkeyServer) -> None:
    def stop_for_a_second() -> None:
        time.sleep(0.6)
        valkey.pause()
        time.sleep(1)
        valkey.resume()

    found = crowd(valkey.url, PROCESSES, 2.5, jumps=False, meanwhile=stop_for_a_second)

    assert LIMIT // PROCESSES <= found.let_in <= found.most

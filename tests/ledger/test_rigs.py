"""Short runs of the reliability rigs: kills, hang-ups. `make reliability` runs the long ones."""

from __future__ import annotations

from collections.abc import Callable

from tests.fix_gateway import Gateway
from tests.fix_upstream import ScriptedUpstream
from tests.ledger.rigs import FREED_WITHIN_S, hang_up, kill_again_and_again, kill_config
from tests.ledger.through_gateway import CONFIG, broken_books, open_account

KILLS = 3
CLIENTS = 40
CLOSED_WITHIN_S = 0.25  # at the 99th percentile; an upstream bills for every token it goes on making


def test_a_gateway_that_is_killed_books_every_call_once(
    database_url: str, make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> None:
    gateway = make_gateway(kill_config(KILLS), MODELWAY_DATABASE=database_url)

    found = kill_again_and_again(gateway, upstream, database_url, KILLS, seed=5)

    assert found.calls > 0
    assert (found.unbooked, found.twice, found.invented) == ([], [], [])
    assert max(found.freed_s) < FREED_WITHIN_S
    assert broken_books(database_url) == []


def test_every_client_that_hangs_up_is_booked_and_its_upstream_let_go(
    sqlite_url: str, make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> None:
    gateway = make_gateway(CONFIG, MODELWAY_DATABASE=sqlite_url)
    gateway.api_key = open_account(gateway, "us", "--prepaid", usd=1_000)
    gateway.start()

    found = hang_up(gateway, upstream, sqlite_url, CLIENTS, seed=5)

    assert found.booked == CLIENTS
    assert found.closed_after_s[len(found.closed_after_s) * 99 // 100 - 1] < CLOSED_WITHIN_S
    assert gateway.stop() == 0
    assert broken_books(sqlite_url) == []

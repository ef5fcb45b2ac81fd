"""Short runs of the reliability rigs: kills, power cuts, hang-ups. `make reliability` runs the long ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fix_gateway import Gateway
from tests.fix_upstream import ScriptedUpstream
from tests.ledger.kills import kill_again_and_again, kill_config
from tests.ledger.power import Disk, NoDisk, cut_again_and_again, disk
from tests.ledger.rigs import hang_up
from tests.ledger.through_gateway import CONFIG, broken_books, open_account

KILLS = 15  # on each database
CUTS = 5
CLIENTS = 200


@pytest.fixture
def power(tmp_path: Path) -> Iterator[Disk]:
    try:
        with disk(tmp_path) as made:
            yield made
    except NoDisk as reason:
        pytest.skip(f"no power can be cut here: {reason}")


def test_a_gateway_that_is_killed_books_every_call_once(
    database_url: str, make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> None:
    gateway = make_gateway(kill_config(0), MODELWAY_DATABASE=database_url)

    found = kill_again_and_again(gateway, upstream, database_url, KILLS, seed=5)

    assert found.calls > 0
    assert (found.unbooked, found.twice, found.invented) == ([], [], [])
    assert broken_books(database_url) == []


def test_what_was_acknowledged_survives_a_power_cut(power: Disk) -> None:
    found = cut_again_and_again(power, CUTS, seed=5)

    assert (found.lost, found.broken) == ([], [])
    assert min(found.acknowledged[kind] for kind in ("top_up", "revoked", "held", "charged")) > 0


def test_a_database_that_does_not_wait_for_the_disk_loses_money_in_a_power_cut(power: Disk) -> None:
    assert cut_again_and_again(power, 1, seed=5, synchronous="NORMAL").lost != []


def test_every_client_that_hangs_up_is_booked_and_its_upstream_let_go(
    sqlite_url: str, make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> None:
    gateway = make_gateway(CONFIG, MODELWAY_DATABASE=sqlite_url)
    gateway.api_key = open_account(gateway, "us", usd=1_000)
    gateway.start()

    found = hang_up(gateway, upstream, sqlite_url, CLIENTS, seed=5)

    assert (found.booked, found.left_early) == (CLIENTS, CLIENTS)
    assert gateway.stop() == 0
    assert broken_books(sqlite_url) == []

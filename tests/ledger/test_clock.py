"""A clock that jumps by two hours frees nothing that is held, freezes nothing, and loses no money."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from modelway.accounts.windows import window_start_ms
from modelway.store.claims import Claim
from modelway.store.database import Database
from modelway.store.entries import Cap
from modelway.store.leases import recover, renew
from modelway.store.ledger import Ledger
from modelway.store.posting import Granted, Outcome, Refused
from modelway.store.schema import cap_windows, holds
from tests.ledger.books import NOW_MS, assert_books_agree, has, hold, lines, new_hold, prepaid, settled
from tests.ledger.test_recovery import die, no_hold_is_open
from tests.store.waiting import until

pytestmark = pytest.mark.anyio

HOURS_MS = 3_600_000
JUMPS_MS = (2 * HOURS_MS, -2 * HOURS_MS)


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.mark.parametrize("jump_ms", JUMPS_MS)
async def test_a_worker_whose_clock_jumps_judges_nobody_and_is_judged_by_nobody(
    postgresql_url: str, jump_ms: int
) -> None:
    """Leases are read by the database's clock alone."""
    database = await Database.open(postgresql_url)
    account = await prepaid(database, 1_000)
    clock = Clock()
    steady, jumpy = Ledger(database), Ledger(database, now_ms=clock)
    mine, theirs = [await hold(each, account, 100) for each in (jumpy, steady)]

    clock.now_ms += jump_ms
    await database.write(lambda connection: renew(connection, jumpy.worker_id, clock.now_ms))
    freed = [
        await database.write(lambda connection: recover(connection, jumpy.worker_id, clock.now_ms)),
        await database.write(lambda connection: recover(connection, steady.worker_id, NOW_MS)),
    ]

    assert freed == [0, 0]
    for ledger, (opened, _) in ((jumpy, mine), (steady, theirs)):
        ledger.append(*settled(opened, 60))
        await ledger.close()
    assert (await has(database, account)).available_nano_usd == 880
    await assert_books_agree(database)
    await database.close()


@pytest.mark.parametrize("jump_ms", JUMPS_MS)
async def test_what_a_dead_worker_held_is_freed_whatever_the_clock_says(
    database: Database, jump_ms: int
) -> None:
    account = await prepaid(database, 1_000)
    dead = Ledger(database)
    await hold(dead, account, 400)
    await die(dead)

    clock = Clock()
    clock.now_ms += jump_ms
    living = Ledger(database, now_ms=clock)
    await until(lambda: no_hold_is_open(database))

    assert (await has(database, account)).available_nano_usd == 1_000
    await living.close()
    await assert_books_agree(database)


@pytest.mark.parametrize("jump_ms", JUMPS_MS)
async def test_calls_go_on_across_a_jump_and_are_paid_in_the_window_that_held_them(
    database: Database, jump_ms: int
) -> None:
    """From noon, so that the day stays the day; from an hour before midnight, so that it does not."""
    account = await prepaid(database, 10_000)
    clock = Clock()
    ledger = Ledger(database, now_ms=clock)
    day_ms = window_start_ms("daily", NOW_MS)
    expected: dict[int, int] = {}
    for hour in (12, 1 if jump_ms < 0 else 23):
        clock.now_ms = day_ms + hour * HOURS_MS
        before, after = (
            Cap("key_1", window_start_ms("daily", now_ms), 5_000)
            for now_ms in (clock.now_ms, clock.now_ms + jump_ms)
        )
        begun = new_hold(ledger, account)
        assert await ledger.reserve(begun, amounts=(100,), caps=(before,)) == Granted(100)
        clock.now_ms += jump_ms
        ledger.append(*settled(begun, 70))
        next_one = new_hold(ledger, account)
        assert await ledger.reserve(next_one, amounts=(100,), caps=(after,)) == Granted(100)
        ledger.append(*settled(next_one, 70))
        await ledger.flush()
        for cap in (before, after):
            expected[cap.window_start_ms] = expected.get(cap.window_start_ms, 0) + 70

    windows = await database.read(lambda c: c.execute(select(cap_windows)).all())
    assert {row.window_start_ms: row.posted_nano_usd for row in windows} == expected
    assert {row.held_nano_usd for row in windows} == {0}
    assert (await has(database, account)).available_nano_usd == 10_000 - 4 * 70
    await ledger.close()
    await assert_books_agree(database)


@pytest.mark.parametrize("jump_ms", JUMPS_MS)
async def test_a_limit_is_not_passed_by_jumping_to_and_fro(database: Database, jump_ms: int) -> None:
    account = await prepaid(database, 10_000)
    ledger = Ledger(database)
    midnight_ms = window_start_ms("daily", NOW_MS)
    moments = (midnight_ms + HOURS_MS, midnight_ms + HOURS_MS + jump_ms) * 5
    outcomes: list[Outcome] = []
    for now_ms in moments:
        cap = Cap("key_1", window_start_ms("daily", now_ms), 250)
        outcomes.append(await ledger.reserve(new_hold(ledger, account), amounts=(100,), caps=(cap,)))

    windows = len({window_start_ms("daily", now_ms) for now_ms in moments})
    assert outcomes.count(Granted(100)) == 2 * windows
    assert outcomes.count(Refused("key_1")) == len(moments) - 2 * windows
    await ledger.close()


@pytest.mark.parametrize("jump_ms", JUMPS_MS)
async def test_an_idempotency_key_outlasts_a_jump(database: Database, jump_ms: int) -> None:
    account = await prepaid(database, 1_000)
    clock = Clock()
    ledger = Ledger(database, now_ms=clock)
    first = new_hold(ledger, account)
    claim = Claim(account, "/v1/messages", "key", b"f" * 32, first.attempt_id, NOW_MS)
    assert await ledger.reserve(first, amounts=(10,), claim=claim) == Granted(10)
    clock.now_ms += jump_ms
    await ledger._forget_claims()

    again = new_hold(ledger, account)
    repeated = claim._replace(request_id=again.attempt_id, created_at_ms=clock.now_ms)
    outcome = await ledger.reserve(again, amounts=(10,), claim=repeated)
    ledger.append(*settled(first, 7))
    await ledger.close()

    assert not isinstance(outcome, Granted)
    assert {(line.kind, line.amount_nano_usd) for line in await lines(database, account)} == {
        ("top_up", 1_000),
        ("charge", 7),
    }
    assert await database.read(lambda c: c.execute(select(holds)).all()) == []

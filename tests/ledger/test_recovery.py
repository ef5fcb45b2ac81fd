"""Workers that die leave nothing held, and workers that were only slow are not charged twice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from sqlalchemy import Connection, select, update

from modelway.accounts.keys import Key
from modelway.conversation.errors import CallError
from modelway.manage import money
from modelway.store.claims import Claim, Kept
from modelway.store.database import Database
from modelway.store.entries import Cap, checkpoint
from modelway.store.leases import recover, renew
from modelway.store.ledger import Ledger
from modelway.store.posting import Granted
from modelway.store.schema import cap_windows, holds, workers
from tests.ledger.books import (
    NOW_MS,
    assert_books_agree,
    has,
    hold,
    lines,
    new_hold,
    prepaid,
    settled,
)
from tests.store.rows import stored
from tests.store.waiting import until

pytestmark = pytest.mark.anyio

KEY = Key(id="key_1", account_id="", name="k", masked="m", created_at_ms=0)


async def die(ledger: Ledger) -> None:
    """As kill -9 does: nothing is posted any more, and its lease is not renewed."""
    ledger._closing = True
    ledger._tending.cancel()
    await asyncio.sleep(0)
    await ledger._database.write(
        lambda connection: connection.execute(
            update(workers).where(workers.c.id == ledger.worker_id).values(lease_until_ms=1)
        )
    )


def open_holds(connection: Connection) -> list[str]:
    return list(connection.execute(select(holds.c.attempt_id)).scalars())


async def no_hold_is_open(database: Database) -> bool:
    return not await database.read(open_holds)


async def test_what_a_dead_worker_held_is_freed_when_the_next_starts(database: Database) -> None:
    account = await prepaid(database, 1_000)
    dead = Ledger(database)
    cap = Cap("key_1", 0, 1_000)
    silent, heard = new_hold(dead, account), new_hold(dead, account)
    for opened in (silent, heard):
        assert await dead.reserve(opened, amounts=(400,), caps=(cap,)) == Granted(400)
    seen = [(11, 5, 150, heard.attempt_id)]
    await database.write(lambda connection: checkpoint(connection, seen))
    await die(dead)

    living = Ledger(database)
    await until(lambda: no_hold_is_open(database))

    found = {line.attempt_id: line for line in await lines(database, account) if line.attempt_id}
    void, estimate = found[silent.attempt_id], found[heard.attempt_id]
    assert (void.kind, void.amount_nano_usd, void.note) == ("void", 0, "recovered")
    assert (estimate.kind, estimate.amount_nano_usd, estimate.note) == ("estimate", 150, "recovered")
    assert (await has(database, account)).available_nano_usd == 850
    rows = {row.request_id: row for row in await stored(database)}
    assert (rows[heard.attempt_id].cost_nano_usd, rows[heard.attempt_id].output_tokens) == (150, 5)
    assert rows[silent.attempt_id].error_code == rows[heard.attempt_id].error_code == "worker_lost"
    window = await database.read(lambda c: c.execute(select(cap_windows)).one())
    assert (window.posted_nano_usd, window.held_nano_usd) == (150, 0)
    await living.close()
    await assert_books_agree(database)


async def test_a_worker_that_lives_keeps_its_holds(postgresql_url: str) -> None:
    database = await Database.open(postgresql_url)
    account = await prepaid(database, 1_000)
    one, other = Ledger(database), Ledger(database)
    opened, _ = await hold(one, account, 400)
    await hold(other, account, 10)

    freed = await database.write(lambda connection: recover(connection, other.worker_id, NOW_MS))

    assert freed == 0
    assert opened.attempt_id in await database.read(open_holds)
    for each in (one, other):
        each.append(*settled(opened, 100))
        await each.close()
    await database.close()


async def test_a_lease_that_ran_out_is_noticed_by_its_holder_before_it_judges_others(
    postgresql_url: str,
) -> None:
    database = await Database.open(postgresql_url)

    async def renewed() -> bool:
        return await database.write(lambda connection: renew(connection, "wrk_1", NOW_MS))

    assert await renewed() is False  # it was never there
    assert await renewed() is True
    await database.write(lambda c: c.execute(update(workers).values(lease_until_ms=1)))
    assert await renewed() is False
    assert await renewed() is True
    await database.close()


@pytest.mark.parametrize(
    ("cost", "kind", "amount", "left"),
    [(100, "return", 50, 900), (220, "overrun", 70, 850), (150, "", 0, 850)],
)
async def test_a_worker_that_was_taken_for_dead_corrects_the_estimate(
    database: Database, cost: int, kind: str, amount: int, left: int
) -> None:
    account = await prepaid(database, 1_000)
    slow = Ledger(database)
    opened, _ = await hold(slow, account, 400)
    await database.write(lambda connection: checkpoint(connection, [(11, 5, 150, opened.attempt_id)]))
    await database.write(lambda c: c.execute(update(workers).values(lease_until_ms=1)))
    await database.write(lambda connection: recover(connection, "wrk_other", NOW_MS))

    for _ in range(2):  # twice is once
        slow.append(*settled(opened, cost))
        await slow.flush()

    late = [line for line in await lines(database, account) if line.note == "late"]
    assert [(line.kind, line.amount_nano_usd) for line in late] == ([(kind, amount)] if kind else [])
    assert (await has(database, account)).available_nano_usd == left
    await slow.close()
    await assert_books_agree(database)


@pytest.mark.parametrize(("refunded", "returned"), [(150, None), (120, 30), (50, 100), (20, 100)])
async def test_a_late_correction_and_refunds_together_give_back_no_more_than_was_charged(
    database: Database, refunded: int, returned: int | None
) -> None:
    account = await prepaid(database, 1_000)
    slow = Ledger(database)
    opened, _ = await hold(slow, account, 400)
    await database.write(lambda connection: checkpoint(connection, [(11, 5, 150, opened.attempt_id)]))
    await database.write(lambda c: c.execute(update(workers).values(lease_until_ms=1)))
    await database.write(lambda connection: recover(connection, "wrk_other", NOW_MS))
    (estimate,) = (line for line in await lines(database, account) if line.kind == "estimate")
    await money.refund(database, account, estimate.id, refunded)

    for _ in range(2):  # twice is once
        slow.append(*settled(opened, 50))
        await slow.flush()

    late = [line.amount_nano_usd for line in await lines(database, account) if line.note == "late"]
    assert late == ([] if returned is None else [returned])
    assert (await has(database, account)).available_nano_usd == 850 + refunded + (returned or 0)
    await slow.close()
    await assert_books_agree(database)


@dataclass
class Streaming:
    """A call in flight that has got so far."""

    attempt_id: str
    seen: tuple[int, int, int] | None
    key: Key = KEY
    granted_nano_usd: int | None = None

    def progress(self) -> tuple[int, int, int] | None:
        return self.seen

    def end(self, why: CallError) -> None:
        raise AssertionError(why)


async def test_a_checkpoint_that_cannot_be_stored_stops_neither_the_others_nor_the_lease(
    database: Database,
) -> None:
    account = await prepaid(database, 1_000)
    ledger = Ledger(database)
    opened = [(await hold(ledger, account, 100))[0] for _ in range(3)]
    for number, each in enumerate(opened):
        seen = (10**19, 1, 1) if number == 1 else (11, 5, 15)
        ledger.live[each.attempt_id] = Streaming(each.attempt_id, seen)
    await database.write(lambda c: c.execute(update(workers).values(lease_until_ms=1)))

    await ledger._look_after()

    states = await database.read(
        lambda c: dict(c.execute(select(holds.c.attempt_id, holds.c.cost_nano_usd)).all())
    )
    assert states == {each.attempt_id: cost for each, cost in zip(opened, (15, 0, 15), strict=True)}
    if database.dialect == "postgresql":
        assert await database.read(lambda c: c.execute(select(workers.c.lease_until_ms)).scalar_one()) > 1
    for each in opened:
        ledger.append(*settled(each, 10))
    await ledger.close()
    await assert_books_agree(database)


async def test_closing_leaves_nothing_held_and_no_worker(database: Database) -> None:
    account = await prepaid(database, 1_000)
    ledger = Ledger(database)
    opened, _ = await hold(ledger, account, 400)
    ledger.append(*settled(opened, 100))

    await ledger.close()

    assert await no_hold_is_open(database)
    assert await database.read(lambda c: c.execute(select(workers)).all()) == []
    assert (await has(database, account)).available_nano_usd == 900


async def test_a_call_that_nobody_heard_frees_its_idempotency_key_when_its_worker_dies(
    database: Database,
) -> None:
    account = await prepaid(database, 1_000)
    dead = Ledger(database)
    silent, heard = new_hold(dead, account), new_hold(dead, account)
    claims = {
        opened.attempt_id: Claim(account, "/v1/messages", key, b"f" * 32, opened.attempt_id, NOW_MS)
        for opened, key in ((silent, "a"), (heard, "b"))
    }
    for opened in (silent, heard):
        claim = claims[opened.attempt_id]
        assert await dead.reserve(opened, amounts=(10,), claim=claim) == Granted(10)
    await database.write(lambda connection: checkpoint(connection, [(1, 1, 5, heard.attempt_id)]))
    await die(dead)

    living = Ledger(database)
    await until(lambda: no_hold_is_open(database))
    repeated = [
        await living.reserve(
            again, amounts=(10,), claim=claims[old.attempt_id]._replace(request_id=again.attempt_id)
        )
        for old, again in ((silent, new_hold(living, account)), (heard, new_hold(living, account)))
    ]

    assert repeated == [Granted(10), Kept(heard.attempt_id, b"f" * 32, 500, b"", None)]
    await living.close()

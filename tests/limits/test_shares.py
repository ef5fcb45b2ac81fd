"""A worker's share of a limit: all of them add up to it, and nobody is counted who is gone."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.calls.shares import Shares
from modelway.store.database import Database
from modelway.store.leases import leave, renew

pytestmark = pytest.mark.anyio

WORKERS = ("wrk_a", "wrk_b", "wrk_c")


async def test_shares_of_the_workers_on_one_database_add_up_to_the_limit(postgresql_url: str) -> None:
    database = await Database.open(postgresql_url)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        for worker in WORKERS:
            await database.write(partial(renew, worker_id=worker, own_now_ms=0))
        shares = [await stack.enter_async_context(Shares(database, worker, 1)) for worker in WORKERS]

        assert [each.of(100) for each in shares] == [34, 33, 33]
        assert [each.of(2) for each in shares] == [1, 1, 0]
        newcomer = await stack.enter_async_context(Shares(database, "wrk_d", 1))
        assert newcomer.of(100) == 25

        await database.write(lambda connection: leave(connection, "wrk_a"))
        left = await stack.enter_async_context(Shares(database, "wrk_b", 1))
        assert (left.workers, left.of(100)) == (2, 50)


async def test_an_sqlite_file_has_one_worker_who_has_all(sqlite_url: str) -> None:
    database = await Database.open(sqlite_url)
    async with Shares(database, "wrk_a", 1) as shares:
        assert shares.share is None
    await database.close()


async def test_workers_that_are_still_starting_have_their_share(postgresql_url: str) -> None:
    database = await Database.open(postgresql_url)
    async with Shares(database, "wrk_a", 4) as shares:
        assert shares.share is not None
        assert shares.share(100) == 25
    await database.close()


@given(limit=st.integers(0, 10_000), workers=st.integers(1, 64))
def test_no_rounding_makes_more_of_a_limit(limit: int, workers: int) -> None:
    shares = []
    for place in range(workers):
        one = Shares.__new__(Shares)
        one.workers, one._place = workers, place
        shares.append(one.of(limit))

    assert sum(shares) == limit
    assert max(shares) - min(shares) <= 1

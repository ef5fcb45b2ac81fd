"""Reports: a few at a time, of every account one, and none whose reader has left; on both databases."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError

from modelway.conversation.errors import CallError
from modelway.store import long_reads
from modelway.store.connections import reason
from modelway.store.database import Database
from modelway.store.long_reads import ASKED_PER_ACCOUNT_MAX, RUNNING_MAX
from modelway.store.schema import settings
from tests.store.waiting import PATIENCE_S

pytestmark = pytest.mark.anyio

# PostgreSQL gives up by itself after five seconds, and says so; SQLite never does.
FOREVER = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
}


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(settings.c.name)).scalars())


class Reports:
    """Reports that run until they are let go."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._go = threading.Event()
        self._begun = threading.Semaphore(0)
        self.order: list[str] = []

    def ask(self, account: str) -> asyncio.Task[str]:
        def report(connection: Connection) -> str:
            self.order.append(account)
            self._begun.release()
            self._go.wait(PATIENCE_S)
            return account

        return asyncio.ensure_future(self._database.read_long(report, account))

    async def begun(self, count: int) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self._begun.acquire, timeout=PATIENCE_S)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
async def reports(database: Database) -> AsyncIterator[Reports]:
    reports = Reports(database)
    yield reports
    reports.let_go()


async def test_long_reads_leave_readers_to_the_others(database: Database, reports: Reports) -> None:
    asked = [reports.ask(f"acct_{number}") for number in range(RUNNING_MAX + 1)]
    await reports.begun(RUNNING_MAX)

    assert await database.read(names) == []
    assert len(reports.order) == RUNNING_MAX, "the third runs beside two"
    reports.let_go()
    assert await asyncio.gather(*asked) == ["acct_0", "acct_1", "acct_2"]


async def test_of_one_account_one_report_runs_and_the_others_wait(
    database: Database, reports: Reports
) -> None:
    """However many one account asks for, another's is next."""
    many = [reports.ask("acct_many") for _ in range(ASKED_PER_ACCOUNT_MAX)]
    await reports.begun(1)
    one = reports.ask("acct_one")
    await reports.begun(1)

    assert reports.order == ["acct_many", "acct_one"]
    with pytest.raises(CallError, match="8 reports of this account are waiting") as refused:
        await database.read_long(names, "acct_many")
    assert refused.value.kind.name == "overloaded"
    reports.let_go()
    assert await asyncio.gather(*many, one) == ["acct_many"] * ASKED_PER_ACCOUNT_MAX + ["acct_one"]
    assert await database.read_long(names, "acct_many") == []


async def test_too_many_long_reads_are_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_reads, "ASKED_MAX", 0)

    with pytest.raises(CallError, match="are waiting for the database"):
        await database.read_long(names, "acct_1")


async def test_who_leaves_the_line_leaves_room_in_it(database: Database, reports: Reports) -> None:
    first, *others = (reports.ask("acct_1") for _ in range(ASKED_PER_ACCOUNT_MAX))
    await reports.begun(1)
    for each in others:
        each.cancel()
    await asyncio.wait(others)

    after = reports.ask("acct_1")
    reports.let_go()
    assert [await first, await after] == ["acct_1", "acct_1"]


async def test_a_report_whose_reader_leaves_is_stopped(database: Database) -> None:
    begun = threading.Semaphore(0)
    ends: list[str] = []

    def endless(connection: Connection) -> None:
        begun.release()
        try:
            connection.exec_driver_sql(FOREVER[database.dialect]).fetchall()
        except OperationalError as error:
            ends.append(reason(error))
            raise

    for _ in range(RUNNING_MAX + 1):  # every place there is, and one more
        asked = asyncio.ensure_future(database.read_long(endless, "acct_1"))
        assert await asyncio.to_thread(begun.acquire, timeout=PATIENCE_S)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    stopped = {"sqlite": "interrupted", "postgresql": "canceling statement due to user request"}
    assert ends == [stopped[database.dialect]] * (RUNNING_MAX + 1)
    assert await database.read_long(names, "acct_1") == []


async def test_a_report_that_has_not_begun_when_its_reader_leaves_never_does(
    database: Database, reports: Reports
) -> None:
    """Readers may all be busy with what is short."""
    held = threading.Event()
    busy = [asyncio.ensure_future(database.read(lambda connection: held.wait(PATIENCE_S))) for _ in range(4)]
    await asyncio.sleep(0)
    asked = reports.ask("acct_1")
    await asyncio.sleep(0.01)
    asked.cancel()
    await asyncio.sleep(0.01)
    held.set()

    await asyncio.wait_for(asyncio.wait([asked]), PATIENCE_S)
    assert asked.cancelled()
    assert reports.order == []
    assert await asyncio.gather(*busy) == [True] * 4

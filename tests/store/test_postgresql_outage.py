"""PostgreSQL goes away and comes back: nobody waits for ever, and nothing needs a restart."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy import Connection

from modelway.conversation.errors import CallError
from modelway.store import database as database_module
from modelway.store import settings
from modelway.store.database import Database
from modelway.store.urls import parse_url
from modelway.store.usage import UsageLog
from tests.fix_databases import PostgresqlServer
from tests.store.rows import stored, until_stored, usage_row
from tests.store.test_database import names
from tests.store.waiting import until

pytestmark = pytest.mark.anyio


class Outage:
    """Our database on the server, made to refuse everybody."""

    def __init__(self, server: PostgresqlServer, url: str) -> None:
        self._server = server
        self.name = parse_url(url)[1].database

    def hang_up(self) -> None:
        self._server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'"
        )

    def begin(self) -> None:
        self._server.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
        self.hang_up()

    def end(self) -> None:
        self._server.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")


@pytest.fixture
async def database(postgresql_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(postgresql_url)
    yield opened
    await opened.close()


@pytest.fixture
def outage(postgresql_server: PostgresqlServer, postgresql_url: str) -> Outage:
    return Outage(postgresql_server, postgresql_url)


def name(connection: Connection) -> str | None:
    return settings.get(connection, "name")


def backend(connection: Connection) -> int:
    number: int = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    return number


async def can_write(database: Database) -> bool:
    try:
        await database.write(backend)
    except CallError:
        return False
    return True


async def test_a_connection_that_died_idle_is_replaced_and_nobody_notices(
    database: Database, outage: Outage
) -> None:
    await database.read(name)
    outage.hang_up()

    assert await database.write(lambda connection: settings.set_once(connection, "name", "x"))
    assert await database.read(name) == "x"


async def test_while_it_is_away_callers_are_told_and_afterwards_served(
    database: Database, outage: Outage
) -> None:
    outage.begin()
    for _ in range(3):
        with pytest.raises(CallError, match="does not answer") as caught:
            await database.write(backend)
        assert caught.value.kind.name == "unavailable"
        with pytest.raises(CallError, match="does not answer"):
            await database.read(backend)
    assert not await database.is_ready()
    outage.end()

    await until(database.is_ready)
    await until(partial(can_write, database))


async def test_a_change_cut_off_in_the_middle_is_not_made(database: Database, outage: Outage) -> None:
    def cut_off(connection: Connection) -> None:
        settings.set_once(connection, "name", "x")
        outage.hang_up()
        settings.set_once(connection, "other", "x")

    with pytest.raises(CallError, match="does not answer"):
        await database.write(cut_off)

    assert await database.read(name) is None


async def test_what_was_acknowledged_is_there_however_often_the_line_broke(
    database: Database, outage: Outage
) -> None:
    acknowledged: set[str] = set()
    over = asyncio.Event()

    async def keep_writing(lane: int) -> None:
        number = 0
        while not over.is_set():
            number += 1
            text = f"{lane}-{number}"
            try:
                await database.write(partial(settings.set_once, name=text, value="x"))
            except CallError:
                await asyncio.sleep(0.01)
            else:
                acknowledged.add(text)

    lanes = [asyncio.ensure_future(keep_writing(lane)) for lane in range(8)]
    for _ in range(15):
        await asyncio.to_thread(outage.hang_up)
        await asyncio.sleep(0.02)
    over.set()
    await asyncio.gather(*lanes)

    assert acknowledged
    await until(database.is_ready)
    assert acknowledged <= set(await database.read(names))


async def test_a_server_that_freezes_is_hung_up_on(
    database: Database, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "HANG_TIMEOUT_S", 0.2)
    frozen = [await database.write(backend), await database.read(backend)]
    for process in frozen:
        os.kill(process, signal.SIGSTOP)
    try:
        results = await asyncio.gather(
            database.write(backend), database.read(backend), return_exceptions=True
        )
        assert all(isinstance(result, CallError) or result not in frozen for result in results)
        await until(database.is_ready)
    finally:
        for process in frozen:
            os.kill(process, signal.SIGCONT)


async def test_usage_waits_for_the_database_and_arrives(database: Database, outage: Outage) -> None:
    log = UsageLog(database)
    outage.begin()
    for number in range(50):
        log.append(usage_row(number))
    with pytest.raises(CallError, match="does not answer"):
        await log.flush()
    outage.end()
    await until(database.is_ready)

    await until_stored(database, 50)
    await log.close()


async def test_usage_that_arrived_before_the_line_broke_is_stored_once(
    database: Database, outage: Outage
) -> None:
    log = UsageLog(database)
    log.append(usage_row(1))
    await log.flush()
    outage.hang_up()
    log.append(usage_row(1))
    log.append(usage_row(2))
    await log.close()

    assert [row.request_id for row in await stored(database)] == ["req_1", "req_2"]

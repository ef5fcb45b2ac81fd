"""What `write` and `read` promise, on both databases."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from modelway.conversation.errors import CallError
from modelway.store import database as database_module
from modelway.store import settings, writer
from modelway.store.connections import driver
from modelway.store.database import Database
from modelway.store.schema import settings as table
from modelway.store.urls import StoreError
from tests.store.waiting import PATIENCE_S

pytestmark = pytest.mark.anyio


def remember(name: str, value: str = "x") -> Callable[[Connection], bool]:
    return lambda connection: settings.set_once(connection, name, value)


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(table.c.name).order_by(table.c.name)).scalars())


class Held:
    """Keeps the writer busy with one change, so that what comes after it waits together."""

    def __init__(self, database: Database) -> None:
        self._go = threading.Event()
        self._begun = threading.Event()
        self._held = asyncio.ensure_future(database.write(self._wait))

    def _wait(self, connection: Connection) -> None:
        self._begun.set()
        self._go.wait()

    async def __aenter__(self) -> Held:
        await asyncio.to_thread(self._begun.wait)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._go.set()
        await self._held


async def queued(
    database: Database, changes: list[Callable[[Connection], object]]
) -> list[asyncio.Task[object]]:
    tasks = [asyncio.ensure_future(database.write(change)) for change in changes]
    await asyncio.sleep(0)  # let each put itself into the queue
    return tasks


async def test_what_was_written_is_read(database: Database) -> None:
    assert await database.write(remember("a")) is True

    assert await database.read(names) == ["a"]


async def test_a_change_that_fails_undoes_itself_and_no_other(database: Database) -> None:
    def fail(connection: Connection) -> None:
        settings.set_once(connection, "half", "x")
        raise CallError("conflict", "no")

    def clash(connection: Connection) -> None:
        connection.execute(table.insert().values(name="a", value="again"))

    async with Held(database):
        tasks = await queued(database, [remember("a"), fail, remember("b"), clash, remember("c")])
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(result) for result in results] == [bool, CallError, bool, IntegrityError, bool]
    assert await database.read(names) == ["a", "b", "c"]


async def test_changes_that_wait_together_share_a_commit(database: Database) -> None:
    commits: list[object] = []

    def note(connection: Connection) -> None:
        if database.dialect == "postgresql":
            commits.append(connection.exec_driver_sql("SELECT txid_current()").scalar())

    def trace(connection: Connection) -> None:
        if database.dialect == "sqlite":
            driver(connection).set_trace_callback(
                lambda statement: commits.append(statement) if statement == "COMMIT" else None
            )

    await database.write(trace)
    commits.clear()
    async with Held(database):
        tasks = await queued(database, [note] * 200)
    await asyncio.gather(*tasks)

    assert 1 < len(set(commits) if database.dialect == "postgresql" else commits) <= 5


async def test_a_read_cannot_change_anything(database: Database) -> None:
    with pytest.raises((DBAPIError, CallError)):
        await database.read(remember("a"))

    assert await database.read(names) == []


async def test_a_read_sees_one_moment(database: Database) -> None:
    loop = asyncio.get_running_loop()

    def look_twice(connection: Connection) -> tuple[list[str], list[str]]:
        before = names(connection)
        asyncio.run_coroutine_threadsafe(database.write(remember("meanwhile")), loop).result()
        return before, names(connection)

    assert await database.read(look_twice) == ([], [])
    assert await database.read(names) == ["meanwhile"]


async def test_the_queue_has_an_end(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WAITING_MAX", 3)
    async with Held(database):
        tasks = await queued(database, [remember("a"), remember("b"), remember("c")])
        results = await asyncio.gather(*tasks[2:], return_exceptions=True)
    await asyncio.gather(*tasks[:2])

    assert isinstance(results[0], CallError)
    assert results[0].kind.name == "unavailable"
    assert await database.read(names) == ["a", "b"]


async def test_a_caller_who_leaves_does_not_stop_the_change(database: Database) -> None:
    async with Held(database):
        [task] = await queued(database, [remember("a")])
        task.cancel()
    await database.write(remember("b"))

    assert await database.read(names) == ["a", "b"]


async def test_closing_finishes_what_was_accepted(database_url: str) -> None:
    first = await Database.open(database_url)
    tasks = await queued(first, [remember(str(number)) for number in range(200)])
    await first.close()

    assert await asyncio.gather(*tasks) == [True] * 200
    with pytest.raises(CallError, match="being closed"):
        await first.write(remember("late"))
    second = await Database.open(database_url)
    assert len(await second.read(names)) == 200
    await second.close()


async def test_a_swallowed_error_hurts_only_who_swallowed_it(database: Database) -> None:
    def swallow(connection: Connection) -> None:
        settings.set_once(connection, "lost", "x")
        with suppress(IntegrityError):
            connection.execute(table.insert().values(name="lost", value="again"))

    async with Held(database):
        tasks = await queued(database, [remember("a"), swallow, remember("b")])
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert results[0] is results[2] is True
    # SQLite goes on after an error, PostgreSQL does not; neither pretends.
    stored = await database.read(names)
    assert ("lost" in stored) == (results[1] is None)
    assert {"a", "b"} <= set(stored)


async def test_an_error_in_the_log_shows_no_values(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def break_off(connection: Connection) -> None:
        connection.exec_driver_sql(
            "SELECT no_such_function(?)" if database.dialect == "sqlite" else "SELECT no_such_function(%s)",
            ("a secret",),
        )

    with caplog.at_level(logging.DEBUG), pytest.raises((DBAPIError, CallError)) as caught:
        await database.write(break_off)

    assert "a secret" not in caplog.text + str(caught.value)


async def test_it_is_ready_while_it_answers(database: Database) -> None:
    assert await database.is_ready()


async def test_it_is_not_ready_while_a_change_waits_too_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Held(database):
        monkeypatch.setattr(database_module, "WRITE_WAIT_READY_MAX_S", -1)
        assert not await database.is_ready()
        monkeypatch.setattr(database_module, "WRITE_WAIT_READY_MAX_S", PATIENCE_S)
        assert await database.is_ready()


async def test_a_watch_that_fails_once_goes_on_watching(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, watched = asyncio.Event(), asyncio.Event()

    def fail_once() -> None:
        if failed.is_set():
            watched.set()
        failed.set()
        raise RuntimeError("a connection in an unforeseen state")

    monkeypatch.setattr(database_module, "_WATCH_EVERY_S", 0.01)
    monkeypatch.setattr(database, "_hang_up_on_the_silent", fail_once)

    async with asyncio.timeout(PATIENCE_S):
        await watched.wait()


@pytest.mark.parametrize("url", ["", "mysql://me:hidden@host/name", "sqlite://", "sqlite:///:memory:", "x"])
async def test_an_address_of_another_kind_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StoreError, match="write `sqlite:///path/to/file` or `postgresql://") as caught:
        await Database.open(url)
    assert "hidden" not in str(caught.value)


async def test_tables_that_are_missing_are_named(bare_url: str) -> None:
    with pytest.raises(StoreError, match="run `modelway migrate`"):
        await Database.open(bare_url)


async def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(StoreError, match="does not open") as caught:
        await Database.open("postgresql://me:hidden@127.0.0.1:1/name")
    assert "127.0.0.1:1/name" in str(caught.value)
    assert "hidden" not in str(caught.value)

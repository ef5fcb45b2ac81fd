"""The SQLite file: whose it is, what a crash leaves of it, and who else may write it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from modelway.conversation.errors import CallError
from modelway.store import locks, settings
from modelway.store.connections import driver
from modelway.store.database import Database
from modelway.store.migrate import upgrade
from modelway.store.urls import StoreError
from tests.store.test_database import Held, names, queued, remember
from tests.store.waiting import until

pytestmark = pytest.mark.anyio

# Writes rows one after another, or many at once, and says which of them it was told are on the disk.
WRITER = """
import asyncio, sys
from modelway.store import settings
from modelway.store.database import Database

async def write(database, lane, rows):
    for number in range(rows):
        name = f"{lane}-{number}"
        await database.write(lambda connection: settings.set_once(connection, name, "x"))
        print(name, flush=True)

async def main(url, lanes, rows):
    database = await Database.open(url)
    await asyncio.gather(*(write(database, lane, int(rows)) for lane in lanes.split(",")))
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""


@contextmanager
def writing(url: str, lanes: str, rows: int) -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-c", WRITER, url, lanes, str(rows)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        yield process


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def check_whole(url: str) -> None:
    with closing(sqlite3.connect(file_of(url))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_the_file_and_its_directory_are_ours_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/modelway.db"
    upgrade(url)
    database = await Database.open(url, serving=True)
    try:
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
        assert set(modes.values()) == {0o600}
        assert "modelway.db-wal" in modes
    finally:
        await database.close()


async def test_commits_wait_for_the_disk(sqlite_url: str) -> None:
    database = await Database.open(sqlite_url)
    full = await database.write(lambda connection: connection.exec_driver_sql("PRAGMA synchronous").scalar())
    mode = await database.write(lambda connection: connection.exec_driver_sql("PRAGMA journal_mode").scalar())
    await database.close()

    assert (full, mode) == (2, "wal")


async def test_a_second_server_on_one_file_is_refused(sqlite_url: str) -> None:
    first = await Database.open(sqlite_url, serving=True)
    with pytest.raises(StoreError, match="already serving"):
        await Database.open(sqlite_url, serving=True)
    await first.close()

    third = await Database.open(sqlite_url, serving=True)
    await third.close()


async def test_what_was_acknowledged_survives_kill_9(database_url: str) -> None:
    """On both databases: the process dies, not the server."""
    with writing(database_url, "a,b,c,d,e,f", 1_000_000) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(300)]
        process.kill()
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]

    database = await Database.open(database_url)
    kept = set(await database.read(names))
    await database.close()
    assert len(acknowledged) >= 300
    assert set(acknowledged) <= kept
    if database_url.startswith("sqlite"):
        check_whole(database_url)


async def test_the_command_line_may_write_beside_a_server(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await Database.open(sqlite_url, serving=True)
    # The file that both write is copied back again and again meanwhile: the moment that could go wrong.
    await server.write(lambda connection: connection.exec_driver_sql("PRAGMA wal_autocheckpoint=1"))
    with writing(sqlite_url, "x,y", 100) as process:
        ours = [server.write(remember(f"z-{number}")) for number in range(200)]
        for one in ours:
            await one
        await asyncio.to_thread(process.wait)
        assert process.returncode == 0
    stored = await server.read(names)
    await server.close()

    assert len(stored) == 400
    check_whole(sqlite_url)


async def test_a_writer_that_stops_in_the_middle_holds_up_nobody_for_ever(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_TIMEOUT_S", 0.05)
    database = await Database.open(sqlite_url)
    other = locks.WriteLock(file_of(sqlite_url))
    other.acquire()
    with pytest.raises(CallError, match="does not answer"):
        await database.write(remember("a"))
    other.release()
    other.close()

    assert await database.write(remember("a"))
    await database.close()


async def test_a_full_disk_is_an_answer_and_not_a_loss(sqlite_url: str) -> None:
    def fill(connection: Connection) -> None:
        pages = driver(connection).execute("PRAGMA page_count").fetchone()[0]
        driver(connection).execute(f"PRAGMA max_page_count={pages}")
        for number in range(1000):
            settings.set_once(connection, f"filler-{number}", "x" * 1000)

    database = await Database.open(sqlite_url)
    async with Held(database):
        tasks = await queued(database, [remember("before"), fill, remember("after")])
    results = await asyncio.gather(*tasks, return_exceptions=True)

    # SQLite gave up the whole transaction by itself, so nobody in it may be told that all is well.
    assert [type(result) for result in results] == [CallError] * 3
    assert await database.read(names) == []
    assert await database.write(remember("when there is room again"))
    await database.close()
    check_whole(sqlite_url)


async def test_a_path_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(StoreError, match="cannot be opened for writing"):
        upgrade(f"sqlite:///{tmp_path}/file/modelway.db")


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "modelway.db"
    path.write_bytes(os.urandom(4096))
    with pytest.raises(StoreError, match="not a database"):
        upgrade(f"sqlite:///{path}")


async def test_it_is_not_ready_while_it_takes_no_changes_and_ready_again_by_itself(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_TIMEOUT_S", 0.05)
    database = await Database.open(sqlite_url)
    holder = locks.WriteLock(file_of(sqlite_url))
    holder.acquire()
    with pytest.raises(CallError, match="does not answer"):
        await database.write(remember("a"))
    for _ in range(3):
        assert not await database.is_ready()

    holder.release()

    await until(database.is_ready)
    holder.close()
    await database.close()

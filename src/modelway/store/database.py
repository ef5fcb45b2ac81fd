"""The database as the rest sees it: `write` a change, `read` a query, over SQLite or PostgreSQL alike.

    row = await database.read(lambda connection: keys.find(connection, digest))
    await database.write(lambda connection: keys.revoke(connection, id, now_ms))

Both take a function of a connection, run it on a thread, and give back what it returns. An awaited
write is on the disk. What never enters here: tables, rules, HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from modelway.conversation.errors import CallError
from modelway.store import settings
from modelway.store.connections import (
    COMMANDS,
    DOWN,
    Backoff,
    Session,
    command,
    engine_for,
    reason,
    unavailable,
)
from modelway.store.locks import ServingLock, WriteLock
from modelway.store.long_reads import Stoppable, Turns
from modelway.store.migrate import check_current
from modelway.store.urls import Dialect, StoreError, create_sqlite_file, parse_url, sqlite_file
from modelway.store.writer import Writer

# For those who write the functions that `write` and `read` take, and must not import SQLAlchemy.
__all__ = ["Connection", "Database"]

READERS = 4  # reads are key misses, polls and pages; four hide each other's round trips
READS_WAITING_MAX = 256  # a second's worth at 1 ms a read and four readers is 4,000: more is a flood
HANG_TIMEOUT_S = 10.0  # twice the statement timeout: the server itself has stopped answering
WRITE_WAIT_READY_MAX_S = 2.0  # a change takes milliseconds; below the 5 s after which a lock is given up
PROBE = "write_probe"  # a row of `settings`: a change of nothing would not notice a full disk
_WATCH_EVERY_S = 1.0

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Database:
    """One database, opened with `await Database.open(url)` on the loop that uses it; `close()` drains it."""

    def __init__(self, dialect: Dialect, writer: Writer, connect_reader: Callable[[], Connection]) -> None:
        self.dialect: Dialect = dialect
        self._writer = writer
        self._connect_reader = connect_reader
        self._backoff = Backoff()
        self._idle: list[Session] = []
        self._sessions: list[Session] = [writer.session]
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._reading = 0
        self._long_reads = Turns()
        self._serving_lock: ServingLock | None = None
        self._trying: asyncio.Task[None] | None = None
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    @classmethod
    async def open(cls, url: str, *, serving: bool = False) -> Database:
        """Open a database whose tables are there (`store.migrate.upgrade` makes them).

        `serving`: refuse to be the second server on one SQLite file. Raises StoreError.
        """
        dialect, parsed = parse_url(url)
        lock = None
        serving_lock = None
        if dialect == "sqlite":
            create_sqlite_file(sqlite_file(parsed))
            serving_lock = ServingLock(sqlite_file(parsed)) if serving else None
            lock = WriteLock(sqlite_file(parsed))
        writing = engine_for(dialect, parsed, writes=True)
        reading = engine_for(dialect, parsed, writes=False)
        writer = Writer(Session(writing.connect, Backoff()), COMMANDS[dialect], lock)
        database = cls(dialect, writer, reading.connect)
        database._serving_lock = serving_lock
        try:
            await asyncio.to_thread(writer.start, check_current, asyncio.get_running_loop())
        except (SQLAlchemyError, OSError) as error:
            await database.close()
            where = parsed.render_as_string(hide_password=True)
            raise StoreError(f"the database {where} does not open: {reason(error)}") from error
        except StoreError:
            await database.close()
            raise
        return database

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run `change` in a transaction and return its value once it is on the disk.

        Changes of many callers share a transaction, each in a savepoint, so one that raises undoes
        itself alone and the others stand. `change` must depend on nothing but its connection and
        must not commit. A caller that is cancelled stops waiting; the change happens all the same.
        Raises what `change` raised, or CallError("unavailable") when the database cannot.
        """
        return await self._writer.submit(change)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run `query` on one snapshot of the database, beside the writer; it cannot change anything.

        Raises what `query` raised, or CallError("unavailable").
        """
        if self._reading >= READS_WAITING_MAX:
            raise CallError(
                "unavailable", f"{READS_WAITING_MAX} reads are waiting for the database", retry_after_s=1
            )
        self._reading += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._query, query)
        finally:
            self._reading -= 1

    async def read_long(self, query: Callable[[Connection], T], account_id: str) -> T:
        """As `read`, for what takes seconds: a few at a time and one of each account, the others wait for
        their turn. A caller that is cancelled stops the query, and so makes room.

        Raises what `query` raised, or CallError: unavailable, overloaded.
        """
        async with self._long_reads.turn(account_id):
            stoppable = Stoppable(query)
            reading = asyncio.ensure_future(self.read(stoppable))
            try:
                return await asyncio.shield(reading)
            except asyncio.CancelledError:
                await stoppable.stop(reading)
                raise

    @property
    def writes_waiting(self) -> int:
        """Changes accepted and not yet on the disk."""
        return self._writer.waiting

    @property
    def is_failing(self) -> bool:
        """Whether the last changes came to nothing because of the database."""
        return self._writer.is_failing

    async def is_ready(self) -> bool:
        """Whether the database answers now and takes changes: one of the questions behind `/readyz`."""
        try:
            await self.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
        except Exception as error:  # whatever it was, a call would meet it too
            _log.warning("the database is not ready: %s", reason(error))
            return False
        if self._writer.is_failing:
            self._try_to_write()
        return not self._writer.is_failing and self._writer.oldest_waited_s <= WRITE_WAIT_READY_MAX_S

    def _try_to_write(self) -> None:
        """When changes fail and calls stay away, nothing else would find out that they work again."""
        if self._trying is None or self._trying.done():
            self._trying = asyncio.get_running_loop().create_task(self._probe())

    async def _probe(self) -> None:
        try:
            await self._writer.submit(lambda connection: settings.put(connection, PROBE, str(time.time_ns())))
        except Exception as error:  # the writer remembers that it failed; the next question tries again
            _log.warning("the database takes no changes: %s", reason(error))

    async def close(self) -> None:
        """Finish every write that was accepted, then let go of the connections and locks."""
        await asyncio.to_thread(self._threads.shutdown)
        for session in self._idle:
            session.drop()
        if self._trying is not None:
            self._trying.cancel()
        # Last: the writer's closing checkpoints the file, and no reader is left to be in its way.
        await asyncio.to_thread(self._writer.stop)
        self._watching.cancel()  # not before: a server that is frozen must not hold up the end either
        with suppress(asyncio.CancelledError):
            await self._watching
        if self._serving_lock is not None:
            self._serving_lock.close()
            self._serving_lock = None

    def _query(self, query: Callable[[Connection], T]) -> T:
        session = self._session()
        session.busy_since = time.monotonic()
        try:
            connection = session.begin(COMMANDS[self.dialect].begin_read)
            try:
                return query(connection)
            finally:
                command(connection, ("ROLLBACK",))
        except DOWN as error:
            _log.warning("a read failed: %s", reason(error))
            session.drop()
            raise unavailable() from error
        except SQLAlchemyError:  # unforeseen: who knows what state the connection is in
            session.drop()
            raise
        finally:
            session.busy_since = None
            self._idle.append(session)

    def _session(self) -> Session:
        with suppress(IndexError):
            return self._idle.pop()
        session = Session(self._connect_reader, self._backoff)
        self._sessions.append(session)
        return session

    async def _watch(self) -> None:
        """Hang up on a server that has stopped answering, so that those who wait hear of it."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            try:
                self._hang_up_on_the_silent()
            except Exception as error:  # the edge of a background loop: the next round may do better
                _log.error("the watch over connections failed: %s", reason(error))

    def _hang_up_on_the_silent(self) -> None:
        for session in self._sessions:
            since = session.busy_since
            if since is not None and time.monotonic() - since > HANG_TIMEOUT_S:
                _log.warning("the database has not answered for %s s; hanging up", HANG_TIMEOUT_S)
                session.abort()

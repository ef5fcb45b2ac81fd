"""Reads that take seconds: how many at once, whose turn it is, and how one ends whose caller has left."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from modelway.conversation.errors import CallError
from modelway.store.connections import POSTGRESQL_CONNECT_TIMEOUT_S, driver

RUNNING_MAX = 2  # two of the four readers are left for what calls wait for
ASKED_MAX = 32  # beyond it, a minute or more of reports is waiting already
ASKED_PER_ACCOUNT_MAX = 8  # one runs; two people's dashboards may wait, and four such accounts
STOP_EVERY_S = 0.1  # a statement that began since the last try is stopped by the next

T = TypeVar("T")


class Turns:
    """Who may read long: `RUNNING_MAX` at once, of one account one, the others after them."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(RUNNING_MAX)
        self._accounts: dict[str, asyncio.Lock] = {}
        self._asked: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, account_id: str) -> AsyncIterator[None]:
        """Waits for a place. Raises CallError("overloaded") when too many are waiting."""
        if self._asked[account_id] >= ASKED_PER_ACCOUNT_MAX:
            whose = f"{ASKED_PER_ACCOUNT_MAX} reports of this account"
            raise CallError("overloaded", f"{whose} are waiting, one runs at a time", retry_after_s=1)
        if self._asked.total() >= ASKED_MAX:
            message = f"{ASKED_MAX} reports are waiting for the database; try again"
            raise CallError("overloaded", message, retry_after_s=1)
        self._asked[account_id] += 1
        try:
            # Of an account one at most is waiting for a place: between accounts, turns are taken.
            async with self._accounts.setdefault(account_id, asyncio.Lock()), self._places:
                yield
        finally:
            self._asked[account_id] -= 1
            if not self._asked[account_id]:
                del self._asked[account_id]
                self._accounts.pop(account_id, None)


class Stopped(Exception):  # not an error: whoever asked has left
    """The query was stopped."""


class Stoppable(Generic[T]):
    """A query that the loop can stop while a thread runs it."""

    def __init__(self, query: Callable[[Connection], T]) -> None:
        self._query = query
        self._lock = threading.Lock()  # whoever has the connection next must not be stopped
        self._running: Any = None  # the driver's connection
        self._is_left = False

    def __call__(self, connection: Connection) -> T:
        with self._lock:
            if self._is_left:
                raise Stopped
            self._running = driver(connection)
        try:
            return self._query(connection)
        except OperationalError:
            if self._is_left:
                raise Stopped from None
            raise
        finally:
            with self._lock:
                self._running = None

    async def stop(self, reading: asyncio.Future[T]) -> None:
        """Returns when `reading`, which runs this, has ended."""
        while not reading.done():
            await asyncio.to_thread(self._interrupt)
            await asyncio.wait([reading], timeout=STOP_EVERY_S)
        reading.exception()  # looked at: nobody else will

    def _interrupt(self) -> None:
        with self._lock:
            self._is_left = True
            running = self._running
            if isinstance(running, sqlite3.Connection):
                running.interrupt()
            elif running is not None:
                with suppress(running.Error, OSError):  # a server that is gone has stopped, too
                    running.cancel_safe(timeout=POSTGRESQL_CONNECT_TIMEOUT_S)

"""The one thread that writes: many callers' changes in one transaction, one wait for the disk for all.

A wait for the disk takes as long however much was written, so what arrives during one is written
together by the next: measured with 64 callers, ten times as many changes a second as one by one.
Waiting on purpose for a group to grow was measured too, and only made both databases slower.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import InternalError

from modelway.conversation.errors import CallError
from modelway.store.connections import (
    DOWN,
    Commands,
    Session,
    command,
    is_broken,
    is_disk_failure,
    is_poisoned,
    reason,
    unavailable,
)
from modelway.store.locks import WriteLock

DISK_FAILED_STATUS = 74  # EX_IOERR of sysexits.h
GROUP_MAX = 64  # changes in one transaction; beyond fifty the disk's share of each is noise
WAITING_MAX = 4096  # changes accepted and not yet on the disk: a second's worth of a slow disk

T = TypeVar("T")
_log = logging.getLogger(__name__)


class _Job:
    """A change on its way, and how it ended."""

    __slots__ = ("change", "error", "future", "is_refused", "result")

    def __init__(self, change: Callable[[Connection], Any], future: asyncio.Future[Any]) -> None:
        self.change = change
        self.future = future
        self.result: Any = None
        self.error: Exception | None = None
        self.is_refused = False  # by the database, not by the change's own rules


class Writer:
    """A queue, a thread and a connection. `lock` keeps other processes out of an SQLite file."""

    def __init__(self, session: Session, commands: Commands, lock: WriteLock | None) -> None:
        self.session = session
        self._commands = commands
        self._lock = lock
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._queued_at_s: deque[float] = deque()  # of what waits, oldest first; the loop's thread only
        self.is_failing = False
        """Whether the last group came to nothing because of the database."""
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        """Changes accepted and not yet on the disk."""
        return len(self._queued_at_s)

    @property
    def oldest_waited_s(self) -> float:
        """How long the oldest change that is not on the disk has waited; 0 when there is none."""
        return time.monotonic() - self._queued_at_s[0] if self._queued_at_s else 0.0

    def start(self, check: Callable[[Connection], None], loop: asyncio.AbstractEventLoop) -> None:
        """Open the connection, `check` it, and start working; raises what either raised."""
        self._loop = loop
        with self._locked():
            check(self.session.connection())
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    async def submit(self, change: Callable[[Connection], T]) -> T:
        """Queue `change`; its value, once committed."""
        if self._stopping or self._loop is None:
            raise CallError("unavailable", "the database is being closed")
        if self.waiting >= WAITING_MAX:
            raise CallError(
                "unavailable", f"{WAITING_MAX} changes are waiting for the database", retry_after_s=1
            )
        job = _Job(change, self._loop.create_future())
        self._queued_at_s.append(time.monotonic())
        self._queue.put(job)
        result: T = await job.future
        return result

    def stop(self) -> None:
        """Finish what was accepted and close the connection. Blocks: called from a thread."""
        self._stopping = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        try:
            with self._locked():
                self.session.drop()
        except TimeoutError as error:  # the file is whole all the same; the next to open it tidies up
            _log.warning("the database is left open: %s", error)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _work(self) -> None:
        while group := self._gather():
            self._write(group)
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._resolve, group)

    def _gather(self) -> list[_Job]:
        """The next group, oldest first; empty when there is nothing left to do, ever."""
        first = self._queue.get()
        if first is None:
            return []
        group = [first]
        while len(group) < GROUP_MAX:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is None:
                self._queue.put(None)  # nothing is accepted after it, so it stays last
                break
            group.append(job)
        return group

    def _write(self, group: list[_Job]) -> None:
        self.session.busy_since = time.monotonic()
        try:
            with self._locked():
                self._transact(group)
        except Exception as error:  # the edge of this thread: whatever it was, everybody hears of it
            _log.warning("a group of %d changes failed: %s", len(group), reason(error))
            if is_disk_failure(error):
                # What the system could not write it may have dropped: a second try can succeed and lie
                # (PostgreSQL's fsyncgate). The next start reads what is really there.
                _log.critical("the disk failed: stopping, so that nothing is promised that is not kept")
                os._exit(DISK_FAILED_STATUS)
            for job in group:
                job.error, job.is_refused = job.error or unavailable(), True
        finally:
            self.is_failing = all(job.error for job in group) and any(job.is_refused for job in group)
            self.session.busy_since = None

    def _transact(self, group: list[_Job]) -> None:
        commands = self._commands
        try:
            connection = self.session.begin(commands.begin)
            for number, job in enumerate(group):
                if number:
                    command(connection, commands.between)
                self._change(connection, job)
            command(connection, commands.commit)
        except Exception:
            self.session.drop()  # here, because closing an SQLite file writes to it: under the lock
            raise

    def _change(self, connection: Connection, job: _Job) -> None:
        try:
            job.result = job.change(connection)
            if is_poisoned(connection):
                raise RuntimeError("a change swallowed a database error; it must let it out")
        except Exception as error:  # the edge of somebody else's code: its caller gets it
            job.error = unavailable() if isinstance(error, DOWN) else error
            job.is_refused = isinstance(error, (*DOWN, InternalError))  # InternalError: it became read-only
            if is_broken(connection):
                raise
            command(connection, self._commands.undo)

    def _resolve(self, group: list[_Job]) -> None:
        for job in group:  # groups end in the order in which they came
            self._queued_at_s.popleft()
            if job.future.done():  # the caller was cancelled meanwhile
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)

    def _locked(self) -> AbstractContextManager[None]:
        return nullcontext() if self._lock is None else _held(self._lock)


@contextmanager
def _held(lock: WriteLock) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release()

"""Calls that were sent while their hold was still on its way to the database, noted in a file.

A call of an account without a limit is sent to its provider while its hold is being written. What a process
has written to a file outlives the process, though not the machine: so a line here, some microseconds
before the request leaves, lets the next start open the hold that a killed process never got down.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import Connection, select

from modelway.store.batches import insert_rows
from modelway.store.entries import UNLIMITED, Hold
from modelway.store.posting import Opening
from modelway.store.schema import entries, holds

FILE_BYTES_MAX = 1024 * 1024  # about four thousand calls; then the other of the two files is written
FILES = 2
RESTORED_MAX = 500  # holds looked up in one statement
SUFFIX = ".sent"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Hold).decode


class SentLog:
    """One worker's two files, locked for as long as it lives. While one is written, the other waits for
    the last call noted in it to be in the database, and is emptied.
    """

    def __init__(self, folder: Path, worker_id: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._paths = [folder / f"{worker_id}.{number}{SUFFIX}" for number in range(FILES)]
        self._descriptors = [_create(path) for path in self._paths]
        self._now = 0
        self._bytes = 0
        self._full: int | None = None  # the other file, while it waits for `_last`
        self._last: Opening | None = None

    def note(self, hold: Hold, written: Opening) -> None:
        """Note a call that is about to be sent; `written` is known when its hold is in the database.

        Raises OSError when the disk does not take it: then it must not be sent.
        """
        line = _encode(hold) + b"\n"
        if os.write(self._descriptors[self._now], line) < len(line):
            raise OSError(f"{self._paths[self._now]} took half a line: the disk is full")
        self._bytes += len(line)
        if self._full is not None:
            self._empty(self._full, written)
        elif self._bytes >= FILE_BYTES_MAX:
            self._full, self._last = self._descriptors[self._now], written
            self._now, self._bytes = 1 - self._now, 0

    def _empty(self, full: int, written: Opening) -> None:
        """Holds are written in the order in which they came: with the last of a file all of it is there."""
        assert self._last is not None
        if not self._last.is_known:
            return
        if self._last.error is not None:
            self._last = written  # the database is away; what waits for it is written before this one
            return
        os.ftruncate(full, 0)
        self._full = None

    def close(self) -> None:
        """Everything noted is in the database."""
        for path in self._paths:
            path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Leave the files to the next start."""
        for descriptor in self._descriptors:
            os.close(descriptor)


def _create(path: Path) -> int:
    """Under another name until it is locked, so that nobody takes it for a dead worker's."""
    made = path.with_suffix(".new")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    made.rename(path)
    return descriptor


def left_behind(folder: Path) -> list[Path]:
    """Files whose workers may be dead."""
    return sorted(folder.glob(f"*{SUFFIX}"))


@contextmanager
def taken(path: Path) -> Iterator[list[Hold]]:
    """The calls noted by a dead worker, none if it lives. The file goes once they have been dealt with."""
    descriptor = _locked(path)
    if descriptor is None:
        yield []
        return
    try:
        lines = path.read_bytes().splitlines(keepends=True)
        yield [_decode(line) for line in lines if line.endswith(b"\n")]  # it may have died in a line
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """None when its worker lives, or another one was faster."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def restore(connection: Connection, noted: list[Hold]) -> None:
    """Open the holds that are not in the database, of calls that have no line either: the sweep that comes
    next resolves them like every other hold of a dead worker.
    """
    for first in range(0, len(noted), RESTORED_MAX):
        some = noted[first : first + RESTORED_MAX]
        attempts = [hold.attempt_id for hold in some]
        known = set(
            connection.execute(select(holds.c.attempt_id).where(holds.c.attempt_id.in_(attempts))).scalars()
        )
        known.update(
            connection.execute(
                select(entries.c.attempt_id).where(entries.c.attempt_id.in_(attempts))
            ).scalars()
        )
        missing = [hold for hold in some if hold.attempt_id not in known]
        # Nothing is set aside any more: nobody heard an answer, and nobody is charged for one.
        insert_rows(connection, holds, [hold._replace(amount_nano_usd=0, caps=UNLIMITED) for hold in missing])

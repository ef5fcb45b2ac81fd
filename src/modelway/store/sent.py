"""Calls that were sent while their hold was still on its way to the database, noted in a file.

A call of an account without a limit is sent to its provider while its hold is being written. What a process
has written to a file outlives the process, though not the machine: so a line here, some microseconds
before the request leaves, lets the next start open the hold that a killed process never got down.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
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
ROOM_BYTES = 64 * 1024  # beyond it, at a time; a line has a few hundred bytes
RESTORED_MAX = 500  # holds looked up in one statement
SUFFIX = ".sent"
BAD_SUFFIX = ".bad"  # of a file that is kept because not all of it could be read; nothing looks for it
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Hold).decode
_log = logging.getLogger(__name__)


class SentLog:
    """One worker's two files, locked for as long as it lives. While one is written, the other waits for
    the last call noted in it to be in the database, and is emptied.
    """

    def __init__(self, folder: Path, worker_id: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._now, self._other = (_Notes(folder / f"{worker_id}.{number}{SUFFIX}") for number in range(FILES))
        self._last: Opening | None = None  # for which the other file waits

    def note(self, hold: Hold, written: Opening) -> None:
        """Note a call that is about to be sent; `written` is known when its hold is in the database.

        Raises OSError when the disk does not take it: then it must not be sent.
        """
        self._now.add(_encode(hold))
        if self._last is not None:
            self._empty(self._last, written)
        elif self._now.bytes >= FILE_BYTES_MAX:
            self._now, self._other, self._last = self._other, self._now, written

    def _empty(self, last: Opening, written: Opening) -> None:
        """Holds are written in the order in which they came: with the last of a file all of it is there."""
        if not last.is_known:
            return
        if last.error is not None:
            self._last = written  # the database is away; what waits for it is written before this one
            return
        self._other.empty()
        self._last = None

    def close(self) -> None:
        """Everything noted is in the database."""
        for notes in (self._now, self._other):
            notes.path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Leave the files to the next start."""
        self._now.close()
        self._other.close()


class _Notes:
    """A file written through memory: a line costs a copy. A system call would also hand the interpreter to
    another thread, which costs ten times as much; what was copied outlives the process as well.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        # Under another name until it is locked, so that nobody takes it for a dead worker's.
        made = path.with_suffix(".new")
        self._descriptor = os.open(made, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._size = FILE_BYTES_MAX + ROOM_BYTES
        os.posix_fallocate(self._descriptor, 0, self._size)  # so that writing cannot meet a full disk
        self._pages = mmap.mmap(self._descriptor, self._size)
        made.rename(path)

    def add(self, line: bytes) -> None:
        end = self.bytes + len(line)
        while end >= self._size:
            os.posix_fallocate(self._descriptor, self._size, ROOM_BYTES)
            self._size += ROOM_BYTES
            self._pages.resize(self._size)
        self._pages[self.bytes : end] = line
        self._pages[end : end + 1] = b"\n"  # last of all: a line that has it is whole
        self.bytes = end + 1

    def empty(self) -> None:
        os.ftruncate(self._descriptor, 0)  # all of it at one moment, unlike writing over it
        os.posix_fallocate(self._descriptor, 0, self._size)
        self.bytes = 0

    def close(self) -> None:
        self._pages.close()
        os.close(self._descriptor)


def left_behind(folder: Path) -> list[Path]:
    """Files whose workers may be dead."""
    return sorted(folder.glob(f"*{SUFFIX}"))


@contextmanager
def taken(path: Path) -> Iterator[list[Hold]]:
    """The calls noted by a dead worker, none if it lives. The file goes once they have been dealt with, or is
    set aside where a line cannot be read: the power failed, or another release wrote it.
    """
    descriptor = _locked(path)
    if descriptor is None:
        yield []
        return
    try:
        lines = path.read_bytes().rstrip(b"\0").splitlines(keepends=True)
        lines = [line for line in lines if line.endswith(b"\n")]  # it may have died in a line
        noted = [hold for hold in map(_read, lines) if hold is not None]
        yield noted
        if len(noted) == len(lines):
            path.unlink(missing_ok=True)
        else:
            bad = path.rename(path.with_suffix(BAD_SUFFIX))
            count = len(lines) - len(noted)
            _log.error("%d of %d lines of %s cannot be read; it is set aside", count, len(lines), bad)
    finally:
        os.close(descriptor)


def _read(line: bytes) -> Hold | None:
    try:
        return _decode(line.lstrip(b"\0"))  # a page before it may never have got to the disk
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


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

"""Who may write one SQLite file, and who may serve from it: two locks that every process of ours takes."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from modelway.store.urls import StoreError

LOCK_TIMEOUT_S = 5.0  # a group of writes holds the lock for milliseconds; the command line, for one write
_LOCK_RETRY_S = 0.002  # flock has no timeout of its own; about the length of one group


class WriteLock:
    """Held around every write and checkpoint of one SQLite file, by every process that writes it.

    SQLite 3.7.0 to 3.51.2 can corrupt a WAL database when one connection commits while another is
    checkpointing (https://www.sqlite.org/wal.html#walresetbug); Debian 12 ships 3.40.1. SQLite's own
    locks let those two overlap, this lock does not, so `modelway keys create` beside a running server
    is safe. It is a second file because closing any handle on the first would drop SQLite's own locks.
    """

    def __init__(self, file: Path) -> None:
        self._descriptor = _open(file.with_name(file.name + ".lock"))

    def acquire(self) -> None:
        """Raises TimeoutError after `LOCK_TIMEOUT_S`: somebody stopped in the middle of a write."""
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while not self._take():
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has held the database for {LOCK_TIMEOUT_S} s")
            time.sleep(_LOCK_RETRY_S)

    def release(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._descriptor)

    def _take(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class ServingLock:
    """One serving process per SQLite file: caches and the local model assume they are the only ones."""

    def __init__(self, file: Path) -> None:
        self._descriptor = _open(file.with_name(file.name + ".serving"))
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise StoreError(
                f"another process is already serving from {file}; stop it, give this one another --data-dir, "
                "or use PostgreSQL, which many can share"
            ) from None

    def close(self) -> None:
        os.close(self._descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be opened for writing: {error.strerror}") from None

"""One engine for all worker processes of an installation: who runs it, and where the others find it.

Whoever holds the lock on `engine.lock` runs the child and publishes its address in `engine.json`. When
that process dies, however it dies, the kernel frees the lock and the next caller takes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from modelway.engine.weights import write_atomically


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """Where the local model answers (`base_url` without `/v1`) and the bearer token it wants."""

    base_url: str
    api_key: str

    def __repr__(self) -> str:
        return f"EngineAddress({self.base_url!r}, api_key=…)"


class Leadership:
    """The lock and the published address in one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._lock_path = data_dir / "engine.lock"
        self._address_path = data_dir / "engine.json"
        self._lock: IO[bytes] | None = None
        self._held = False

    @property
    def held(self) -> bool:
        return self._held

    def take(self) -> bool:
        """Whether this process leads, taking the lead if it is free."""
        if self._held:
            return True
        if self._lock is None:
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._lock_path.open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._held = True
        self.withdraw()  # what a leader that died left behind
        return True

    def publish(self, address: EngineAddress, pid: int) -> None:
        facts = {"base_url": address.base_url, "api_key": address.api_key, "pid": pid}
        write_atomically(self._address_path, json.dumps(facts).encode())

    def withdraw(self) -> None:
        self._address_path.unlink(missing_ok=True)

    def published(self) -> EngineAddress | None:
        """The address that the leader published, while the child it names lives."""
        try:
            facts = json.loads(self._address_path.read_bytes())
            with contextlib.suppress(PermissionError):  # it lives, under another user
                os.kill(facts["pid"], 0)
            return EngineAddress(facts["base_url"], facts["api_key"])
        except (OSError, ValueError, LookupError):  # none, or one whose child is gone
            return None

    def release(self) -> None:
        """Gives the lead back. The lock file stays: removing it would let two processes lock two files."""
        if self._held:
            self.withdraw()
        if self._lock is not None:
            self._lock.close()
        self._lock = None
        self._held = False

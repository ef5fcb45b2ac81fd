"""Where ids, key texts and times come from: the operating system, handed to pure code as values."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from modelway.accounts import ids, keys


@dataclass(frozen=True, slots=True)
class Source:
    """A clock and a source of random bytes; a test brings its own."""

    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    random_bytes: Callable[[int], bytes] = os.urandom

    def new_id(self, prefix: str) -> str:
        return ids.sortable_id(prefix, self.now_ms(), self.random_bytes(ids.RANDOM_BYTES))

    def new_key_text(self) -> str:
        return keys.mint(self.random_bytes(keys.RANDOM_BYTES))


SYSTEM = Source()

"""Where ids, key texts and times come from, and who asks for a change: handed to the rules as values."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from modelway.accounts import ids, keys
from modelway.store.trail import Via


@dataclass(frozen=True, slots=True)
class Doer:
    """Who asks for a change, for the trail. The command line says who only as far as the machine knows."""

    via: Via = "cli"
    key_id: str | None = None
    member_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A clock, a source of random bytes, and who asks; a test brings its own."""

    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    random_bytes: Callable[[int], bytes] = os.urandom
    doer: Doer = Doer()

    def new_id(self, prefix: str) -> str:
        return ids.sortable_id(prefix, self.now_ms(), self.random_bytes(ids.RANDOM_BYTES))

    def new_key_text(self) -> str:
        return keys.mint(self.random_bytes(keys.RANDOM_BYTES))


SYSTEM = Source()

"""The keys in use, in memory: who presents one is known without asking the database.

A worker learns of changes by asking one number twice a second; a key that was revoked anywhere is
refused everywhere within a second. Known keys outlive the database by `STALE_MAX_S` and no longer:
long enough for a server to be restarted or replaced, short enough that a worker which is cut off does
not honour for long a key that was revoked meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Connection

from modelway.accounts.keys import Key, digest, looks_valid
from modelway.conversation.errors import CallError
from modelway.store import keys
from modelway.store.changes import count
from modelway.store.connections import reason, unavailable
from modelway.store.database import Database

POLL_EVERY_S = 0.5  # half of the second in which a revocation is promised to arrive
STALE_MAX_S = 10.0
KNOWN_MAX = 10_000  # about 8 MB; beyond it the oldest is asked for again
UNKNOWN_MAX = 4_096  # refused digests, remembered so that a client with a dead key costs no query
MARK_USED_EVERY_S = 60.0

_log = logging.getLogger(__name__)


class KeyRing:
    """`async with KeyRing(database, secret) as ring: key = await ring.find(text)`. Used on one loop."""

    def __init__(
        self,
        database: Database,
        secret: bytes,
        *,
        now_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._database = database
        self._secret = secret
        self._now_s = now_s
        self._now_ms = now_ms
        self._known: dict[bytes, Key] = {}
        self._unknown: dict[bytes, None] = {}
        self._asking: dict[bytes, asyncio.Task[Key | None]] = {}
        self._used: dict[str, None] = {}
        self._marked_at_s = now_s()
        self._seen = 0  # the last change this ring has heard of
        self._fresh_at_s = float("-inf")
        self._polling: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many digests are remembered, of keys and of refused texts."""
        return len(self._known) + len(self._unknown)

    @property
    def is_fresh(self) -> bool:
        """Whether changes were heard of lately enough to honour keys: otherwise `find` refuses everybody."""
        return self._now_s() - self._fresh_at_s <= STALE_MAX_S

    async def __aenter__(self) -> KeyRing:
        await self.refresh()
        self._polling = asyncio.get_running_loop().create_task(self._poll())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._polling is not None:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling
        with suppress(CallError):  # when a key was last used is not worth failing a shutdown for
            await self._mark_used()

    async def find(self, presented: str) -> Key | None:
        """The key whose text this is, revoked and expired ones too; None if there is no such key.

        Raises CallError("unavailable") when it is not known here and the database does not answer, or
        has not answered for `STALE_MAX_S`.
        """
        hashed = digest(self._secret, presented)
        if not self.is_fresh:
            raise unavailable()
        # Looked up by an HMAC: how far a guess agrees says nothing about the text that would.
        key = self._known.get(hashed)
        if key is None:
            if hashed in self._unknown or not looks_valid(presented):
                return None
            key = await self._ask_once(hashed)
        if key is not None:
            self._used[key.id] = None
        return key

    async def refresh(self) -> None:
        """Hear of changes and forget what has changed. Raises CallError if the database does not answer."""
        asked_at_s = self._now_s()
        change, changed = await self._database.read(self._changes)
        for hashed in changed:
            self._known.pop(hashed, None)
            self._unknown.pop(hashed, None)
        self._seen = max(self._seen, change)
        self._fresh_at_s = asked_at_s

    def _changes(self, connection: Connection) -> tuple[int, list[bytes]]:
        change = count(connection, keys.SUBJECT)
        seen = self._seen
        return change, keys.changed_since(connection, seen) if change != seen else []

    async def _ask_once(self, hashed: bytes) -> Key | None:
        """However many calls present a key that is new here, one of them asks."""
        asking = self._asking.get(hashed)
        if asking is None:
            asking = asyncio.get_running_loop().create_task(self._ask(hashed))
            self._asking[hashed] = asking
        # Shielded: the caller that leaves first must not take the answer from the others.
        return await asyncio.shield(asking)

    async def _ask(self, hashed: bytes) -> Key | None:
        def query(connection: Connection) -> tuple[int, Key | None]:
            return count(connection, keys.SUBJECT), keys.find_by_digest(connection, hashed)

        try:
            change, key = await self._database.read(query)
        finally:
            del self._asking[hashed]
        # An answer older than what has been heard since may be the one thing that was to be forgotten.
        if change >= self._seen:
            self._remember(hashed, key)
        return key

    def _remember(self, hashed: bytes, key: Key | None) -> None:
        if key is None:
            _make_room(self._unknown, UNKNOWN_MAX)
            self._unknown[hashed] = None
        else:
            _make_room(self._known, KNOWN_MAX)
            self._known[hashed] = key

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_EVERY_S)
            try:
                await self.refresh()
                if self._now_s() - self._marked_at_s >= MARK_USED_EVERY_S:
                    await self._mark_used()
            except CallError as error:
                _log.warning("changes of keys cannot be heard: %s", error.message)
            except Exception as error:  # the edge of a background loop: without it every key would go stale
                _log.error("the round that hears of changed keys failed: %s", reason(error))

    async def _mark_used(self) -> None:
        used, self._used = dict.fromkeys(self._used, self._now_ms()), {}
        self._marked_at_s = self._now_s()
        if used:
            await self._database.write(lambda connection: keys.mark_used(connection, used))


def _make_room(entries: dict[bytes, Key] | dict[bytes, None], most: int) -> None:
    """Drop the oldest: a dict keeps its order, and an order by last use would cost every call."""
    if len(entries) >= most:
        del entries[next(iter(entries))]

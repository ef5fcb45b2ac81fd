"""How much of a limit is this worker's, where no counter is shared: all workers' shares add up to the limit.

Whoever shares keys and accounts shares a database, so the database knows who is there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from modelway.conversation.errors import CallError
from modelway.store.database import Connection, Database
from modelway.store.leases import living

LOOK_EVERY_S = 2.0  # as often as workers renew the leases by which they are known


class Shares:
    """`async with Shares(database, worker_id, workers_min) as shares`. `workers_min` are there by the
    configuration, though they may still be starting.
    """

    def __init__(self, database: Database, worker_id: str, workers_min: int) -> None:
        self._database, self._worker_id, self._workers_min = database, worker_id, workers_min
        self.workers, self._place = workers_min, 0
        self._looking: asyncio.Task[None] | None = None

    def of(self, limit: int) -> int:
        """This worker's share. What does not divide goes to the first of them."""
        share, rest = divmod(limit, self.workers)
        return share + (self._place < rest)

    @property
    def share(self) -> Callable[[int], int] | None:
        """`of`, or None where nobody else can be."""
        return None if self._looking is None else self.of

    async def __aenter__(self) -> Shares:
        if self._database.dialect != "sqlite":  # which one process serves
            await self._look()
            self._looking = asyncio.get_running_loop().create_task(self._keep_looking())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        def query(connection: Connection) -> list[str]:
            return living(connection, time.time_ns() // 1_000_000)

        found = await self._database.read(query)
        others = [each for each in found if each != self._worker_id]
        self.workers = max(self._workers_min, len(others) + 1)
        self._place = sum(each < self._worker_id for each in others)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            with suppress(CallError):  # the database is away: those that were there still are
                await self._look()

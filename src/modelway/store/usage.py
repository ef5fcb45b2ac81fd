"""One row per call, collected while calls run and written many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from functools import lru_cache, partial
from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.engine import Dialect

from modelway.conversation.errors import CallError
from modelway.store.connections import reason
from modelway.store.database import Database
from modelway.store.schema import usage
from modelway.store.statements import insert_for

FLUSH_EVERY_S = 0.02  # a report is this late; at 5,000 calls/s a hundred rows share one commit
ROWS_PER_WRITE_MAX = 2_000  # about 20 ms of writing, for which nobody else writes
ROWS_WAITING_MAX = 100_000  # 20 s of 5,000 calls/s while the database is away, in about 80 MB
MODEL_CHARACTERS_MAX = 200  # a client may ask for anything; no real name comes near
RETRY_S = 0.5  # while the database is away

_log = logging.getLogger(__name__)


class UsageRow(NamedTuple):
    """A call as the bill and the reports see it; the fields are the columns of `schema.usage`, in order."""

    request_id: str
    account_id: str
    key_id: str
    started_at_ms: int
    protocol: str
    model_asked: str
    model_answered: str | None
    provider: str | None
    upstream_protocol: str | None
    status: int
    outcome: str
    error_code: str | None
    stream: bool
    input_tokens: int
    cache_read_tokens: int | None
    cache_write_5m_tokens: int | None
    cache_write_1h_tokens: int | None
    output_tokens: int
    reasoning_tokens: int | None
    estimated: bool
    cost_nano_usd: int | None
    first_token_ms: int | None
    duration_ms: int


def add(connection: Connection, rows: list[UsageRow]) -> None:
    """Insert rows; one whose request id is there already is left alone, so that writing twice is harmless."""
    # Straight to the driver: rows are tuples in the statement's order, and nothing in them needs converting.
    connection.exec_driver_sql(_insert_text(connection.dialect), list(rows))


@lru_cache(maxsize=4)  # two databases, and a spare for tests that open several
def _insert_text(dialect: Dialect) -> str:
    statement = insert_for(dialect.name, usage).on_conflict_do_nothing()
    return str(statement.compile(dialect=dialect, column_keys=list(UsageRow._fields)))


def _as_text(asked: str) -> str:
    """What a client wrote as something every database stores: PostgreSQL, for one, takes no NUL."""
    return ascii(asked[:MODEL_CHARACTERS_MAX])[1:-1][:MODEL_CHARACTERS_MAX]


class UsageLog:
    """Takes rows without waiting, writes them in the background, loses none at `close`.

    A crash loses at most the last `FLUSH_EVERY_S`, plus the write in progress. Used on one loop.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: deque[UsageRow] = deque()
        self._background: asyncio.Task[None] | None = None
        self._one_write = asyncio.Lock()
        self._closing = False

    @property
    def is_full(self) -> bool:
        """Whether the database has been away for too long; asked before a call is let in."""
        return len(self._rows) >= ROWS_WAITING_MAX

    @property
    def rows_waiting(self) -> int:
        """Rows taken and not yet handed to the database."""
        return len(self._rows)

    def append(self, row: UsageRow) -> None:
        """Take `row`; it is on the disk a little later. Never refuses: the call has been answered already."""
        if not row.model_asked.isprintable() or len(row.model_asked) > MODEL_CHARACTERS_MAX:
            row = row._replace(model_asked=_as_text(row.model_asked))
        self._rows.append(row)
        self._see_to_it()

    async def flush(self) -> None:
        """Return when every row taken so far is on the disk. Raises CallError if the database is away."""
        await self._write_some()
        while self._rows:
            await self._write_some()

    async def close(self) -> None:
        """Write what is left. Raises CallError, the number of rows lost in the log, if it cannot."""
        self._closing = True
        if self._background is not None:
            self._background.cancel()
            with suppress(asyncio.CancelledError):
                await self._background
        try:
            await self.flush()
        except CallError:
            _log.error("the database is away: %d rows of usage are lost", len(self._rows))
            raise

    def _put_back(self, rows: list[UsageRow]) -> None:
        self._rows.extendleft(reversed(rows))
        self._see_to_it()

    def _see_to_it(self) -> None:
        if self._background is None and not self._closing:
            self._background = asyncio.get_running_loop().create_task(self._write_in_background())

    async def _write_in_background(self) -> None:
        try:
            while self._rows:
                await asyncio.sleep(FLUSH_EVERY_S)
                await self._write_or_wait()
        finally:
            self._background = None

    async def _write_or_wait(self) -> None:
        try:
            await self._write_some()
        except CallError:
            _log.warning("%d rows of usage wait for the database", len(self._rows))
            await asyncio.sleep(RETRY_S)

    async def _write_some(self) -> None:
        async with self._one_write:
            count = min(len(self._rows), ROWS_PER_WRITE_MAX)
            rows = [self._rows.popleft() for _ in range(count)]
            if not rows:
                return
            try:
                await self._database.write(lambda connection: add(connection, rows))
            except (CallError, asyncio.CancelledError):
                # Whether they arrived is unknown (the line broke, we were cancelled); twice is harmless.
                self._put_back(rows)
                raise
            except Exception:  # the edge of a background loop: one row is not to the database's liking
                await self._write_singly(rows)

    async def _write_singly(self, rows: list[UsageRow]) -> None:
        """So that the one bad row, which is a fault of ours, does not hold up the others."""
        for number, row in enumerate(rows):
            try:
                await self._database.write(partial(add, rows=[row]))
            except (CallError, asyncio.CancelledError):
                self._put_back(rows[number:])
                raise
            except Exception as error:  # as above
                _log.error("the usage of %s cannot be stored: %s", row.request_id, reason(error))

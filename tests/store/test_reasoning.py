"""Kept reasoning: its account's alone, for an hour, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, func, select

from modelway.store import reasoning
from modelway.store.database import Database
from modelway.store.reasoning import KEPT_MS, SWEPT_PER_WRITE
from modelway.store.schema import reasoning as table

pytestmark = pytest.mark.anyio

NOW_MS = 1_700_000_000_000


async def keep(database: Database, call_id: str, layout: bytes = b"[]", *, now_ms: int = NOW_MS) -> None:
    await database.write(lambda connection: reasoning.keep(connection, "acct_1", call_id, layout, now_ms))


async def find(
    database: Database, *call_ids: str, account_id: str = "acct_1", now_ms: int = NOW_MS
) -> dict[str, bytes]:
    return await database.read(lambda connection: reasoning.find(connection, account_id, call_ids, now_ms))


async def test_what_is_kept_is_found_by_its_account_alone(database: Database) -> None:
    await keep(database, "call_1", b'["a\\u0000"]')
    await keep(database, "call_2")

    assert await find(database, "call_1", "call_1", "call_3") == {"call_1": b'["a\\u0000"]'}
    assert await find(database, "call_1", account_id="acct_2") == {}
    assert await find(database) == {}


async def test_an_id_that_comes_again_is_the_newer_one(database: Database) -> None:
    await keep(database, "call_1", b"[1]")
    await keep(database, "call_1", b"[2]", now_ms=NOW_MS + 5)

    assert await find(database, "call_1", now_ms=NOW_MS + KEPT_MS) == {"call_1": b"[2]"}


async def test_after_an_hour_it_is_gone_and_later_writes_sweep_it_away(database: Database) -> None:
    for number in range(SWEPT_PER_WRITE + 1):
        await keep(database, f"call_{number}")
    assert await find(database, "call_1", now_ms=NOW_MS + KEPT_MS) == {}

    def count(connection: Connection) -> int:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()

    await keep(database, "call_a", now_ms=NOW_MS + KEPT_MS)
    assert await database.read(count) == 2
    await keep(database, "call_b", now_ms=NOW_MS + KEPT_MS)
    assert await database.read(count) == 2

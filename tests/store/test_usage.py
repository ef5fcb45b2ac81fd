"""Usage: nothing is lost, nothing is stored twice, one bad row harms no other."""

from __future__ import annotations

import asyncio

import pytest

from modelway.store.database import Database
from modelway.store.schema import usage
from modelway.store.usage import MODEL_CHARACTERS_MAX, UsageLog, UsageRow
from tests.store.rows import stored, until_stored, usage_row

pytestmark = pytest.mark.anyio


def test_the_fields_are_the_columns() -> None:
    assert UsageRow._fields == tuple(column.name for column in usage.c)


async def test_a_row_comes_back_as_it_went(database: Database) -> None:
    rows = [usage_row(1), usage_row(2, cost_nano_usd=None, stream=False, outcome="client_gone")]
    log = UsageLog(database)
    for row in rows:
        log.append(row)
    await log.flush()

    assert await stored(database) == rows
    await log.close()


async def test_rows_are_written_without_being_asked_for(database: Database) -> None:
    log = UsageLog(database)
    log.append(usage_row(1))
    await until_stored(database, 1)
    log.append(usage_row(2))
    await until_stored(database, 2)
    await log.close()


async def test_closing_loses_none(database: Database) -> None:
    log = UsageLog(database)
    for number in range(5_000):
        log.append(usage_row(number))
        if number % 1_000 == 0:
            await asyncio.sleep(0.03)  # so that a write is under way now and then
    await log.close()

    assert [row.request_id for row in await stored(database)] == [f"req_{number}" for number in range(5_000)]


async def test_the_same_request_is_stored_once(database: Database) -> None:
    log = UsageLog(database)
    log.append(usage_row(1))
    log.append(usage_row(1, output_tokens=99))
    await log.close()

    assert await stored(database) == [usage_row(1)]


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        ({"status": None}, ["req_1", "req_3"]),
        ({"output_tokens": 2**70}, ["req_1", "req_2", "req_3"]),  # as far as it can be
    ],
)
async def test_a_row_that_cannot_be_stored_does_not_hold_up_the_others(
    database: Database, fault: dict[str, object], kept: list[str]
) -> None:
    log = UsageLog(database)
    for row in (usage_row(1), usage_row(2, **fault), usage_row(3)):
        log.append(row)
    await log.flush()

    assert [row.request_id for row in await stored(database)] == kept
    await log.close()


@pytest.mark.parametrize("asked", ["a\0b", "\ud800", "x" * 10_000, "line\nline", "ü\0" * 500])
async def test_whatever_a_client_asks_for_can_be_stored(database: Database, asked: str) -> None:
    log = UsageLog(database)
    log.append(usage_row(1, model_asked=asked))
    await log.close()

    [row] = await stored(database)
    assert 0 < len(row.model_asked) <= MODEL_CHARACTERS_MAX
    assert row.model_asked.isprintable()

"""Rows for the tests, and a look at what is stored."""

from __future__ import annotations

from sqlalchemy import Connection, select

from modelway.store.database import Database
from modelway.store.schema import usage
from modelway.store.usage import UsageRow
from tests.store.waiting import until


def usage_row(number: int, **chosen: object) -> UsageRow:
    row = UsageRow(
        request_id=f"req_{number}",
        account_id="acct_1",
        key_id="key_1",
        started_at_ms=1_700_000_000_000 + number,
        protocol="chat",
        model_asked="small",
        model_answered="small",
        provider="lab",
        upstream_protocol="messages",
        status=200,
        outcome="ok",
        error_code=None,
        stream=True,
        input_tokens=10,
        cache_read_tokens=None,
        cache_write_5m_tokens=0,
        cache_write_1h_tokens=None,
        output_tokens=5,
        reasoning_tokens=2,
        estimated=False,
        cost_nano_usd=2**40,
        first_token_ms=200,
        duration_ms=900,
    )
    return row._replace(**chosen)  # type: ignore[arg-type]  # a test chooses any field


def all_rows(connection: Connection) -> list[UsageRow]:
    rows = connection.execute(select(usage).order_by(usage.c.started_at_ms))
    return [UsageRow(*row) for row in rows]


async def stored(database: Database) -> list[UsageRow]:
    return await database.read(all_rows)


async def until_stored(database: Database, count: int) -> None:
    async def enough() -> bool:
        return len(await stored(database)) >= count

    await until(enough)

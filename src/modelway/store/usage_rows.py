"""A call as the bill and the reports see it, and how many of them are inserted at once."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import BigInteger, Connection

from modelway.store.batches import insert_rows
from modelway.store.schema import usage

MODEL_CHARACTERS_MAX = 200  # a client may ask for anything; no real name comes near


class UsageRow(NamedTuple):
    """The fields are the columns of `schema.usage`, in order."""

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
    member_id: str | None = None
    price_version: str | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    web_searches: int | None = None
    model: str | None = None


_MOST = tuple(2**63 - 1 if isinstance(column.type, BigInteger) else 2**31 - 1 for column in usage.c)


def add(connection: Connection, rows: list[UsageRow]) -> None:
    """Insert rows; one whose request id is there already is left alone, so that writing twice is harmless."""
    insert_rows(connection, usage, rows)


def storable(row: UsageRow) -> UsageRow:
    """`row` with what a client wrote as something every database stores: PostgreSQL takes no NUL."""
    asked = row.model_asked
    if len(asked) <= MODEL_CHARACTERS_MAX and asked.isprintable():
        return row
    return row._replace(model_asked=_shown(asked))


def storable_anyhow(row: UsageRow) -> UsageRow:
    """What is left of a row that a database has refused: every word legible, every number in its column."""
    return UsageRow._make(map(_plain, row, _MOST))


def _plain(value: object, most: int) -> object:
    if isinstance(value, str):
        return _shown(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return max(0, min(value, most))
    return value


def _shown(text: str) -> str:
    return ascii(text[:MODEL_CHARACTERS_MAX])[1:-1][:MODEL_CHARACTERS_MAX]

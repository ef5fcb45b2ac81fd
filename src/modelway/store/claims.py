"""Idempotency keys: one execution per (account, endpoint, key), its answer kept for a day."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, select, update

from modelway.store.schema import idempotency
from modelway.store.statements import insert_for

KEPT_MS = 24 * 3600 * 1000
SWEPT_MAX = 500  # deleted in one transaction, for which nobody else writes


class Claim(NamedTuple):
    """A call that wants to be the only one with its key; `fingerprint` is SHA-256 of what it asks."""

    account_id: str
    endpoint: str
    key: str
    fingerprint: bytes
    request_id: str
    created_at_ms: int


class Kept(NamedTuple):
    """The call that had the key before. `status` None: it still runs; `body` None: too large to keep."""

    request_id: str
    fingerprint: bytes
    status: int | None
    headers: bytes | None
    body: bytes | None


def claim(connection: Connection, wanted: Claim) -> Kept | None:
    """Take the key, or say who has it."""
    values = wanted._asdict()
    statement = insert_for(connection.dialect.name, idempotency).values(values).on_conflict_do_nothing()
    if connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount == 1:
        return None
    columns = [idempotency.c[name] for name in Kept._fields]
    row = connection.execute(
        select(*columns).where(
            idempotency.c.account_id == wanted.account_id,
            idempotency.c.endpoint == wanted.endpoint,
            idempotency.c.key == wanted.key,
        )
    ).one()
    return Kept(*row)


def keep(connection: Connection, request_id: str, status: int, headers: bytes, body: bytes | None) -> None:
    """Keep the answer of the call that took a key."""
    connection.execute(
        update(idempotency)
        .where(idempotency.c.request_id == request_id, idempotency.c.status.is_(None))
        .values(status=status, headers=headers, body=body)
    )


def release(connection: Connection, request_id: str) -> None:
    """Nothing was executed: the key may be used again."""
    connection.execute(
        delete(idempotency).where(idempotency.c.request_id == request_id, idempotency.c.status.is_(None))
    )


def sweep(connection: Connection, now_ms: int) -> int:
    """Forget what is older than a day; how many there were."""
    old = select(idempotency.c.request_id).where(idempotency.c.created_at_ms < now_ms - KEPT_MS)
    return connection.execute(
        delete(idempotency).where(idempotency.c.request_id.in_(old.limit(SWEPT_MAX)))
    ).rowcount

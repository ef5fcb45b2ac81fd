"""Reasoning that a client will not bring back, kept for an hour under the tool call it led to.

Kept per account: what another account made is what is not there. The layouts are bytes of JSON whose
reasoning is in envelopes; nobody here reads them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, tuple_

from modelway.store.schema import reasoning
from modelway.store.statements import insert_for

KEPT_MS = 3600 * 1000  # a tool that runs for longer than an hour finds the model without its thoughts
# Deleted along with every row that is added, so that the table shrinks faster than it grows.
SWEPT_PER_WRITE = 20


def keep(connection: Connection, account_id: str, call_id: str, layout: bytes, now_ms: int) -> None:
    """Put `layout` under `call_id`, over what stood there, and delete a few rows that have expired."""
    statement = insert_for(connection.dialect.name, reasoning).values(
        account_id=account_id, call_id=call_id, expires_at_ms=now_ms + KEPT_MS, layout=layout
    )
    newer = {name: statement.excluded[name] for name in ("expires_at_ms", "layout")}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[reasoning.c.account_id, reasoning.c.call_id], set_=newer
        )
    )
    # Rows that another writer is deleting are left to it: two that wait for each other would deadlock.
    expired = connection.execute(
        select(reasoning.c.account_id, reasoning.c.call_id)
        .where(reasoning.c.expires_at_ms <= now_ms)
        .limit(SWEPT_PER_WRITE)
        .with_for_update(skip_locked=True)
    ).all()
    if expired:
        pairs = [(row.account_id, row.call_id) for row in expired]
        connection.execute(
            delete(reasoning).where(tuple_(reasoning.c.account_id, reasoning.c.call_id).in_(pairs))
        )


def find(connection: Connection, account_id: str, call_ids: Sequence[str], now_ms: int) -> dict[str, bytes]:
    """The account's layouts under any of `call_ids`."""
    rows = connection.execute(
        select(reasoning.c.call_id, reasoning.c.layout).where(
            reasoning.c.account_id == account_id,
            reasoning.c.call_id.in_(sorted(set(call_ids))),
            reasoning.c.expires_at_ms > now_ms,
        )
    )
    return {row.call_id: row.layout for row in rows}

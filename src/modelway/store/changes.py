"""Counters by which every worker learns that something has changed, by asking for one number."""

from __future__ import annotations

from sqlalchemy import Connection, select

from modelway.store.schema import changes
from modelway.store.statements import insert_for

MONEY = "money"  # accounts' terms and budgets


def count_up(connection: Connection, subject: str) -> int:
    """Count one up, and hold the counter until the transaction ends: later changes get later numbers."""
    statement = insert_for(connection.dialect.name, changes).values(subject=subject, number=1)
    counted = statement.on_conflict_do_update(
        index_elements=[changes.c.subject], set_={"number": changes.c.number + 1}
    ).returning(changes.c.number)
    number: int = connection.execute(counted).scalar_one()
    return number


def count(connection: Connection, subject: str) -> int:
    """How often the subject has changed."""
    return connection.execute(select(changes.c.number).where(changes.c.subject == subject)).scalar() or 0


def counts(connection: Connection) -> dict[str, int]:
    """Every counter; what never changed is not among them."""
    return {row.subject: row.number for row in connection.execute(select(changes))}

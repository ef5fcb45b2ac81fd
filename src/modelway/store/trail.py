"""Who changed what: rows in and out, and no way to change one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, insert, select

from modelway.store.schema import trail

Via = Literal["api", "cli", "page", "start"]


@dataclass(frozen=True, slots=True)
class Deed:
    """One change: in whose account, by whom and how, of what, and what it became."""

    id: str
    account_id: str
    at_ms: int
    via: Via
    action: str
    subject: str
    details: dict[str, Any]
    key_id: str | None = None
    member_id: str | None = None
    request_id: str | None = None


_COLUMNS = [trail.c[name] for name in Deed.__slots__]


def add(connection: Connection, deed: Deed) -> None:
    connection.execute(insert(trail).values({name: getattr(deed, name) for name in Deed.__slots__}))


def list_deeds(connection: Connection, account_id: str, before: str | None, limit: int) -> list[Deed]:
    """A page of an account's, newest first; `before` is the last id seen."""
    statement = select(*_COLUMNS).where(trail.c.account_id == account_id)
    if before:
        statement = statement.where(trail.c.id < before)
    rows = connection.execute(statement.order_by(trail.c.id.desc()).limit(limit))
    return [Deed(**row._mapping) for row in rows]

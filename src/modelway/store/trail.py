"""Who changed what: rows in and out, and no way to change one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, case, insert, literal, or_, select

from modelway.store.schema import keys, trail

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


def add(connection: Connection, deed: Deed) -> None:
    connection.execute(insert(trail).values({name: getattr(deed, name) for name in Deed.__slots__}))


def list_deeds(
    connection: Connection, account_id: str, before: str | None, limit: int, *, strangers: bool
) -> list[Deed]:
    """A page of an account's, newest first; `before` is the last id seen. Without `strangers`, who of another
    account did something here is not named.
    """
    is_ours = or_(literal(strangers), keys.c.account_id == trail.c.account_id)
    hidden = {name: case((is_ours, trail.c[name])).label(name) for name in ("key_id", "member_id")}
    columns = [hidden.get(name, trail.c[name]) for name in Deed.__slots__]
    joined = trail.outerjoin(keys, keys.c.id == trail.c.key_id)
    statement = select(*columns).select_from(joined).where(trail.c.account_id == account_id)
    if before:
        statement = statement.where(trail.c.id < before)
    rows = connection.execute(statement.order_by(trail.c.id.desc()).limit(limit))
    return [Deed(**row._mapping) for row in rows]

"""What the installation remembers of itself: one text per name, most of them written once."""

from __future__ import annotations

from sqlalchemy import Connection, select

from modelway.store.schema import settings
from modelway.store.statements import insert_for, insert_new

OWNER_ACCOUNT_ID = "owner_account_id"  # the account that owns the installation


def get(connection: Connection, name: str) -> str | None:
    value: str | None = connection.execute(select(settings.c.value).where(settings.c.name == name)).scalar()
    return value


def set_once(connection: Connection, name: str, value: str) -> bool:
    """Remember `value` unless there is one already; True for the one caller who was first."""
    return insert_new(connection, settings, name=name, value=value)


def put(connection: Connection, name: str, value: str) -> None:
    """Remember `value` in place of whatever there was."""
    statement = insert_for(connection.dialect.name, settings).values(name=name, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))

"""The two statements that SQLAlchemy spells differently per database, behind one name each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert_for(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415  # loaded with the engine; the other is not

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415  # as above

    return sqlite.insert(table)


def insert_new(connection: Connection, table: Table, **values: object) -> bool:
    """Insert a row unless its primary key or a unique column is taken; True if it was inserted."""
    statement = insert_for(connection.dialect.name, table).values(**values).on_conflict_do_nothing()
    # SQLAlchemy forgets an INSERT's row count unless it is asked to keep it.
    return connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount == 1

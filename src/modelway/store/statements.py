"""How statements reach a database: those that both spell differently, and those that every call pays for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

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


def run(connection: Connection, text: str, values: Sequence[Any]) -> Any:
    """Run `text` at the driver: its cursor. The driver's errors come out as SQLAlchemy's."""
    return _at_driver(connection, "execute", text, values)


class Prepared:
    """A statement that is compiled once for each database and run at the driver.

    For what calls pay for: SQLAlchemy's own way from an expression to its cursor was measured at 70 µs,
    ten times what SQLite needs to do it, and as much again while the event loop wants the interpreter too.
    `statement` makes the expression for a database's name; its values are `bindparam`s.
    """

    def __init__(self, statement: Callable[[str], ClauseElement]) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, tuple[str, ...], Mapping[str, Any]]] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """The driver's cursor: `rowcount`, `fetchall()`."""
        text, names, constants = self._for(connection)
        given = {**constants, **values}
        return _at_driver(connection, "execute", text, [given[name] for name in names])

    def run_many(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Once for each row; PostgreSQL is sent them all at once."""
        text, names, constants = self._for(connection)
        given = [{**constants, **row} for row in rows]
        _at_driver(connection, "executemany", text, [[row[name] for name in names] for row in given])

    def _for(self, connection: Connection) -> tuple[str, tuple[str, ...], Mapping[str, Any]]:
        dialect = connection.dialect
        found = self._compiled.get(dialect.name)
        if found is None:
            compiled = self._statement(dialect.name).compile(dialect=dialect)
            names = tuple(getattr(compiled, "positiontup", None) or ())
            found = self._compiled[dialect.name] = str(compiled), names, compiled.params
        return found


def _at_driver(connection: Connection, method: str, text: str, values: Sequence[Any]) -> Any:
    raw, driver = connection.connection.driver_connection, connection.dialect.loaded_dbapi
    assert raw is not None
    cursor = raw.cursor()
    try:
        getattr(cursor, method)(text, values)
    except driver.Error as error:
        raise DBAPIError.instance(
            text, None, error, driver.Error, hide_parameters=True, dialect=connection.dialect
        ) from error
    return cursor

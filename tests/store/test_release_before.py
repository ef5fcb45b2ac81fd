"""During a rolling update the release before still runs, on tables that are already the new ones."""

from __future__ import annotations

from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Connection, LargeBinary, MetaData, Numeric, Table, insert, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import JSON, Integer

from modelway.store.migrate import MIGRATIONS
from modelway.store.urls import create_sqlite_file, parse_url, sqlite_file
from tests.store.test_migrate import connect

REVISIONS = [each.revision for each in reversed(list(ScriptDirectory(str(MIGRATIONS)).walk_revisions()))]


def migrate(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def tables_of(connection: Connection) -> list[Table]:
    """The tables as they are, those that others refer to first."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def some_value(kind: object, name: str) -> Any:
    match kind:
        case Boolean():
            return True
        case Integer() | Numeric():
            return 1
        case LargeBinary():
            return name.encode() * 8
        case JSON():
            return []
        case _:
            return name  # the same everywhere, so that what refers to a row finds one


def use(connection: Connection, known: list[Table], name: str) -> None:
    """What a release does that knows these columns and no others: it writes them and reads them back."""
    for table in known:
        row = {column.name: some_value(column.type, name) for column in table.columns}
        connection.execute(insert(table).values(row))
        assert connection.execute(select(table)).all()


def prepared(url: str) -> Connection:
    dialect, parsed = parse_url(url)
    if dialect == "sqlite":
        create_sqlite_file(sqlite_file(parsed))
    return connect(url)


def test_after_each_migration_the_release_before_it_still_writes_and_reads(bare_url: str) -> None:
    with prepared(bare_url) as connection:
        migrate(connection, REVISIONS[0])
        for revision in REVISIONS[1:]:
            known = tables_of(connection)
            migrate(connection, revision)
            use(connection, known, revision)


def test_a_migration_that_took_something_away_would_be_seen(bare_url: str) -> None:
    with prepared(bare_url) as connection:
        migrate(connection, REVISIONS[-1])
        known = tables_of(connection)
        connection.execute(text("ALTER TABLE members DROP COLUMN role"))
        with pytest.raises(SQLAlchemyError, match="role"):
            use(connection, known, "last")

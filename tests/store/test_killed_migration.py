"""A migration that is killed anywhere has happened or has not, and the next start sees it through."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, select

from modelway.store.audit import audit
from modelway.store.schema import HEAD, accounts, keys, members, metadata
from modelway.store.urls import create_sqlite_file, parse_url, sqlite_file
from tests.store.killed_migration import connect, kill_until_migrated, make_tables_of_the_first_version

EVERY = 9  # statements from one kill to the next: about a dozen kills on each database


def assert_tables_are_right(connection: Connection) -> None:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    assert compare_metadata(context, metadata) == []
    assert audit(connection) == []


def test_old_tables_are_old_or_new_wherever_the_migration_is_killed(bare_url: str) -> None:
    make_tables_of_the_first_version(bare_url)

    versions = kill_until_migrated(bare_url, 1, EVERY)

    assert len(versions) > 5
    assert set(versions) == {"0001", HEAD}
    assert versions == sorted(versions)
    with connect(bare_url) as connection:
        assert_tables_are_right(connection)
        assert connection.execute(select(accounts.c.id, accounts.c.posted_nano_usd)).all() == [("acct_1", 0)]
        assert connection.execute(select(members.c.role)).scalars().all() == ["owner"]
        assert connection.execute(select(keys.c.id, keys.c.kind)).all() == [("key_1", "api")]


def test_a_new_database_is_empty_or_whole_wherever_its_making_is_killed(bare_url: str) -> None:
    dialect, parsed = parse_url(bare_url)
    if dialect == "sqlite":
        create_sqlite_file(sqlite_file(parsed))

    versions = kill_until_migrated(bare_url, 3, EVERY)

    assert len(versions) > 5
    assert set(versions) == {"None", HEAD}
    with connect(bare_url) as connection:
        assert_tables_are_right(connection)

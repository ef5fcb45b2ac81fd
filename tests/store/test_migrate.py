"""The tables: made from nothing, made once, made whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, select

from modelway.store.connections import engine_for
from modelway.store.migrate import MIGRATIONS, check_current, current, upgrade
from modelway.store.schema import HEAD, accounts, cap_windows, keys, metadata
from modelway.store.urls import StoreError, create_sqlite_file, parse_url, sqlite_file


def connect(url: str) -> Connection:
    return engine_for(*parse_url(url), writes=True).connect()


def test_the_newest_migration_is_the_one_the_program_asks_for() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


def test_from_nothing_to_the_newest_and_then_nothing_to_do(bare_url: str) -> None:
    assert upgrade(bare_url) is True
    assert upgrade(bare_url) is False
    with connect(bare_url) as connection:
        assert current(connection) == HEAD
        check_current(connection)


def test_the_migrations_make_the_tables_that_are_declared(bare_url: str) -> None:
    upgrade(bare_url)
    with connect(bare_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_replicas_that_start_at_once_migrate_once(bare_url: str) -> None:
    with ThreadPoolExecutor(4) as replicas:
        results = list(replicas.map(upgrade, [bare_url] * 4))

    assert sorted(results) == [False, False, False, True]


def test_a_migration_that_fails_half_way_leaves_nothing(bare_url: str) -> None:
    dialect, parsed = parse_url(bare_url)
    if dialect == "sqlite":
        create_sqlite_file(sqlite_file(parsed))
    with connect(bare_url) as connection:
        connection.exec_driver_sql("CREATE TABLE usage (in_the_way INTEGER)")

    with pytest.raises(StoreError, match=r"cannot be brought up to date.*usage"):
        upgrade(bare_url)

    with connect(bare_url) as connection:
        assert inspect(connection).get_table_names() == ["usage"]
        connection.exec_driver_sql("DROP TABLE usage")
    assert upgrade(bare_url) is True


def test_what_rotated_keys_spent_is_one_count_after_the_migration(bare_url: str) -> None:
    upgrade(bare_url)
    key = {"account_id": "us", "name": "k", "masked": "m", "resets": "never", "created_at_ms": 1, "change": 1}
    replaced = {"key_1": None, "key_2": "key_1", "key_3": "key_2", "key_4": None}
    windows = [("key_1", 0, 5), ("key_2", 0, 8), ("key_3", 0, 7), ("key_3", 9, 4), ("key_4", 0, 3)]
    with connect(bare_url) as connection:
        connection.execute(insert(accounts).values(id="us", name="us", created_at_ms=1))
        for key_id, replaces_id in replaced.items():
            ids = {"id": key_id, "replaces_id": replaces_id, "digest": key_id.encode()}
            connection.execute(insert(keys).values(key | ids))
        for row in windows:
            connection.execute(insert(cap_windows).values((*row, 0)))
        connection.exec_driver_sql("ALTER TABLE keys DROP COLUMN first_id")
        connection.exec_driver_sql("DROP INDEX ix_entries_refunds")  # of a later migration
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0008'")

    assert upgrade(bare_url) is True

    with connect(bare_url) as connection:
        firsts = connection.execute(select(keys.c.first_id).order_by(keys.c.id)).scalars().all()
        assert firsts == [None, "key_1", "key_1", None]
        spent = [tuple(row) for row in connection.execute(select(cap_windows))]
    assert {("key_1", 0, 8, 0), ("key_1", 9, 4, 0), ("key_4", 0, 3, 0)} <= set(spent)


def test_a_program_older_than_the_tables_goes_on(bare_url: str) -> None:
    upgrade(bare_url)
    with connect(bare_url) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        check_current(connection)
    assert upgrade(bare_url) is False


def test_a_start_with_nothing_to_do_does_not_load_alembic(database_url: str) -> None:
    program = (
        "import sys\n"
        "from modelway.store.migrate import upgrade\n"
        "assert upgrade(sys.argv[1]) is False\n"
        "assert not any(name.split('.')[0] in ('alembic', 'mako') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, database_url], check=True, timeout=60)

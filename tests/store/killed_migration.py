"""Brings a database up to date and is killed before its n-th statement, for one n after another.

A program of its own, because it forks: `python -m tests.store.killed_migration URL FIRST EVERY`. The first
child is killed before statement FIRST, each after it EVERY statements later, until one gets through. On
standard output is at which version the tables were after each.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import count
from typing import Any

# Here, so that the children need not: a kill while it is imported shows nothing.
from alembic import command as alembic
from alembic.config import Config
from sqlalchemy import Connection, Engine, event

from modelway.store import migrate
from modelway.store.connections import COMMANDS, command, engine_for
from modelway.store.urls import create_sqlite_file, parse_url, sqlite_file

OLD_ROWS = (
    "INSERT INTO accounts (id, name, created_at_ms) VALUES ('acct_1', 'us', 1)",
    "INSERT INTO members (id, account_id, name, role, created_at_ms)"
    " VALUES ('mem_1', 'acct_1', 'Ada', 'owner', 1)",
    "INSERT INTO keys (id, account_id, name, digest, masked, resets, created_at_ms, change)"
    " VALUES ('key_1', 'acct_1', 'k', {digest}, 'sk-mw-…', 'never', 1, 1)",
)


def make_tables_of_the_first_version(url: str) -> None:
    dialect, parsed = parse_url(url)
    if dialect == "sqlite":
        create_sqlite_file(sqlite_file(parsed))
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    with connect(url) as connection:
        config.attributes["connection"] = connection
        assert (
            migrate.current(connection) is None
        )  # which begins SQLAlchemy's own transaction, so Alembic ends none
        command(connection, COMMANDS[dialect].begin)
        alembic.upgrade(config, "0001")
        digest = "x'00'" if dialect == "sqlite" else r"'\x00'"
        for row in OLD_ROWS:
            connection.exec_driver_sql(row.format(digest=digest))
        command(connection, COMMANDS[dialect].commit)


def kill_until_migrated(url: str, first: int, every: int) -> list[str]:
    """At which version the tables were after each kill, and in the end."""
    program = [sys.executable, "-m", __name__, url, str(first), str(every)]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=600)
    return done.stdout.split()


def upgrade_killed_before(url: str, statement: int) -> None:
    """In a child: kill -9 instead of that statement; transaction commands count as well."""
    done = count(1)

    def step(*_: object) -> None:
        if next(done) == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(*arguments: Any) -> None:
        step()
        command(*arguments)

    migrate.command = counted  # type: ignore[assignment, attr-defined]  # what is replaced is not offered
    event.listen(Engine, "before_cursor_execute", step)
    migrate.upgrade(url)


def connect(url: str) -> Connection:
    return engine_for(*parse_url(url), writes=True).connect()


def version(url: str) -> str | None:
    with connect(url) as connection:
        return migrate.current(connection)


def main(url: str, first: int, every: int) -> None:
    for statement in count(first, every):
        child = os.fork()
        if child == 0:
            upgrade_killed_before(url, statement)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(version(url), flush=True)
        if status == 0:
            return
        assert os.WIFSIGNALED(status), f"the migration failed: {status}"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

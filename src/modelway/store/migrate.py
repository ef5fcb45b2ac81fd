"""Bring a database's tables up to the newest migration; cheap when there is nothing to do.

Every migration that is missing runs in one transaction on either database, so a crash half way leaves
the tables as they were. Of several replicas that start at once one migrates and the others wait.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table
from sqlalchemy.exc import SQLAlchemyError

from modelway.store.connections import COMMANDS, command, engine_for, reason
from modelway.store.locks import WriteLock
from modelway.store.schema import HEAD
from modelway.store.urls import Dialect, StoreError, create_sqlite_file, parse_url, sqlite_file

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_NUMBER = 0x6D6F64656C776179  # "modelway": PostgreSQL's advisory locks are told apart by a number
LOCK_TIMEOUT_S = 60  # how long a replica waits for the one that migrates
STATEMENT_TIMEOUT_S = 3600  # an index on a large table takes its time; nobody is being served yet

_version = table("alembic_version", column("version_num"))


def current(connection: Connection) -> str | None:
    """The migration the tables are at; None when there are none."""
    if not inspect(connection).has_table(_version.name):
        return None
    version: str | None = connection.execute(select(_version.c.version_num)).scalar()
    return version


def check_current(connection: Connection) -> None:
    """Raise StoreError unless this program can work with these tables.

    Tables newer than the program are served: during a rolling update the old replicas still run,
    and migrations keep what the release before them needs.
    """
    version = current(connection)
    if version is None or version < HEAD:
        raise StoreError(
            f"the database's tables are at version {version or 'none'}, this program needs {HEAD}; "
            "run `modelway migrate`"
        )


def upgrade(url: str) -> bool:
    """Make or update the tables; True if there was anything to do. Raises StoreError.

    Blocks: run it before serving, or on a thread.
    """
    dialect, parsed = parse_url(url)
    lock = None
    with ExitStack() as stack:
        if dialect == "sqlite":
            create_sqlite_file(sqlite_file(parsed))
            lock = stack.enter_context(closing(WriteLock(sqlite_file(parsed))))
        try:
            if lock is not None:
                lock.acquire()
            connection = stack.enter_context(engine_for(dialect, parsed, writes=True).connect())
            version = current(connection)
            if version is not None and version >= HEAD:
                return False
            command(connection, COMMANDS[dialect].begin)
            return _upgrade_in_transaction(connection, dialect)
        except (SQLAlchemyError, OSError) as error:
            where = parsed.render_as_string(hide_password=True)
            raise StoreError(
                f"the tables of {where} cannot be brought up to date: {reason(error)}"
            ) from error


def _upgrade_in_transaction(connection: Connection, dialect: Dialect) -> bool:
    if dialect == "postgresql":
        command(connection, (f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_S}s'",))
        command(connection, (f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'",))
        command(connection, (f"SELECT pg_advisory_xact_lock({LOCK_NUMBER})",))
    version = current(connection)  # again: another replica may have been faster
    if version is None or version < HEAD:
        _run_migrations(connection)
    command(connection, COMMANDS[dialect].commit)
    return version is None or version < HEAD


def _run_migrations(connection: Connection) -> None:
    from alembic import command as alembic  # noqa: PLC0415  # 0.12 s to import; most starts need none of it
    from alembic.config import Config  # noqa: PLC0415  # as above

    config = Config()
    # Alembic's configuration is an ini file's: a lone percent sign would start an interpolation.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    alembic.upgrade(config, "head")

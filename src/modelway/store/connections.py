"""Connections to either database: how they are opened, and the transaction commands each understands.

SQLAlchemy compiles and runs statements; transactions are begun and ended here at the driver, which is
left in autocommit, because the writer puts every change into a savepoint and a savepoint through
SQLAlchemy costs as much as the change itself.
"""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import uniform
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError, ResourceClosedError
from sqlalchemy.pool import NullPool

from modelway.conversation.errors import CallError
from modelway.store.urls import Dialect, sqlite_file, sqlite_uri

SQLITE_BUSY_TIMEOUT_MS = 5_000  # only a process that is not ours can make us wait
SQLITE_CACHE_KIB = 8_192  # the right-hand edge of each index fits, so an insert reads nothing
SQLITE_WAL_BYTES_MAX = 64 * 1024 * 1024  # the file shrinks back to this after a long reader let it grow
POSTGRESQL_CONNECT_TIMEOUT_S = 3  # a server on the same network answers in milliseconds
POSTGRESQL_STATEMENT_TIMEOUT_MS = 5_000  # nothing on a call's path takes more than milliseconds
POSTGRESQL_IDLE_TIMEOUT_MS = 10_000  # a transaction of ours is never idle; a frozen worker's locks must go
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 1.0  # a database that is back is used within two seconds, and asked once a second at most

# What says that the database, not the change, is at fault.
DOWN = (OperationalError, InterfaceError, PendingRollbackError, ResourceClosedError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Commands:
    """The statements around a group of changes. PostgreSQL takes several in one round trip."""

    begin: tuple[str, ...]
    between: tuple[str, ...]
    undo: tuple[str, ...]
    commit: tuple[str, ...]
    begin_read: tuple[str, ...]


COMMANDS: dict[Dialect, Commands] = {
    "sqlite": Commands(
        begin=("BEGIN IMMEDIATE", "SAVEPOINT change"),
        between=("RELEASE change", "SAVEPOINT change"),
        undo=("ROLLBACK TO change",),
        commit=("RELEASE change", "COMMIT"),
        begin_read=("BEGIN",),
    ),
    "postgresql": Commands(
        begin=("BEGIN; SAVEPOINT change",),
        between=("RELEASE SAVEPOINT change; SAVEPOINT change",),
        undo=("ROLLBACK TO SAVEPOINT change",),
        commit=("RELEASE SAVEPOINT change; COMMIT",),
        begin_read=("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",),
    ),
}


def unavailable() -> CallError:
    """503: what is wrong with the database is in the log, not in an answer to a stranger."""
    return CallError("unavailable", "the database does not answer; try again shortly", retry_after_s=1)


def reason(error: BaseException) -> str:
    """The driver's own first line: for the log and for whoever starts the program."""
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().split("\n", 1)[0]


def driver(connection: Connection) -> Any:
    """The sqlite3 or psycopg connection underneath."""
    return connection.connection.driver_connection


def command(connection: Connection, statements: tuple[str, ...]) -> None:
    """Run transaction commands at the driver; its errors come out as SQLAlchemy's."""
    raw, errors = driver(connection), connection.dialect.loaded_dbapi
    try:
        for statement in statements:
            raw.execute(statement)
    except errors.OperationalError as error:
        raise OperationalError("; ".join(statements), None, error) from error
    except errors.InterfaceError as error:
        raise InterfaceError("; ".join(statements), None, error) from error


def is_broken(connection: Connection) -> bool:
    """Whether an error inside a change has ended the whole transaction, other changes with it.

    SQLite rolls everything back by itself when the disk is full or fails; PostgreSQL hangs up.
    """
    if connection.invalidated or connection.closed:
        return True
    raw = driver(connection)
    if isinstance(raw, sqlite3.Connection):
        return not raw.in_transaction
    return bool(raw.closed)


def is_disk_failure(error: BaseException) -> bool:
    """Whether SQLite could not read or write its file (a full disk is another code)."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    return bool(code & 0xFF == sqlite3.SQLITE_IOERR)


def is_poisoned(connection: Connection) -> bool:
    """Whether a change swallowed an error that PostgreSQL has not forgotten: COMMIT would undo everything."""
    raw = driver(connection)
    if isinstance(raw, sqlite3.Connection):
        return False
    return bool(raw.info.transaction_status.name == "INERROR")


def engine_for(dialect: Dialect, url: URL, *, writes: bool) -> Engine:
    """An engine without a pool: whoever asks it for a connection keeps that connection."""
    if dialect == "sqlite":
        return create_engine(
            "sqlite://",
            creator=lambda: _open_sqlite(url, writes=writes),
            poolclass=NullPool,
            hide_parameters=True,  # an error's text goes to the log; what people stored does not
        )
    options = [
        f"-c statement_timeout={POSTGRESQL_STATEMENT_TIMEOUT_MS}",
        f"-c idle_in_transaction_session_timeout={POSTGRESQL_IDLE_TIMEOUT_MS}",
        f"-c default_transaction_read_only={'off' if writes else 'on'}",
        # A commit that was acknowledged survives the server's power cut, whatever the server's default.
        "-c synchronous_commit=on",
    ]
    arguments = {
        "options": " ".join(options),
        "connect_timeout": POSTGRESQL_CONNECT_TIMEOUT_S,
        "application_name": "modelway",
    }
    # `format` takes rows as tuples: a batch goes to the driver as it was collected.
    return create_engine(
        url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        paramstyle="format",
        hide_parameters=True,
        connect_args=arguments,
    )


def _open_sqlite(url: URL, *, writes: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        sqlite_uri(sqlite_file(url), "rw" if writes else "ro"),
        uri=True,
        isolation_level=None,
        check_same_thread=False,  # closed by another thread than the one that used it, never used by two
        timeout=SQLITE_BUSY_TIMEOUT_MS / 1000,
    )
    pragmas = _WRITER_PRAGMAS if writes else ("query_only=ON",)
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


_WRITER_PRAGMAS: tuple[str, ...] = (
    "journal_mode=WAL",
    "synchronous=FULL",  # NORMAL loses acknowledged commits in a power cut
    "foreign_keys=ON",
    f"cache_size=-{SQLITE_CACHE_KIB}",
    f"journal_size_limit={SQLITE_WAL_BYTES_MAX}",
)


class Backoff:
    """When to knock again at a database that did not open: between, everybody is refused at once."""

    def __init__(self) -> None:
        self._delay_s = 0.0
        self._not_before = 0.0

    def check(self) -> None:
        if time.monotonic() < self._not_before:
            raise TimeoutError("the database did not open a moment ago")

    def failed(self) -> None:
        self._delay_s = min(RETRY_MAX_S, max(RETRY_FIRST_S, self._delay_s * 2))
        # Jitter: many workers lose one database at the same moment.
        self._not_before = time.monotonic() + self._delay_s * uniform(0.7, 1.0)

    def succeeded(self) -> None:
        self._delay_s = self._not_before = 0.0


class Session:
    """One connection used by one thread at a time: opened when first wanted, replaced when it broke."""

    def __init__(self, connect: Callable[[], Connection], backoff: Backoff) -> None:
        self._connect = connect
        self._backoff = backoff
        self._connection: Connection | None = None
        self.busy_since: float | None = None

    def begin(self, statements: tuple[str, ...]) -> Connection:
        """The connection, with a transaction begun on it. Raises one of `DOWN` when there is none to be had.

        A connection that died while it lay idle (the server was restarted) is replaced once: nothing
        had been done on it.
        """
        if self._connection is not None:
            try:
                command(self._connection, statements)
            except DOWN:
                self.drop()
            else:
                return self._connection
        connection = self.connection()
        command(connection, statements)
        return connection

    def connection(self) -> Connection:
        """The connection, opened if need be."""
        if self._connection is None:
            self._backoff.check()
            try:
                self._connection = self._connect()
            except Exception:
                self._backoff.failed()
                raise
            self._backoff.succeeded()
        return self._connection

    def drop(self) -> None:
        """Forget the connection; whatever was not committed is rolled back by the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def abort(self) -> None:
        """From another thread: make the statement that hangs fail, by hanging up on the server."""
        connection = self._connection
        raw = None if connection is None or connection.invalidated else driver(connection)
        if raw is None or isinstance(raw, sqlite3.Connection) or raw.closed:
            return  # SQLite has nobody to hang up on
        with suppress(OSError, raw.OperationalError), socket.socket(fileno=socket.dup(raw.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)  # unless it ended by itself this very moment

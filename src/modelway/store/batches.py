"""Many rows in one INSERT.

sqlite3 hands the interpreter's lock over at every statement and gets it back when the event loop is done
with it: measured under load, a row of an `executemany` costs five times one of a long VALUES list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.engine import Dialect

from modelway.store.statements import insert_for, run

# Lengths of VALUES lists: few, so that each is prepared once; the longest has below 2,000 parameters.
LENGTHS = (64, 32, 16, 8, 4, 2, 1)


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, tuples in the table's order; one whose key is taken is left out."""
    for some in cut(rows):
        text = _text(connection.dialect, table, len(some))
        run(connection, text, list(chain.from_iterable(some)))


def cut(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """`rows` in pieces of the lengths there are."""
    done = 0
    for length in LENGTHS:
        while len(rows) - done >= length:
            yield rows[done : done + length]
            done += length


@lru_cache(maxsize=64)  # tables times lengths, for two databases
def _text(dialect: Dialect, table: Table, length: int) -> str:
    names = [column.name for column in table.c]
    statement = insert_for(dialect.name, table).on_conflict_do_nothing()
    head, _, rest = str(statement.compile(dialect=dialect, column_keys=names)).partition(" VALUES ")
    one, _, _ = rest.partition(" ON CONFLICT")
    return f"{head} VALUES {', '.join([one] * length)} ON CONFLICT DO NOTHING"

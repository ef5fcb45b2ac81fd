"""Stored responses: what a program may come back to by id, per account, for thirty days.

Everything is asked for with the account that owns it: a row of another account is a row that is not
there. Bodies are bytes of JSON as they went over the wire; nobody here reads them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, literal, select, tuple_, update
from sqlalchemy.sql import ColumnElement

from modelway.conversation.errors import CallError
from modelway.store.connections import reason
from modelway.store.database import Database
from modelway.store.schema import response_items, responses
from modelway.store.statements import insert_for

KEPT_MS = 30 * 24 * 3600 * 1000  # OpenAI's own thirty days; a turn that goes on from it starts them anew
CHAIN_DEPTH_MAX = 1_000  # a turn every thirty seconds for a working day; also ends a ring of ids
CHAIN_BYTES_MAX = 32 * 1024 * 1024  # no larger request body is read from a client either
ID_CHARACTERS_MAX = 256  # longer than any vendor's id: not worth a query
SWEEP_EVERY_S = 600.0  # an expired row is invisible at once; its space is not urgent
SWEEP_ROWS_MAX = 500  # deleted in one transaction, for which nobody else writes
LIVE = ("queued", "in_progress")

_log = logging.getLogger(__name__)


class StoredResponse(NamedTuple):
    """A row. `input` is the JSON list of its own items, without those of `previous_id`; `response` the
    response object. `lease_until_ms` is set while a background run holds it: past it, the run is dead.
    """

    id: str
    account_id: str
    key_id: str
    created_at_ms: int
    expires_at_ms: int
    status: str
    previous_id: str | None
    input: bytes
    response: bytes
    lease_until_ms: int | None = None

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    def has_lapsed(self, now_ms: int) -> bool:
        """Whether its worker died: it is not over, and nobody renewed the lease."""
        return self.is_live and (self.lease_until_ms or 0) < now_ms


_COLUMNS = [responses.c[name] for name in StoredResponse._fields]


def _visible(account_id: str, response_id: str, now_ms: int) -> ColumnElement[bool]:
    return (
        (responses.c.account_id == account_id)
        & (responses.c.id == response_id)
        & (responses.c.expires_at_ms > now_ms)
    )


def keep(
    connection: Connection, row: StoredResponse, item_ids: Sequence[str], chain_ids: Sequence[str] = ()
) -> None:
    """Store `row`, over an earlier one of the same account and id; `item_ids` can be referred to then.

    The responses it goes on from (`chain_ids`) live as long as it does.
    """
    statement = insert_for(connection.dialect.name, responses).values(row._asdict())
    newer = {name: statement.excluded[name] for name in row._fields if name not in ("id", "account_id")}
    connection.execute(
        statement.on_conflict_do_update(index_elements=[responses.c.account_id, responses.c.id], set_=newer)
    )
    _index(connection, row, item_ids)
    if chain_ids:
        connection.execute(
            update(responses)
            .where(
                responses.c.account_id == row.account_id,
                responses.c.id.in_(sorted(chain_ids)),
                responses.c.expires_at_ms < row.expires_at_ms,
            )
            .values(expires_at_ms=row.expires_at_ms)
        )


def finish(connection: Connection, row: StoredResponse, item_ids: Sequence[str]) -> bool:
    """Put the outcome in the place of a live row; False if it was cancelled, deleted or over before."""
    statement = (
        update(responses)
        .where(
            responses.c.account_id == row.account_id,
            responses.c.id == row.id,
            responses.c.status.in_(LIVE),
        )
        .values(status=row.status, response=row.response, lease_until_ms=None)
    )
    if connection.execute(statement).rowcount != 1:
        return False
    _index(connection, row, item_ids)
    return True


def _index(connection: Connection, row: StoredResponse, item_ids: Sequence[str]) -> None:
    if not item_ids:
        return
    statement = insert_for(connection.dialect.name, response_items)
    upsert = statement.on_conflict_do_update(
        index_elements=[response_items.c.account_id, response_items.c.id],
        set_={"response_id": statement.excluded.response_id},
    )
    # Sorted and each once: two writers in different order would deadlock, and PostgreSQL takes no repeats.
    rows = [
        {"account_id": row.account_id, "id": item_id, "response_id": row.id}
        for item_id in sorted(set(item_ids))
        if len(item_id) <= ID_CHARACTERS_MAX
    ]
    if rows:
        connection.execute(upsert, rows)


def find(connection: Connection, account_id: str, response_id: str, now_ms: int) -> StoredResponse | None:
    """The account's response of that id; None alike for another's, a deleted, an expired, an unknown one."""
    statement = select(*_COLUMNS).where(_visible(account_id, response_id, now_ms))
    row = connection.execute(statement).first()
    return None if row is None else StoredResponse(*row)


def chain(
    connection: Connection, account_id: str, response_id: str, now_ms: int
) -> list[StoredResponse] | None:
    """The response and all it goes on from, oldest first; None if it, or one of those, is not there.

    Raises `CallError` (400) for a chain past the limits of depth and bytes.
    """
    depth = literal(0).label("depth")
    links = select(responses.c.id, responses.c.previous_id, depth).where(
        _visible(account_id, response_id, now_ms)
    )
    walk = links.cte("chain", recursive=True)
    walk = walk.union_all(
        select(responses.c.id, responses.c.previous_id, walk.c.depth + 1).where(
            responses.c.account_id == account_id,
            responses.c.id == walk.c.previous_id,
            responses.c.expires_at_ms > now_ms,
            walk.c.depth < CHAIN_DEPTH_MAX,
        )
    )
    found = connection.execute(select(walk).order_by(walk.c.depth)).all()
    if not found or (found[-1].previous_id is not None and len(found) <= CHAIN_DEPTH_MAX):
        return None
    if len(found) > CHAIN_DEPTH_MAX:
        raise _too_long(f"is more than {CHAIN_DEPTH_MAX} responses long")
    ids = [link.id for link in found]
    mine = (responses.c.account_id == account_id) & responses.c.id.in_(ids)
    size = func.length(responses.c.input) + func.length(responses.c.response)
    held: int = connection.execute(select(func.sum(size)).where(mine)).scalar() or 0
    if held > CHAIN_BYTES_MAX:
        raise _too_long(f"holds {held} bytes; at most {CHAIN_BYTES_MAX} are sent again with a turn")
    rows = {row.id: StoredResponse(*row) for row in connection.execute(select(*_COLUMNS).where(mine))}
    return [rows[link_id] for link_id in reversed(ids)]


def _too_long(how: str) -> CallError:
    return CallError.invalid(
        f"The conversation behind `previous_response_id` {how}; begin a new one",
        param="previous_response_id",
        code="conversation_too_long",
    )


def holding(
    connection: Connection, account_id: str, item_ids: Sequence[str], now_ms: int
) -> list[StoredResponse]:
    """The account's responses that hold items of these ids."""
    statement = (
        select(*_COLUMNS)
        .join(
            response_items,
            (response_items.c.account_id == responses.c.account_id)
            & (response_items.c.response_id == responses.c.id),
        )
        .where(
            response_items.c.account_id == account_id,
            response_items.c.id.in_(sorted(set(item_ids))),
            responses.c.expires_at_ms > now_ms,
        )
    )
    # One response may hold several of them; JSON and bytes columns are no matter for a DISTINCT.
    rows = {row.id: StoredResponse(*row) for row in connection.execute(statement)}
    return list(rows.values())


def status_of(connection: Connection, account_id: str, response_id: str) -> str | None:
    """What a background run asks to learn that it was cancelled; None if it was deleted."""
    statement = select(responses.c.status).where(
        responses.c.account_id == account_id, responses.c.id == response_id
    )
    status: str | None = connection.execute(statement).scalar()
    return status


def renew(
    connection: Connection, account_id: str, response_id: str, lease_until_ms: int, began: bytes | None = None
) -> bool:
    """Hold on to a live row; `began` is the object of one that is now in progress."""
    changed: dict[str, object] = {"lease_until_ms": lease_until_ms}
    if began is not None:
        changed |= {"status": "in_progress", "response": began}
    statement = (
        update(responses)
        .where(
            responses.c.account_id == account_id,
            responses.c.id == response_id,
            responses.c.status.in_(LIVE),
        )
        .values(changed)
    )
    return connection.execute(statement).rowcount == 1


def remove(connection: Connection, account_id: str, response_id: str, now_ms: int) -> bool:
    """Delete it for good; True for the one caller who did."""
    gone = (
        connection.execute(delete(responses).where(_visible(account_id, response_id, now_ms))).rowcount == 1
    )
    if gone:
        connection.execute(
            delete(response_items).where(
                response_items.c.account_id == account_id, response_items.c.response_id == response_id
            )
        )
    return gone


def remove_expired(connection: Connection, now_ms: int) -> int:
    """Delete some of what has expired; how many responses that were."""
    expired = connection.execute(
        select(responses.c.account_id, responses.c.id)
        .where(responses.c.expires_at_ms <= now_ms)
        .order_by(responses.c.account_id, responses.c.id)
        .limit(SWEEP_ROWS_MAX)
    ).all()
    if not expired:
        return 0
    pairs = [(row.account_id, row.id) for row in expired]
    owner = tuple_(response_items.c.account_id, response_items.c.response_id)
    connection.execute(delete(response_items).where(owner.in_(pairs)))
    connection.execute(
        delete(responses).where(
            tuple_(responses.c.account_id, responses.c.id).in_(pairs), responses.c.expires_at_ms <= now_ms
        )
    )
    return len(pairs)


class Sweeper:
    """`async with Sweeper(database, now_ms):` deletes in the background what has expired."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database, self._now_ms = database, now_ms
        self._sweeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Sweeper:
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeping

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                while await self._database.write(self._remove) == SWEEP_ROWS_MAX:
                    pass
            except Exception as error:  # the edge of a background loop: the next round tries again
                _log.warning("expired responses could not be deleted: %s", reason(error))

    def _remove(self, connection: Connection) -> int:
        return remove_expired(connection, self._now_ms())

"""Cards that people wrote here: rows in and out, and how every worker hears that one has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, delete, select

from modelway.conversation.errors import CallError
from modelway.store.changes import count, count_up
from modelway.store.connections import reason
from modelway.store.database import Database
from modelway.store.schema import cards
from modelway.store.statements import insert_for

SUBJECT = "cards"  # whose counter in `changes`
CARDS_MAX = 500  # every change makes each worker read them all, in 0.3 ms each
POLL_EVERY_S = 0.5  # half of the second in which a change is promised to arrive

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredCard:
    """A card as somebody wrote it. `changed_by` is a key's id, None for the command line; `change` rises
    with every change of any card."""

    id: str
    text: str
    changed_at_ms: int
    changed_by: str | None
    change: int


def begin_change(connection: Connection) -> int:
    """The number of a change about to be made; others who would change a card wait until it is."""
    return count_up(connection, SUBJECT)


def list_cards(connection: Connection) -> list[StoredCard]:
    """All of them, by id."""
    return [_card(row) for row in connection.execute(select(cards).order_by(cards.c.id)).mappings()]


def snapshot(connection: Connection) -> tuple[int, list[StoredCard]]:
    """How many changes the cards have seen, and all of them."""
    # The number first: what is changed between the two makes it too old, never too new.
    return count(connection, SUBJECT), list_cards(connection)


def put(connection: Connection, card: StoredCard) -> None:
    """Keep `card` in place of what its id stood for."""
    values = {name: getattr(card, name) for name in ("text", "changed_at_ms", "changed_by", "change")}
    statement = insert_for(connection.dialect.name, cards).values(id=card.id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


def remove(connection: Connection, card_id: str) -> None:
    connection.execute(delete(cards).where(cards.c.id == card_id))


class CardWatch:
    """Hears of changed cards twice a second, whichever worker made them, and hands all of them to `take`.

    `async with CardWatch(database, take): …`; the cards of the start have been taken when it begins.
    """

    def __init__(self, database: Database, take: Callable[[Sequence[StoredCard]], Awaitable[None]]) -> None:
        self._database, self._take = database, take
        self._seen = 0
        self._one_at_a_time = asyncio.Lock()
        self._polling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> CardWatch:
        await self.refresh()
        self._polling = asyncio.get_running_loop().create_task(self._poll())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._polling is not None:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling

    async def refresh(self) -> None:
        """Take what has changed, if anything has. Raises CallError if the database does not answer."""
        async with self._one_at_a_time:
            change, found = await self._database.read(self._changed)
            if change != self._seen:
                await self._take(found)
                self._seen = change

    def _changed(self, connection: Connection) -> tuple[int, list[StoredCard]]:
        # The number first: what is changed between the two is heard of again, never missed.
        change = count(connection, SUBJECT)
        return change, list_cards(connection) if change != self._seen else []

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_EVERY_S)
            try:
                await self.refresh()
            except CallError as error:
                _log.warning("changes of cards cannot be heard: %s", error.message)
            except Exception as error:  # the edge of a background loop: the next round may do better
                _log.error("the round that hears of changed cards failed: %s", reason(error))


def _card(row: RowMapping) -> StoredCard:
    return StoredCard(**row)

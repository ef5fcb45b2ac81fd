"""An account's entries in pages, newest first: by kind, key and period, and those of one call.

An entry's place is its id, which says when it was made, or for what a call cost, when that call began:
so the charges of a period are those of exactly the calls that a report of the period counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, bindparam, literal_column, select

from modelway.accounts.ids import RANDOM_BYTES, sortable_id
from modelway.accounts.periods import Day
from modelway.store.entries import Entry
from modelway.store.reports import READ_S, Patience
from modelway.store.schema import entries

KINDS = ("top_up", "voucher", "refund", "withdrawal", "charge", "estimate", "void", "overrun", "return")


@dataclass(frozen=True, slots=True)
class Entries:
    """Which entries of an account. An empty tuple does not narrow."""

    account_id: str
    kinds: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def condition(self) -> ColumnElement[bool]:
        wanted: list[ColumnElement[bool]] = [entries.c.account_id == self.account_id]
        if self.kinds:
            wanted.append(entries.c.kind.in_(self.kinds))
        if self.keys:
            wanted.append(entries.c.key_id.in_(self.keys))
        return and_(*wanted)


def list_entries(
    connection: Connection,
    wanted: Entries,
    days: Sequence[Day],
    before: str | None,
    limit: int,
    *,
    read_s: float = READ_S,
) -> tuple[list[Entry], str | None]:
    """The newest `limit` entries of the period with ids below `before`, and the `before` of the next ones,
    if there may be any. Fewer come back when looking for more would take longer than `read_s` seconds.
    """
    statement = (
        select(entries)
        .where(wanted.condition(), entries.c.id >= bindparam("from_id"), entries.c.id < bindparam("below_id"))
        .order_by(entries.c.id.desc())
        .limit(bindparam("rows"))
    )
    patience, found = Patience(read_s), list[Entry]()
    for day in reversed(days):
        from_id, below_id = _id_at(day.start_ms), _id_at(day.end_ms)
        if before is not None and from_id >= before:
            continue
        if patience.is_over:
            return found, below_id
        bounds = {
            "from_id": from_id,
            "below_id": below_id if before is None else min(below_id, before),
            "rows": limit + 1 - len(found),
        }
        found += [Entry(*row) for row in connection.execute(statement, bounds)]
        if len(found) > limit:
            return found[:limit], found[limit - 1].id
    return found, None


def entries_of(connection: Connection, wanted: Entries, request_ids: Iterable[str]) -> dict[str, list[Entry]]:
    """The entries of calls, by request id, those of targets that failed before left out. What people gave
    back comes last: a refund belongs to the charge it names, whichever key that was of.
    """
    # Whose they are is looked at here: asked for the account too, SQLite would read its whole statement.
    statement = select(entries).where(entries.c.attempt_id.in_(set(request_ids))).order_by(entries.c.id)
    of_calls = [Entry(*row) for row in connection.execute(statement)]
    found = [
        entry
        for entry in of_calls
        if entry.account_id == wanted.account_id and (not wanted.keys or entry.key_id in wanted.keys)
    ]
    call_of = {entry.id: entry.attempt_id or "" for entry in found}
    # Spelled out, or neither database would know that its index of refunds has them all.
    is_refund = entries.c.kind == literal_column("'refund'")
    statement = select(entries).where(entries.c.reference.in_(call_of), is_refund).order_by(entries.c.id)
    refunds = [Entry(*row) for row in connection.execute(statement)]
    by_call: dict[str, list[Entry]] = defaultdict(list)
    for entry in (*found, *(each for each in refunds if each.account_id == wanted.account_id)):
        if not wanted.kinds or entry.kind in wanted.kinds:
            by_call[call_of.get(entry.id) or call_of[entry.reference or ""]].append(entry)
    return dict(by_call)


def moved(entry: Entry) -> int:
    """Nano-USD by which the entry changed its account: above 0 came in, below 0 went out."""
    if entry.credit == entry.account_id:
        return entry.amount_nano_usd
    return -entry.amount_nano_usd if entry.debit == entry.account_id else 0


def _id_at(moment_ms: int) -> str:
    """An id that is above those made before the moment, and below those made in it."""
    return sortable_id("ent", max(0, moment_ms), bytes(RANDOM_BYTES))

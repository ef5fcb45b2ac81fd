"""What a worker hands to the ledger at once: holds to open, calls that ended. One transaction's work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from modelway.accounts.money import Price
from modelway.store import claims, entries
from modelway.store.claims import Claim, Kept
from modelway.store.entries import Cap, Hold, Settlement
from modelway.store.schema import prices
from modelway.store.statements import insert_for
from modelway.store.usage_rows import UsageRow, add


class Granted(NamedTuple):
    """The hold is open, with this much in it."""

    amount_nano_usd: int


class Refused(NamedTuple):
    """`limit_id` (an account, a key or a budget) cannot bear even the least amount."""

    limit_id: str


Outcome = Granted | Refused | Kept


@dataclass(slots=True)
class Opening:
    """A hold somebody waits for. `amounts` are tried from the greatest down; empty when nothing limits."""

    hold: Hold
    future: asyncio.Future[Outcome]
    amounts: tuple[int, ...] = ()
    caps: Sequence[Cap] = ()
    claim: Claim | None = None


@dataclass(slots=True)
class Record:
    """A call that ended: its row, how its hold is resolved, and the price by which that was reckoned."""

    row: UsageRow
    settlement: Settlement | None = None
    price: Price | None = None


@dataclass(slots=True)
class Batch:
    """What is posted together. `new_prices` are those that this worker has not stored yet."""

    openings: list[Opening] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    new_prices: dict[str, Price] = field(default_factory=dict)
    now_ms: int = 0


def post(connection: Connection, batch: Batch) -> list[Outcome]:
    """Post everything; the outcomes of the openings, in their order.

    Calls that ended come first: what they give back may be what the next one needs.
    """
    settlements = [each.settlement for each in batch.records if each.settlement is not None]
    opened = {each.hold.account_id for each in batch.openings}
    entries.lock_accounts(connection, opened | {each.account_id for each in settlements})
    if settlements:
        entries.settle(connection, settlements)
    if batch.records:
        add(connection, [each.row for each in batch.records])
    if batch.new_prices:
        _store_prices(connection, batch)
    return _open(connection, batch.openings)


def _open(connection: Connection, openings: list[Opening]) -> list[Outcome]:
    free = [each.hold for each in openings if not each.amounts and each.claim is None]
    limited = {hold.attempt_id for hold in entries.open_unlimited(connection, free)} if free else set()
    if len(free) == len(openings) and not limited:
        return [Granted(hold.amount_nano_usd) for hold in free]
    outcomes: dict[str, Outcome] = {}
    for each in sorted(openings, key=_account):
        attempt = each.hold.attempt_id
        if each.amounts or each.claim is not None or attempt in limited:
            outcomes[attempt] = _open_one(connection, each)
        else:
            outcomes[attempt] = Granted(each.hold.amount_nano_usd)
    return [outcomes[each.hold.attempt_id] for each in openings]


def _account(opening: Opening) -> str:
    return opening.hold.account_id


def _open_one(connection: Connection, opening: Opening) -> Outcome:
    if opening.claim is not None:
        before = claims.claim(connection, opening.claim)
        if before is not None:
            return before
    if not opening.amounts and not entries.open_unlimited(connection, [opening.hold]):
        return Granted(opening.hold.amount_nano_usd)
    refused: str | None = None
    for amount in opening.amounts or (opening.hold.amount_nano_usd,):
        hold = opening.hold._replace(amount_nano_usd=amount, caps=entries.caps_text(opening.caps))
        refused = entries.open_guarded(connection, hold, opening.caps)
        if refused is None:
            return Granted(amount)
    if opening.claim is not None:
        claims.release(connection, opening.claim.request_id)
    assert refused is not None
    return Refused(refused)


def _store_prices(connection: Connection, batch: Batch) -> None:
    for version, price in sorted(batch.new_prices.items()):
        statement = insert_for(connection.dialect.name, prices).values(
            version=version,
            price=msgspec.json.encode(price).decode(),
            first_used_at_ms=batch.now_ms,
        )
        connection.execute(statement.on_conflict_do_nothing())

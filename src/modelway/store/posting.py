"""What a worker hands to the ledger at once: holds to open, calls that ended. One transaction's work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection

from modelway.accounts.money import Price
from modelway.conversation.errors import CallError
from modelway.store import claims, entries
from modelway.store.claims import Claim, Kept
from modelway.store.entries import Cap, Hold, Settlement
from modelway.store.schema import prices
from modelway.store.statements import insert_for
from modelway.store.usage_rows import UsageRow, add, storable_anyhow


class Granted(NamedTuple):
    """The hold is open, with this much in it."""

    amount_nano_usd: int


class Refused(NamedTuple):
    """`limit_id` (an account, a key or a budget) cannot bear even the least amount."""

    limit_id: str


Outcome = Granted | Refused | Kept


class Opening:
    """A hold on its way to the disk. `amounts` are tried from the greatest down; empty when nothing limits.

    `outcome = await opening`, from one task or several; a caller that is cancelled stops waiting, and the
    hold is made all the same. (A future would have to be shielded, at ten times the cost.)
    """

    __slots__ = ("_told", "amounts", "caps", "claim", "error", "hold", "outcome")

    def __init__(
        self, hold: Hold, amounts: tuple[int, ...] = (), caps: Sequence[Cap] = (), claim: Claim | None = None
    ) -> None:
        self.hold, self.amounts, self.caps, self.claim = hold, amounts, caps, claim
        self.outcome: Outcome | None = None
        self.error: CallError | None = None
        self._told: list[Callable[[], None]] = []

    @property
    def is_known(self) -> bool:
        return self.outcome is not None or self.error is not None

    @property
    def may_be_held(self) -> bool:
        """Once it is known: an opening that failed may have been written, and its settlement finds out."""
        return self.outcome is None or isinstance(self.outcome, Granted)

    def then(self, tell: Callable[[], None]) -> None:
        """Call `tell` when the outcome is known; at once if it is."""
        if self.is_known:
            tell()
        else:
            self._told.append(tell)

    def ended(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._tell()

    def failed(self, error: CallError) -> None:
        self.error = error
        self._tell()

    def _tell(self) -> None:
        told, self._told = self._told, []
        for tell in told:
            tell()

    def __await__(self) -> Generator[Any, None, Outcome]:
        if not self.is_known:
            waiter = asyncio.get_running_loop().create_future()
            self._told.append(lambda: None if waiter.done() else waiter.set_result(None))
            yield from waiter
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome


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
    _settle(connection, batch)
    if batch.records:
        add(connection, [each.row for each in batch.records])
    if batch.new_prices:
        _store_prices(connection, batch)
    return _open(connection, batch.openings)


def _settle(connection: Connection, batch: Batch) -> None:
    """Resolve the holds of calls that ended. Locked are their accounts and those of the calls to open."""
    settlements = [each.settlement for each in batch.records if each.settlement is not None]
    opened = {each.hold.account_id for each in batch.openings}
    entries.lock_accounts(connection, opened | {each.account_id for each in settlements})
    if settlements:
        entries.settle(connection, settlements)


def in_parts(batch: Batch) -> list[Callable[[Connection], None]]:
    """Calls that ended as changes that stand alone, for when they cannot be posted as they are: whatever is
    wrong with a row, the money that was set aside for its call is free again.
    """
    rows = [storable_anyhow(each.row) for each in batch.records]
    parts: list[Callable[[Connection], None]] = [
        lambda connection: _settle(connection, batch),
        lambda connection: add(connection, rows),
        lambda connection: _store_prices(connection, batch),
    ]
    return parts if batch.records else []


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

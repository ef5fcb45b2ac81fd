"""An account, its ledger, and calls that hold and settle without a gateway around them."""

from __future__ import annotations

from itertools import count

from sqlalchemy import Connection, select

from modelway.manage import money
from modelway.manage.people import create_account
from modelway.store.audit import audit
from modelway.store.database import Database
from modelway.store.entries import UNLIMITED, Entry, Hold, Settlement
from modelway.store.ledger import Ledger
from modelway.store.people import Money, money_of
from modelway.store.posting import Outcome
from modelway.store.schema import entries
from modelway.store.usage import UsageRow
from tests.store.rows import usage_row

_NUMBERS = count(1)
NOW_MS = 1_700_000_000_000


def new_hold(ledger: Ledger, account_id: str, amount: int = 0, **chosen: object) -> Hold:
    """A hold of a call that is new."""
    hold = Hold(
        attempt_id=f"req_{next(_NUMBERS):026d}",
        account_id=account_id,
        key_id="key_1",
        member_id=None,
        worker_id=ledger.worker_id,
        amount_nano_usd=amount,
        caps="",
        started_at_ms=NOW_MS,
        protocol="chat",
        model="small",
        stream=True,
        price_version="v1",
    )
    return hold._replace(**chosen)  # type: ignore[arg-type]  # a test chooses any field


def unlimited(hold: Hold) -> Hold:
    return hold._replace(caps=UNLIMITED)


def settled(hold: Hold, cost: int, kind: str = "charge") -> tuple[UsageRow, Settlement]:
    """What a call that cost this much hands to the ledger."""
    row = usage_row(
        0,
        request_id=hold.attempt_id,
        account_id=hold.account_id,
        cost_nano_usd=cost,
        price_version=hold.price_version,
    )
    settlement = Settlement(
        entry_id="ent_" + hold.attempt_id.removeprefix("req_"),
        attempt_id=hold.attempt_id,
        account_id=hold.account_id,
        key_id=hold.key_id,
        member_id=None,
        kind=kind,
        cost_nano_usd=cost,
        ended_at_ms=NOW_MS + 900,
        model=hold.model,
        price_version=hold.price_version,
    )
    return row, settlement


async def prepaid(database: Database, nano_usd: int, name: str = "us") -> str:
    """The id of a prepaid account with this much in it."""
    account = await create_account(database, name, billing="prepaid")
    if nano_usd:
        await money.top_up(database, name, nano_usd)
    return account.id


async def hold(ledger: Ledger, account_id: str, amount: int) -> tuple[Hold, Outcome]:
    opened = new_hold(ledger, account_id, amount)
    return opened, await ledger.reserve(opened, amounts=(amount,))


async def has(database: Database, account_id: str) -> Money:
    return await database.read(lambda connection: money_of(connection, account_id))


async def lines(database: Database, account: str) -> list[Entry]:
    """The statement, oldest first."""

    def query(connection: Connection) -> list[Entry]:
        found = money.find_account(connection, account)
        of_it = select(entries).where(entries.c.account_id == found.id)
        return [Entry(*row) for row in connection.execute(of_it.order_by(entries.c.id))]

    return await database.read(query)


async def assert_books_agree(database: Database) -> None:
    broken = await database.read(audit)
    assert not broken, "\n".join(broken)

"""The checks of this folder can fail: each known way to get it wrong is tried, and seen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from modelway.accounts.keys import Key
from modelway.manage.people import create_account
from modelway.store import connections, entries
from modelway.store.audit import audit
from modelway.store.budgets import Terms
from modelway.store.claims import Claim, Kept
from modelway.store.database import Database
from modelway.store.entries import Hold, Taken
from modelway.store.ledger import Ledger
from modelway.store.posting import Granted
from modelway.store.schema import accounts, holds
from modelway.store.urls import parse_url
from tests.fix_databases import PostgresqlServer
from tests.ledger.books import NOW_MS, has, hold, new_hold, prepaid, settled

pytestmark = pytest.mark.anyio

AFFORDABLE = 10


async def admitted_of_50(database: Database, *, read_then_write: bool) -> int:
    account = await prepaid(database, AFFORDABLE * 100)
    ledger = Ledger(database)

    async def broken() -> bool:
        opened = new_hold(ledger, account, 100)
        if ((await has(database, account)).available_nano_usd or 0) < 100:
            return False
        await database.write(lambda connection: _hold_unguarded(connection, opened))
        return True

    async def sound() -> bool:
        return isinstance((await hold(ledger, account, 100))[1], Granted)

    admit = broken if read_then_write else sound
    admitted = sum(await asyncio.gather(*(admit() for _ in range(50))))
    await ledger.close()
    return admitted


def _hold_unguarded(connection: Connection, opened: Hold) -> None:
    connection.execute(
        update(accounts)
        .where(accounts.c.id == opened.account_id)
        .values(held_nano_usd=accounts.c.held_nano_usd + opened.amount_nano_usd)
    )
    connection.execute(insert(holds).values(opened._asdict()))


async def test_admission_that_reads_and_then_writes_is_seen(database: Database) -> None:
    assert await admitted_of_50(database, read_then_write=True) > AFFORDABLE

    broken = await database.read(audit)
    assert any(line.startswith("I2: us is") for line in broken)


async def test_admission_that_is_one_statement_is_not(database: Database) -> None:
    assert await admitted_of_50(database, read_then_write=False) == AFFORDABLE
    assert await database.read(audit) == []


def _taken_without_deleting(connection: Connection, attempts: Sequence[str]) -> dict[str, Taken]:
    columns = [holds.c[name] for name in Taken._fields]
    rows = connection.execute(select(*columns).where(holds.c.attempt_id.in_(attempts)))
    return {row.attempt_id: Taken(*row) for row in rows}


@pytest.mark.parametrize("twice", [True, False])
async def test_a_call_that_is_settled_twice_is_seen(
    database: Database, monkeypatch: pytest.MonkeyPatch, twice: bool
) -> None:
    if twice:
        monkeypatch.setattr(entries, "_take_holds", _taken_without_deleting)
    account = await prepaid(database, 1_000)
    ledger = Ledger(database)
    opened, _ = await hold(ledger, account, 100)

    for _ in range(2):
        ledger.append(*settled(opened, 60))
        await ledger.flush()

    await ledger.close()
    assert bool(await database.read(audit)) is twice


@pytest.mark.parametrize(("level", "synchronous"), [("FULL", 2), ("NORMAL", 1)])
async def test_a_database_that_does_not_wait_for_the_disk_is_seen(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, level: str, synchronous: int
) -> None:
    pragmas = tuple(
        f"synchronous={level}" if each.startswith("synchronous") else each
        for each in connections._WRITER_PRAGMAS
    )
    if level != "FULL":  # as it is written, it is FULL
        monkeypatch.setattr(connections, "_WRITER_PRAGMAS", pragmas)
    database = await Database.open(sqlite_url)

    found = await database.write(lambda c: c.exec_driver_sql("PRAGMA synchronous").scalar_one())

    assert found == synchronous
    await database.close()


async def test_a_server_that_would_not_wait_for_its_disk_is_made_to(
    postgresql_server: PostgresqlServer, postgresql_url: str
) -> None:
    name = parse_url(postgresql_url)[1].database
    postgresql_server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    database = await Database.open(postgresql_url)

    found = await database.write(lambda c: c.exec_driver_sql("SHOW synchronous_commit").scalar_one())

    assert found == "on"
    await database.close()


class WithoutAccount(dict[str, Terms]):
    """A cache that forgets whose answer it keeps."""

    def __setitem__(self, account_id: str, terms: Terms) -> None:
        super().__setitem__("", terms)

    def get(self, account_id: str, default: Any = None) -> Any:
        return super().get("", default)


@pytest.mark.parametrize("broken", [True, False])
async def test_a_cache_that_mixes_accounts_up_is_seen(database: Database, broken: bool) -> None:
    limited = await prepaid(database, 0)
    free = (await create_account(database, "free")).id
    ledger = Ledger(database)
    await ledger._joined
    await ledger._poll()
    if broken:
        ledger._terms = WithoutAccount()

    limits = [(await ledger.terms(account)).limit_nano_usd for account in (free, limited)]

    assert (limits == [None, 0]) is not broken
    await ledger.close()


async def test_an_idempotency_key_is_an_accounts_own(database: Database) -> None:
    ledger = Ledger(database)
    us, them = await prepaid(database, 100, "us"), await prepaid(database, 100, "them")
    outcomes = []
    for account in (us, them, us):
        opened = new_hold(ledger, account)
        claim = Claim(account, "/v1/messages", "same", b"f" * 32, opened.attempt_id, NOW_MS)
        outcomes.append(await ledger.reserve(opened, amounts=(1,), claim=claim))

    assert [type(each) for each in outcomes] == [Granted, Granted, Kept]
    await ledger.close()


def test_a_key_without_a_limit_counts_against_nothing() -> None:
    terms = Terms("acct_1", "us", "postpaid", None)
    key = Key(id="key_1", account_id="acct_1", name="k", masked="m", created_at_ms=0)

    assert terms.caps(key, "small", NOW_MS) == []

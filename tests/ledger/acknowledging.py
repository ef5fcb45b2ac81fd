"""Changes money without a pause and says on standard output what it was told is done, line by line.

A program of its own, so that it can be stopped at any moment: `python -m tests.ledger.acknowledging URL
LEVEL`, with SQLite's `synchronous` as LEVEL.
"""

from __future__ import annotations

import asyncio
import sys

from modelway.manage import money
from modelway.manage.keys import KeyWishes, create_key, revoke_key
from modelway.manage.people import create_account
from modelway.store import connections
from modelway.store.database import Database
from modelway.store.ledger import Ledger
from tests.ledger.books import new_hold, settled

LANES = 4  # of each kind, so that groups of changes share a wait for the disk
SECRET = bytes(32)
COST_NANO_USD = 1_000


def say(kind: str, name: str) -> None:
    print(kind, name, flush=True)


async def top_up(database: Database, account: str) -> None:
    while True:
        say("top_up", (await money.top_up(database, account, COST_NANO_USD)).id)


async def revoke(database: Database, account: str) -> None:
    while True:
        key = (await create_key(database, SECRET, account, KeyWishes(name="short-lived"))).key
        await revoke_key(database, key.id)
        say("revoked", key.id)


async def charge(database: Database, ledger: Ledger, account: str) -> None:
    while True:
        hold = new_hold(ledger, account, COST_NANO_USD)
        await ledger.reserve(hold, amounts=(COST_NANO_USD,))
        say("held", hold.attempt_id)
        ledger.append(*settled(hold, COST_NANO_USD))
        await ledger.flush()
        say("charged", hold.attempt_id)


async def main(url: str) -> None:
    database = await Database.open(url)
    account = (await create_account(database, "us", billing="prepaid")).id
    await money.top_up(database, account, 1_000_000_000)
    ledger = Ledger(database)
    async with asyncio.TaskGroup() as group:
        for _ in range(LANES):
            group.create_task(top_up(database, account))
            group.create_task(revoke(database, account))
            group.create_task(charge(database, ledger, account))


if __name__ == "__main__":
    pragmas = [each for each in connections._WRITER_PRAGMAS if not each.startswith("synchronous")]
    connections._WRITER_PRAGMAS = (*pragmas, f"synchronous={sys.argv[2]}")
    asyncio.run(main(sys.argv[1]))

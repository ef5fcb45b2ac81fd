"""How many keys an account may have that are alive."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import insert

from modelway.conversation.errors import CallError
from modelway.manage.ids import Source
from modelway.manage.keys import KEYS_MAX, KeyWishes, create_key, revoke_key, rotate_key
from modelway.manage.people import create_account
from modelway.store.database import Connection, Database
from modelway.store.schema import keys

pytestmark = pytest.mark.anyio

SECRET = b"s" * 32
NOW = Source(now_ms=lambda: 1_000)


async def filled(database: Database, alive: int) -> None:
    """An account with that many keys that are alive, as many that are revoked and as many that expired."""
    account = await create_account(database, "us")

    def fill(connection: Connection) -> None:
        ends = ((None, None), (None, 900), (1_000, None))
        rows = [
            {
                "id": f"key_{kind}_{number}",
                "account_id": account.id,
                "name": "one of many",
                "digest": b"%032d" % (number * 3 + kind),
                "masked": "",
                "resets": "never",
                "created_at_ms": 1,
                "expires_at_ms": expires_at_ms,
                "revoked_at_ms": revoked_at_ms,
                "change": 1,
            }
            for kind, (expires_at_ms, revoked_at_ms) in enumerate(ends)
            for number in range(alive)
        ]
        connection.execute(insert(keys), rows)

    await database.write(fill)


async def make(database: Database) -> str:
    return (await create_key(database, SECRET, "us", KeyWishes(name="new"), NOW)).key.id


async def test_an_account_has_so_many_keys_alive_and_no_more(database: Database) -> None:
    await filled(database, KEYS_MAX - 1)
    last = await make(database)

    with pytest.raises(
        CallError, match=re.escape(f"has {KEYS_MAX} keys that are neither revoked")
    ) as refused:
        await make(database)

    assert refused.value.kind.name == "conflict"
    await create_account(database, "them")
    await create_key(database, SECRET, "them", KeyWishes(name="theirs"), NOW)
    await revoke_key(database, last, NOW)
    await make(database)


async def test_at_the_maximum_a_key_is_replaced_at_once_but_not_doubled(database: Database) -> None:
    await filled(database, KEYS_MAX)
    old = "key_0_0"

    with pytest.raises(CallError, match="rotate it without an overlap"):
        await rotate_key(database, SECRET, old, 60, NOW)

    new = await rotate_key(database, SECRET, old, 0, NOW)
    assert new.key.replaces_id == old

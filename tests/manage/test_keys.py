"""The rules about keys and people."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import insert

from modelway.accounts.keys import Key, looks_valid
from modelway.accounts.roles import Asker
from modelway.conversation.errors import CallError
from modelway.manage.ids import SYSTEM, Source
from modelway.manage.keys import KeyWishes, create_key, list_keys, revoke_key
from modelway.manage.people import (
    add_member,
    change_role,
    create_account,
    ensure_owner,
    list_accounts,
    list_members,
    remove_member,
)
from modelway.manage.trail import list_deeds
from modelway.store import people, schema
from modelway.store.database import Connection, Database

pytestmark = pytest.mark.anyio

SECRET = b"s" * 32


async def test_a_new_key_is_shown_once_and_listed_masked(database: Database) -> None:
    account = await create_account(database, "us")
    wishes = KeyWishes(
        name=" mine ",
        models=["openai/*", "small"],
        expires_at_ms=2_000,
        limit_nano_usd=5_000_000_000,
        resets="monthly",
    )
    new = await create_key(database, SECRET, "us", wishes, Source(now_ms=lambda: 1_000))

    assert looks_valid(new.text)
    assert new.text not in repr(new)
    assert await list_keys(database) == [new.key]
    assert (new.key.name, new.key.account_id, new.key.created_at_ms) == ("mine", account.id, 1_000)
    assert (new.key.models, new.key.expires_at_ms) == (("openai/*", "small"), 2_000)
    assert (new.key.limit_nano_usd, new.key.resets) == (5_000_000_000, "monthly")


async def test_the_text_of_a_key_is_not_in_the_database(database: Database) -> None:
    await create_account(database, "us")
    new = await create_key(database, SECRET, "us", KeyWishes(name="mine"))

    everything = await database.read(
        lambda connection: repr(connection.exec_driver_sql("SELECT * FROM keys").all())
    )
    assert new.key.masked in everything
    assert new.text not in everything


async def test_keys_are_listed_by_account_and_page(database: Database) -> None:
    for name in ("us", "them"):
        account = await create_account(database, name)
    ours = [await create_key(database, SECRET, "us", KeyWishes(name=str(n))) for n in range(3)]
    theirs = await create_key(database, SECRET, account.id, KeyWishes(name="theirs"))

    assert {key.id for key in await list_keys(database, "us")} == {new.key.id for new in ours}
    assert await list_keys(database, "them") == [theirs.key]
    [first, *others] = await list_keys(database)
    assert await list_keys(database, after=first.id) == others


async def test_only_an_owner_takes_an_owner_away(database: Database) -> None:
    """Whoever asks is judged by what the member is when it is changed, not by what they were before."""
    account = await create_account(database, "us")
    owner, other = [await add_member(database, "us", name, "owner") for name in ("first", "second")]
    key = Key(id="key_1", account_id=account.id, name="", masked="", created_at_ms=0, kind="management")
    as_admin, as_owner = Asker(key, "admin", False), Asker(key, "owner", False)

    for refused in (
        change_role(database, "us", owner.id, "viewer", SYSTEM, as_admin),
        change_role(database, "us", owner.id, "owner", SYSTEM, as_admin),
        remove_member(database, "us", owner.id, SYSTEM, as_admin),
    ):
        with pytest.raises(CallError, match="may not make somebody an owner, or an owner") as caught:
            await refused
        assert caught.value.kind.name == "forbidden"
    await change_role(database, "us", owner.id, "viewer", SYSTEM, as_owner)
    await remove_member(database, "us", owner.id, SYSTEM, as_admin)
    with pytest.raises(CallError, match="only owner"):
        await remove_member(database, "us", other.id, SYSTEM, as_owner)


async def test_two_owners_that_remove_each_other_at_once_do_not_both_succeed(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        replicas = []
        for _ in range(2):
            replica = await Database.open(database_url)
            stack.push_async_callback(replica.close)
            replicas.append(replica)
        for n in range(10):
            name = f"us {n}"
            await create_account(replicas[0], name)
            owners = [await add_member(replicas[0], name, "both", "owner") for _ in replicas]
            await asyncio.gather(
                *(
                    remove_member(replica, name, owner.id)
                    for replica, owner in zip(replicas, owners, strict=True)
                ),
                return_exceptions=True,
            )

            assert len(await list_members(replicas[0], name)) == 1


async def test_a_page_is_as_long_as_it_is_asked_for(database: Database) -> None:
    """The largest page, and the one row more by which it is known not to be the last."""
    account, many = await create_account(database, "us"), 1_002
    key = {"account_id": account.id, "name": "k", "masked": "m", "resets": "never", "created_at_ms": 1}
    deed = {"account_id": account.id, "at_ms": 1, "via": "cli", "action": "a", "subject": "s", "details": {}}
    ids = [{"id": f"{n:04}", "digest": f"{n:04}".encode(), "change": 1} for n in range(many)]

    def fill(connection: Connection) -> None:
        connection.execute(insert(schema.keys).values([key | each for each in ids]))
        connection.execute(insert(schema.trail).values([deed | {"id": each["id"]} for each in ids]))

    await database.write(fill)

    assert len(await list_keys(database, "us", limit=1_001)) == 1_001
    assert len(await list_keys(database, "us", limit=many + 1)) == many
    assert len(await list_deeds(database, account.id, limit=1_001)) == 1_001


async def test_revoking_twice_is_once(database: Database) -> None:
    await create_account(database, "us")
    new = await create_key(database, SECRET, "us", KeyWishes(name="mine"))

    first = await revoke_key(database, new.key.id, Source(now_ms=lambda: 5))
    second = await revoke_key(database, new.key.id, Source(now_ms=lambda: 6))

    assert first == second
    assert first.revoked_at_ms == 5


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 101, "nul\0"])
async def test_a_name_is_one_printable_line(database: Database, name: str) -> None:
    with pytest.raises(CallError, match="is no name"):
        await create_account(database, name)
    await create_account(database, "us")
    with pytest.raises(CallError, match="is no name"):
        await create_key(database, SECRET, "us", KeyWishes(name=name))
    assert await list_keys(database) == []


@pytest.mark.parametrize("reference", ["nobody", "", "nul\0", "\ud800", "x" * 1000])
async def test_what_does_not_exist_is_not_found(database: Database, reference: str) -> None:
    for attempt in (
        create_key(database, SECRET, reference, KeyWishes(name="mine")),
        list_keys(database, reference),
        revoke_key(database, reference),
    ):
        with pytest.raises(CallError, match="there is no") as caught:
            await attempt
        assert caught.value.kind.name == "not_found"


async def test_a_key_that_could_never_be_used_is_refused(database: Database) -> None:
    await create_account(database, "us")
    with pytest.raises(CallError, match="expired before it is made"):
        await create_key(
            database, SECRET, "us", KeyWishes(name="old", expires_at_ms=5), Source(now_ms=lambda: 5)
        )
    with pytest.raises(CallError, match="0 USD or more"):
        await create_key(database, SECRET, "us", KeyWishes(name="debt", limit_nano_usd=-1))


async def test_two_accounts_cannot_share_a_name(database: Database) -> None:
    await create_account(database, "us")
    with pytest.raises(CallError, match="an account 'us' already") as caught:
        await create_account(database, "us")
    assert caught.value.kind.name == "conflict"
    assert len(await list_accounts(database)) == 1


async def test_the_first_start_makes_an_owner_and_a_key_and_the_second_does_not(database: Database) -> None:
    new = await ensure_owner(database, SECRET)
    assert await ensure_owner(database, SECRET) is None

    assert new is not None
    [account] = await list_accounts(database)
    members = await database.read(lambda connection: people.list_members(connection, account.id))
    assert [(member.name, member.role) for member in members] == [("owner", "owner")]
    assert await list_keys(database) == [new.key]
    assert (new.key.account_id, new.key.member_id) == (account.id, members[0].id)


async def test_of_replicas_that_start_at_once_one_gets_the_key(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        replicas = []
        for _ in range(4):
            replica = await Database.open(database_url)
            stack.push_async_callback(replica.close)
            replicas.append(replica)
        made = await asyncio.gather(*(ensure_owner(replica, SECRET) for replica in replicas * 3))

        assert len([new for new in made if new is not None]) == 1
        assert len(await list_keys(replicas[0])) == 1

"""Who presents a key is known at once; who presents a revoked one is known for it everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from modelway.accounts.keys import may_use, mint
from modelway.conversation.errors import CallError
from modelway.manage.ids import Source
from modelway.manage.keys import KeyWishes, NewKey, create_key, list_keys, revoke_key
from modelway.manage.people import create_account
from modelway.store import keyring
from modelway.store.database import Database
from modelway.store.keyring import STALE_MAX_S, KeyRing
from tests.store.waiting import until

pytestmark = pytest.mark.anyio

SECRET = b"s" * 32
T = TypeVar("T")


@pytest.fixture
async def new_key(database: Database) -> NewKey:
    await create_account(database, "us")
    return await create_key(database, SECRET, "us", KeyWishes(name="mine"))


@pytest.fixture
async def reads(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each time the database is asked."""
    asked: list[object] = []
    ask = database.read

    async def read(query: Callable[[Connection], T]) -> T:
        asked.append(query)
        return await ask(query)

    monkeypatch.setattr(database, "read", read)
    return asked


@pytest.fixture
async def ring(database: Database) -> AsyncIterator[KeyRing]:
    async with KeyRing(database, SECRET) as opened:
        yield opened


async def test_a_key_is_found_by_its_text_and_asked_for_once(
    ring: KeyRing, new_key: NewKey, reads: list[object]
) -> None:
    found = [await ring.find(new_key.text) for _ in range(5)]

    assert found == [new_key.key] * 5
    assert len([query for query in reads if "_ask" in repr(query)]) == 1


async def test_many_calls_with_a_new_key_ask_once(
    ring: KeyRing, new_key: NewKey, reads: list[object]
) -> None:
    found = await asyncio.gather(*(ring.find(new_key.text) for _ in range(50)))

    assert found == [new_key.key] * 50
    assert len([query for query in reads if "_ask" in repr(query)]) == 1


async def test_a_caller_who_leaves_does_not_take_the_answer_along(ring: KeyRing, new_key: NewKey) -> None:
    first = asyncio.ensure_future(ring.find(new_key.text))
    second = asyncio.ensure_future(ring.find(new_key.text))
    await asyncio.sleep(0)
    first.cancel()

    assert await second == new_key.key


async def test_a_key_nobody_made_is_unknown_and_asked_for_once(ring: KeyRing, reads: list[object]) -> None:
    text = mint(bytes(range(32)))

    assert [await ring.find(text) for _ in range(5)] == [None] * 5
    assert len([query for query in reads if "_ask" in repr(query)]) == 1


@pytest.mark.parametrize("text", ["", "sk-mw-short", "sk-" + "x" * 41, "sk-mw-" + "0" * 38, "sk-mw-\ud800"])
async def test_what_is_no_key_never_reaches_the_database(
    ring: KeyRing, reads: list[object], text: str
) -> None:
    assert await ring.find(text) is None
    assert [query for query in reads if "_ask" in repr(query)] == []


async def test_a_key_of_another_installation_is_unknown(database: Database, new_key: NewKey) -> None:
    async with KeyRing(database, b"t" * 32) as other:
        assert await other.find(new_key.text) is None


async def test_a_key_that_was_refused_works_once_it_is_made(database: Database, ring: KeyRing) -> None:
    await create_account(database, "us")
    entropy = bytes(range(32))
    assert await ring.find(mint(entropy)) is None

    source = Source(random_bytes=lambda count: entropy[:count])
    new = await create_key(database, SECRET, "us", KeyWishes(name="late"), source)
    await ring.refresh()

    assert await ring.find(new.text) == new.key


async def test_a_revocation_reaches_another_ring_by_itself(
    database_url: str, database: Database, new_key: NewKey
) -> None:
    assert keyring.POLL_EVERY_S <= 0.5  # with which it takes less than the second that is promised
    elsewhere = await Database.open(database_url)
    async with KeyRing(elsewhere, SECRET) as ring:
        assert await ring.find(new_key.text) == new_key.key
        revoked = await revoke_key(database, new_key.key.id)

        async def heard() -> bool:
            return await ring.find(new_key.text) != new_key.key

        await until(heard)
        assert await ring.find(new_key.text) == revoked
        with pytest.raises(CallError, match="not valid here"):
            may_use(revoked, None, now_ms=revoked.revoked_at_ms or 0)
    await elsewhere.close()


async def test_only_what_changed_is_forgotten(
    database: Database, ring: KeyRing, new_key: NewKey, reads: list[object]
) -> None:
    other = await create_key(database, SECRET, "us", KeyWishes(name="other"))
    await ring.refresh()
    await ring.find(new_key.text)
    await ring.find(other.text)
    await revoke_key(database, other.key.id)
    await ring.refresh()
    reads.clear()

    await ring.find(new_key.text)
    assert [query for query in reads if "_ask" in repr(query)] == []
    await ring.find(other.text)
    assert len([query for query in reads if "_ask" in repr(query)]) == 1


async def test_an_answer_that_a_revocation_overtook_is_not_kept(
    database: Database, ring: KeyRing, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = database.read

    async def read(query: Callable[[Connection], T]) -> T:
        answer = await ask(query)
        if "_ask" in repr(query):
            monkeypatch.undo()
            await revoke_key(database, new_key.key.id)
            await ring.refresh()
        return answer

    monkeypatch.setattr(database, "read", read)
    assert await ring.find(new_key.text) == new_key.key  # true when it was asked

    found = await ring.find(new_key.text)
    assert found is not None
    assert found.revoked_at_ms is not None


async def test_known_keys_outlive_the_database_for_a_while(database: Database, new_key: NewKey) -> None:
    now_s = 1000.0
    ring = KeyRing(database, SECRET, now_s=lambda: now_s)
    await ring.refresh()
    await ring.find(new_key.text)
    await database.close()

    now_s += STALE_MAX_S
    assert await ring.find(new_key.text) == new_key.key
    now_s += 0.001
    with pytest.raises(CallError, match="does not answer") as caught:
        await ring.find(new_key.text)
    assert caught.value.kind.name == "unavailable"


async def test_what_is_remembered_is_bounded(
    database: Database, ring: KeyRing, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "KNOWN_MAX", 2)
    monkeypatch.setattr(keyring, "UNKNOWN_MAX", 2)
    made = [await create_key(database, SECRET, "us", KeyWishes(name="more")) for _ in range(4)]
    for new in made:
        assert await ring.find(new.text) == new.key
    for number in range(4):
        assert await ring.find(mint(bytes([number] * 32))) is None

    assert len(ring) == 4


async def test_when_a_key_was_last_used_is_noted(database: Database, new_key: NewKey) -> None:
    for now_ms in (2_000, 1_000):
        async with KeyRing(database, SECRET, now_ms=[now_ms].copy().pop) as ring:
            await ring.find(new_key.text)

    [key] = await list_keys(database)
    assert key.last_used_at_ms == 2_000


async def test_an_error_nobody_foresaw_does_not_end_the_polling(
    database: Database, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(before: str, after: str) -> Callable[[Connection], object]:
        return lambda connection: connection.exec_driver_sql(f"ALTER TABLE {before} RENAME TO {after}")

    monkeypatch.setattr(keyring, "POLL_EVERY_S", 0.01)
    rounds = count()
    now_s = 1000.0
    async with KeyRing(database, SECRET, now_s=lambda: now_s) as ring:
        refresh = ring.refresh

        async def counted() -> None:
            next(rounds)
            await refresh()

        monkeypatch.setattr(ring, "refresh", counted)
        await database.write(rename("changes", "elsewhere"))
        now_s += STALE_MAX_S + 1
        assert not ring.is_fresh
        seen = next(rounds)
        await until(lambda: _true(next(rounds) > seen + 5))
        assert not ring.is_fresh

        await database.write(rename("elsewhere", "changes"))

        await until(lambda: _true(ring.is_fresh))
        assert await ring.find(new_key.text) == new_key.key


async def _true(value: bool) -> bool:
    return value

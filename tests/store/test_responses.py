"""Stored responses: theirs alone, whole chains, gone when they are deleted or too old."""

from __future__ import annotations

from functools import partial

import pytest

from modelway.conversation.errors import CallError
from modelway.store import responses
from modelway.store.database import Database
from modelway.store.responses import CHAIN_BYTES_MAX, CHAIN_DEPTH_MAX, KEPT_MS, StoredResponse, Sweeper
from tests.store.waiting import until

pytestmark = pytest.mark.anyio

NOW_MS = 1_700_000_000_000


def row(id: str, previous_id: str | None = None, **chosen: object) -> StoredResponse:
    made = StoredResponse(
        id=id,
        account_id="acct_1",
        key_id="key_1",
        created_at_ms=NOW_MS,
        expires_at_ms=NOW_MS + KEPT_MS,
        status="completed",
        previous_id=previous_id,
        input=b'[{"role":"user","content":"a\\u0000b"}]',
        response=b'{"id":"%b","output":[]}' % id.encode(),
    )
    return made._replace(**chosen)  # type: ignore[arg-type]  # a test chooses any field


async def keep(database: Database, kept: StoredResponse, *item_ids: str, chain: tuple[str, ...] = ()) -> None:
    await database.write(lambda connection: responses.keep(connection, kept, item_ids, chain))


async def find(database: Database, id: str, account_id: str = "acct_1", now_ms: int = NOW_MS) -> object:
    return await database.read(lambda connection: responses.find(connection, account_id, id, now_ms))


async def chain_of(
    database: Database, id: str, account_id: str = "acct_1", now_ms: int = NOW_MS
) -> list[str] | None:
    links = await database.read(lambda connection: responses.chain(connection, account_id, id, now_ms))
    return None if links is None else [link.id for link in links]


async def test_a_response_comes_back_as_it_went(database: Database) -> None:
    kept = row("resp_1", lease_until_ms=5)
    await keep(database, kept)

    assert await find(database, "resp_1") == kept


async def test_the_same_id_in_two_accounts_is_two_responses(database: Database) -> None:
    mine, theirs = row("resp_1"), row("resp_1", account_id="acct_2", input=b"[]")
    await keep(database, mine, "msg_1")
    await keep(database, theirs, "msg_1")

    assert await find(database, "resp_1") == mine
    assert await find(database, "resp_1", "acct_2") == theirs
    assert await find(database, "resp_1", "acct_3") is None
    await database.write(lambda connection: responses.remove(connection, "acct_2", "resp_1", NOW_MS))
    assert await find(database, "resp_1") == mine
    held = await database.read(
        lambda connection: responses.holding(connection, "acct_1", ["msg_1", "msg_2"], NOW_MS)
    )
    assert held == [mine]


async def test_a_chain_is_read_oldest_first(database: Database) -> None:
    previous = None
    for number in range(5):
        await keep(database, row(f"resp_{number}", previous))
        previous = f"resp_{number}"

    assert await chain_of(database, "resp_4") == [f"resp_{number}" for number in range(5)]
    assert await chain_of(database, "resp_0") == ["resp_0"]
    assert await chain_of(database, "resp_4", "acct_2") is None
    assert await chain_of(database, "resp_9") is None


async def test_a_chain_with_a_hole_is_no_chain(database: Database) -> None:
    for number, previous in enumerate((None, "resp_0", "resp_1")):
        await keep(database, row(f"resp_{number}", previous))
    await database.write(lambda connection: responses.remove(connection, "acct_1", "resp_0", NOW_MS))

    assert await chain_of(database, "resp_2") is None


async def test_a_chain_does_not_cross_accounts(database: Database) -> None:
    await keep(database, row("resp_0", account_id="acct_2"))
    await keep(database, row("resp_1", "resp_0"))

    assert await chain_of(database, "resp_1") is None


async def test_a_ring_ends_and_is_refused(database: Database) -> None:
    await keep(database, row("resp_1", "resp_1"))

    with pytest.raises(CallError, match=f"more than {CHAIN_DEPTH_MAX}"):
        await chain_of(database, "resp_1")


async def test_a_chain_of_too_many_bytes_is_refused(database: Database) -> None:
    half = b" " * (CHAIN_BYTES_MAX // 2)
    await keep(database, row("resp_0", input=half))
    await keep(database, row("resp_1", "resp_0", input=half))

    with pytest.raises(CallError) as refused:
        await chain_of(database, "resp_1")
    assert (refused.value.kind.status, refused.value.param) == (400, "previous_response_id")


async def test_a_turn_keeps_what_it_goes_on_from(database: Database) -> None:
    await keep(database, row("resp_0"))
    later = NOW_MS + KEPT_MS - 1
    await keep(
        database,
        row("resp_1", "resp_0", created_at_ms=later, expires_at_ms=later + KEPT_MS),
        chain=("resp_0",),
    )

    assert await chain_of(database, "resp_1", now_ms=NOW_MS + KEPT_MS + 1) == ["resp_0", "resp_1"]


async def test_what_is_too_old_is_gone_before_it_is_deleted(database: Database) -> None:
    await keep(database, row("resp_0"), "msg_0")
    after = NOW_MS + KEPT_MS

    assert await find(database, "resp_0", now_ms=after - 1) is not None
    assert await find(database, "resp_0", now_ms=after) is None
    assert await chain_of(database, "resp_0", now_ms=after) is None
    assert not await database.write(
        lambda connection: responses.remove(connection, "acct_1", "resp_0", after)
    )


async def test_the_sweeper_deletes_what_is_too_old_and_nothing_else(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "SWEEP_EVERY_S", 0.01)
    monkeypatch.setattr(responses, "SWEEP_ROWS_MAX", 2)
    for number in range(5):
        await keep(database, row(f"resp_{number}"), f"msg_{number}")
    young = row("resp_young", expires_at_ms=NOW_MS + 2 * KEPT_MS)
    await keep(database, young, "msg_young")

    async def all_old_ones_are_gone() -> bool:
        return await find(database, "resp_4", now_ms=0) is None

    async with Sweeper(database, lambda: NOW_MS + KEPT_MS):
        await until(all_old_ones_are_gone)

    assert [await find(database, f"resp_{number}", now_ms=0) for number in range(5)] == [None] * 5
    assert await find(database, "resp_young") == young
    items = [f"msg_{number}" for number in range(5)] + ["msg_young"]
    assert await database.read(lambda connection: responses.holding(connection, "acct_1", items, 0)) == [
        young
    ]


async def test_deleting_is_done_once(database: Database) -> None:
    await keep(database, row("resp_1"))
    done = [
        await database.write(lambda connection: responses.remove(connection, "acct_1", "resp_1", NOW_MS))
        for _ in range(2)
    ]

    assert done == [True, False]


async def test_only_the_first_end_of_a_run_counts(database: Database) -> None:
    live = row("resp_1", status="in_progress", lease_until_ms=NOW_MS)
    await keep(database, live)
    ends = [live._replace(status=status) for status in ("cancelled", "completed")]

    done = [await database.write(partial(responses.finish, row=end, item_ids=["msg_1"])) for end in ends]

    assert done == [True, False]
    assert await find(database, "resp_1") == live._replace(status="cancelled", lease_until_ms=None)


async def test_a_lease_is_renewed_while_the_run_lives_and_not_after(database: Database) -> None:
    live = row("resp_1", status="queued", lease_until_ms=NOW_MS)
    await keep(database, live)

    async def renew(until_ms: int, began: bytes | None = None) -> bool:
        return await database.write(
            lambda connection: responses.renew(connection, "acct_1", "resp_1", until_ms, began)
        )

    assert await renew(NOW_MS + 10, b'{"began":1}')
    found = await find(database, "resp_1")
    assert isinstance(found, StoredResponse)
    assert (found.status, found.response) == ("in_progress", b'{"began":1}')
    assert not found.has_lapsed(NOW_MS + 10)
    assert found.has_lapsed(NOW_MS + 11)
    await database.write(
        lambda connection: responses.finish(connection, found._replace(status="completed"), ())
    )
    assert not await renew(NOW_MS + 20)

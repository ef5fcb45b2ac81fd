"""An account's entries in pages: signed from its side, none lost, none twice."""

from __future__ import annotations

import random
from datetime import UTC
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from modelway.accounts.ids import sortable_id
from modelway.accounts.periods import Period
from modelway.store.batches import insert_rows
from modelway.store.database import Database
from modelway.store.entries import Entry
from modelway.store.entry_lists import Entries, entries_of, list_entries, moved
from modelway.store.schema import entries

pytestmark = pytest.mark.anyio

START_MS = 1_790_812_800_000  # 2026-10-01
DAY_MS = 86_400_000
OCTOBER = Period(START_MS, START_MS + 31 * DAY_MS, UTC)
MINE = Entries("acct_1")
SIDES = {"charge": ("acct_1", "revenue"), "top_up": ("cash", "acct_1"), "overrun": ("overrun", "revenue")}


def made(count: int) -> list[Entry]:
    choose = random.Random(1)
    lines = []
    for number in range(count):
        began_ms = START_MS + choose.randrange(31) * DAY_MS + choose.randrange(3)
        kind = choose.choice(tuple(SIDES))
        id = sortable_id("ent", began_ms, choose.randbytes(10))
        lines.append(
            Entry(
                choose.choice(("acct_1", "acct_2")),
                id,
                kind,
                *SIDES[kind],
                number,
                began_ms + 900,
                None if kind == "top_up" else id.replace("ent", "req"),
                key_id=choose.choice(("key_1", "key_2")),
            )
        )
    return lines


@pytest.fixture
async def lines(database: Database) -> list[Entry]:
    lines = made(200)
    await database.write(lambda connection: insert_rows(connection, entries, lines))
    return sorted((each for each in lines if each.account_id == "acct_1"), key=lambda each: each.id)[::-1]


async def test_pages_hold_every_entry_once_newest_first_while_new_ones_arrive(
    database: Database, lines: list[Entry]
) -> None:
    paged: list[Entry] = []
    before: str | None = None
    for number in range(1_000):
        asked = before
        page, before = await database.read(lambda c: list_entries(c, MINE, OCTOBER.days(), asked, 7))  # noqa: B023  # read here
        paged += page
        if before is None:
            break
        late = Entry("acct_1", f"ent_z{number}", "top_up", "cash", "acct_1", 1, OCTOBER.end_ms)
        await database.write(lambda c: insert_rows(c, entries, [late]))  # noqa: B023  # as above

    assert paged == lines


async def test_kind_and_key_narrow(database: Database, lines: list[Entry]) -> None:
    wanted = Entries("acct_1", kinds=("charge", "overrun"), keys=("key_1",))

    found, _ = await database.read(lambda c: list_entries(c, wanted, OCTOBER.days(), None, 1_000))

    assert found == [each for each in lines if each.kind != "top_up" and each.key_id == "key_1"]


async def test_a_period_has_what_began_in_it(database: Database, lines: list[Entry]) -> None:
    second = Period(START_MS + DAY_MS, START_MS + 2 * DAY_MS, UTC)

    found, _ = await database.read(lambda c: list_entries(c, MINE, second.days(), None, 1_000))

    assert found == [each for each in lines if second.start_ms <= each.created_at_ms - 900 < second.end_ms]


async def test_a_reader_out_of_time_says_where_to_go_on(database: Database, lines: list[Entry]) -> None:
    page, before = await database.read(lambda c: list_entries(c, MINE, OCTOBER.days(), None, 10, read_s=0))
    assert page == []

    page, _ = await database.read(lambda c: list_entries(c, MINE, OCTOBER.days(), before, 1_000))
    assert page == lines


async def test_the_entries_of_a_call_are_found_in_its_own_account_alone(
    database: Database, lines: list[Entry]
) -> None:
    charge = next(each for each in lines if each.kind == "charge")
    assert charge.attempt_id is not None
    wanted = [charge.attempt_id, "req_none"]

    assert await database.read(lambda c: entries_of(c, MINE, wanted)) == {charge.attempt_id: [charge]}
    assert await database.read(lambda c: entries_of(c, Entries("acct_2"), wanted)) == {}


async def test_what_was_given_back_of_a_call_is_among_its_entries(
    database: Database, lines: list[Entry]
) -> None:
    """A refund names its charge, not the call; whoever made it, it is the call's."""
    charge = next(each for each in lines if each.kind == "charge" and each.key_id == "key_1")
    assert charge.attempt_id is not None
    back = Entry("acct_1", "ent_zz", "refund", "revenue", "acct_1", 3, OCTOBER.end_ms, "acct_1/x", charge.id)
    others = back._replace(account_id="acct_2", id="ent_zy", attempt_id="acct_2/x", credit="acct_2")
    top_up = back._replace(id="ent_zx", kind="top_up", debit="cash")
    await database.write(lambda connection: insert_rows(connection, entries, [back, others, top_up]))
    wanted = {
        MINE: [charge, back],
        Entries("acct_1", keys=("key_1",)): [charge, back],
        Entries("acct_1", kinds=("refund",)): [back],
        Entries("acct_1", kinds=("charge",)): [charge],
    }

    for narrowed, expected in wanted.items():
        found = await database.read(lambda c: entries_of(c, narrowed, [charge.attempt_id or ""]))  # noqa: B023  # as above
        assert found == {charge.attempt_id: expected}
    for narrowed in (Entries("acct_1", keys=("key_2",)), Entries("acct_2")):
        assert await database.read(lambda c: entries_of(c, narrowed, [charge.attempt_id or ""])) == {}  # noqa: B023  # as above


async def test_calls_and_refunds_are_found_along_their_indexes(
    database: Database, lines: list[Entry]
) -> None:
    """Without them each page of the log would read the account's whole statement."""
    explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
    plans: list[str] = []

    def note(connection: Connection) -> None:
        if database.dialect == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))  # the table is small: any way is cheap

        @event.listens_for(connection, "before_cursor_execute")
        def explained(asked: Connection, cursor: Any, statement: str, parameters: Any, *rest: object) -> None:
            again = asked.connection.cursor()
            again.execute(f"{explain} {statement}", parameters)
            plans.append(str(again.fetchall()))

        entries_of(connection, MINE, [each.attempt_id or "" for each in lines[:50]])

    await database.read(note)
    calls, refunds = plans
    assert "attempt_id" in calls
    assert "ix_entries_refunds" in refunds


def test_amounts_are_signed_from_the_accounts_side() -> None:
    signs = {kind: moved(Entry("acct_1", "ent_1", kind, *sides, 5, 0)) for kind, sides in SIDES.items()}

    assert signs == {"charge": -5, "top_up": 5, "overrun": 0}

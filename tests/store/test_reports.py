"""What is read from the rows of calls: sums that add up, a log that loses and repeats nothing."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, text

from modelway.accounts.ids import sortable_id
from modelway.accounts.periods import Period, named_period, period_between
from modelway.conversation.errors import CallError
from modelway.store import reports
from modelway.store.database import Database
from modelway.store.reports import Calls, Place, Sums, find_call, list_calls, sum_up, total_of
from modelway.store.usage import UsageRow, add
from tests.store.rows import usage_row

pytestmark = pytest.mark.anyio

BERLIN = ZoneInfo("Europe/Berlin")
START_MS = 1_790_805_600_000  # 2026-10-01 in Berlin
DAY_MS = 86_400_000
OCTOBER = period_between("2026-10-01", "2026-11-01", 0, BERLIN)
MINE = Calls("acct_1")


def made(count: int, seed: int = 1) -> list[UsageRow]:
    """Calls of two accounts in October, of every sort."""
    choose = random.Random(seed)
    rows = []
    for number in range(count):
        began_ms = START_MS + choose.randrange(30 * 24) * 3_600_000 + choose.randrange(3)  # some at once
        failed = choose.random() < 0.2
        rows.append(
            usage_row(
                number,
                request_id=sortable_id("req", began_ms, choose.randbytes(10)),
                account_id=choose.choice(("acct_1", "acct_2")),
                key_id=choose.choice(("key_1", "key_2")),
                member_id=choose.choice(("mem_1", None)),
                started_at_ms=began_ms,
                model_asked=choose.choice(("small", "large", "alias")),
                provider=None if failed else choose.choice(("lab", "far")),
                status=choose.choice((400, 429, 502)) if failed else 200,
                outcome=choose.choice(("invalid", "upstream", "client_gone")) if failed else "ok",
                stream=choose.random() < 0.5,
                input_tokens=choose.randrange(1000),
                cache_read_tokens=choose.choice((None, 7)),
                cache_write_5m_tokens=choose.choice((None, 3)),
                cache_write_1h_tokens=choose.choice((None, 2)),
                output_tokens=choose.randrange(100),
                reasoning_tokens=choose.choice((None, 5)),
                estimated=choose.random() < 0.1,
                cost_nano_usd=choose.choice((None, 0, choose.randrange(10**12))),
            )
        )
    return [row._replace(model="large") if row.model_asked == "alias" else row for row in rows]


def sums_of(rows: list[UsageRow]) -> Sums:
    """The figures again, in Python."""
    return Sums(
        len(rows),
        sum(row.outcome not in ("ok", "client_gone") for row in rows),
        sum(row.estimated for row in rows),
        sum(row.cost_nano_usd is None and row.input_tokens + row.output_tokens > 0 for row in rows),
        sum(row.input_tokens for row in rows),
        sum(row.cache_read_tokens or 0 for row in rows),
        sum((row.cache_write_5m_tokens or 0) + (row.cache_write_1h_tokens or 0) for row in rows),
        sum(row.output_tokens for row in rows),
        sum(row.reasoning_tokens or 0 for row in rows),
        sum(row.cost_nano_usd or 0 for row in rows),
    )


def day_of(row: UsageRow) -> str:
    return next(day.date for day in OCTOBER.days() if day.start_ms <= row.started_at_ms < day.end_ms)


def told_apart(row: UsageRow, by: tuple[str, ...]) -> tuple[str | None, ...]:
    parts = {
        "day": day_of(row),
        "model": row.model or row.model_asked,
        "key": row.key_id,
        "member": row.member_id,
        "provider": row.provider,
    }
    return tuple(parts[name] for name in by)


@pytest.fixture
async def rows(database: Database) -> list[UsageRow]:
    rows = made(400)
    await database.write(lambda connection: add(connection, rows))
    return [row for row in rows if row.account_id == "acct_1"]


@pytest.mark.parametrize(
    "by", [(), ("day",), ("model",), ("key", "day"), ("day", "model", "member"), ("provider",)]
)
async def test_each_group_sums_its_own_calls_and_nobody_elses(
    database: Database, rows: list[UsageRow], by: tuple[str, ...]
) -> None:
    found = await database.read(lambda connection: sum_up(connection, MINE, OCTOBER.days(), by))

    wanted: dict[tuple[str | None, ...], list[UsageRow]] = {}
    for row in rows:
        wanted.setdefault(told_apart(row, by), []).append(row)
    assert found == {group: sums_of(some) for group, some in wanted.items()}
    assert total_of(found.values()) == sums_of(rows)
    assert all(type(figure) is int for sums in found.values() for figure in sums)


async def test_a_period_without_calls_has_no_groups_and_sums_of_nothing(database: Database) -> None:
    found = await database.read(lambda connection: sum_up(connection, MINE, OCTOBER.days(), ()))

    assert found == {}
    assert total_of(found.values()) == Sums()


@pytest.mark.parametrize(
    ("calls", "is_wanted"),
    [
        (Calls("acct_1", models=("large",)), lambda row: (row.model or row.model_asked) == "large"),
        (Calls("acct_1", keys=("key_2",)), lambda row: row.key_id == "key_2"),
        (Calls("acct_1", members=("mem_1",)), lambda row: row.member_id == "mem_1"),
        (Calls("acct_1", providers=("far", "lab")), lambda row: row.provider is not None),
        (Calls("acct_1", outcomes=("failed",)), lambda row: row.outcome in ("invalid", "upstream")),
        (Calls("acct_1", outcomes=("failed", "ok")), lambda row: row.outcome != "client_gone"),
        (Calls("acct_1", statuses=((400, 499),)), lambda row: 400 <= row.status < 500),
        (Calls("acct_1", statuses=((502, 502), (200, 200))), lambda row: row.status in (200, 502)),
        (Calls("acct_1", stream=False), lambda row: not row.stream),
        (
            Calls("acct_1", keys=("key_1",), stream=True),
            lambda row: row.key_id == "key_1" and row.stream,
        ),
        (Calls("acct_1", models=("' OR 1=1 --",)), lambda row: False),
    ],
)
async def test_filters_narrow_the_log_and_the_sums_alike(
    database: Database, rows: list[UsageRow], calls: Calls, is_wanted: object
) -> None:
    wanted = [row for row in rows if is_wanted(row)]  # type: ignore[operator]  # a lambda of the table above

    listed, then = await database.read(lambda c: list_calls(c, calls, OCTOBER.days(), None, 1_000))
    found = await database.read(lambda c: sum_up(c, calls, OCTOBER.days(), ()))

    assert then is None
    assert {row.request_id for row in listed} == {row.request_id for row in wanted}
    assert total_of(found.values()) == sums_of(wanted)


async def test_pages_hold_every_row_once_newest_first_while_new_ones_arrive(
    database: Database, rows: list[UsageRow]
) -> None:
    then: Place | None = None
    paged: list[UsageRow] = []
    for number in range(1_000):
        asked = then
        page, then = await database.read(lambda c: list_calls(c, MINE, OCTOBER.days(), asked, 7))  # noqa: B023  # read here
        paged += page
        if then is None:
            break
        # Newer than what is being read, as calls that end meanwhile are.
        began_ms = START_MS + 30 * DAY_MS + number
        late = usage_row(number, request_id=f"req_zz{number}", started_at_ms=began_ms)
        await database.write(lambda connection: add(connection, [late]))  # noqa: B023  # as above

    order = [(row.started_at_ms, row.request_id) for row in paged]
    assert order == sorted(order, reverse=True)
    assert Counter(row.request_id for row in paged) == Counter(row.request_id for row in rows)


async def test_a_reader_out_of_time_says_where_to_go_on(database: Database, rows: list[UsageRow]) -> None:
    def hurried(connection: Connection) -> tuple[list[UsageRow], Place | None]:
        return list_calls(connection, MINE, OCTOBER.days(), None, 10, read_s=0)

    assert await database.read(hurried) == ([], Place(OCTOBER.end_ms, ""))
    with pytest.raises(CallError, match="a shorter period takes less"):
        await database.read(lambda c: sum_up(c, MINE, OCTOBER.days(), (), read_s=0))


async def test_a_report_of_too_many_rows_is_refused(
    database: Database, rows: list[UsageRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "SUMS_MAX", 20)  # 10,000 rows would take as many inserts

    assert len(await database.read(lambda c: sum_up(c, MINE, OCTOBER.days(), ("model", "key")))) <= 20
    with pytest.raises(CallError, match="more than 20 rows"):
        await database.read(lambda c: sum_up(c, MINE, OCTOBER.days(), ("day", "model")))


async def test_one_call_is_found_by_its_id_in_its_own_account_alone(
    database: Database, rows: list[UsageRow]
) -> None:
    wanted = rows[0]

    assert await database.read(lambda c: find_call(c, MINE, wanted.request_id)) == wanted
    assert await database.read(lambda c: find_call(c, Calls("acct_2"), wanted.request_id)) is None


async def test_a_day_of_23_hours_has_what_began_in_them(database: Database) -> None:
    midnight_ms = named_period("today", 1_774_742_400_000, BERLIN).start_ms  # 2026-03-29
    began = [midnight_ms - 1, midnight_ms, midnight_ms + 23 * 3_600_000 - 1, midnight_ms + 23 * 3_600_000]
    calls = [usage_row(number, started_at_ms=ms) for number, ms in enumerate(began)]
    await database.write(lambda connection: add(connection, calls))
    days = period_between("2026-03-28", "2026-03-31", 0, BERLIN).days()

    found = await database.read(lambda c: sum_up(c, MINE, days, ("day",)))

    assert {group[0]: sums.requests for group, sums in found.items()} == {
        "2026-03-28": 1,
        "2026-03-29": 2,
        "2026-03-30": 1,
    }


async def test_days_add_up_to_the_period_in_every_zone(database: Database, rows: list[UsageRow]) -> None:
    zones = (UTC, BERLIN, ZoneInfo("Asia/Kolkata"), ZoneInfo("America/Los_Angeles"))
    for zone, by in product(zones, ((), ("day",), ("day", "key"))):
        days = Period(OCTOBER.start_ms, OCTOBER.end_ms, zone).days()
        found = await database.read(lambda c: sum_up(c, MINE, days, by))  # noqa: B023  # read here
        assert total_of(found.values()) == sums_of(rows)


async def test_both_databases_read_along_the_index(database: Database) -> None:
    """A scan of everybody's calls would be the same figures, later and later."""
    explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
    query = (
        "SELECT sum(cost_nano_usd), model_asked FROM usage "
        "WHERE account_id = 'a' AND started_at_ms >= 1 AND started_at_ms < 2 GROUP BY model_asked"
    )

    def plan(connection: Connection) -> str:
        if database.dialect == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))  # the table is empty: any way is cheap
        return "\n".join(" ".join(map(str, row)) for row in connection.execute(text(f"{explain} {query}")))

    assert "ix_usage_account_id_started_at_ms" in await database.read(plan)

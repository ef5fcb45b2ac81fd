"""Money set aside, posted, given back: once, and never more than there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from modelway.conversation.errors import CallError
from modelway.manage import money
from modelway.manage.people import create_account
from modelway.store.database import Database
from modelway.store.entries import Cap, Entry, Tried
from modelway.store.ledger import Ledger
from modelway.store.posting import Granted, Refused
from tests.ledger.books import (
    assert_books_agree,
    has,
    hold,
    lines,
    new_hold,
    prepaid,
    settled,
    unlimited,
)
from tests.store.rows import stored

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    opened = Ledger(database)
    yield opened
    await opened.close()
    await assert_books_agree(database)


async def test_of_200_calls_at_once_a_balance_for_10_admits_10(database: Database, ledger: Ledger) -> None:
    account = await prepaid(database, 1_000)

    outcomes = await asyncio.gather(*(hold(ledger, account, 100) for _ in range(200)))

    admitted = [opened for opened, outcome in outcomes if isinstance(outcome, Granted)]
    refused = [outcome for _, outcome in outcomes if isinstance(outcome, Refused)]
    assert len(admitted) == 10
    assert {outcome.limit_id for outcome in refused} == {account}
    assert (await has(database, account)).available_nano_usd == 0


async def test_what_a_call_did_not_need_is_there_for_the_next(database: Database, ledger: Ledger) -> None:
    account = await prepaid(database, 1_000)
    first, _ = await hold(ledger, account, 1_000)
    assert (await hold(ledger, account, 1))[1] == Refused(account)

    ledger.append(*settled(first, 300))
    second, outcome = await hold(ledger, account, 700)

    assert outcome == Granted(700)
    ledger.append(*settled(second, 700))
    await ledger.flush()
    assert (await has(database, account)).available_nano_usd == 0


async def test_a_settlement_that_comes_twice_is_charged_once(database: Database, ledger: Ledger) -> None:
    account = await prepaid(database, 1_000)
    opened, _ = await hold(ledger, account, 500)

    for _ in range(2):
        ledger.append(*settled(opened, 300))
        ledger.append(*settled(opened, 300))
        await ledger.flush()

    found = {(line.kind, line.amount_nano_usd) for line in await lines(database, account)}
    assert found == {("top_up", 1_000), ("charge", 300)}
    assert len(await lines(database, account)) == 2
    assert (await has(database, account)).posted_nano_usd == 300


async def test_what_a_call_costs_beyond_its_hold_is_the_operators_loss(
    database: Database, ledger: Ledger
) -> None:
    account = await prepaid(database, 1_000)
    opened, _ = await hold(ledger, account, 400)

    ledger.append(*settled(opened, 450))
    await ledger.flush()

    found = {line.kind: line for line in await lines(database, account)}
    assert (found["charge"].amount_nano_usd, found["overrun"].amount_nano_usd) == (400, 50)
    assert (found["overrun"].debit, found["overrun"].credit) == ("overrun", "revenue")
    assert (await has(database, account)).balance_nano_usd == 600


async def test_without_a_limit_a_call_is_charged_what_it_cost(database: Database, ledger: Ledger) -> None:
    account = (await create_account(database, "us")).id
    opened = unlimited(new_hold(ledger, account, 100))
    assert await ledger.reserve(opened) == Granted(100)

    ledger.append(*settled(opened, 450))
    await ledger.flush()

    assert (await has(database, account)).balance_nano_usd == -450


async def test_an_account_that_got_a_limit_a_moment_ago_is_measured_by_it(
    database: Database, ledger: Ledger
) -> None:
    account = await prepaid(database, 100)

    assert await ledger.reserve(unlimited(new_hold(ledger, account, 200))) == Refused(account)
    assert await ledger.reserve(unlimited(new_hold(ledger, account, 100))) == Granted(100)


async def test_the_first_amount_that_fits_is_held(database: Database, ledger: Ledger) -> None:
    account = await prepaid(database, 500)
    opened = new_hold(ledger, account)

    assert await ledger.reserve(opened, amounts=(1_600, 400, 100)) == Granted(400)

    assert (await has(database, account)).held_nano_usd == 400


async def test_a_limit_that_refuses_leaves_no_trace_in_the_others(database: Database, ledger: Ledger) -> None:
    account = await prepaid(database, 1_000)
    wide, narrow = Cap("cap_a", 0, 1_000), Cap("cap_b", 0, 150)
    caps = (narrow, wide)
    first = new_hold(ledger, account)
    assert await ledger.reserve(first, amounts=(100,), caps=caps) == Granted(100)

    assert await ledger.reserve(new_hold(ledger, account), amounts=(100,), caps=caps) == Refused("cap_b")
    assert await ledger.reserve(new_hold(ledger, account), amounts=(151,), caps=caps) == Refused("cap_b")

    assert (await has(database, account)).held_nano_usd == 100
    await assert_books_agree(database)
    ledger.append(*settled(first, 60))
    assert await ledger.reserve(new_hold(ledger, account), amounts=(90,), caps=caps) == Granted(90)


async def test_a_new_window_starts_at_nothing_and_the_old_one_stays(
    database: Database, ledger: Ledger
) -> None:
    account = await prepaid(database, 1_000)
    monday, tuesday = Cap("key_1", 1_000, 100), Cap("key_1", 2_000, 100)
    first = new_hold(ledger, account)

    assert await ledger.reserve(first, amounts=(100,), caps=(monday,)) == Granted(100)
    assert await ledger.reserve(new_hold(ledger, account), amounts=(100,), caps=(tuesday,)) == Granted(100)
    ledger.append(*settled(first, 100))
    await ledger.flush()

    assert await ledger.reserve(new_hold(ledger, account), amounts=(1,), caps=(monday,)) == Refused("key_1")


async def test_a_line_of_the_ledger_cannot_be_changed(database: Database, ledger: Ledger) -> None:
    await prepaid(database, 1_000)

    for statement in ("UPDATE entries SET amount_nano_usd = 9", "DELETE FROM entries"):
        with pytest.raises((SQLAlchemyError, CallError)):
            await database.write(lambda connection, text=statement: connection.exec_driver_sql(text))  # type: ignore[misc]

    assert [line.amount_nano_usd for line in await lines(database, "us")] == [1_000]


def _by_attempt(line: Entry) -> tuple[str, str]:
    return line.attempt_id or "", line.kind


@pytest.mark.parametrize(
    "odd",
    [{"error_code": "\0"}, {"input_tokens": 10**19}, {"duration_ms": 2**40}, {"provider": "\ud800"}],
    ids=["NUL", "a count", "a time", "half a letter"],
)
async def test_a_row_that_cannot_be_stored_leaves_nothing_held_and_is_stored_as_far_as_it_can_be(
    database: Database, ledger: Ledger, odd: dict[str, Any]
) -> None:
    account = await prepaid(database, 1_000)
    first, second = (await hold(ledger, account, 400))[0], (await hold(ledger, account, 400))[0]
    row, settlement = settled(first, 100)

    ledger.append(row._replace(**odd), settlement)
    ledger.append(*settled(second, 200))
    await ledger.flush()

    money = await has(database, account)
    assert (money.posted_nano_usd, money.held_nano_usd) == (300, 0)
    assert {row.request_id: row.cost_nano_usd for row in await stored(database)} == {
        first.attempt_id: 100,
        second.attempt_id: 200,
    }


async def test_a_row_that_cannot_be_stored_at_all_leaves_nothing_held(
    database: Database, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    account = await prepaid(database, 1_000)
    opened, _ = await hold(ledger, account, 400)
    row, settlement = settled(opened, 0, "void")

    ledger.append(row._replace(protocol=None), settlement)  # type: ignore[arg-type]  # no such row is made
    await ledger.flush()

    assert (await has(database, account)).available_nano_usd == 1_000
    assert opened.attempt_id in caplog.text


async def test_every_attempt_has_its_line(database: Database, ledger: Ledger) -> None:
    account = await prepaid(database, 1_000)
    opened, _ = await hold(ledger, account, 100)
    row, settlement = settled(opened, 40)

    ledger.append(row, settlement._replace(tried=(Tried("lab/small"), Tried("other/small", 25))))
    await ledger.flush()

    found = [line for line in await lines(database, account) if line.attempt_id]
    assert [(line.kind, line.amount_nano_usd, line.note) for line in sorted(found, key=_by_attempt)] == [
        ("charge", 40, None),
        ("void", 0, "lab/small"),
        ("overrun", 25, "other/small"),
        ("void", 0, "other/small"),
    ]
    assert (await has(database, account)).posted_nano_usd == 40, "its customer pays for the answer alone"


async def test_refunds_are_new_lines_and_never_more_than_was_charged(
    database: Database, ledger: Ledger
) -> None:
    account = await prepaid(database, 1_000)
    opened, _ = await hold(ledger, account, 300)
    ledger.append(*settled(opened, 300))
    await ledger.flush()
    charge = next(line for line in await lines(database, account) if line.kind == "charge")

    await money.refund(database, account, charge.id, 200)
    with pytest.raises(CallError, match=r"0\.0000001 USD can be refunded"):
        await money.refund(database, account, charge.id, 200)
    await money.refund(database, account, charge.id)
    with pytest.raises(CallError, match=r"0\.00 USD can be refunded"):
        await money.refund(database, account, charge.id)

    assert (await has(database, account)).available_nano_usd == 1_000


async def test_what_is_held_cannot_be_withdrawn(database: Database, ledger: Ledger) -> None:
    account = await prepaid(database, 1_000)
    await hold(ledger, account, 700)

    with pytest.raises(CallError, match="neither spent nor held"):
        await money.withdraw(database, "us", 301)
    await money.withdraw(database, "us", 300)

    assert (await has(database, account)).available_nano_usd == 0


async def test_a_voucher_is_money_once(database: Database) -> None:
    account = await prepaid(database, 0)
    secret = b"s" * 32
    voucher = await money.create_voucher(database, secret, 700)

    results = await asyncio.gather(
        *(money.redeem_voucher(database, secret, account, f" {voucher.text}\n") for _ in range(5)),
        return_exceptions=True,
    )

    assert len([each for each in results if not isinstance(each, CallError)]) == 1
    assert (await has(database, account)).available_nano_usd == 700
    with pytest.raises(CallError, match="not valid here"):
        await money.redeem_voucher(database, secret, account, "mw-0000")
    stored = await database.read(lambda c: repr(c.exec_driver_sql("SELECT * FROM vouchers").all()))
    assert voucher.text not in stored
    assert voucher.text not in repr(voucher)
    await assert_books_agree(database)

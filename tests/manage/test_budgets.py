"""Budgets of accounts, members, keys and models; what was spent before counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelway.accounts.keys import Key, is_alive
from modelway.accounts.rates import NO_LIMITS, RateLimits
from modelway.accounts.windows import window_end_ms, window_start_ms
from modelway.conversation.errors import CallError
from modelway.limits.limiter import Limiter
from modelway.limits.memory import MemoryCounter
from modelway.manage.budgets import (
    change_budget,
    create_budget,
    list_budgets,
    own_limit,
    remove_budget,
)
from modelway.manage.ids import Source
from modelway.manage.keys import KeyChanges, KeyWishes, change_key, create_key, find_key, rotate_key
from modelway.store.budgets import find_terms
from modelway.store.database import Database
from modelway.store.ledger import Ledger
from modelway.store.posting import Granted, Refused
from tests.ledger.books import NOW_MS, new_hold, prepaid, settled

pytestmark = pytest.mark.anyio

SECRET = b"s" * 32
NOW = Source(now_ms=lambda: NOW_MS + 5_000)
KEY = Key(id="key_1", account_id="", name="k", masked="m", created_at_ms=0)


async def spent(database: Database, account: str, amount: int, model: str = "small") -> None:
    ledger = Ledger(database)
    opened = new_hold(ledger, account, model=model)
    assert await ledger.reserve(opened, amounts=(amount,)) == Granted(amount)
    row, settlement = settled(opened, amount)
    ledger.append(row, settlement._replace(member_id=opened.member_id))
    await ledger.close()


async def test_a_budget_in_the_middle_of_its_window_knows_what_was_spent(database: Database) -> None:
    account = await prepaid(database, 1_000)
    await spent(database, account, 60)
    await spent(database, account, 7, model="other")

    await create_budget(database, "us", "account", None, "monthly", 100, (50, 90), NOW)
    await create_budget(database, "us", "model", "small", "monthly", 100, (50, 90), NOW)

    states = {each.budget.scope: each for each in await list_budgets(database, "us", NOW)}
    whole, small = states["account"], states["model"]
    assert (whole.spent_nano_usd, small.spent_nano_usd) == (67, 60)
    assert whole.budget.alerts == (50, 90)
    assert whole.began_at_ms == window_start_ms("monthly", NOW_MS)
    assert whole.ends_at_ms == window_end_ms("monthly", NOW_MS)


async def test_the_narrowest_budget_refuses_and_the_others_do_not_notice(database: Database) -> None:
    account = await prepaid(database, 1_000)
    await create_budget(database, "us", "account", None, "never", 500, source=NOW)
    narrow = await create_budget(database, "us", "model", "small", "daily", 90, source=NOW)
    terms = await database.read(lambda connection: find_terms(connection, account))
    assert terms is not None
    caps = terms.caps(KEY, "small", NOW_MS)
    assert len(caps) == 2
    assert len(terms.caps(KEY, "other", NOW_MS)) == 1
    ledger = Ledger(database)

    assert await ledger.reserve(new_hold(ledger, account), amounts=(60,), caps=caps) == Granted(60)
    assert await ledger.reserve(new_hold(ledger, account), amounts=(60,), caps=caps) == Refused(narrow.id)

    states = {each.budget.scope: each.held_nano_usd for each in await list_budgets(database, "us", NOW)}
    assert states == {"account": 60, "model": 60}
    await ledger.close()


async def test_a_budget_covers_whom_it_is_for(database: Database) -> None:
    account = await prepaid(database, 1_000)
    new = await create_key(database, SECRET, "us", KeyWishes(name="k"), NOW)
    await create_budget(database, "us", "key", new.key.id, "never", 500, source=NOW)
    terms = await database.read(lambda connection: find_terms(connection, account))
    assert terms is not None

    assert [len(terms.caps(key, "small", NOW_MS)) for key in (new.key, KEY)] == [1, 0]
    limited = replace(new.key, limit_nano_usd=5, resets="daily")
    assert {cap.id for cap in terms.caps(limited, "small", NOW_MS)} >= {new.key.id}


async def test_another_limit_and_none_at_all(database: Database) -> None:
    await prepaid(database, 1_000)
    budget = await create_budget(database, "us", "account", None, "never", 500, source=NOW)

    await change_budget(database, "us", budget.id, 700)
    assert [each.budget.limit_nano_usd for each in await list_budgets(database, "us", NOW)] == [700]
    await remove_budget(database, "us", budget.id, NOW)
    assert await list_budgets(database, "us", NOW) == []
    with pytest.raises(CallError, match="no budget"):
        await change_budget(database, "us", budget.id, 1)
    with pytest.raises(CallError, match="no budget"):
        await remove_budget(database, "us", budget.id, NOW)


async def test_a_budget_of_another_account_is_not_there(database: Database) -> None:
    await prepaid(database, 0, "us")
    await prepaid(database, 0, "them")
    budget = await create_budget(database, "them", "account", None, "never", 500, source=NOW)

    with pytest.raises(CallError, match="no budget"):
        await change_budget(database, "us", budget.id, 1)
    with pytest.raises(CallError, match="there is no key"):
        await create_budget(database, "us", "key", "key_of_them", "never", 1, source=NOW)


@pytest.mark.parametrize(("limit", "alerts"), [(-1, ()), (1, (0,)), (1, (101,)), (1, tuple(range(1, 12)))])
async def test_what_is_no_budget_is_refused(database: Database, limit: int, alerts: tuple[int, ...]) -> None:
    await prepaid(database, 0)

    with pytest.raises(CallError) as caught:
        await create_budget(database, "us", "account", None, "never", limit, alerts, NOW)
    assert caught.value.kind.name == "invalid"


async def test_a_key_that_gets_a_limit_has_spent_what_it_has_spent(database: Database) -> None:
    account = await prepaid(database, 1_000)
    new = await create_key(database, SECRET, "us", KeyWishes(name="k"), NOW)
    ledger = Ledger(database)
    opened = new_hold(ledger, account, key_id=new.key.id)
    await ledger.reserve(opened, amounts=(60,))
    row, settlement = settled(opened, 60)
    ledger.append(row, settlement)
    await ledger.flush()

    changed = await change_key(database, new.key.id, {"limit_nano_usd": 100, "resets": "monthly"}, NOW)

    terms = await ledger.terms(account)
    caps = terms.caps(changed, "small", NOW_MS)
    assert await ledger.reserve(new_hold(ledger, account), amounts=(41,), caps=caps) == Refused(new.key.id)
    assert await ledger.reserve(new_hold(ledger, account), amounts=(40,), caps=caps) == Granted(40)
    await ledger.close()


async def test_what_a_key_spent_between_two_limits_counts(database: Database) -> None:
    account = await prepaid(database, 1_000)
    limited: KeyChanges = {"limit_nano_usd": 100, "resets": "monthly"}
    new = await create_key(database, SECRET, "us", KeyWishes(name="k"), NOW)
    await change_key(database, new.key.id, limited, NOW)
    await change_key(database, new.key.id, {"limit_nano_usd": None}, NOW)
    ledger = Ledger(database)
    opened = new_hold(ledger, account, key_id=new.key.id)
    await ledger.reserve(opened, amounts=(60,))
    row, settlement = settled(opened, 60)
    ledger.append(row, settlement)
    await ledger.flush()

    changed = await change_key(database, new.key.id, limited, NOW)

    caps = (await ledger.terms(account)).caps(changed, "small", NOW_MS)
    assert await ledger.reserve(new_hold(ledger, account), amounts=(41,), caps=caps) == Refused(new.key.id)
    await ledger.close()


@pytest.mark.parametrize("own", [None, 100])
async def test_a_rotated_key_and_its_successor_are_counted_as_one(
    database: Database, own: int | None
) -> None:
    """By a budget of the key, and by a limit of its own; with calls of the old one still under way."""
    account = await prepaid(database, 1_000)
    old = await create_key(database, SECRET, "us", KeyWishes(name="k", limit_nano_usd=own), NOW)
    if own is None:
        await create_budget(database, "us", "key", old.key.id, "never", 100, source=NOW)
    ledger = Ledger(database)

    async def asked(key: Key, amount: int) -> object:
        caps = (await ledger.terms(account)).caps(key, "small", NOW_MS)
        return await ledger.reserve(new_hold(ledger, account, key_id=key.id), amounts=(amount,), caps=caps)

    assert await asked(old.key, 60) == Granted(60)
    new = await rotate_key(database, SECRET, old.key.id, 60, NOW)
    newest = await rotate_key(database, SECRET, new.key.id, 60, NOW)
    for key in (old.key, new.key, newest.key):
        assert isinstance(await asked(key, 41), Refused)
    assert await asked(newest.key, 30) == Granted(30)
    assert isinstance(await asked(old.key, 11), Refused)
    state = await own_limit(database, newest.key, NOW)
    [state] = [state] if state is not None else await list_budgets(database, "us", NOW)
    assert (state.held_nano_usd, state.budget.subject) == (90, newest.key.id if own else old.key.id)
    await ledger.close()


async def test_a_budget_of_a_successor_knows_what_was_spent_before(database: Database) -> None:
    account = await prepaid(database, 1_000)
    old = await create_key(database, SECRET, "us", KeyWishes(name="k"), NOW)
    ledger = Ledger(database)
    opened = new_hold(ledger, account, key_id=old.key.id)
    await ledger.reserve(opened, amounts=(60,))
    row, settlement = settled(opened, 60)
    ledger.append(row, settlement)
    await ledger.close()
    new = await rotate_key(database, SECRET, old.key.id, 60, NOW)

    await create_budget(database, "us", "key", new.key.id, "monthly", 100, source=NOW)
    changed = await change_key(database, new.key.id, {"limit_nano_usd": 100}, NOW)

    [state] = await list_budgets(database, "us", NOW)
    own = await own_limit(database, changed, NOW)
    assert own is not None
    assert (state.spent_nano_usd, own.spent_nano_usd) == (60, 60)


async def test_a_key_that_was_replaced_is_not_revived(database: Database) -> None:
    await prepaid(database, 0)
    old = await create_key(database, SECRET, "us", KeyWishes(name="k"), NOW)
    new = await rotate_key(database, SECRET, old.key.id, 0, NOW)

    with pytest.raises(CallError, match=f"{new.key.masked} has taken over") as caught:
        await change_key(database, old.key.id, {"expires_at_ms": None}, NOW)
    assert caught.value.kind.name == "conflict"
    assert not is_alive(await find_key(database, old.key.id), NOW.now_ms())


async def test_the_limits_of_a_successor_hold_for_the_key_before_it(database: Database) -> None:
    await prepaid(database, 0)
    old = await create_key(database, SECRET, "us", KeyWishes(name="k"), NOW)
    other = await create_key(database, SECRET, "us", KeyWishes(name="other"), NOW)
    new = await rotate_key(database, SECRET, old.key.id, 60, NOW)

    rates = RateLimits(requests_per_minute=5)
    await change_key(database, new.key.id, {"limit_nano_usd": 7, "rate_limits": rates, "name": "n"}, NOW)

    found = [await find_key(database, each.key.id) for each in (old, new, other)]
    assert [(key.limit_nano_usd, key.name) for key in found] == [(7, "k"), (7, "n"), (None, "other")]
    limiter = Limiter(NO_LIMITS, MemoryCounter(lambda: 0))
    one, two = (limiter.rules(key, None) for key in found[:2])
    assert one == two, "what one takes is taken from the other, too"


async def test_a_key_that_is_rotated_ends_after_the_overlap(database: Database) -> None:
    await prepaid(database, 0)
    old = await create_key(database, SECRET, "us", KeyWishes(name="k", models=["small"]), NOW)

    new = await rotate_key(database, SECRET, old.key.id, 60, NOW)

    assert (new.key.replaces_id, new.key.models, new.key.name) == (old.key.id, ("small",), "k")
    assert new.key.expires_at_ms is None
    again = Source(now_ms=lambda: NOW_MS + 5_000 + 60_000)
    with pytest.raises(CallError, match="revoked or has expired"):
        await rotate_key(database, SECRET, old.key.id, 60, again)
    with pytest.raises(CallError, match="the overlap is -1 s"):
        await rotate_key(database, SECRET, new.key.id, -1, NOW)

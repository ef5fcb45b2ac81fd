"""Somebody is told when a budget passes a threshold: once, signed, again until it was received."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator

import pytest

from modelway.accounts.keys import Key
from modelway.calls.alerts import SIGNATURE, AlertSender
from modelway.manage.budgets import create_budget
from modelway.manage.ids import Source
from modelway.providers.upstream import UpstreamClient
from modelway.store.alerts import FIRST_WAIT_MS, TRIES_MAX, note, passed
from modelway.store.budgets import Budget
from modelway.store.database import Database
from modelway.store.ledger import Ledger
from tests.fix_upstream import ScriptedUpstream, whole
from tests.ledger.books import NOW_MS, new_hold, prepaid, settled

pytestmark = pytest.mark.anyio

SECRET = b"webhook secret"
KEY = Key(id="key_1", account_id="", name="k", masked="m", created_at_ms=0)


class Clock:
    ms = NOW_MS

    def seconds(self) -> float:
        return self.ms / 1000


@pytest.fixture
async def upstreams() -> AsyncIterator[UpstreamClient]:
    async with UpstreamClient(connect_timeout_s=5, silence_timeout_s=5) as client:
        yield client


async def spent(database: Database, budget: Budget, amount: int) -> None:
    ledger = Ledger(database, now_ms=lambda: NOW_MS)
    terms = await ledger.terms(budget.account_id)
    opened = new_hold(ledger, budget.account_id)
    await ledger.reserve(opened, amounts=(amount,), caps=terms.caps(KEY, "small", NOW_MS))
    ledger.append(*settled(opened, amount))
    await ledger.flush()
    await ledger._note_thresholds()
    await ledger._note_thresholds()
    await ledger.close()


async def new_budget(database: Database) -> Budget:
    await prepaid(database, 1_000)
    source = Source(now_ms=lambda: NOW_MS)
    return await create_budget(database, "us", "account", None, "daily", 100, (50, 80), source)


async def test_each_threshold_is_told_once(
    database: Database, upstream: ScriptedUpstream, upstreams: UpstreamClient
) -> None:
    upstream.answers("/hook", whole(b"{}"))
    budget, clock = await new_budget(database), Clock()
    sender = AlertSender(database, upstreams, f"{upstream.url}/hook", SECRET, clock.seconds)

    await spent(database, budget, 49)
    assert await sender.send_due() == 0
    await spent(database, budget, 5)
    assert await sender.send_due() == 1
    await spent(database, budget, 30)
    assert await sender.send_due() == 1
    await spent(database, budget, 1)
    assert await sender.send_due() == 0

    told = [received.json() for received in upstream.calls]
    seen = [(each["percent"], each["spent_usd"]) for each in told]
    assert seen == [(50, "0.000000054"), (80, "0.000000084")]
    assert told[0]["budget"]["id"] == budget.id


async def test_a_message_is_signed(
    database: Database, upstream: ScriptedUpstream, upstreams: UpstreamClient
) -> None:
    upstream.answers("/hook", whole(b"{}"))
    budget, clock = await new_budget(database), Clock()
    await spent(database, budget, 60)

    await AlertSender(database, upstreams, f"{upstream.url}/hook", SECRET, clock.seconds).send_due()

    at, _, signature = upstream.last.headers[SIGNATURE].partition(",v1=")
    signed = at.removeprefix("t=").encode() + b"." + upstream.last.body
    assert signature == hmac.digest(SECRET, signed, "sha256").hex()


async def test_what_was_not_received_is_tried_again_and_not_for_ever(
    database: Database, upstream: ScriptedUpstream, upstreams: UpstreamClient
) -> None:
    upstream.answers("/hook", whole(b"{}", status=500))
    budget, clock = await new_budget(database), Clock()
    await spent(database, budget, 60)
    sender = AlertSender(database, upstreams, f"{upstream.url}/hook", SECRET, clock.seconds)

    assert [await sender.send_due(), await sender.send_due()] == [0, 0]
    assert len(upstream.calls) == 1, "not before its time"
    for tries in range(TRIES_MAX + 2):
        clock.ms += FIRST_WAIT_MS * 2**tries
        await sender.send_due()

    assert len(upstream.calls) == TRIES_MAX


async def test_two_workers_note_and_send_it_once(
    database: Database, upstream: ScriptedUpstream, upstreams: UpstreamClient
) -> None:
    upstream.answers("/hook", whole(b"{}"))
    budget, clock = await new_budget(database), Clock()
    await spent(database, budget, 60)
    found = await database.read(lambda connection: passed(connection, [budget], NOW_MS))

    assert await database.write(lambda connection: note(connection, found, NOW_MS, b"r" * 10)) == 0
    senders = [
        AlertSender(database, upstreams, f"{upstream.url}/hook", SECRET, clock.seconds) for _ in range(2)
    ]
    assert sum([await each.send_due() for each in senders]) == 1

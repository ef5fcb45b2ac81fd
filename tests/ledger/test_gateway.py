"""Through real gateway processes: what is not affordable is not sent, and every call is booked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, func, select

from modelway.accounts.rates import RateLimits
from modelway.manage.keys import KeyWishes
from modelway.store.schema import entries, holds, usage
from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, MESSAGES, Cut, Scripted, ScriptedUpstream, Send, whole
from tests.ledger.rigs import AFFORDABLE, crowd
from tests.ledger.through_gateway import (
    ANSWER,
    CALL_USD,
    CONFIG,
    MAX_TOKENS,
    QUESTION,
    ask,
    broken_books,
    nano,
    open_account,
    shown,
)
from tests.whole.wire import Answer, call

ROUNDS = 5


@pytest.fixture
def start(
    database_url: str, make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> Iterator[Callable[[int], Gateway]]:
    """Makes a gateway of so many workers on either database; its books have to agree in the end."""
    upstream.answers(CHAT, whole(ANSWER))
    made: list[Gateway] = []

    def make(workers: int) -> Gateway:
        made.append(make_gateway(CONFIG, MODELWAY_DATABASE=database_url, MODELWAY_WORKERS=str(workers)))
        return made[-1]

    yield make
    assert [gateway.stop() for gateway in made if gateway.is_running] == [0] * len(made)
    assert broken_books(database_url) == []
    assert ask(database_url, lambda c: c.execute(select(holds)).all()) == []


@pytest.fixture
def paid(start: Callable[[int], Gateway]) -> Gateway:
    return start(1)


def lined(connection: Connection) -> dict[str, int]:
    """How many lines of each kind there are."""
    return {
        row.kind: row.lines
        for row in connection.execute(
            select(entries.c.kind, func.count().label("lines")).group_by(entries.c.kind)
        )
    }


def asked(gateway: Gateway, path: str = CHAT) -> Answer:
    return call(gateway, path, QUESTION)


def test_a_balance_for_10_sends_10_of_200_calls_at_once(
    start: Callable[[int], Gateway], upstream: ScriptedUpstream, database_url: str
) -> None:
    """SQLite is served by one process, PostgreSQL here by four."""
    paid = start(1 if database_url.startswith("sqlite") else 4)
    paid.api_key = open_account(paid, "us")
    paid.start()

    assert [crowd(paid, upstream, database_url, "us") for _ in range(ROUNDS)] == [AFFORDABLE] * ROUNDS

    until(lambda: ask(database_url, lined).get("charge") == ROUNDS * AFFORDABLE, "every charge")
    assert shown(paid, "us")["available_usd"] == "0.00"


def test_a_refusal_says_which_limit_and_that_trying_again_is_no_use(paid: Gateway) -> None:
    daily = KeyWishes(name="test", limit_nano_usd=nano(0.15), resets="daily")
    paid.api_key = open_account(paid, "us", usd=100, wishes=daily)
    paid.start()
    assert asked(paid).status == 200

    for path, status in ((CHAT, 429), (MESSAGES, 402)):
        refused = asked(paid, path)
        error = refused.json()["error"]
        assert refused.status == status
        assert refused.headers["x-should-retry"] == "false"
        assert (error["type"], error["code"]) == ("billing_error", "insufficient_quota")
        assert {name: error["details"][name] for name in ("budget", "window", "spent_usd", "cap_usd")} == {
            "budget": "key",
            "window": "daily",
            "spent_usd": "0.10",
            "cap_usd": "0.15",
        }
        assert error["details"]["resets_at"].endswith("T00:00:00Z")
        assert "the limit of key sk-mw-" in error["message"]


@pytest.mark.parametrize(
    "given_up",
    [
        pytest.param(whole(ANSWER.replace(b'"Hi."', b'""')), id="empty"),
        pytest.param(Scripted((Send(ANSWER[:-20]), Cut()), length=len(ANSWER)), id="cut short"),
    ],
)
def test_an_answer_that_was_given_up_is_the_operators_loss(
    paid: Gateway, upstream: ScriptedUpstream, database_url: str, given_up: Scripted
) -> None:
    upstream.answers(CHAT, given_up)
    upstream.answers(f"/second{CHAT}", whole(ANSWER))
    paid.api_key = open_account(paid, "us", usd=100)
    paid.start()

    assert call(paid, CHAT, {**QUESTION, "model": "twice"}).status == 200

    until(lambda: ask(database_url, lined).get("charge"), "the charge")
    lost = ask(database_url, lambda c: c.execute(select(entries).where(entries.c.kind == "overrun")).one())
    assert (lost.debit, lost.note, lost.attempt_id[-2:]) == ("overrun", "scripted-chat/far-chat", ".1")
    assert lost.amount_nano_usd > 0


def test_money_put_in_beside_the_running_gateway_is_there_at_once(
    paid: Gateway, upstream: ScriptedUpstream
) -> None:
    paid.api_key = open_account(paid, "us")
    paid.start()
    refused = asked(paid)
    assert refused.status == 429
    assert "'us', 0.00 USD are left" in refused.json()["error"]["message"]
    assert not upstream.calls

    paid.manage("accounts", "top-up", "--account", "us", "--usd", "1")

    assert asked(paid).status == 200


def test_a_model_without_a_price_is_refused_where_money_is_limited_and_flagged_where_not(
    paid: Gateway, upstream: ScriptedUpstream, database_url: str
) -> None:
    limited = open_account(paid, "limited", billing="postpaid", limit_usd=5)
    paid.api_key = open_account(paid, "free", billing="postpaid")
    paid.start()

    question = {**QUESTION, "model": "unpriced"}
    answered = call(paid, CHAT, question)
    refused = call(paid, CHAT, question, headers={"authorization": f"Bearer {limited}"})

    assert (answered.status, refused.status) == (200, 403)
    assert refused.json()["error"]["code"] == "model_unpriced"
    assert len(upstream.calls) == 1
    request_id = answered.request_id

    def booked(connection: Connection) -> list[tuple[object, ...]]:
        columns = (entries.c.amount_nano_usd, entries.c.price_version, entries.c.note, usage.c.cost_nano_usd)
        statement = select(*columns).join(usage, usage.c.request_id == entries.c.attempt_id)
        return [tuple(row) for row in connection.execute(statement.where(usage.c.request_id == request_id))]

    assert until(lambda: ask(database_url, booked), "the call's line") == [(0, None, "unpriced", None)]


def test_money_and_tokens_are_set_aside_for_as_many_answers_as_are_asked_for(paid: Gateway) -> None:
    """`n` counts where Chat says it, however it is spelled, and nowhere else."""
    two_answers = KeyWishes(name="test", rate_limits=RateLimits(output_tokens_per_minute=2 * MAX_TOKENS))
    paid.api_key = open_account(paid, "us", usd=2 * CALL_USD)
    limited = {"authorization": f"Bearer {open_account(paid, 'limited', usd=100, wishes=two_answers)}"}
    paid.start()
    several = json.dumps({**QUESTION, "n": 3}).replace('"n"', r'"\u006e"').encode()
    used = {"type": "tool_use", "id": "toolu_1", "name": "draw", "input": {"n": 100}}
    single = {
        **QUESTION,
        "messages": [
            {"role": "user", "content": "Draw."},
            {"role": "assistant", "content": [used]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}]},
        ],
    }

    for headers, code in ((None, "insufficient_quota"), (limited, "rate_limit_exceeded")):
        assert call(paid, MESSAGES, single, headers=headers).status == 200
        refused = call(paid, CHAT, several, headers=headers)
        assert refused.status == 429
        assert refused.json()["error"]["code"] == code


def test_the_owner_pays_nothing_until_they_want_to(paid: Gateway, database_url: str) -> None:
    paid.start_new()

    assert asked(paid).headers["x-modelway-cost-usd"] == "0.10"

    until(lambda: ask(database_url, lined).get("charge"), "the charge")
    owner = shown(paid, "owner")
    assert (owner["billing"], owner["limit_usd"], owner["balance_usd"]) == ("postpaid", None, "-0.10")


def test_a_call_that_fails_upstream_costs_nothing_and_is_on_the_statement(
    paid: Gateway, upstream: ScriptedUpstream, database_url: str
) -> None:
    upstream.answers(CHAT, whole(b'{"error": {"message": "no"}}', status=400))
    paid.api_key = open_account(paid, "us", usd=1)
    paid.start()

    assert asked(paid).status == 400

    until(lambda: ask(database_url, lined).get("void"), "the void line")
    assert shown(paid, "us")["available_usd"] == "1.00"


def test_while_its_books_cannot_be_opened_a_gateway_asks_no_provider_in_vain(
    start: Callable[[int], Gateway], upstream: ScriptedUpstream
) -> None:
    """A folder where a dead worker's notes are looked for can be read by nobody."""
    free = start(1)
    free.api_key = open_account(free, "free", billing="postpaid")
    unreadable = free.data_dir / "sent" / "wrk_1.0.sent"
    unreadable.mkdir(parents=True)
    free.launch()
    until(lambda: free.status_of("/livez") == 200, "/livez 200")

    assert free.status_of("/readyz") == 503
    assert [asked(free).status for _ in range(3)] == [503] * 3
    assert not upstream.calls

    unreadable.rmdir()
    until(lambda: free.status_of("/readyz") == 200, "/readyz 200")
    assert asked(free).status == 200


def test_a_count_that_no_model_can_reach_is_no_count_and_the_call_is_booked_all_the_same(
    paid: Gateway, upstream: ScriptedUpstream, database_url: str
) -> None:
    counted = ANSWER.replace(b'"prompt_tokens": 9', b'"prompt_tokens": 10000000000000000000')
    assert counted != ANSWER
    upstream.answers(CHAT, whole(counted))
    paid.api_key = open_account(paid, "us", usd=1)
    paid.start()

    assert asked(paid).status == 200

    until(lambda: ask(database_url, lined).get("estimate"), "the estimate")
    (row,) = ask(database_url, lambda c: c.execute(select(usage)).all())
    assert row.estimated
    assert 0 < row.input_tokens < 100
    assert shown(paid, "us")["held_usd"] == "0.00"


def test_a_providers_code_is_stored_as_a_word(
    paid: Gateway, upstream: ScriptedUpstream, database_url: str
) -> None:
    odd = json.dumps({"error": {"message": "no", "code": "o\0dd\n" + "x" * 60_000}}).encode()
    upstream.answers(CHAT, whole(odd, status=400))
    paid.api_key = open_account(paid, "us", usd=1)
    paid.start()

    assert asked(paid).status == 400

    until(lambda: ask(database_url, lined).get("void"), "the void line")
    (code,) = ask(database_url, lambda c: c.execute(select(usage.c.error_code)).scalars().all())
    assert code is not None
    assert code.startswith("oddx")
    assert len(code) <= 100

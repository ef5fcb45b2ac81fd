"""Keys that are restricted, revoked or rotated, and calls that are repeated, through a real gateway."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from modelway.manage import keys as manage_keys
from modelway.manage import people as manage_people
from modelway.manage.keys import KeyWishes, NewKey
from modelway.store.database import Database
from modelway.store.secret import secret_from_file
from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, MESSAGES, ScriptedUpstream, recording, silence, streamed, whole
from tests.ledger.through_gateway import ANSWER, CONFIG, QUESTION, broken_books, open_account, shown
from tests.whole.wire import Answer, call, stream

T = TypeVar("T")
ENDS_WITHIN_S = 5  # what is promised of a live stream whose key is revoked
REPEATS = 20


@pytest.fixture
def served(make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream) -> Gateway:
    upstream.answers(CHAT, whole(ANSWER))
    gateway = make_gateway(CONFIG)
    gateway.api_key = open_account(gateway, "us", usd=10)
    # Whose a management key is, unless it is said.
    managed(gateway, lambda database, _: manage_people.add_member(database, "us", "Ada", "owner"))
    return gateway.start()


def managed(gateway: Gateway, work: Callable[[Database, bytes], Coroutine[Any, Any, T]]) -> T:
    """What the management API will do, beside the running gateway."""

    async def run() -> T:
        database = await Database.open(f"sqlite:///{gateway.database}")
        try:
            return await work(database, secret_from_file(Path(gateway.data_dir)))
        finally:
            await database.close()

    return asyncio.run(run())


def new_key(gateway: Gateway, wishes: KeyWishes) -> NewKey:
    return managed(gateway, lambda database, secret: manage_keys.create_key(database, secret, "us", wishes))


def asked(gateway: Gateway, path: str = CHAT, key: str | None = None, **headers: str) -> Answer:
    bearer = {"authorization": f"Bearer {key or gateway.api_key}"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(gateway, path, QUESTION, headers={**bearer, **named})


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        (KeyWishes(name="k", endpoints=["/v1/messages"]), "it may use /v1/messages"),
        (KeyWishes(name="k", addresses=["192.0.2.0/24", "2001:db8::/32"]), "may not be used from 127.0.0.1"),
        (KeyWishes(name="k", kind="management"), "is a management key"),
    ],
)
def test_a_key_is_refused_where_it_may_not_be_used(served: Gateway, wishes: KeyWishes, says: str) -> None:
    refused = asked(served, key=new_key(served, wishes).text)

    assert refused.status == 403
    assert says in refused.json()["error"]["message"]


def test_a_key_works_where_it_may_be_used(served: Gateway) -> None:
    wishes = KeyWishes(name="k", endpoints=["/v1/chat/*"], addresses=["127.0.0.0/8"])

    assert asked(served, key=new_key(served, wishes).text).status == 200


def test_a_revoked_keys_live_stream_ends_and_says_why(served: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse"), pause_after=4))
    made = new_key(served, KeyWishes(name="k"))

    headers = {"authorization": f"Bearer {made.text}"}
    with stream(served, CHAT, {**QUESTION, "stream": True}, headers=headers) as answer:
        assert answer.frame()
        managed(served, lambda database, _: manage_keys.revoke_key(database, made.key.id))
        upstream.last.wait_until_left(ENDS_WITHIN_S)
        rest = b""
        while frame := answer.frame():
            rest += frame

    assert b"was revoked" in rest
    assert b"[DONE]" not in rest
    row = served.usage_of(answer.request_id)
    assert (row["outcome"], row["estimated"]) == ("unauthenticated", 1)
    assert row["cost_nano_usd"] > 0


def test_a_rotated_key_overlaps_with_the_one_before_and_shares_its_limit(served: Gateway) -> None:
    old = new_key(served, KeyWishes(name="k", limit_nano_usd=250_000_000))
    assert asked(served, key=old.text).status == 200
    until(lambda: shown(served, "us")["held_usd"] == "0.00", "the settlement")

    new = managed(served, lambda db, secret: manage_keys.rotate_key(db, secret, old.key.id, 60))

    assert [asked(served, key=each.text).status for each in (new, old, new)] == [200, 429, 429]


def test_of_many_calls_with_one_idempotency_key_one_is_sent(
    served: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, silence(ANSWER))
    with ThreadPoolExecutor(REPEATS) as callers:
        answers = [callers.submit(asked, served, idempotency_key='"again"') for _ in range(REPEATS)]
        until(lambda: sum(each.done() for each in answers) == REPEATS - 1, "all but one refused")
        upstream.resume()
        statuses = Counter(each.result().status for each in answers)

    assert statuses == {200: 1, 409: REPEATS - 1}
    first = next(each.result() for each in answers if each.result().status == 200)
    replayed = until(lambda: _ok(asked(served, idempotency_key="again")), "the replay")
    assert replayed.body == first.body
    assert replayed.headers["idempotent-replayed"] == "true"
    assert len(upstream.calls) == 1
    assert shown(served, "us")["available_usd"] == "9.90"


def _ok(answer: Answer) -> Answer | None:
    return answer if answer.status == 200 else None


def test_a_stream_is_replayed_as_it_went(served: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse")))
    body = {**QUESTION, "stream": True}

    first = call(served, CHAT, body, headers={"idempotency-key": "s"})
    again = until(lambda: _ok(call(served, CHAT, body, headers={"idempotency-key": "s"})), "the replay")

    assert again.body == first.body
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(upstream.calls) == 1


def test_a_stream_that_a_crash_cut_off_is_not_run_again(served: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse"), pause_after=3))
    body, headers = {**QUESTION, "stream": True}, {"idempotency-key": "c"}
    with stream(served, CHAT, body, headers) as answer:
        answer.frames(3)
        until(lambda: served.rows("SELECT 1 FROM holds WHERE state = 'streaming'"), "a checkpoint")
        os.kill(served.pid, signal.SIGKILL)
    served.wait()
    upstream.resume()

    again = call(served.start(), CHAT, body, headers=headers)

    assert (again.status, again.headers["x-should-retry"]) == (409, "false")
    assert again.json()["error"]["code"] == "idempotency_interrupted"
    assert len(upstream.calls) == 1
    assert broken_books(served.database_url) == []


def test_a_key_that_was_used_for_something_else_is_refused(served: Gateway) -> None:
    assert asked(served, idempotency_key="a").status == 200

    other = call(served, CHAT, {**QUESTION, "max_tokens": 3}, headers={"idempotency-key": "a"})

    assert other.status == 422
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert asked(served, MESSAGES, idempotency_key="a").status == 200, "a key is of its path"


def test_an_error_of_the_provider_is_an_outcome_and_a_refusal_is_not(
    served: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, whole(b"{}", status=500), whole(b"{}", status=429), whole(ANSWER))

    statuses = [asked(served, idempotency_key="e").status for _ in range(2)]
    assert statuses[0] == statuses[1] == 502
    assert len(upstream.calls) == 1
    assert [asked(served, idempotency_key="f").status for _ in range(2)] == [429, 200]


def test_the_books_agree_after_all_this(served: Gateway) -> None:
    assert asked(served).status == 200
    assert served.stop() == 0
    assert broken_books(f"sqlite:///{served.database}") == []

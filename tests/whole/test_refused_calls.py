"""A call that is refused before it is let in has its row, too, if it is known whose it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.fix_gateway import Gateway, until
from tests.fix_upstream import (
    CHAT,
    COUNT_TOKENS,
    EMBEDDINGS,
    MESSAGES,
    ScriptedUpstream,
    recording,
    whole,
)
from tests.whole.wire import Answer, call

HELLO = [{"role": "user", "content": "Hello."}]


def row_of(gateway: Gateway, answer: Answer) -> dict[str, object]:
    """The row of that answer's call, once it is there."""
    with closing(sqlite3.connect(gateway.database)) as connection:
        connection.row_factory = sqlite3.Row
        query = "SELECT * FROM usage WHERE request_id = ?"
        row = until(
            lambda: connection.execute(query, (answer.headers["request-id"],)).fetchone(), "the call's row"
        )
    return dict(row)


def count_of(gateway: Gateway) -> int:
    with closing(sqlite3.connect(gateway.database)) as connection:
        count: int = connection.execute("SELECT count(*) FROM usage").fetchone()[0]
        return count


def test_a_bad_request_an_unknown_model_and_a_forbidden_one_have_rows(gateway: Gateway) -> None:
    bad = row_of(gateway, call(gateway, CHAT, {"model": "chat-model", "messages": "Hello."}))
    unknown = row_of(
        gateway, call(gateway, MESSAGES, {"model": "nobody", "max_tokens": 1, "messages": HELLO})
    )
    embedded = row_of(gateway, call(gateway, EMBEDDINGS, {"model": "nobody", "input": "Hello."}))

    assert (bad["status"], bad["outcome"], bad["provider"], bad["cost_nano_usd"]) == (400, "invalid", None, 0)
    assert (unknown["status"], unknown["outcome"], unknown["model_asked"]) == (404, "unknown_model", "nobody")
    assert (embedded["status"], embedded["model_asked"]) == (404, "nobody")


def test_an_idempotency_key_hides_nothing_of_a_refusal(gateway: Gateway) -> None:
    headers = {"idempotency-key": "refused-1"}

    row = row_of(gateway, call(gateway, CHAT, {"model": "nobody", "messages": HELLO}, headers=headers))

    assert (row["status"], row["model_asked"]) == (404, "nobody")


def test_a_repeated_call_is_no_failure_unless_it_is_another_call(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))
    headers, body = {"idempotency-key": "repeated-1"}, {"model": "chat-model", "messages": HELLO}
    first = call(gateway, CHAT, body, headers=headers)
    row_of(gateway, first)

    again = row_of(gateway, call(gateway, CHAT, body, headers=headers))
    other = row_of(gateway, call(gateway, CHAT, {**body, "max_tokens": 5}, headers=headers))

    assert first.status == 200
    assert (again["status"], again["outcome"], again["cost_nano_usd"]) == (200, "replayed", 0)
    assert (other["status"], other["outcome"]) == (422, "idempotency_mismatch")
    assert len(upstream.calls) == 1


def test_strangers_and_counts_have_none_and_a_loop_has_only_so_many(gateway: Gateway) -> None:
    before = count_of(gateway)
    for headers in ({"authorization": ""}, {"authorization": "Bearer sk-mw-wrong"}):
        assert call(gateway, CHAT, {"model": "chat-model", "messages": HELLO}, headers=headers).status == 401
    assert call(gateway, COUNT_TOKENS, {"model": "nobody", "messages": HELLO}).status == 404
    asked = [call(gateway, CHAT, {"model": "nobody", "messages": HELLO}) for _ in range(300)]

    assert {answer.status for answer in asked} == {404}
    row_of(gateway, call(gateway, MESSAGES, {"model": "last", "max_tokens": 1, "messages": HELLO}))
    assert 1 < count_of(gateway) - before < len(asked)


def test_a_client_that_ignores_its_rate_limit_does_not_fill_the_disk(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))
    key = gateway.manage("keys", "create", "--name", "slow", "--requests-per-minute", "1").strip()
    headers, body = {"authorization": f"Bearer {key}"}, {"model": "chat-model", "messages": HELLO}
    before = count_of(gateway)

    answers = [call(gateway, CHAT, body, headers=headers) for _ in range(300)]

    limited = [answer for answer in answers if answer.status == 429]
    assert len(limited) >= 290
    row = row_of(gateway, limited[0])
    assert (row["outcome"], row["model_asked"], row["cost_nano_usd"]) == ("rate_limited", "chat-model", 0)
    assert count_of(gateway) - before < len(answers)

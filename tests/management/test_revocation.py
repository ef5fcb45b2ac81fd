"""Two workers on PostgreSQL: what one is told, both keep to, and so does every live stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import select

from modelway.store.audit import audit
from modelway.store.schema import usage
from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, MESSAGES, RESPONSES, ScriptedUpstream, recording, streamed, whole
from tests.ledger.through_gateway import ask as ask_database
from tests.management.conftest import Keys, ask, bearer
from tests.whole.wire import call, minimal, stream

HEARD_FRAMES = 8  # some text is among them in every dialect
# What docs/reference/management.md promises of live streams. Of new calls it promises a second; on a machine
# with other work they may take as long.
ENDS_WITHIN_S = 5
CALLS = 12  # each is a connection of its own, which the kernel gives to either worker
MODELS = {CHAT: "chat-model", MESSAGES: "messages-model", RESPONSES: "responses-model"}
NAMES = {CHAT: "chat", MESSAGES: "messages", RESPONSES: "responses"}
# How each dialect says in a stream that it went wrong, and how it would say that all is well.
ERRORS: dict[str, tuple[bytes, ...]] = {
    CHAT: (b'"error"',),
    MESSAGES: (b"event: error",),
    RESPONSES: (b"response.failed", b"event: error"),
}
ENDS = {CHAT: b"[DONE]", MESSAGES: b"message_stop", RESPONSES: b"response.completed"}


@pytest.fixture
def two_workers(postgresql_url: str, make_gateway: Callable[..., Gateway]) -> Gateway:
    gateway = make_gateway(MODELWAY_DATABASE=postgresql_url, MODELWAY_SECRET="3f" * 32, MODELWAY_WORKERS="2")
    gateway.api_key = gateway.manage("keys", "create", "--name", "admin", "--management").strip()
    return gateway.start()


def test_a_limit_and_a_revocation_reach_every_worker_and_every_live_stream(
    two_workers: Gateway, upstream: ScriptedUpstream, postgresql_url: str
) -> None:
    gateway, manager = two_workers, two_workers.api_key
    made = ask(gateway, manager, "POST", "/v1/keys", {"name": "k"}).json()
    headers, path = bearer(made["key"]), f"/v1/keys/{made['id']}"

    def statuses() -> set[int]:
        body = minimal(CHAT, "chat-model")
        return {call(gateway, CHAT, body, headers=headers).status for _ in range(CALLS)}

    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))
    assert statuses() == {200}
    assert ask(gateway, manager, "PATCH", path, {"limit_usd": 0}).status == 200
    until(lambda: statuses() == {429}, "the limit at every worker", ENDS_WITHIN_S)
    assert ask(gateway, manager, "PATCH", path, {"limit_usd": None}).status == 200
    until(lambda: statuses() == {200}, "no limit at every worker", ENDS_WITHIN_S)

    with ExitStack() as stack:
        streams = []
        for at in (CHAT, MESSAGES, RESPONSES) * 2:
            upstream.answers(at, streamed(recording(f"whole/{NAMES[at]}_text.sse"), pause_after=HEARD_FRAMES))
            body = minimal(at, MODELS[at], stream=True)
            streams.append((at, stack.enter_context(stream(gateway, at, body, headers))))
            assert streams[-1][1].frame()
        assert ask(gateway, manager, "DELETE", path).json()["status"] == "revoked"
        until(lambda: statuses() == {401}, "the revocation at every worker", ENDS_WITHIN_S)
        for each in upstream.calls[-len(streams) :]:
            each.wait_until_left(ENDS_WITHIN_S)
        rests = [(at, answer.rest(), answer.request_id) for at, answer in streams]

    for at, rest, _ in rests:
        assert any(each in rest for each in ERRORS[at]), rest
        assert b"was revoked" in rest
        assert ENDS[at] not in rest
    ids = [request_id for _, _, request_id in rests]
    columns = (usage.c.outcome, usage.c.output_tokens)
    booked = until(
        lambda: _all(
            ask_database(
                postgresql_url,
                lambda connection: connection.execute(
                    select(*columns).where(usage.c.request_id.in_(ids))
                ).all(),
            ),
            len(ids),
        ),
        "a row for each stream",
    )
    assert {outcome for outcome, _ in booked} == {"unauthenticated"}
    assert all(tokens > 0 for _, tokens in booked), "what was heard is paid"
    assert ask_database(postgresql_url, audit) == []


def test_a_lower_limit_ends_a_live_stream_that_goes_past_it(
    gateway: Gateway, upstream: ScriptedUpstream, keys: Keys
) -> None:
    made = ask(gateway, keys["owner"], "POST", "/v1/keys", {"name": "k"}).json()
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse"), pause_after=HEARD_FRAMES))
    with stream(gateway, CHAT, minimal(CHAT, "chat-model", stream=True), bearer(made["key"])) as answer:
        assert answer.frame()
        assert ask(gateway, keys["owner"], "PATCH", f"/v1/keys/{made['id']}", {"limit_usd": 0}).status == 200
        rest = answer.rest()

    assert b"has got another limit" in rest
    assert ENDS[CHAT] not in rest
    row = gateway.usage_of(answer.request_id)
    assert row["outcome"] == "no_credit"
    assert row["cost_nano_usd"] > 0, "what was heard is paid"


def _all(rows: Sequence[Any], count: int) -> Sequence[Any]:
    return rows if len(rows) == count else []

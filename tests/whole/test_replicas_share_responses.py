"""Two gateways on one PostgreSQL: what one keeps, the other continues, cancels and buries."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import openai
import pytest

from tests.fix_databases import PostgresqlServer
from tests.fix_gateway import Gateway
from tests.fix_upstream import CHAT, Hold, Scripted, ScriptedUpstream, Send, recording, whole

SECRET = "3f" * 32


@pytest.fixture
def replicas(postgresql_url: str, make_gateway: Callable[..., Gateway]) -> tuple[Gateway, Gateway]:
    """Made after the database, so that they have stopped when it is dropped."""
    environment = {"MODELWAY_DATABASE": postgresql_url, "MODELWAY_SECRET": SECRET}
    first, second = make_gateway(**environment), make_gateway(**environment)
    second.api_key = first.start_new().api_key
    return first, second.start()


@pytest.fixture
def clients(replicas: tuple[Gateway, Gateway]) -> Iterator[list[openai.OpenAI]]:
    made = [
        openai.OpenAI(base_url=f"{each.base_url}/v1", api_key=each.api_key, max_retries=0)
        for each in replicas
    ]
    yield made
    for client in made:
        client.close()


def held() -> Scripted:
    body = recording("whole/chat_text.json")
    return Scripted((Hold(), Send(body)), length=len(body))


def test_turns_alternate_between_replicas_without_a_pause(
    clients: list[openai.OpenAI], upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))
    previous: str | openai.Omit = openai.omit
    for number in range(6):
        given = clients[number % 2].responses.create(
            model="chat-model", input=f"turn {number}", previous_response_id=previous
        )
        previous = given.id

    words = upstream.last.body.decode()
    assert all(f"turn {number}" in words for number in range(6))
    assert clients[1].responses.retrieve(given.id) == clients[0].responses.retrieve(given.id)


def test_a_run_of_one_replica_is_cancelled_through_the_other(
    clients: list[openai.OpenAI], upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, held())
    given = clients[0].responses.create(model="chat-model", input="Hi", background=True)
    upstream.wait_for_calls(1)

    assert clients[1].responses.cancel(given.id).status == "cancelled"

    upstream.last.wait_until_left()
    assert clients[0].responses.retrieve(given.id).status == "cancelled"


def test_a_run_whose_replica_died_is_failed_on_the_other(
    replicas: tuple[Gateway, Gateway],
    clients: list[openai.OpenAI],
    upstream: ScriptedUpstream,
    postgresql_server: PostgresqlServer,
    postgresql_url: str,
) -> None:
    upstream.answers(CHAT, held())
    given = clients[0].responses.create(model="chat-model", input="Hi", background=True)
    upstream.wait_for_calls(1)
    os.kill(replicas[0].pid, signal.SIGKILL)
    replicas[0].wait()
    assert clients[1].responses.retrieve(given.id).status in ("queued", "in_progress")

    name = postgresql_url.partition("@/")[2].partition("?")[0]  # half a minute passes
    postgresql_server.execute("UPDATE responses SET lease_until_ms = lease_until_ms - 40000", name)

    found = clients[1].responses.retrieve(given.id)
    assert found.status == "failed"
    assert found.error is not None
    assert found.error.code == "server_error"

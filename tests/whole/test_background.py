"""Responses in the background: answered at once, made without their client, ended from anywhere."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import openai
import pytest

from tests.fix_gateway import WAIT_S, Gateway, until
from tests.fix_upstream import (
    CHAT,
    RESPONSES,
    Hold,
    Scripted,
    ScriptedUpstream,
    Send,
    recording,
    streamed,
    whole,
)
from tests.whole.wire import call

LIVE = ("queued", "in_progress")
UPSTREAMS = {"chat": (CHAT, "chat-model"), "responses": (RESPONSES, "responses-model")}


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with client_of(gateway) as made:
        yield made


def client_of(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.base_url}/v1", api_key=gateway.api_key, max_retries=0)


def held(name: str) -> Scripted:
    """A whole answer that waits for `resume()`."""
    body = recording(name)
    return Scripted((Hold(), Send(body)), length=len(body))


def ended(client: openai.OpenAI, id: str) -> Any:
    def over() -> Any:
        found = client.responses.retrieve(id)
        return None if found.status in LIVE else found

    return until(over, f"the end of {id}")


@pytest.mark.parametrize("protocol", UPSTREAMS)
def test_it_is_queued_at_once_and_found_complete_later(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream, protocol: str
) -> None:
    path, model = UPSTREAMS[protocol]
    upstream.answers(path, held(f"whole/{protocol}_text.json"))

    given = client.responses.create(model=model, input="Say hello.", background=True)
    assert given.status == "queued"
    assert given.background is True
    upstream.wait_for_calls(1)
    until(lambda: client.responses.retrieve(given.id).status == "in_progress", "in_progress")
    upstream.resume()
    found = ended(client, given.id)

    assert (found.id, found.status, found.background) == (given.id, "completed", True)
    assert found.output_text.startswith("Hello, wörld!")
    assert "background" not in upstream.last.json()
    again = client.responses.create(model=model, input="And?", previous_response_id=given.id)
    assert again.previous_response_id == given.id
    assert "Hello, w" in upstream.last.body.decode()


def test_it_is_metered_like_any_other(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))

    given = client.responses.create(model="chat-model", input="Say hello.", background=True)
    ended(client, given.id)

    row = gateway.usage_of(given._request_id or "")
    assert (row["input_tokens"], row["output_tokens"], row["outcome"]) == (21, 14, "ok")
    assert row["cost_nano_usd"] == 21 * 1000 + 14 * 2000


@pytest.mark.parametrize("protocol", UPSTREAMS)
def test_it_can_be_cancelled_and_its_upstream_is_let_go(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream, protocol: str
) -> None:
    path, model = UPSTREAMS[protocol]
    upstream.answers(path, held(f"whole/{protocol}_text.json"))
    given = client.responses.create(model=model, input="Say hello.", background=True)
    upstream.wait_for_calls(1)

    cancelled = client.responses.cancel(given.id)

    assert cancelled.status == "cancelled"
    upstream.last.wait_until_left()
    assert upstream.last.left_early
    assert client.responses.cancel(given.id).status == "cancelled", "twice is once"
    assert client.responses.retrieve(given.id).status == "cancelled"
    assert gateway.usage_of(given._request_id or "")["outcome"] == "client_gone"


def test_deleting_it_ends_it(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.answers(CHAT, held("whole/chat_text.json"))
    given = client.responses.create(model="chat-model", input="Say hello.", background=True)
    upstream.wait_for_calls(1)

    client.responses.delete(given.id)

    upstream.last.wait_until_left()
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(given.id)


def test_one_that_is_not_over_cannot_be_continued(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, held("whole/chat_text.json"))
    given = client.responses.create(model="chat-model", input="Say hello.", background=True)

    with pytest.raises(openai.BadRequestError, match="when it is over"):
        client.responses.create(model="chat-model", input="And?", previous_response_id=given.id)
    upstream.resume()
    ended(client, given.id)


def test_a_provider_that_fails_makes_it_failed(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.answers(CHAT, whole(b'{"error":{"message":"on fire","type":"server_error"}}', status=500))

    given = client.responses.create(model="chat-model", input="Say hello.", background=True)
    found = ended(client, given.id)

    assert found.status == "failed"
    assert "on fire" in found.error.message


def test_a_model_that_is_not_there_is_refused_at_once(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="no-such-model", input="Say hello.", background=True)


@pytest.mark.parametrize("protocol", UPSTREAMS)
def test_streamed_it_outlives_its_client(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream, protocol: str
) -> None:
    path, model = UPSTREAMS[protocol]
    upstream.answers(path, streamed(recording(f"whole/{protocol}_text.sse"), pause_after=4))
    stream = client.responses.create(model=model, input="Say hello.", background=True, stream=True)
    created: Any = next(iter(stream))
    assert created.type == "response.created"
    stream.close()
    assert client.responses.retrieve(created.response.id).status == "in_progress"

    upstream.resume()

    found = ended(client, created.response.id)
    assert found.status == "completed"
    assert found.output_text.startswith("Hello, wörld!")
    assert not upstream.last.left_early


def test_streamed_to_the_end_it_is_stored(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse")))
    events: list[Any] = list(
        client.responses.create(model="chat-model", input="Hi", background=True, stream=True)
    )

    assert events[-1].type == "response.completed"
    assert client.responses.retrieve(events[-1].response.id).output == events[-1].response.output


def test_a_dead_worker_leaves_a_failed_response_behind(
    make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> None:
    gateway = make_gateway()
    gateway.start_new()
    upstream.answers(CHAT, held("whole/chat_text.json"))
    with client_of(gateway) as client:
        given = client.responses.create(model="chat-model", input="Say hello.", background=True)
        upstream.wait_for_calls(1)
    os.kill(gateway.pid, signal.SIGKILL)
    gateway.wait()
    expire_lease(gateway)
    gateway.start()

    with client_of(gateway) as client:
        found = client.responses.retrieve(given.id)
        assert found.status == "failed"
        assert found.error is not None
        assert client.responses.cancel(given.id).status == "failed"


def expire_lease(gateway: Gateway) -> None:
    """Half a minute passes."""
    with closing(sqlite3.connect(gateway.database, timeout=WAIT_S)) as connection:
        with connection:
            connection.execute("UPDATE responses SET lease_until_ms = lease_until_ms - 40000")


def test_a_shutdown_ends_it_as_failed_or_lets_it_finish(
    make_gateway: Callable[..., Gateway], upstream: ScriptedUpstream
) -> None:
    gateway = make_gateway(MODELWAY_TIMEOUTS_DRAIN_S="1")
    gateway.start_new()
    upstream.answers(CHAT, held("whole/chat_text.json"))
    with client_of(gateway) as client:
        client.responses.create(model="chat-model", input="Say hello.", background=True)
        upstream.wait_for_calls(1)

    gateway.terminate()

    assert gateway.wait() == 0
    [row] = gateway.rows("SELECT status, response FROM responses")
    assert row["status"] == "failed"
    assert json.loads(row["response"])["error"]["code"] == "server_error"


def test_background_has_to_be_stored(gateway: Gateway) -> None:
    body = {"model": "chat-model", "input": "Hi", "background": True, "store": False}

    assert call(gateway, "/v1/responses", body).json()["error"]["param"] == "background"

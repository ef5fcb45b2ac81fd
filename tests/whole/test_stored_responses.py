"""Responses that are kept, on every upstream: continued, fetched, listed and deleted by the SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fix_gateway import Gateway
from tests.fix_upstream import (
    CHAT,
    MESSAGES,
    RESPONSES,
    Scripted,
    ScriptedUpstream,
    frames,
    recording,
    streamed,
    whole,
)
from tests.whole.wire import call

UPSTREAMS = {
    "chat": (CHAT, "chat-model"),
    "messages": (MESSAGES, "messages-model"),
    "responses": (RESPONSES, "responses-model"),
}
TEXT = "Hello, wörld! 👋 It is 18 °C in “Paris”.\nTab\tand \\ too."


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.base_url}/v1", api_key=gateway.api_key, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def stranger(scripted_gateway: Gateway) -> str:
    """A key of another account of the same gateway."""
    scripted_gateway.manage("accounts", "create", "--name", "stranger")
    printed = scripted_gateway.manage("keys", "create", "--name", "stranger", "--account", "stranger")
    return printed.strip()


def script(upstream: ScriptedUpstream, protocol: str, *, stream: bool, turns: int = 1) -> str:
    """Answers with the recorded text; a Responses upstream gives every answer an id of its own."""
    path, model = UPSTREAMS[protocol]
    name = f"whole/{protocol}_text.{'sse' if stream else 'json'}"
    made: list[Scripted] = []
    for number in range(turns):
        data = recording(name)
        if protocol == "responses":
            data = data.replace(recorded_id(), f"resp_scripted{number}x{id(upstream) + len(made)}".encode())
        made.append(streamed(data) if stream else whole(data))
    upstream.answers(path, *made)
    return model


def recorded_id() -> bytes:
    return str(json.loads(recording("whole/responses_text.json"))["id"]).encode()


def told(upstream: ScriptedUpstream) -> str:
    """Everything the upstream was last sent, as text."""
    return upstream.last.body.decode()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("protocol", UPSTREAMS)
def test_three_turns_without_a_pause_send_the_whole_history(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream, protocol: str, stream: bool
) -> None:
    model = script(upstream, protocol, stream=stream, turns=3)
    previous = openai.omit
    for number, said in enumerate(("my name is Ada", "I live in Zürich", "where do I live?")):
        seen = respond(client, stream, model=model, input=said, previous_response_id=previous)
        assert seen.output_text == TEXT
        assert seen.previous_response_id == (None if number == 0 else previous)
        assert seen.store or protocol == "responses", "a passed answer says what its provider said"
        previous = seen.id

    sent = upstream.last.json()
    assert "previous_response_id" not in sent
    words = json.dumps(sent, ensure_ascii=False)
    order = [words.index(each) for each in ("my name is Ada", "I live in Zürich", "where do I live?")]
    assert order == sorted(order)
    assert words.count("Hello, wörld!") == 2, "the answers of both earlier turns go along"


def respond(client: openai.OpenAI, stream: bool, **asked: Any) -> Any:
    if not stream:
        return client.responses.create(**asked)
    events = list(client.responses.create(**asked, stream=True))
    ids = {event.response.id for event in events if hasattr(event, "response")}
    assert len(ids) == 1, f"one response, one id: {ids}"
    last: Any = events[-1]
    assert last.type == "response.completed"
    return last.response


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("protocol", UPSTREAMS)
def test_a_stored_response_is_fetched_as_it_was_given(
    client: openai.OpenAI, upstream: ScriptedUpstream, protocol: str, stream: bool
) -> None:
    model = script(upstream, protocol, stream=stream)
    given = respond(client, stream, model=model, input="Say hello.")

    first, second = client.responses.retrieve(given.id), client.responses.retrieve(given.id)

    assert first.to_dict() == second.to_dict() == given.to_dict()
    assert len(upstream.calls) == 1


def test_fetching_is_never_billed(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    def rows() -> int:
        """Rows of usage, this last call's among them."""
        last = client.responses.create(model="chat-model", input="Hi")
        gateway.usage_of(last._request_id or "")
        count: int = gateway.rows("SELECT count(*) AS n FROM usage")[0]["n"]
        return count

    id = client.responses.create(model=script(upstream, "chat", stream=False), input="Hi").id
    before = rows()
    for _ in range(2):
        client.responses.retrieve(id)
        client.responses.input_items.list(id)
    client.responses.delete(id)

    assert rows() == before + 1


def test_a_repeating_upstream_id_makes_no_ring(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.answers(RESPONSES, whole(recording("whole/responses_text.json")))
    first = client.responses.create(model="responses-model", input="one")
    second = client.responses.create(model="responses-model", input="two", previous_response_id=first.id)
    assert second.id == first.id
    client.responses.create(model="responses-model", input="three", previous_response_id=second.id)

    words = told(upstream)
    assert [words.count(f'"{said}"') for said in ("one", "two", "three")] == [1, 1, 1]


def test_instructions_are_not_inherited(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    model = script(upstream, "chat", stream=False)
    first = client.responses.create(model=model, input="Hi", instructions="Speak like a pirate")
    assert "pirate" in told(upstream)

    client.responses.create(model=model, input="Hi again", previous_response_id=first.id)

    assert "pirate" not in told(upstream)
    assert "Hi again" in told(upstream)


def test_a_tool_loop_goes_on_by_id_alone(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.answers(
        CHAT, whole(recording("whole/chat_tool_call.json")), whole(recording("whole/chat_text.json"))
    )
    first = client.responses.create(model="chat-model", input="What is the weather in Paris?")
    [called] = [item for item in first.output if item.type == "function_call"]

    client.responses.create(
        model="chat-model",
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": called.call_id, "output": "18 degrees"}],
    )

    roles = [message["role"] for message in upstream.last.json()["messages"]]
    assert roles == ["user", "assistant", "tool"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_store_false_keeps_nothing(client: openai.OpenAI, upstream: ScriptedUpstream, stream: bool) -> None:
    model = script(upstream, "chat", stream=stream)
    given = respond(client, stream, model=model, input="Say hello.", store=False)
    assert given.store is False

    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(given.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=model, input="and?", previous_response_id=given.id)


VERBS = {
    "get": ("GET", ""),
    "delete": ("DELETE", ""),
    "cancel": ("POST", "/cancel"),
    "input_items": ("GET", "/input_items"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_anothers_a_deleted_and_an_unknown_response_are_the_same_404(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream, stranger: str, verb: str
) -> None:
    model = script(upstream, "chat", stream=False)
    mine, gone = (client.responses.create(model=model, input="Hi").id for _ in range(2))
    client.responses.delete(gone)
    method, rest = VERBS[verb]

    def refused(id: str, key: str) -> dict[str, Any]:
        answer = call(
            gateway,
            f"/v1/responses/{id}{rest}",
            method=method,
            headers={"authorization": f"Bearer {key}"},
        )
        assert answer.status == 404
        error: dict[str, Any] = answer.json()["error"]
        return {**error, "message": error["message"].replace(id, "ID")}

    seen = [refused(mine, stranger), refused(gone, gateway.api_key), refused("resp_never", gateway.api_key)]

    assert seen[0] == seen[1] == seen[2]
    assert seen[0]["type"] == "not_found_error"
    assert client.responses.retrieve(mine).id == mine


def test_a_strangers_response_cannot_be_continued(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream, stranger: str
) -> None:
    model = script(upstream, "chat", stream=False)
    mine = client.responses.create(model=model, input="my secret").id

    def refused(key: str, id: str) -> Any:
        body = {"model": model, "input": "go on", "previous_response_id": id}
        answer = call(gateway, "/v1/responses", body, headers={"authorization": f"Bearer {key}"})
        assert answer.status == 404, answer.body
        return json.loads(answer.body.replace(id.encode(), b"ID"))["error"]

    assert refused(stranger, mine) == refused(gateway.api_key, "resp_never")
    assert len(upstream.calls) == 1
    item = [{"type": "item_reference", "id": client.responses.retrieve(mine).output[0].id}]
    answer = call(
        gateway,
        "/v1/responses",
        {"model": model, "input": item},
        headers={"authorization": f"Bearer {stranger}"},
    )
    assert answer.status == 404


@pytest.mark.parametrize("protocol", ["chat", "responses"])
def test_T158_an_item_reference_is_written_out(
    client: openai.OpenAI, upstream: ScriptedUpstream, protocol: str
) -> None:
    model = script(upstream, protocol, stream=False, turns=2)
    first = client.responses.create(model=model, input="Say hello.")

    client.responses.create(
        model=model,
        input=[
            {"role": "user", "content": "Say hello."},
            {"type": "item_reference", "id": str(first.output[0].id)},
            {"role": "user", "content": "Again."},
        ],
    )

    assert "item_reference" not in told(upstream)
    assert "Hello, w" in told(upstream)


def test_the_input_is_listed_in_pages(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    model = script(upstream, "chat", stream=False)
    asked: Any = [{"role": "user", "content": f"number {n}"} for n in range(5)]
    given = client.responses.create(model=model, input=asked)

    newest_first = list(client.responses.input_items.list(given.id, limit=2))
    in_order: Any = client.responses.input_items.list(given.id, order="asc", limit=100)

    texts = [item.content[0].text for item in in_order.data]
    assert texts == [f"number {n}" for n in range(5)]
    assert [item.id for item in newest_first] == [item.id for item in in_order.data][::-1]
    assert all(item.id for item in newest_first)
    second: Any = client.responses.create(model=model, input="next", previous_response_id=given.id)
    listed: Any = client.responses.input_items.list(second.id, order="asc")
    assert [item.role for item in listed.data] == ["user"] * 5 + ["assistant", "user"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("after=msg_x", "after"),
    ],
)
def test_a_page_that_cannot_be_is_refused(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream, query: str, param: str
) -> None:
    given = client.responses.create(model=script(upstream, "chat", stream=False), input="Hi")

    answer = call(gateway, f"/v1/responses/{given.id}/input_items?{query}")

    assert (answer.status, answer.json()["error"]["param"]) == (400, param)


def test_a_stored_response_is_not_streamed_again(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    given = client.responses.create(model=script(upstream, "chat", stream=False), input="Hi")

    assert call(gateway, f"/v1/responses/{given.id}?stream=true").json()["error"]["param"] == "stream"


def test_a_response_that_was_not_made_in_the_background_cannot_be_cancelled(
    client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    given = client.responses.create(model=script(upstream, "chat", stream=False), input="Hi")

    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(given.id)


def test_a_failed_stream_is_no_success_when_it_is_fetched(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    recorded = frames(recording("whole/chat_text.sse"))
    upstream.answers(CHAT, streamed(b"".join(recorded[: len(recorded) // 2])))
    seen: list[Any] = []
    with pytest.raises(openai.APIError):
        seen.extend(client.responses.create(model="chat-model", input="Hi", stream=True))
    rows = gateway.rows("SELECT status FROM responses ORDER BY created_at_ms DESC LIMIT 1")
    assert rows[0]["status"] == "failed"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True, "store": False}, "background"),
    ],
)
def test_what_state_cannot_do_is_refused(
    gateway: Gateway, upstream: ScriptedUpstream, asked: dict[str, Any], param: str
) -> None:
    answer = call(gateway, "/v1/responses", {"model": "chat-model", "input": "Hi", **asked})

    assert (answer.status, answer.json()["error"]["param"]) == (400, param)
    assert not upstream.calls


def test_a_websocket_is_refused_at_once(gateway: Gateway) -> None:
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
        "authorization": "",
    }

    answer = call(gateway, "/v1/responses", method="GET", headers=upgrade)

    assert answer.status == 426
    assert answer.json()["error"]["code"] == "upgrade_required"
    assert call(gateway, "/v1/responses", method="GET").status == 405

"""Before the first byte a failure goes elsewhere; after it nothing is tried again."""

from __future__ import annotations

import json

import pytest

from tests.crossing.answers import chat_says, says, text
from tests.fix_gateway import UPSTREAM_KEY, Gateway
from tests.fix_upstream import (
    CHAT,
    MESSAGES,
    RESPONSES,
    Reset,
    Scripted,
    ScriptedUpstream,
    recording,
    streamed,
    whole,
)
from tests.whole.wire import assert_is_the_envelope, call, events, minimal

SECOND_CHAT, SECOND_MESSAGES = f"/second{CHAT}", f"/second{MESSAGES}"
THIRD_CHAT, FOURTH_CHAT = f"/third{CHAT}", f"/fourth{CHAT}"
CLIENTS = [CHAT, MESSAGES, RESPONSES]


def fault(message: str, **more: object) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


# What the first provider does → another is asked.
ELSEWHERE: dict[str, Scripted] = {
    "rate limit": whole(fault("slow", type="rate_limit_error"), status=429),
    "overloaded": whole(fault("busy", type="overloaded_error"), status=529),
    "503": whole(fault("busy"), status=503),
    "500": whole(fault("oops"), status=500),
    "html": whole(b"<html>bad gateway</html>", status=502),
    "our key": whole(fault("no"), status=401),
    "our key is not let in": whole(fault("no"), status=403),
    "no such model": whole(fault("no such model", code="model_not_found"), status=404),
    "reset": Scripted((Reset(),)),
    "error in a 200": whole(fault("oops")),
    "nonsense in a 200": whole(b"hello"),
    "nothing in a 200": whole(b""),
    "empty object": whole(b"{}"),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("failing", ELSEWHERE)
def test_T257_T180_B09_a_failure_before_the_first_byte_is_answered_by_the_fallback(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, failing: str
) -> None:
    upstream.answers(CHAT, ELSEWHERE[failing])
    upstream.answers(SECOND_MESSAGES, says([text("From the second.")]))

    answer = call(crossing, client, minimal(client, "chat-then-messages"))

    assert answer.status == 200, answer
    assert b"From the second." in answer.body
    assert answer.headers["x-modelway-model"] == "second-messages/far-too"


@pytest.mark.parametrize(
    ("client", "model", "first", "stream"),
    [
        (CHAT, "chat-then-messages", CHAT, "chat/error_first.sse"),
        (RESPONSES, "chat-then-messages", CHAT, "chat/error_first.sse"),
        (MESSAGES, "messages-then-chat", MESSAGES, "messages/error_first.sse"),
        (CHAT, "messages-then-chat", MESSAGES, "messages/error_first.sse"),
        (RESPONSES, "responses-then-chat", RESPONSES, "responses/error_event.sse"),
        (MESSAGES, "responses-then-chat", RESPONSES, "responses/failed_by_rate_limit.sse"),
    ],
)
def test_T261_B09_a_stream_that_fails_before_its_first_words_is_answered_by_the_fallback(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, model: str, first: str, stream: str
) -> None:
    upstream.answers(first, streamed(recording(stream)))
    upstream.answers(SECOND_MESSAGES, says([text("From the second.")], stream=True))
    upstream.answers(SECOND_CHAT, chat_says("From the second.", stream=True))

    answer = call(crossing, client, minimal(client, model, stream=True))

    assert answer.status == 200, answer
    assert b"From the second." in answer.body
    assert b"error" not in answer.body.replace(b'"error":null', b"")


MESSAGE_START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message",'
    b'"role":"assistant","model":"far","content":[],"stop_reason":null,"stop_sequence":null,'
    b'"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy"}}\n\n'


@pytest.mark.parametrize("client", CLIENTS)
def test_T232_T261_B09_an_error_behind_an_empty_beginning_is_still_a_status(
    crossing: Gateway, upstream: ScriptedUpstream, client: str
) -> None:
    upstream.answers(MESSAGES, streamed(MESSAGE_START + OVERLOADED))

    answer = call(crossing, client, minimal(client, "messages-model", stream=True))

    assert_is_the_envelope(answer, 529 if client == MESSAGES else 503, "overloaded_error")
    assert answer.headers["x-should-retry"] == "true"
    assert answer.headers["retry-after"]


def test_three_providers_are_tried_and_not_a_fourth(crossing: Gateway, upstream: ScriptedUpstream) -> None:
    for path in (CHAT, SECOND_CHAT, THIRD_CHAT):
        upstream.answers(path, whole(fault("busy"), status=503))
    upstream.answers(FOURTH_CHAT, chat_says("Too late."))

    answer = call(crossing, CHAT, minimal(CHAT, "four-deep"))

    assert_is_the_envelope(answer, 503, "overloaded_error")
    assert [received.path for received in upstream.calls] == [CHAT, SECOND_CHAT, THIRD_CHAT]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_callers_own_mistake_is_not_taken_elsewhere(
    crossing: Gateway, upstream: ScriptedUpstream, client: str
) -> None:
    upstream.answers(CHAT, whole(fault("bad", param="messages"), status=422))

    answer = call(crossing, client, minimal(client, "chat-then-messages"))

    error = assert_is_the_envelope(answer, 400, "invalid_request_error")
    assert error["message"] == "bad"
    assert len(upstream.calls) == 1


@pytest.mark.parametrize("client", CLIENTS)
def test_B08_nothing_is_tried_again_after_the_first_words(
    crossing: Gateway, upstream: ScriptedUpstream, client: str
) -> None:
    upstream.answers(CHAT, streamed(recording("chat/error_in_stream.sse"), drip_s=0.1))

    answer = call(crossing, client, minimal(client, "chat-then-messages", stream=True))

    assert answer.status == 200
    assert len(upstream.calls) == 1
    last = events(answer.body)[-1]
    assert "error" in last or last["type"] == "response.failed"
    row = crossing.usage_of(answer.request_id)
    assert row["outcome"] != "ok"
    assert row["estimated"] == 1, "what was heard is accounted for"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "first", "empty"),
    [
        ("chat-then-messages", CHAT, chat_says(None)),
        ("messages-then-chat", MESSAGES, says([])),
        ("messages-then-chat", MESSAGES, says([text("")])),
    ],
    ids=["chat", "messages", "messages-empty-text"],
)
def test_B11_an_empty_answer_is_asked_for_elsewhere(
    crossing: Gateway,
    upstream: ScriptedUpstream,
    client: str,
    stream: bool,
    model: str,
    first: str,
    empty: Scripted,
) -> None:
    name = "chat/empty_answer.sse" if first == CHAT else "messages/empty.sse"
    upstream.answers(first, streamed(recording(name)) if stream else empty)
    upstream.answers(SECOND_CHAT, chat_says("Words.", stream=stream))
    upstream.answers(SECOND_MESSAGES, says([text("Words.")], stream=stream))

    answer = call(crossing, client, minimal(client, model, **({"stream": True} if stream else {})))

    assert answer.status == 200, answer
    assert b"Words." in answer.body


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [False, True])
def test_B11_T205_the_last_providers_empty_answer_is_told_as_it_is(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, stream: bool
) -> None:
    upstream.answers(CHAT, streamed(recording("chat/empty_answer.sse")) if stream else chat_says(None))

    answer = call(crossing, client, minimal(client, "chat-model", **({"stream": True} if stream else {})))

    assert answer.status == 200, answer
    assert crossing.usage_of(answer.request_id)["outcome"] == "ok"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("upstream_model", ["chat-model", "messages-model", "responses-model"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", [b"", b"{}", b'{"choices":[],"content":null,"output":null}'])
def test_B11_A52_a_200_with_nothing_in_it_is_a_502(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, upstream_model: str, stream: bool, body: bytes
) -> None:
    path = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}[upstream_model.partition("-")[0]]
    upstream.answers(path, whole(body))

    answer = call(crossing, client, minimal(client, upstream_model, **({"stream": True} if stream else {})))

    assert_is_the_envelope(answer, 502, "api_error")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("model", ["chat-model", "messages-model", "responses-model"])
def test_T256_our_own_credentials_refusal_is_a_502_that_says_nothing_of_it(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, model: str
) -> None:
    path = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}[model.partition("-")[0]]
    said = f"Incorrect API key {UPSTREAM_KEY} of organisation Acme, see https://far.example"
    upstream.answers(path, whole(fault(said, code="invalid_api_key"), status=401))

    answer = call(crossing, client, minimal(client, model))

    error = assert_is_the_envelope(answer, 502, "api_error", "upstream_auth")
    assert not [word for word in (UPSTREAM_KEY, "Acme", "far.example") if word in str(error)]
    assert answer.headers["x-should-retry"] == "false"
    assert "upstream_auth" in crossing.metrics()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("model", ["chat-model", "messages-model", "responses-model"])
@pytest.mark.parametrize(
    ("status", "said", "expected", "messages_expected", "kind", "wait_s"),
    [
        (429, "7", 429, 429, "rate_limit_error", "7"),
        (429, "86400", 429, 429, "rate_limit_error", "60"),
        (429, "", 429, 429, "rate_limit_error", "1"),
        (529, "3", 503, 529, "overloaded_error", "3"),
        (503, "", 503, 529, "overloaded_error", "1"),
    ],
)
def test_T244_T258_a_busy_provider_says_when_to_come_back(
    crossing: Gateway,
    upstream: ScriptedUpstream,
    client: str,
    model: str,
    status: int,
    said: str,
    expected: int,
    messages_expected: int,
    kind: str,
    wait_s: str,
) -> None:
    path = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}[model.partition("-")[0]]
    headers = (("retry-after", said),) if said else ()
    upstream.answers(path, whole(fault("slow"), status=status, headers=headers))

    answer = call(crossing, client, minimal(client, model))

    assert_is_the_envelope(answer, messages_expected if client == MESSAGES else expected, kind)
    assert answer.headers["retry-after"] == wait_s
    assert answer.headers["x-should-retry"] == "true"

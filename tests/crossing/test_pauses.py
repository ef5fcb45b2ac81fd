"""A provider that pauses its answer is made to go on; the client sees one answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crossing.answers import Json, found, says, search, text, thinking
from tests.crossing.given import SDK_STREAM, SDK_WHOLE, told_by
from tests.fix_gateway import Gateway
from tests.fix_upstream import CHAT, MESSAGES, RESPONSES, ScriptedUpstream, whole
from tests.whole.wire import Answer, call, events, minimal

PATHS = {"chat": CHAT, "responses": RESPONSES}
WHILE_STREAMING = {"chat": {"stream_options": {"include_usage": True}}, "responses": {}}
FIRST = [thinking("Let me look.", "sig1"), text("Wait. "), search("srv1")]
SECOND = [found("srv1"), text("It is "), search("srv2"), found("srv2")]
THIRD = [text("sunny.")]


def ask(gateway: Gateway, client: str, *, stream: bool) -> Answer:
    more: dict[str, Any] = {"stream": True, **WHILE_STREAMING[client]} if stream else {}
    return call(gateway, PATHS[client], minimal(PATHS[client], "messages-model", **more))


def pausing(upstream: ScriptedUpstream, *rounds: tuple[list[Json], str], stream: bool) -> None:
    upstream.answers(MESSAGES, *(says(blocks, stop, stream=stream) for blocks, stop in rounds))


@pytest.mark.parametrize("client", PATHS)
@pytest.mark.parametrize("stream", [False, True])
def test_T169_a_paused_answer_is_gone_on_with_and_heard_as_one(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, stream: bool
) -> None:
    pausing(upstream, (FIRST, "pause_turn"), (SECOND, "pause_turn"), (THIRD, "end_turn"), stream=stream)

    answer = ask(crossing, client, stream=stream)

    assert answer.status == 200, answer
    told = told_by(client, (SDK_STREAM if stream else SDK_WHOLE)[client](answer.body))
    assert (told.text, told.thinking) == ("Wait. It is sunny.", "Letmelook.")
    first, second, third = (received.json()["messages"] for received in upstream.calls)
    assert [message["role"] for message in second] == ["user", "assistant"]
    assert second[:1] == first
    assert second[1]["content"] == FIRST, "the provider gets its own words back, signature and all"
    assert third[1]["content"] == FIRST + SECOND
    row = crossing.usage_of(answer.request_id)
    assert (row["input_tokens"], row["output_tokens"]) == (30, 15), "every round is paid"
    assert row["outcome"] == "ok"


def test_T169_the_parts_of_a_merged_stream_are_counted_without_gaps(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    pausing(upstream, (FIRST, "pause_turn"), (SECOND, "pause_turn"), (THIRD, "end_turn"), stream=True)

    seen = events(ask(crossing, "responses", stream=True).body)

    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    added = [event for event in seen if event["type"] == "response.output_item.added"]
    assert [event["output_index"] for event in added] == list(range(len(added)))
    assert sum(event["type"] == "response.created" for event in seen) == 1
    assert seen[-1]["type"] == "response.completed"
    assert seen[-1]["response"]["usage"]["output_tokens"] == 15


@pytest.mark.parametrize("client", PATHS)
@pytest.mark.parametrize("stream", [False, True])
def test_T169_ten_rounds_are_the_most(
    crossing: Gateway, upstream: ScriptedUpstream, client: str, stream: bool
) -> None:
    pausing(upstream, ([text("on ")], "pause_turn"), stream=stream)

    answer = ask(crossing, client, stream=stream)

    assert len(upstream.calls) == 10
    told = told_by(client, (SDK_STREAM if stream else SDK_WHOLE)[client](answer.body))
    assert told.text == "on " * 10
    if not stream:
        assert "pause_turn" in answer.headers["x-modelway-warnings"]


def test_T169_a_messages_client_sees_the_pause_itself(crossing: Gateway, upstream: ScriptedUpstream) -> None:
    pausing(upstream, (FIRST, "pause_turn"), stream=False)

    answer = call(crossing, MESSAGES, minimal(MESSAGES, "messages-model"))

    assert answer.json()["stop_reason"] == "pause_turn"
    assert len(upstream.calls) == 1


@pytest.mark.parametrize("client", PATHS)
def test_T169_a_provider_that_will_not_go_on_ends_the_stream_with_an_error(
    crossing: Gateway, upstream: ScriptedUpstream, client: str
) -> None:
    upstream.answers(
        MESSAGES, says(FIRST, "pause_turn", stream=True), whole(b'{"error":{"message":"no"}}', status=500)
    )

    answer = ask(crossing, client, stream=True)

    last = events(answer.body)[-1]
    assert "error" in last or last["type"] == "response.failed"
    assert crossing.usage_of(answer.request_id)["outcome"] == "upstream"


def test_T169_a_provider_that_will_not_go_on_with_a_whole_answer_is_a_502(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(MESSAGES, says(FIRST, "pause_turn"), whole(b'{"error":{"message":"no"}}', status=500))

    assert ask(crossing, "chat", stream=False).status == 502

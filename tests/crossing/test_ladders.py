"""The steps of a client's stream, whatever its provider's looked like: blocks in order, calls whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelway.conversation.events import fold
from tests.crossing.given import (
    PAIRS,
    PROTOCOLS,
    SDK_STREAM,
    Json,
    events,
    is_whole,
    recording,
    recordings,
    told_by,
    told_by_reply,
    translation,
)
from tests.whole.wire import events as frames_of

CHAT_CHUNK: Json = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "far"}


def stream(client: str, upstream: str, name: str, **asked: Any) -> bytes:
    """A recorded stream as this client gets it."""
    shared = translation(client, upstream, stream=True, **asked)
    writer = PROTOCOLS[client].writer(shared)
    return b"".join(map(writer.write, events(upstream, name, shared)))


def chat_to_messages(*deltas: Json, finish: str = "stop", done: bool = True) -> bytes:
    """Deltas of a Chat provider as a Messages client gets them."""
    shared = translation("messages", "chat", stream=True)
    choices: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    body = b"".join(
        b"data: %b\n\n" % json.dumps({**CHAT_CHUNK, "choices": [choice]}).encode() for choice in choices
    )
    reader, writer = PROTOCOLS["chat"].reader(shared), PROTOCOLS["messages"].writer(shared)
    seen = [*reader.read(body + (b"data: [DONE]\n\n" if done else b"")), *reader.end()]
    return b"".join(map(writer.write, seen))


def blocks(body: bytes) -> list[Json]:
    """The content of the message, as the SDK put it together."""
    return [block.model_dump() for block in SDK_STREAM["messages"](body).content]


def kinds(body: bytes) -> list[str]:
    return [block["type"] for block in blocks(body)]


def called(arguments: str = "{}", index: int = 0, **more: Any) -> Json:
    function = {"name": "look", "arguments": arguments}
    return {"index": index, "id": f"call_{index}", "type": "function", "function": function, **more}


def test_T185_thinking_and_a_call_are_no_text() -> None:
    assert kinds(stream("messages", "chat", "reasoning_then_tool")) == ["thinking", "tool_use"]


def test_T186_a_line_break_before_a_call_in_one_chunk_loses_nothing_of_the_call() -> None:
    found = blocks(
        chat_to_messages({"content": "\n", "tool_calls": [called('{"a":1}')]}, finish="tool_calls")
    )

    assert [(block["name"], block["input"]) for block in found if block["type"] == "tool_use"] == [
        ("look", {"a": 1})
    ]
    assert not [block for block in found if block["type"] == "text" and not block["text"]]


def test_T187_A02_text_and_a_call_in_one_chunk_are_two_blocks() -> None:
    body = chat_to_messages({"content": "I look.", "tool_calls": [called('{"a":1}')]}, finish="tool_calls")

    assert kinds(body) == ["text", "tool_use"]
    assert blocks(body)[1]["name"] == "look"


def test_T190_empty_pieces_open_no_block_of_their_own() -> None:
    body = chat_to_messages({"role": "assistant", "content": ""}, {"content": ""}, {"content": "Hi"})

    assert [block["text"] for block in blocks(body)] == ["Hi"]


def test_T191_two_calls_are_two_blocks_counted_without_gaps() -> None:
    body = stream("messages", "chat", "parallel_tools")

    starts = [event["index"] for event in frames_of(body) if event["type"] == "content_block_start"]
    assert starts == list(range(len(starts)))
    assert kinds(body).count("tool_use") == 2


def test_T195_a_first_chunk_without_choices_is_passed_over() -> None:
    assert kinds(stream("messages", "chat", "prompt_filter_first")) == ["text"]


def test_T202_an_end_without_done_is_an_end() -> None:
    message = SDK_STREAM["messages"](chat_to_messages({"content": "Hi"}, done=False))

    assert message.stop_reason == "end_turn"


@pytest.mark.parametrize("client", ["chat", "messages", "responses"])
def test_A03_A09_a_careless_servers_indexes_and_repeats_never_reach_a_client(client: str) -> None:
    names = ("tool_index_minus_1_first", "tool_id_on_every_delta", "tool_id_and_name_on_every_delta")
    for name in names:
        body = stream(client, "chat", name)
        shared = translation(client, "chat")
        expected = told_by_reply(fold(events("chat", name, shared)), client)
        assert told_by(client, SDK_STREAM[client](body)).calls == expected.calls
        assert len(expected.calls) == 1, name


def test_A03_every_first_piece_of_a_call_is_whole() -> None:
    for upstream in PROTOCOLS:
        for name in recordings(upstream, ".sse"):
            first: dict[int, Any] = {}
            for event in frames_of(stream("chat", upstream, name)):
                for choice in event.get("choices", ()):
                    for piece in choice["delta"].get("tool_calls", ()):
                        first.setdefault(piece["index"], piece)
            assert list(first) == list(range(len(first))), (upstream, name)
            for piece in first.values():
                assert piece["id"], (upstream, name)
                assert piece[piece["type"]]["name"], (upstream, name)


def test_A04_thinking_text_and_a_call_of_anthropics_make_a_chat_call() -> None:
    completion = SDK_STREAM["chat"](stream("chat", "messages", "thinking_tool"))

    assert completion.choices[0].finish_reason == "tool_calls"
    assert len(completion.choices[0].message.tool_calls) == 1


STREAMS = [(client, upstream, name) for client, upstream in PAIRS for name in recordings(upstream, ".sse")]


@pytest.mark.parametrize(("client", "upstream", "name"), [row for row in STREAMS if row[0] == "messages"])
def test_B07_a_messages_stream_keeps_its_ladder(client: str, upstream: str, name: str) -> None:
    """message_start, blocks that open and close one after another, message_delta, message_stop."""
    steps = [event["type"] for event in frames_of(stream(client, upstream, name)) if event["type"] != "ping"]
    if steps == ["error"]:
        return
    assert steps.pop(0) == "message_start"
    is_open = False
    while steps and steps[0].startswith("content_block"):
        step = steps.pop(0)
        assert is_open is (step != "content_block_start"), name
        is_open = step != "content_block_stop"
    assert steps in (["message_delta", "message_stop"], ["error"]), name
    assert not is_open or steps == ["error"]


@pytest.mark.parametrize(("client", "upstream", "name"), [row for row in STREAMS if row[0] == "responses"])
def test_T235_A26_B06_a_responses_stream_counts_its_events_and_ends_once(
    client: str, upstream: str, name: str
) -> None:
    seen = frames_of(stream(client, upstream, name))
    ends = [event for event in seen if event["type"].split(".")[-1] in ("completed", "incomplete", "failed")]
    ends = [event for event in ends if event["type"].count(".") == 1 or event["type"] == "error"]
    shared = translation(client, upstream)

    if is_whole(events(upstream, name, shared)):
        assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
        assert len(ends) == 1
        assert seen[-1] is ends[0]
        ids = {event["response"]["id"] for event in seen if "response" in event}
        assert len(ids) == 1
    else:
        assert seen[-1]["type"] in ("response.failed", "error")


@pytest.mark.parametrize("upstream", PROTOCOLS)
def test_B04_B05_a_stream_cut_at_any_byte_says_the_same(upstream: str) -> None:
    """The recorded text holds accents, Chinese and an emoji: a cut may fall inside a character."""
    body = recording(upstream, "text.sse")
    expected = events(upstream, "text", translation("chat", upstream))
    for cut in range(1, len(body)):
        reader = PROTOCOLS[upstream].reader(translation("chat", upstream))
        seen = [*reader.read(body[:cut]), *reader.read(body[cut:]), *reader.end()]
        assert fold(seen) == fold(expected), cut
    assert "\ufffd" not in str(expected)

"""What upstreams that speak Chat answer, in all the ways they do, as one neutral reply."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelway.conversation.errors import CallError
from modelway.conversation.events import (
    ArgumentsAdded,
    Event,
    Failed,
    Finished,
    Heartbeat,
    PartEnded,
    PartStarted,
    Started,
    TextAdded,
    UsageReported,
    fold,
)
from modelway.conversation.parts import Citation, Reasoning, Refusal, Secret, Text, ToolCall
from modelway.conversation.reply import Stop, Usage
from modelway.protocols.openai_chat import CHAT
from tests.protocols.openai_chat.given import RECORDINGS, body, events, recording, reply, translation

PARIS, ROME, OSLO = '{"city":"Paris","days":3}', '{"city":"Rome","days":1}', '{"city":"Oslo","days":2}'
MINTED = "call_" + "0" * 23


def call(call_id: str, arguments: str = PARIS, name: str = "get_weather") -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments)


BOTH = (call("call_8rT0"), call("call_9kQ1", ROME))
ONE = (call("call_8rT0"),)

# recording: the parts, and why it stopped
STREAMS: dict[str, tuple[tuple[Any, ...], str]] = {
    "text": ((Text(text="Bonjour, le monde 🌍 — 世界."),), "end"),
    "crlf": ((Text(text="Bonjour, le monde 🌍 — 世界."),), "end"),
    "retry_id_and_comments": ((Text(text="Bonjour, le monde 🌍 — 世界."),), "end"),
    "tool_call": (ONE, "tool_use"),
    "parallel_tools": ((Text(text="I'll look at both."), *BOTH), "tool_use"),
    "interleaved_tools": (BOTH, "tool_use"),
    "tools_all_index_0": ((call("call_a"), call("call_b", ROME), call("call_c", OSLO)), "tool_use"),
    "tools_without_index": (BOTH, "tool_use"),
    "tools_without_index_in_one_chunk": (BOTH, "tool_use"),
    "tool_id_on_every_delta": (ONE, "tool_use"),
    "tool_id_and_name_on_every_delta": (ONE, "tool_use"),
    "tool_index_minus_1_first": (ONE, "tool_use"),
    "tool_without_id": ((call(MINTED + "1"),), "tool_use"),
    "tool_name_in_fragments": (ONE, "tool_use"),
    "tool_arguments_as_object": (ONE, "tool_use"),
    "tool_without_arguments": ((call("call_8rT0", "", "list_cities"),), "tool_use"),
    "tool_arguments_null": ((call("call_8rT0", "", "list_cities"),), "tool_use"),
    "tool_calls_but_finish_stop": (ONE, "tool_use"),
    "finish_tool_calls_but_no_call": ((Text(text="Done."),), "end"),
    "text_and_tool_in_one_chunk": ((Text(text="Looking."), *ONE), "tool_use"),
    "line_break_and_tool_in_one_chunk": (ONE, "tool_use"),
    "arguments_and_text_in_one_chunk": ((*ONE, Text(text="There.")), "tool_use"),
    "tool_cut_by_length": ((call("call_8rT0", '{"city":"Par'),), "max_tokens"),
    "legacy_function_call": ((call(MINTED + "1"),), "tool_use"),
    "reasoning_content": ((Reasoning(text="The user greets."), Text(text="Hello!")), "end"),
    "reasoning_then_tool": ((Reasoning(text="Need weather."), *ONE), "tool_use"),
    "refusal": ((Refusal(text="I can't help with that."),), "end"),
    "content_filter": ((Text(text="Once upon"),), "refusal"),
    "length": ((Text(text="Once upon a"),), "max_tokens"),
    "stop_sequence": ((Text(text="one, two"),), "stop_sequence"),
    "no_usage": ((Text(text="Hi."),), "end"),
    "no_done": ((Text(text="Hi."),), "end"),
    "last_frame_without_blank_line": ((Text(text="Hi."),), "end"),
    "empty_answer": ((), "end"),
    "prompt_filter_first": ((Text(text="Hi."),), "end"),
    "cache_usage": ((Text(text="Hi."),), "end"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_A01_A10_A56_A57_T182_T205_a_recorded_stream_is_read(name: str) -> None:
    parts, stop = STREAMS[name]
    folded = fold(events(f"{name}.sse"))

    assert folded.parts == parts
    assert folded.stop.reason == stop


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.sse")), ids=lambda path: path.stem)
def test_every_recorded_stream_keeps_the_order_of_events(path: Any) -> None:
    """One part open at a time, indexes 0, 1, 2, …, nothing behind the end."""
    opened, next_index, ended = None, 0, False
    for event in events(path.name):
        assert not ended
        match event:
            case PartStarted(index):
                assert (opened, index) == (None, next_index)
                opened, next_index = index, index + 1
            case PartEnded(index):
                assert opened == index
                opened = None
            case Finished():
                assert opened is None
                ended = True
            case Failed():
                ended = True
            case Started() | UsageReported() | Heartbeat():
                pass
            case _:
                assert event.index == opened
    assert ended


@pytest.mark.parametrize("name", sorted({path.stem for path in RECORDINGS.glob("*.sse")}))
def test_T250_T302_every_byte_alone_gives_the_same_events(name: str) -> None:
    data = recording(f"{name}.sse")
    reader = CHAT.reader(translation())
    bytewise: list[Event] = []
    for byte in data:
        bytewise += reader.read(bytes([byte]))
    bytewise += reader.end()

    assert [repr(event) for event in bytewise] == [repr(event) for event in events(f"{name}.sse")]


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDINGS.glob("*.json")))
def test_T303_a_whole_answer_equals_the_stream_of_it(name: str) -> None:
    if not (RECORDINGS / f"{name}.sse").exists():
        return
    whole, streamed = reply(f"{name}.json"), fold(events(f"{name}.sse"))

    assert whole == streamed


def test_T188_T192_arguments_are_given_out_as_they_come_where_nothing_waits() -> None:
    pieces = [event.text for event in events("tool_call.sse") if isinstance(event, ArgumentsAdded)]

    assert pieces == ['{"cit', 'y":"P', 'aris"', ',"day', 's":3}']


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("cut_off_in_text", "upstream_truncated"),
        ("cut_off_in_tool_call", "upstream_truncated"),
        ("cut_off_in_frame", "upstream_truncated"),
        ("error_in_stream", "server_is_overloaded"),
        ("error_first", "rate_limit_exceeded"),
        ("error_with_choice", "upstream_error"),
    ],
)
def test_T200_T201_T203_a_broken_stream_fails_and_is_never_a_success(name: str, code: str) -> None:
    seen = events(f"{name}.sse")

    assert isinstance(seen[-1], Failed)
    assert seen[-1].error.code == code
    assert seen[-1].error.kind.upstream_at_fault
    with pytest.raises(CallError):
        fold(seen)


@pytest.mark.parametrize("name", ["text", "parallel_tools", "interleaved_tools", "reasoning_content"])
def test_B10_a_stream_cut_anywhere_before_its_reason_to_stop_fails(name: str) -> None:
    frames = recording(f"{name}.sse").split(b"\n\n")
    reason = next(number for number, frame in enumerate(frames) if b'"finish_reason":"' in frame)
    for kept in range(reason + 1):
        reader = CHAT.reader(translation())
        seen = reader.read(b"\n\n".join(frames[:kept]) + b"\n\n") + reader.end()
        assert isinstance(seen[-1], Failed)
        assert not any(isinstance(event, Finished) for event in seen)


def test_nothing_follows_an_end() -> None:
    reader = CHAT.reader(translation())
    reader.read(recording("text.sse"))

    assert reader.read(recording("text.sse")) == []
    assert reader.end() == []


@pytest.mark.parametrize("data", [b"data: {oops\n\n", b"data: 7\n\n", b"data: []\n\n"])
def test_a_chunk_that_is_no_chunk_fails_the_stream(data: bytes) -> None:
    seen = CHAT.reader(translation()).read(data)

    assert isinstance(seen[-1], Failed)


def test_a_line_break_alone_before_a_call_is_no_text() -> None:
    assert not any(isinstance(event, TextAdded) for event in events("line_break_and_tool_in_one_chunk.sse"))


# ---- reasoning ----


def test_signed_and_redacted_reasoning_keep_their_secrets() -> None:
    signature = "EqQBCkYIChgCIkBTaWduYXR1cmVCeXRlc0V4YW1wbGU"
    signed = Reasoning(
        text="Check the weather.", secret=Secret(vendor="anthropic", kind="signature", value=signature)
    )
    sealed = Secret(vendor="anthropic", kind="redacted", value="RW5jcnlwdGVkVGhpbmtpbmc")

    assert reply("reasoning_details_signed.json").parts == (signed, Text(text="Sunny."))
    assert fold(events("reasoning_details_signed.sse")).parts == (signed, Text(text="Sunny."))
    assert reply("reasoning_details_redacted.json").parts == (
        Reasoning(secret=sealed, redacted=True),
        Text(text="Sunny."),
    )


# ---- usage ----


def test_T196_T283_cached_tokens_are_taken_out_of_the_prompt() -> None:
    expected = Usage(input_tokens=10, cache_read_tokens=80, cache_write_5m_tokens=10, output_tokens=17)

    for usage in (reply("cache_usage.json").usage, fold(events("cache_usage.sse")).usage):
        assert usage is not None
        assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (10, 80, 10)
        assert usage.prompt_tokens == expected.prompt_tokens == 100


def test_T197_T286_no_details_means_not_said() -> None:
    usage = reply("usage_without_details.json").usage

    assert usage == Usage(input_tokens=9, output_tokens=2)
    assert fold(events("no_usage.sse")).usage is None


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"cached_tokens": 100}, (0, 100, None)),
        ({"cached_tokens": 500}, (0, 500, None)),
        ({"cached_tokens": 80, "cache_write_tokens": None}, (20, 80, None)),
        ({"cached_tokens": "80"}, (100, None, None)),
        (None, (100, None, None)),
    ],
)
def test_T284_T285_T287_odd_details_make_no_negative_and_no_crash(details: Any, expected: Any) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": details}
    read = CHAT.read_reply(
        body(choices=[{"message": {"content": "x"}, "finish_reason": "stop"}], usage=usage), translation()
    ).usage

    assert read is not None
    assert (read.input_tokens, read.cache_read_tokens, read.cache_write_tokens) == expected


def test_usage_is_reported_before_the_end_for_a_client_that_hangs_up() -> None:
    seen = events("text.sse")

    assert isinstance(seen[-3], UsageReported)
    assert isinstance(seen[-1], Finished)


# ---- stops and oddities of whole answers ----


def answered(message: dict[str, Any], finish: Any, **choice: Any) -> Any:
    choices = [{"index": 0, "message": message, "finish_reason": finish, **choice}]
    return CHAT.read_reply(body(choices=choices), translation())


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end"),
        ("length", "max_tokens"),
        ("tool_calls", "end"),
        ("content_filter", "refusal"),
        ("end_turn", "end"),
        ("EOS", "end"),
        ("brand_new", "unknown"),
    ],
)
def test_T159_every_reason_to_stop_is_understood(finish: str, reason: str) -> None:
    stop = answered({"content": "x"}, finish).stop

    assert (stop.reason, stop.raw) == (reason, finish)


def test_T160_calls_make_a_stop_a_wait_for_results() -> None:
    calls = {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}

    assert answered(calls, "stop").stop.reason == "tool_use"
    assert answered(calls, "length").stop.reason == "max_tokens"
    assert answered(calls, "content_filter").stop.reason == "refusal"


def test_T161_T162_T198_only_a_string_names_a_stop_sequence() -> None:
    assert reply("stop_sequence.json").stop == Stop("stop_sequence", sequence="</end>", raw="stop")
    assert reply("stop_token_id.json").stop == Stop("end", raw="stop")
    assert answered({"content": "x"}, "stop", stop_reason=None).stop == Stop("end", raw="stop")


def test_T163_an_answer_without_anything_is_an_empty_one() -> None:
    assert reply("empty_answer.json").parts == ()


@pytest.mark.parametrize("finish", [None, "error", "abort"])
def test_a_whole_answer_without_a_reason_to_stop_is_a_failure(finish: Any) -> None:
    with pytest.raises(CallError) as caught:
        answered({"content": "x"}, finish)

    assert caught.value.code == "upstream_truncated"


def test_T166_invalid_arguments_are_carried_as_written() -> None:
    assert reply("invalid_arguments.json").parts == (call("call_8rT0", "{not json"),)


def test_T180_an_error_inside_a_200_is_the_providers_fault() -> None:
    with pytest.raises(CallError) as caught:
        reply("error_in_200.json")
    assert (caught.value.kind.name, caught.value.message) == ("upstream_overloaded", "No instances available")

    for data in (b"<html>", b"[]", b"{}", b'{"choices":[]}', b'{"error":{"type":"invalid_request_error"}}'):
        with pytest.raises(CallError) as caught:
            CHAT.read_reply(data, translation())
        assert caught.value.kind.status == 502


def test_citations_belong_to_the_text() -> None:
    cited = Citation(kind="url", url="https://example.org/weather", title="Weather", start=0, end=13)

    for read in (reply("citations.json"), fold(events("citations.sse"))):
        (text,) = read.parts
        assert isinstance(text, Text)
        found = text.citations[0]
        assert (found.url, found.title, found.start, found.end) == (
            cited.url,
            cited.title,
            cited.start,
            cited.end,
        )


def test_logprobs_ride_with_their_text() -> None:
    for read in (reply("logprobs.json"), fold(events("logprobs.sse"))):
        assert read.logprobs is not None
        assert read.logprobs[0]["token"] == "Hi"


def test_a_custom_tools_call_is_free_text() -> None:
    assert reply("custom_tool.json").parts == (
        ToolCall(id="call_8rT0", name="apply_patch", arguments="*** Begin Patch\n", freeform=True),
    )


def test_content_in_parts_is_text_and_reasoning() -> None:
    inner = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "Hi"},
    ]

    assert answered({"content": inner}, "stop").parts == (Reasoning(text="hm"), Text(text="Hi"))


def test_T194_doubled_ids_of_different_calls_are_told_apart() -> None:
    calls = [
        {"id": "c", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c", "function": {"name": "g", "arguments": '{"a":2}'}},
    ]
    parts = answered({"tool_calls": calls}, "tool_calls").parts

    assert [(part.name, part.arguments) for part in parts] == [("f", '{"a":1}'), ("g", '{"a":2}')]
    assert len({part.id for part in parts}) == 2


@pytest.mark.parametrize(
    "junk",
    [
        {"choices": [{"delta": 3}]},
        {"choices": [{"delta": {"tool_calls": {"a": 1}, "content": 5, "reasoning_details": "x"}}]},
        {"choices": [{"delta": {"tool_calls": [None, {"function": 3}, {"index": "0", "id": 7}]}}]},
        {"choices": "none", "usage": 4},
        {"choices": [None], "usage": {"prompt_tokens": "x"}},
    ],
)
def test_junk_in_a_chunk_breaks_nothing(junk: dict[str, Any]) -> None:
    reader = CHAT.reader(translation())
    reader.read(b"data: " + json.dumps(junk).encode() + b"\n\n")

    assert fold(reader.read(recording("text.sse"))).parts == (Text(text="Bonjour, le monde 🌍 — 世界."),)


def test_a_signature_inside_a_call_waits_for_the_end_of_the_call() -> None:
    head = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a"'}}
    sealed = {"type": "reasoning.encrypted", "data": "c2ln", "format": "google-gemini-v1", "index": 0}
    deltas: list[dict[str, Any]] = [
        {"tool_calls": [head]},
        {"reasoning_details": [sealed]},
        {"reasoning_details": [sealed], "tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
    ]
    reader, seen = CHAT.reader(translation()), []
    for delta in deltas:
        chunk = {
            "choices": [{"delta": delta, "finish_reason": "tool_calls" if delta is deltas[-1] else None}]
        }
        seen += reader.read(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    seen += reader.end()

    secret = Secret(vendor="other", kind="encrypted", value="c2ln")
    assert fold(seen).parts == (call("c", '{"a":1}', "f"), Reasoning(secret=secret))


def test_a_foreign_envelope_in_an_answer_is_left_out_even_when_strict() -> None:
    details = [{"type": "reasoning.encrypted", "data": "mw1.AAAA.BBBB", "format": "mw1"}]
    message = {"content": "Hi", "reasoning_details": details}
    data = body(choices=[{"message": message, "finish_reason": "stop"}])

    assert CHAT.read_reply(data, translation(strict=True)).parts == (Text(text="Hi"),)


def test_a_summary_of_reasoning_stays_a_summary() -> None:
    details = [{"type": "reasoning.summary", "summary": "It greets.", "format": "openai-responses-v1"}]

    assert answered({"content": "Hi", "reasoning_details": details}, "stop").parts == (
        Reasoning(summaries=("It greets.",)),
        Text(text="Hi"),
    )

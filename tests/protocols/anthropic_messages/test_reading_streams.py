"""Anthropic's stream read into events."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.conversation.events import (
    ArgumentsAdded,
    CitationAdded,
    Event,
    Failed,
    Finished,
    Heartbeat,
    PartEnded,
    PartStarted,
    ReasoningAdded,
    SecretAdded,
    TextAdded,
    fold,
)
from modelway.conversation.parts import (
    HostedCall,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
)
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages import MESSAGES
from tests.protocols.anthropic_messages.support import (
    BOTH,
    STREAMS,
    codes,
    events_of,
    from_chat,
    recording,
    translation,
)


def recorded(name: str, place: Translation | None = None) -> list[Event]:
    return events_of(recording(f"{name}.sse"), place)


def parts_of(name: str) -> tuple[Part, ...]:
    return fold(recorded(name)).parts


def test_T209_text_is_one_part_in_its_pieces() -> None:
    events = recorded("text")

    assert [type(event).__name__ for event in events] == [
        "Started",
        "Heartbeat",
        "PartStarted",
        "TextAdded",
        "TextAdded",
        "TextAdded",
        "PartEnded",
        "UsageReported",
        "Finished",
    ]
    assert fold(events).parts == (Text(text="Hello there, 世界!"),)


@pytest.mark.parametrize("name", BOTH)
def test_T303_a_stream_folds_to_the_whole_answer(name: str) -> None:
    streamed = fold(recorded(name))
    whole = MESSAGES.read_reply(recording(f"{name}.json"), translation())

    assert [_normal(part) for part in streamed.parts] == [_normal(part) for part in whole.parts]
    assert (streamed.stop, streamed.id, streamed.model) == (whole.stop, whole.id, whole.model)
    assert streamed.usage is not None
    assert whole.usage is not None
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert streamed.usage.prompt_tokens == whole.usage.prompt_tokens


def _normal(part: Part) -> Part:
    """Arguments compared as JSON: a stream keeps the white space the model wrote."""
    if not isinstance(part, ToolCall):
        return part
    arguments = msgspec.json.format(part.arguments, indent=-1)
    return ToolCall(id=part.id, name=part.name, arguments=arguments)


@given(name=st.sampled_from(STREAMS), cuts=st.lists(st.integers(0, 10_000), max_size=12), crlf=st.booleans())
def test_T250_T302_any_chunks_give_the_same_events(name: str, cuts: list[int], crlf: bool) -> None:
    stream = recording(f"{name}.sse")
    if crlf:
        stream = stream.replace(b"\n", b"\r\n")
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    reader = MESSAGES.reader(translation())
    events = [e for a, b in pairwise(edges) for e in reader.read(stream[a:b])]
    events += reader.end()

    assert [repr(event) for event in events] == [repr(event) for event in recorded(name)]


@pytest.mark.parametrize("name", STREAMS)
def test_every_stream_keeps_the_order_events_promise(name: str) -> None:
    opened: int | None = None
    count = 0
    events = recorded(name)
    for event in events:
        if isinstance(event, PartStarted):
            assert (opened, event.index) == (None, count)
            opened, count = event.index, count + 1
        elif isinstance(event, PartEnded):
            assert opened == event.index
            opened = None
        elif isinstance(event, TextAdded | ArgumentsAdded | ReasoningAdded | SecretAdded | CitationAdded):
            assert opened == event.index
    assert isinstance(events[-1], Finished | Failed)
    assert sum(isinstance(event, Finished | Failed) for event in events) == 1
    assert opened is None or isinstance(events[-1], Failed)


def test_T210_T212_parallel_calls_have_dense_indexes() -> None:
    started = [event for event in recorded("parallel_tools") if isinstance(event, PartStarted)]

    assert [(event.index, type(event.part)) for event in started] == [(0, Text), (1, ToolCall), (2, ToolCall)]
    last = parts_of("parallel_tools")[2]
    assert isinstance(last, ToolCall)
    assert last.arguments == '{"city": "Rome"}'


def test_T211_invalid_argument_text_is_forwarded_as_it_is() -> None:
    assert parts_of("tool_invalid_json")[0] == ToolCall(
        id="toolu_01BAD", name="get_weather", arguments='{"city": "Par oops'
    )


def test_T213_a_call_without_arguments_has_none() -> None:
    assert parts_of("tool_no_arguments")[0] == ToolCall(id="toolu_01NOARGS", name="now")


def test_A01_input_given_whole_at_the_start_is_not_lost() -> None:
    assert parts_of("tool_input_at_start")[0] == ToolCall(
        id="toolu_01START", name="get_weather", arguments='{"city":"Rome"}'
    )


def test_T214_a_signature_comes_once_and_last() -> None:
    events = recorded("thinking")
    end = next(index for index, event in enumerate(events) if isinstance(event, PartEnded))

    assert isinstance(events[end - 1], SecretAdded)
    assert sum(isinstance(event, SecretAdded) for event in events) == 1


def test_thinking_that_is_not_shown_keeps_its_signature() -> None:
    reasoning = parts_of("thinking_omitted")[0]

    assert isinstance(reasoning, Reasoning)
    assert reasoning.text == ""
    assert reasoning.secret is not None


def test_T215_redacted_thinking_comes_whole() -> None:
    reasoning = parts_of("redacted_thinking")[0]

    assert isinstance(reasoning, Reasoning)
    assert reasoning.redacted
    assert reasoning.secret is not None
    assert reasoning.secret.kind == "redacted"


def test_T217_T218_later_usage_replaces_only_what_it_names() -> None:
    early, late = (fold(recorded(name)).usage for name in ("cache_usage", "usage_repeated_at_end"))

    assert early is not None
    assert (early.prompt_tokens, early.cache_read_tokens, early.output_tokens) == (100, 80, 5)
    assert early.reasoning_tokens == 3
    assert late is not None
    assert (late.input_tokens, late.cache_read_tokens, late.output_tokens) == (30, 70, 9)


def test_T219_a_refusal_says_why() -> None:
    stop = fold(recorded("refusal")).stop

    assert (stop.reason, stop.category, stop.detail) == ("refusal", "cyber", "This could harm others.")


def test_T220_a_server_tool_is_one_part_and_the_text_cites_it() -> None:
    parts = parts_of("web_search")

    assert [type(part) for part in parts] == [Text, HostedCall, Text, Text]
    assert isinstance(parts[1], HostedCall)
    assert parts[1].raw[0]["input"] == {"query": "distance of the moon"}
    assert isinstance(parts[2], Text)
    assert parts[2].citations[0].url == "https://example.org/moon"


def test_T221_a_ping_is_a_heartbeat() -> None:
    assert Heartbeat() in recorded("text")


@pytest.mark.parametrize("name", ["error_first", "error_after_text"])
def test_T222_an_error_event_fails_with_its_kind(name: str) -> None:
    last = recorded(name)[-1]

    assert isinstance(last, Failed)
    assert (last.error.kind.name, last.error.code) == ("upstream_overloaded", "server_is_overloaded")
    assert "Overloaded" in last.error.message


@pytest.mark.parametrize("name", ["truncated_in_text", "truncated_in_tool"])
def test_T223_a_stream_that_breaks_off_fails(name: str) -> None:
    events = recorded(name)

    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == "upstream_truncated"
    assert not any(isinstance(event, PartEnded) for event in events)


def test_a_missing_message_stop_is_forgiven_once_the_reason_is_known() -> None:
    place = from_chat()

    assert fold(recorded("no_message_stop", place)).stop.reason == "end"
    assert codes(place) == ["no_message_stop"]


def test_B10_a_stream_cut_at_any_event_is_never_a_success() -> None:
    stream = recording("thinking_tool.sse")
    pieces = stream.split(b"\n\n")
    reason = next(index for index, piece in enumerate(pieces) if b'stop_reason": "tool_use' in piece)
    for end in range(reason):
        events = events_of(b"\n\n".join(pieces[:end]) + b"\n\n")
        assert isinstance(events[-1], Failed)


def test_T224_unknown_events_and_blocks_do_not_break_the_stream() -> None:
    place = from_chat()
    parts = fold(recorded("unknown_event_and_block", place)).parts

    assert [type(part) for part in parts] == [Opaque, Text]
    assert codes(place) == ["unknown_event", "unknown_block"]


def test_A05_A06_the_reason_follows_the_calls() -> None:
    assert fold(recorded("tool_call_but_end_turn")).stop.reason == "tool_use"
    assert fold(recorded("tool_use_without_call")).stop.reason == "end"


@pytest.mark.parametrize(
    "frame",
    [
        b"data: {nonsense\n\n",
        b'data: {"type":"content_block_start"}\n\n',
        b'data: {"type":"message_start"}\n\n',
        b"data: 5\n\n",
    ],
)
def test_a_malformed_event_is_the_providers_fault(frame: bytes) -> None:
    events = events_of(frame)

    assert isinstance(events[-1], Failed)
    assert events[-1].error.kind.status == 502
    assert len(events) == 1


def test_a_free_form_call_is_given_out_as_text() -> None:
    place = from_chat()
    place.freeform.add("get_weather")
    stream = recording("tool_only.sse").replace(b'\\"city\\"', b'\\"input\\"')
    (part,) = fold(events_of(stream, place)).parts

    assert part == ToolCall(id="toolu_01ONLY", name="get_weather", freeform=True, arguments="Oslo")


def test_the_answer_tool_streams_as_text() -> None:
    place = from_chat()
    place.answer_tool = "get_weather"
    reply = fold(recorded("tool_only", place))

    assert reply.parts == (Text(text='{"city": "Oslo"}'),)
    assert reply.stop.reason == "end"

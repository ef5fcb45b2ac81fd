"""A provider's stream, read."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
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
    Started,
    TextAdded,
    fold,
)
from modelway.conversation.parts import Reasoning, Text, ToolCall
from modelway.protocols.openai_responses import RESPONSES
from tests.protocols.openai_responses.given import (
    PAIRS,
    STREAMS,
    events_of,
    recording,
    translation,
)


@pytest.mark.parametrize("name", PAIRS)
def test_T303_a_stream_amounts_to_the_whole_answer(name: str) -> None:
    whole = RESPONSES.read_reply(recording(f"{name}.json"), translation("chat", "responses", vendor="openai"))

    assert fold(events_of(recording(f"{name}.sse"))) == whole


@pytest.mark.parametrize("name", STREAMS)
def test_one_part_is_open_at_a_time_and_indexes_are_dense(name: str) -> None:
    assert_well_formed(events_of(recording(f"{name}.sse")))


def assert_well_formed(events: Sequence[Event]) -> None:
    open_part, next_index = None, 0
    for event in events:
        match event:
            case PartStarted(index):
                assert (open_part, index) == (None, next_index)
                open_part, next_index = index, next_index + 1
            case PartEnded(index):
                assert index == open_part
                open_part = None
            case TextAdded(index) | ArgumentsAdded(index) | ReasoningAdded(index):
                assert index == open_part
            case SecretAdded(index) | CitationAdded(index):
                assert index == open_part
            case Finished():
                assert open_part is None
            case Started() | Failed() | Heartbeat():
                pass
    ends = [event for event in events if isinstance(event, Finished | Failed)]
    assert ends == [events[-1]]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(STREAMS), st.lists(st.integers(1, 400), max_size=30))
def test_T302_any_chunking_gives_the_same_events(name: str, sizes: list[int]) -> None:
    stream = recording(f"{name}.sse")

    assert repr(events_of(stream, sizes)) == repr(events_of(stream))


@pytest.mark.parametrize("name", ["text", "text_then_parallel_tool_calls"])
def test_T250_byte_by_byte_and_with_crlf_it_is_the_same(name: str) -> None:
    stream = recording(f"{name}.sse")

    assert events_of(stream, [1] * len(stream)) == events_of(stream)
    assert events_of(stream.replace(b"\n", b"\r\n"), [7] * 900) == events_of(stream)


def test_interleaved_calls_come_one_after_the_other() -> None:
    events = events_of(recording("interleaved_tool_calls.sse"))

    first = events.index(PartEnded(0))
    assert [each.text for each in events[:first] if isinstance(each, ArgumentsAdded)] == ['{"a"', ":1}"]
    assert [each.text for each in events[first:] if isinstance(each, ArgumentsAdded)] == ['{"b', '":2}']


def test_T236_summaries_text_and_the_secret_come_in_their_places() -> None:
    events = events_of(recording("reasoning_encrypted.sse"))

    assert [(each.summary, each.text) for each in events if isinstance(each, ReasoningAdded)] == [
        (0, "**Look"),
        (0, "ing**"),
        (1, "Second "),
        (1, "thought"),
    ]
    secrets = [each for each in events if isinstance(each, SecretAdded)]
    assert [each.secret.value for each in secrets] == ["gAAAAABo8cKq7Xk0TnVZ"]
    assert events.index(secrets[0]) + 1 == events.index(PartEnded(0))


def test_T237_annotations_come_once() -> None:
    events = events_of(recording("web_search_and_citations.sse"))

    assert len([each for each in events if isinstance(each, CitationAdded)]) == 2


def test_T238_a_content_filter_is_a_refusal() -> None:
    last = events_of(recording("content_filter.sse"))[-1]

    assert isinstance(last, Finished)
    assert last.stop.reason == "refusal"


def test_a_stream_of_nothing_but_its_end_still_has_its_text() -> None:
    parts = fold(events_of(recording("only_a_terminal_event.sse"))).parts

    assert [part.text for part in parts if isinstance(part, Text)] == ["All at once"]


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("truncated_between_frames", "upstream", "upstream_truncated"),
        ("truncated_inside_a_frame", "upstream", "upstream_truncated"),
        ("failed_after_text", "upstream", "server_error"),
        ("failed_by_rate_limit", "upstream_rate_limited", None),
        ("error_event", "upstream_overloaded", None),
    ],
)
def test_B06_a_stream_that_breaks_off_is_never_a_success(name: str, kind: str, code: str | None) -> None:
    last = events_of(recording(f"{name}.sse"))[-1]

    assert isinstance(last, Failed)
    assert last.error.kind.name == kind
    assert code is None or last.error.code == code


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"response.output_text.delta","output_index":"x","delta":"a"}',
        b'{"type":"response.output_item.added","item":7}',
        b'{"type":"response.completed","response":{"output":[{"type":"message","content":[1]}]}}',
        b"{nonsense",
    ],
)
def test_an_event_that_cannot_be_read_fails_the_answer(data: bytes) -> None:
    events = events_of(b"data: " + data + b"\n\n")

    assert isinstance(events[-1], Failed)
    assert events[-1].error.kind.name == "upstream"


def test_unknown_events_are_passed_over() -> None:
    stream = recording("text.sse")
    odd = b'event: response.hologram\ndata: {"type":"response.hologram","x":1}\n\n'

    assert events_of(odd + stream) == events_of(stream)


def test_a_freeform_tool_sent_as_a_function_gives_its_text_back() -> None:
    using = translation("responses", "responses")
    using.freeform.add("patch")
    stream = (
        recording("custom_tool_call.sse")
        .replace(b"custom_tool_call_input", b"function_call_arguments")
        .replace(b"custom_tool_call", b"function_call")
        .replace(b"apply_patch", b"patch")
        .replace(b'"input"', b'"arguments"')
    )
    wrapped = json.dumps(json.dumps({"input": "*** Begin Patch\n+x\n*** End Patch"}))
    plain = json.dumps("*** Begin Patch\n+x\n*** End Patch")
    stream = stream.replace(plain.encode(), wrapped.encode())

    events = events_of(stream, using=using)

    assert [each.text for each in events if isinstance(each, ArgumentsAdded)] == [
        "*** Begin Patch\n+x\n*** End Patch"
    ]
    started = [each.part for each in events if isinstance(each, PartStarted)]
    assert isinstance(started[0], ToolCall)
    assert started[0].freeform


def test_reasoning_of_an_open_model_is_its_text() -> None:
    part = fold(events_of(recording("reasoning_text_of_an_open_model.sse"))).parts[0]

    assert isinstance(part, Reasoning)
    assert (part.text, part.summaries, part.secret) == ("The user wants 42.", (), None)

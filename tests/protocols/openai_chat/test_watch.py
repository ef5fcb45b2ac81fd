"""Bytes that pass through: untouched, but what they tell is noted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.conversation.events import Failed, fold
from modelway.protocols.openai_chat import CHAT
from tests.protocols.openai_chat.given import RECORDINGS, events, recording, translation

STREAMS = sorted(path.name for path in RECORDINGS.glob("*.sse"))
WHOLE_STREAMS = [name for name in STREAMS if not name.startswith(("cut_off", "error"))]


def passed(data: bytes, sizes: list[int] | None = None, **options: Any) -> tuple[bytes, Any]:
    """What the client gets for `data`, cut into pieces of `sizes`, and the watch."""
    settings_: dict[str, Any] = {"stream": True, "model_asked": "m", "model_sent": "m", "include_usage": True}
    watch = CHAT.watch(**(settings_ | options))
    out, begin = b"", 0
    for size in sizes or [len(data)]:
        out += watch.feed(data[begin : begin + size])
        begin += size
    return out + watch.feed(data[begin:]) + watch.end(), watch


@pytest.mark.parametrize("name", [name for name in WHOLE_STREAMS if not name.startswith(("retry", "last"))])
def test_T293_a_stream_passes_byte_for_byte_and_its_usage_is_noted(name: str) -> None:
    out, watch = passed(recording(name))

    assert out == recording(name)
    assert watch.complete
    assert watch.error is None
    assert watch.usage == fold(events(name)).usage


def test_chunks_are_passed_on_as_they_are() -> None:
    watch = CHAT.watch(True, "m", "m", True)
    for frame in recording("text.sse").split(b"\n\n")[:-1]:
        chunk = frame + b"\n\n"
        assert watch.feed(chunk) is chunk


@pytest.mark.parametrize("name", STREAMS)
def test_any_chunking_gives_the_client_the_same(name: str) -> None:
    data = recording(name)
    for options in ({}, {"model_sent": "gpt-5.2-2025-12-11"}, {"include_usage": False}):
        expected, watch = passed(data, **options)
        bytewise, other = passed(data, [1] * len(data), **options)
        assert bytewise == expected
        assert (other.usage, other.complete, repr(other.error)) == (
            watch.usage,
            watch.complete,
            repr(watch.error),
        )


@given(st.lists(st.integers(1, 700), max_size=20), st.sampled_from(STREAMS))
@settings(max_examples=60, deadline=None)
def test_random_chunking_gives_the_client_the_same(sizes: list[int], name: str) -> None:
    assert passed(recording(name), sizes)[0] == passed(recording(name))[0]


@pytest.mark.parametrize("name", [name for name in STREAMS if name.startswith("cut_off")])
def test_T295_a_stream_that_stops_short_ends_with_an_error_frame(name: str) -> None:
    out, watch = passed(recording(name))

    assert watch.error is not None
    assert watch.error.code == "upstream_truncated"
    *_, last = out.removesuffix(b"\n\n").split(b"\n\n")
    assert last.startswith(b"event: error\ndata: {")
    reader = CHAT.reader(translation())
    assert isinstance((reader.read(out) + reader.end())[-1], Failed)


def test_an_error_frame_of_the_provider_is_noted_and_passed_on() -> None:
    out, watch = passed(recording("error_in_stream.sse"))

    assert out == recording("error_in_stream.sse")
    assert watch.error is not None
    assert watch.error.kind.name == "upstream_overloaded"


def test_T294_usage_that_only_the_gateway_asked_for_is_taken_out() -> None:
    out, watch = passed(recording("cache_usage.sse"), include_usage=False)

    assert b'"choices":[]' not in out
    assert b"[DONE]" in out
    assert watch.usage.cache_read_tokens == 80
    kept, _ = passed(recording("prompt_filter_first.sse"), include_usage=False)
    assert b"prompt_filter_results" in kept


def test_T296_the_clients_name_for_the_model_is_put_in() -> None:
    out, _ = passed(recording("text.sse"), model_asked="the/alias", model_sent="gpt")
    named = [json.loads(frame[6:])["model"] for frame in out.split(b"\n\n") if frame.startswith(b"data: {")]

    assert set(named) == {"the/alias"}
    assert fold(events("text.sse")).parts[0]
    assert out.count(b"\n\n") == recording("text.sse").count(b"\n\n")


def test_T247_retry_and_id_fields_are_stripped() -> None:
    out, watch = passed(recording("retry_id_and_comments.sse"))

    assert out == b": processing\n\n" + recording("text.sse")
    assert watch.complete


def test_T248_a_last_frame_without_its_blank_line_gets_one() -> None:
    out, watch = passed(recording("last_frame_without_blank_line.sse"))

    assert out.endswith(b"data: [DONE]\n\n")
    assert watch.complete
    assert watch.error is None


def test_a_client_that_hangs_up_pays_for_about_what_it_heard() -> None:
    watch = CHAT.watch(True, "m", "m", True)
    frames = recording("text.sse").split(b"\n\n")
    for frame in frames[:5]:
        watch.feed(frame + b"\n\n")

    assert watch.output_tokens_estimate() == 4
    assert watch.usage is None


# ---- whole answers ----


def test_a_whole_answer_passes_and_its_usage_is_noted() -> None:
    out, watch = passed(recording("cache_usage.json"), stream=False)

    assert out == recording("cache_usage.json")
    assert watch.usage.cache_read_tokens == 80
    assert watch.complete


def test_T296_a_whole_answer_names_the_clients_model() -> None:
    watch = CHAT.watch(False, "the/alias", "gpt", True)
    out = watch.feed(recording("text.json"))

    assert json.loads(out)["model"] == "the/alias"
    assert out.replace(b'"the/alias"', b'"gpt-5.2-2025-12-11"') == recording("text.json")


def test_T180_a_200_that_is_an_error_is_noted() -> None:
    watch = CHAT.watch(False, "m", "m", True)
    watch.feed(recording("error_in_200.json"))

    assert watch.error is not None
    assert watch.error.kind.name == "upstream_overloaded"


def test_a_whole_answer_in_pieces_is_read_at_its_end_and_half_of_one_is_an_error() -> None:
    data = recording("cache_usage.json")
    assert passed(data, [10, 200], stream=False)[1].usage.cache_read_tokens == 80

    _, watch = passed(data[:-30], stream=False)
    assert watch.error is not None
    assert watch.error.code == "upstream_truncated"

"""Looking on while a provider's answer passes through."""

from __future__ import annotations

import json
from collections.abc import Sequence

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.protocols.interface import Watch
from modelway.protocols.openai_responses import RESPONSES
from tests.protocols.openai_responses.conftest import Answering
from tests.protocols.openai_responses.given import STREAMS, frames_of, recording

BROKEN = ("truncated_between_frames", "truncated_inside_a_frame", "no_blank_line_at_the_end")
ODD = ("with_retry_id_and_comments",)


def watching(
    stream: bytes, sizes: Sequence[int] = (), asked: str = "m", sent: str = "m"
) -> tuple[bytes, Watch]:
    watch = RESPONSES.watch(True, asked, sent, True)
    out = b""
    for size in sizes:
        chunk, stream = stream[:size], stream[size:]
        out += watch.feed(chunk)
    out += watch.feed(stream)
    return out + watch.end(), watch


@pytest.mark.parametrize("name", [name for name in STREAMS if name not in BROKEN + ODD])
def test_T293_bytes_pass_as_they_are(name: str) -> None:
    stream = recording(f"{name}.sse")

    assert watching(stream)[0] == stream


def test_the_usual_chunk_is_handed_on_as_the_same_object() -> None:
    watch = RESPONSES.watch(True, "m", "m", True)
    chunk = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n'

    assert watch.feed(chunk) is chunk


def test_usage_and_completion_are_seen() -> None:
    _, watch = watching(recording("cache_usage.sse"))

    assert watch.complete
    assert watch.error is None
    assert watch.usage is not None
    assert (watch.usage.input_tokens, watch.usage.cache_read_tokens) == (10, 80)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(STREAMS), st.lists(st.integers(1, 300), max_size=30), st.sampled_from(["m", "alias"]))
def test_any_chunking_gives_the_same_bytes_and_findings(name: str, sizes: list[int], asked: str) -> None:
    stream = recording(f"{name}.sse")

    one, other = watching(stream, sizes, asked), watching(stream, [], asked)

    assert frames_of(one[0]) == frames_of(other[0])
    for each in ("usage", "complete"):
        assert getattr(one[1], each) == getattr(other[1], each)
    assert repr(one[1].error) == repr(other[1].error)


@pytest.mark.parametrize("name", ["truncated_between_frames", "truncated_inside_a_frame"])
def test_T295_B06_a_truncated_stream_ends_with_response_failed(name: str) -> None:
    out, watch = watching(recording(f"{name}.sse"))

    frames = frames_of(out)
    assert not watch.complete
    assert watch.error is not None
    assert watch.error.code == "upstream_truncated"
    last = frames[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["id"] == frames[0]["response"]["id"]
    assert last["response"]["created_at"] == frames[0]["response"]["created_at"] > 0
    assert last["sequence_number"] == frames[-2]["sequence_number"] + 1
    assert last["response"]["error"]["code"] == "upstream_truncated"


def test_T248_a_missing_last_blank_line_is_put_in() -> None:
    out, watch = watching(recording("no_blank_line_at_the_end.sse"))

    assert watch.complete
    assert out.endswith(b"\n\n")
    assert frames_of(out)[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("failed_after_text", "upstream"),
        ("failed_by_rate_limit", "upstream_rate_limited"),
        ("error_event", "upstream_overloaded"),
    ],
)
def test_an_error_is_seen_and_passed_on_once(name: str, kind: str) -> None:
    stream = recording(f"{name}.sse")

    out, watch = watching(stream)

    assert out == stream
    assert watch.error is not None
    assert watch.error.kind.name == kind


def test_T296_the_clients_name_for_the_model_is_in_every_response() -> None:
    out, _ = watching(recording("text.sse"), asked="alias", sent="gpt-5.6-sol")

    names = [frame["response"]["model"] for frame in frames_of(out) if "response" in frame]
    assert names == ["alias"] * 3
    assert b"gpt-5.6-sol" not in out


def test_T247_fields_that_break_openais_sdk_are_stripped(openai_client: Answering) -> None:
    out, _ = watching(recording("with_retry_id_and_comments.sse"))

    assert b"retry:" not in out
    assert b"\nid:" not in out
    with openai_client(out).responses.create(model="m", input="Hi", stream=True) as heard:
        assert [event.type for event in heard][-1] == "response.completed"


def test_T246_a_truncated_stream_raises_in_the_sdk(openai_client: Answering) -> None:
    out, _ = watching(recording("truncated_inside_a_frame.sse"))

    with (
        pytest.raises(openai.APIError, match="ended before"),
        openai_client(out).responses.create(model="m", input="Hi", stream=True) as heard,
    ):
        list(heard)


def test_words_inside_text_are_not_events() -> None:
    delta = {"type": "response.output_text.delta", "delta": '"response.completed" "error" id: 7\nretry: 1'}
    chunk = b"event: response.output_text.delta\ndata: " + json.dumps(delta).encode() + b"\n\n"
    watch = RESPONSES.watch(True, "m", "m", True)

    assert watch.feed(chunk) == chunk
    assert not watch.complete
    assert watch.error is None


def test_tokens_are_estimated_by_deltas() -> None:
    _, watch = watching(recording("text.sse"))

    assert watch.output_tokens_estimate() == 4


# -- bodies that are not streamed ------------------------------------------------------------------


def test_a_whole_body_passes_and_is_read() -> None:
    watch = RESPONSES.watch(False, "m", "m", True)
    body = recording("cache_usage.json")

    assert watch.feed(body) is body
    assert watch.complete
    assert watch.usage is not None
    assert watch.usage.cache_read_tokens == 80
    assert watch.end() == b""


@pytest.mark.parametrize("size", [7, 100_000])
def test_a_whole_body_gets_the_clients_name_for_the_model(size: int) -> None:
    watch = RESPONSES.watch(False, "alias", "gpt-5.6-sol", True)
    body = recording("text.json").strip()

    out = b"".join(watch.feed(body[at : at + size]) for at in range(0, len(body), size)) + watch.end()

    assert json.loads(out) == json.loads(body) | {"model": "alias"}


@pytest.mark.parametrize("name", ["error_inside_200", "failed"])
def test_S21_an_error_inside_a_200_is_seen(name: str) -> None:
    watch = RESPONSES.watch(False, "m", "m", True)
    watch.feed(recording(f"{name}.json"))

    assert watch.error is not None
    assert watch.error.kind.status == 502


def test_half_a_body_is_an_error() -> None:
    watch = RESPONSES.watch(False, "m", "m", True)
    watch.feed(recording("text.json")[:100])
    watch.end()

    assert watch.error is not None

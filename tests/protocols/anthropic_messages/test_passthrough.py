"""Messages on both sides: bytes in, the same bytes out."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.conversation.capabilities import Capabilities
from modelway.conversation.errors import CallError
from modelway.protocols.anthropic_messages import MESSAGES
from modelway.protocols.interface import Watch
from tests.protocols.anthropic_messages.support import (
    STREAMS,
    Json,
    codes,
    events_of,
    parse,
    recording,
    translation,
)

ODD = (
    b'{ "zzz": {"model": "inner"}, "messages":[ {"role":"user","content":[{"type":"text","text":'
    b'"\\"model\\": \\"x\\" \\u00e9"}]},{"role":"assistant","content":[{"type":"thinking","thinking":"t",'
    b'"signature":"abc=="},{"input":{"a":1e400, "b":1.0,"c":1180591620717411303424},"type":"tool_use",'
    b'"id":"t","name":"f"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}],\n'
    b' "model" :  "al\\u0069as" ,"max_tokens":5,"tools":[{"name":"f","input_schema":{"type":"object",'
    b'"properties":{"model":{"type":"string"}}}}]}'
)
WHOLE_STREAMS = [name for name in STREAMS if not name.startswith(("error", "truncated", "no_message_stop"))]


def fed(watch: Watch, stream: bytes, cuts: list[int]) -> bytes:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    return b"".join(watch.feed(piece) for piece in pieces) + watch.end()


def test_T290_T291_T292_only_the_models_name_changes_in_a_passed_body() -> None:
    request = MESSAGES.parse(ODD, {})

    assert request.model == "alias"
    assert request.passed("the-model", translation()) == ODD.replace(b'"al\\u0069as"', b'"the-model"')


@given(name=st.text(min_size=1), cut=st.integers(0, 3))
def test_the_models_name_is_found_whatever_it_is(name: str, cut: int) -> None:
    before: Json = {"a": {"model": name}, "b": f'"model":"{name}"', "c": ["model", name]}
    items = [*list(before.items())[:cut], ("model", name), *list(before.items())[cut:]]
    body = dict(items) | {"max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
    passed = MESSAGES.parse(msgspec.json.encode(body), {}).passed("sent", translation())

    assert msgspec.json.decode(passed) == body | {"model": "sent"}
    assert list(msgspec.json.decode(passed)) == list(body)


@pytest.mark.parametrize("name", WHOLE_STREAMS)
def test_T293_a_stream_passes_byte_for_byte_with_its_usage_noted(name: str) -> None:
    stream = recording(f"{name}.sse")
    watch = MESSAGES.watch(True, "m", "m", True)

    assert fed(watch, stream, []) == stream
    assert watch.complete
    assert watch.error is None
    assert watch.usage is not None
    assert watch.usage.output_tokens > 0


@given(name=st.sampled_from(STREAMS), cuts=st.lists(st.integers(0, 10_000), max_size=12), crlf=st.booleans())
def test_T302_a_watch_sees_the_same_in_any_chunks(name: str, cuts: list[int], crlf: bool) -> None:
    stream = recording(f"{name}.sse")
    if crlf:
        stream = stream.replace(b"\n", b"\r\n")
    whole, cut = (MESSAGES.watch(True, "alias", "m", True) for _ in range(2))

    assert fed(cut, stream, cuts) == fed(whole, stream, [])
    assert (cut.usage, cut.complete, repr(cut.error)) == (whole.usage, whole.complete, repr(whole.error))


def test_a_chunk_of_whole_frames_is_given_back_as_it_is() -> None:
    chunk = b'event: ping\ndata: {"type":"ping"}\n\n'

    assert MESSAGES.watch(True, "m", "m", True).feed(chunk) is chunk


@pytest.mark.parametrize("name", ["truncated_in_text", "truncated_in_tool"])
def test_T295_a_truncated_stream_gets_an_error_frame(name: str) -> None:
    watch = MESSAGES.watch(True, "m", "m", True)
    stream = recording(f"{name}.sse")
    out = fed(watch, stream + b'event: content_block_delta\ndata: {"ty', [])

    assert out.startswith(stream + b"event: error\ndata: {")
    assert out.endswith(b"\n\n")
    assert watch.error is not None
    assert watch.error.code == "upstream_truncated"
    assert not watch.complete


def test_a_stream_that_lacks_only_its_last_frame_is_completed() -> None:
    watch = MESSAGES.watch(True, "m", "m", True)
    out = fed(watch, recording("no_message_stop.sse"), [])

    assert out.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert watch.complete


def test_a_last_frame_without_its_blank_line_gets_it() -> None:
    watch = MESSAGES.watch(True, "m", "m", True)
    stream = recording("text.sse")

    assert fed(watch, stream.rstrip(b"\n"), []) == stream
    assert watch.complete


def test_an_upstreams_own_error_passes_and_is_noted() -> None:
    watch = MESSAGES.watch(True, "m", "m", True)
    stream = recording("error_after_text.sse")

    assert fed(watch, stream, []) == stream
    assert watch.error is not None
    assert watch.error.kind.name == "upstream_overloaded"


def test_an_error_without_its_event_line_is_said_again_so_that_the_sdk_hears_it() -> None:
    watch = MESSAGES.watch(True, "m", "m", True)

    out = fed(watch, b'data: {"type":"error","error":{"type":"api_error","message":"boom"}}\n\n', [])

    assert b"event: error\n" in out


def test_T296_an_aliased_model_comes_back_under_the_name_the_client_used() -> None:
    watch = MESSAGES.watch(True, "my-alias", "claude-opus-4-8", True)
    stream = recording("text.sse")

    assert fed(watch, stream, [50]) == stream.replace(b'"claude-opus-4-8"', b'"my-alias"')


def test_a_hang_up_is_charged_by_what_passed() -> None:
    watch = MESSAGES.watch(True, "m", "m", True)
    watch.feed(recording("truncated_in_text.sse"))

    assert watch.output_tokens_estimate() >= 1


@pytest.mark.parametrize("cuts", [[], [10], [1, 5, 100]])
def test_a_whole_body_passes_with_its_usage_noted(cuts: list[int]) -> None:
    body = recording("cache_usage.json")
    watch = MESSAGES.watch(False, "m", "m", True)

    assert fed(watch, body, cuts) == body
    assert watch.usage is not None
    assert (watch.usage.input_tokens, watch.usage.cache_read_tokens, watch.usage.output_tokens) == (10, 80, 5)
    assert watch.complete


def test_a_whole_body_comes_back_under_the_name_the_client_used() -> None:
    body = recording("text.json")
    watch = MESSAGES.watch(False, "my-alias", "claude-opus-4-8", True)

    assert fed(watch, body, [3]) == body.replace(b'"claude-opus-4-8"', b'"my-alias"')


def test_T180_an_error_inside_a_200_is_noted() -> None:
    watch = MESSAGES.watch(False, "m", "m", True)
    fed(watch, recording("error_in_200.json"), [])

    assert watch.error is not None
    assert watch.error.status_on("messages") == 529


def test_a_cut_body_is_an_error() -> None:
    watch = MESSAGES.watch(False, "m", "m", True)
    fed(watch, recording("text.json")[:-10], [])

    assert watch.error is not None
    assert watch.error.code == "upstream_truncated"


ALWAYS_THINKS = Capabilities(thinking_types=frozenset({"adaptive"}), sampling="refused")


def test_T032_fields_a_model_refuses_are_brought_into_a_form_it_takes() -> None:
    request = parse(
        max_tokens=20_000,
        temperature=0.3,
        thinking={"type": "enabled", "budget_tokens": 10_000, "display": "omitted"},
    )
    place = translation(capabilities=ALWAYS_THINKS)

    passed = msgspec.json.decode(request.passed("x", place))

    assert "temperature" not in passed
    assert passed["thinking"] == {"type": "adaptive", "display": "omitted"}
    assert passed["output_config"] == {"effort": "medium"}
    assert codes(place) == ["sampling", "reasoning"]


def test_T032_a_strict_call_goes_as_it_came() -> None:
    request = parse(temperature=0.3, thinking={"type": "disabled"})
    place = translation(capabilities=ALWAYS_THINKS, strict=True)

    assert request.passed("m", place) == request.body


def test_a_request_in_a_dialect_of_ours_is_not_passed() -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}}
    leading = [{"role": "system", "content": "s"}, {"role": "user", "content": "x"}]

    assert not parse(tools=[tool], tool_choice="any").passable
    assert not parse(messages=leading).passable


def test_reasoning_sealed_by_this_gateway_is_not_passed() -> None:
    thinking = {"type": "thinking", "thinking": "t", "signature": "mw1.x.y"}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": [thinking]}]

    assert not parse(messages=[*messages, messages[0]]).passable


def test_the_reader_and_the_watch_agree_on_usage() -> None:
    for name in WHOLE_STREAMS:
        watch = MESSAGES.watch(True, "m", "m", True)
        fed(watch, recording(f"{name}.sse"), [])
        finished = events_of(recording(f"{name}.sse"))[-1]
        assert getattr(finished, "usage", None) == watch.usage


def test_an_endless_frame_is_cut_off() -> None:
    watch = MESSAGES.watch(True, "m", "m", True)
    chunk = b"x" * (1024 * 1024)
    for _ in range(8):
        watch.feed(chunk)

    with pytest.raises(CallError):
        watch.feed(chunk)


MIDDLE = [
    {"role": "user", "content": "a"},
    {"role": "system", "content": "now in French"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"},
]


def test_a_system_message_is_wrapped_for_a_model_known_to_refuse_it() -> None:
    place = translation(capabilities=Capabilities(max_output_tokens=64_000))
    passed = msgspec.json.decode(parse(messages=MIDDLE).passed("older", place))

    assert passed["model"] == "older"
    assert [message["role"] for message in passed["messages"]] == ["user", "assistant", "user"]
    assert codes(place) == ["system_position"]


@pytest.mark.parametrize(
    ("capabilities", "strict"),
    [
        (Capabilities(), False),
        (Capabilities(mid_system=True, max_output_tokens=9), False),
        (Capabilities(max_output_tokens=9), True),
    ],
    ids=["no card", "it takes them", "strict"],
)
def test_a_system_message_passes_otherwise(capabilities: Capabilities, strict: bool) -> None:
    request = parse(messages=MIDDLE)
    place = translation(capabilities=capabilities, strict=strict)

    assert request.passed("m", place) == request.body


def test_sampling_at_its_default_passes_to_any_model() -> None:
    request = parse(temperature=1.0)

    assert request.passed("m", translation(capabilities=ALWAYS_THINKS)) == request.body

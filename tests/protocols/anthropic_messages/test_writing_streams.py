"""The stream a Messages client gets, written from events and heard by Anthropic's SDK."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec
import pytest
from anthropic import Anthropic, APIStatusError
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st

from modelway.conversation.errors import CallError
from modelway.conversation.events import (
    Event,
    Failed,
    Finished,
    Heartbeat,
    PartStarted,
    Started,
    TextAdded,
    UsageReported,
    fold,
    unfold,
)
from modelway.conversation.parts import (
    HostedCall,
    Part,
    Reasoning,
    Refusal,
    Secret,
    Text,
    ToolCall,
)
from modelway.conversation.reply import Reply, Stop, Usage
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages import MESSAGES
from tests.protocols.anthropic_messages.support import (
    STREAMS,
    Json,
    events_of,
    recording,
    to_chat,
    translation,
)


def recorded(name: str, place: Translation | None = None) -> list[Event]:
    return events_of(recording(f"{name}.sse"), place)


def write(events: list[Event], place: Translation | None = None) -> bytes:
    writer = MESSAGES.writer(place or to_chat())
    return b"".join(writer.write(event) for event in events)


def frames(stream: bytes) -> list[Json]:
    """Each frame's data, after a look at its `event:` line: the SDK overlooks a frame without."""
    assert stream.endswith(b"\n\n")
    found = []
    for block in stream.removesuffix(b"\n\n").split(b"\n\n"):
        event, data = block.split(b"\n")
        decoded: Json = msgspec.json.decode(data.removeprefix(b"data: "))
        assert event == b"event: " + decoded["type"].encode()
        found.append(decoded)
    return found


def heard(stream: bytes) -> Message:
    """What Anthropic's own SDK makes of a stream; raises as it raises."""
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, headers=headers, content=stream))
    with (
        httpx2.Client(transport=transport) as wire,
        Anthropic(api_key="k", http_client=wire, max_retries=0) as client,
        client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        ) as answer,
    ):
        return answer.get_final_message()


def answer(*parts: Part, stop: Stop | None = None, usage: Usage | None = None) -> Reply:
    return Reply(id="up", model="up", parts=parts, stop=stop or Stop("end"), usage=usage)


def test_T182_T183_T199_text_streams_in_the_documented_order() -> None:
    usage = Usage(input_tokens=3, output_tokens=2)
    found = frames(write(list(unfold(answer(Text(text="Hello"), usage=usage)))))

    assert [frame["type"] for frame in found] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    message = found[0]["message"]
    assert (message["type"], message["role"], message["content"]) == ("message", "assistant", [])
    assert message["model"] == "asked"
    assert found[1]["content_block"] == {"type": "text", "text": ""}
    assert found[4]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert found[4]["usage"]["output_tokens"] == 2


def test_T184_reasoning_is_a_thinking_block_that_ends_with_its_signature() -> None:
    reasoning = Reasoning(summaries=("one", "two"), secret=Secret("openai", "encrypted", "e"))
    stream = write(list(unfold(answer(reasoning, Text(text="so")))))
    thinking, text = heard(stream).content

    assert thinking.type == "thinking"
    assert thinking.thinking == "one\n\ntwo"
    assert thinking.signature.startswith("mw1.")
    assert text.type == "text"
    message = frames(stream)
    assert [f["delta"]["type"] for f in message if f["type"] == "content_block_delta"][2] == "signature_delta"


def test_T193_a_call_without_arguments_is_an_empty_object_to_the_sdk() -> None:
    (call,) = heard(write(list(unfold(answer(ToolCall(id="t", name="f"), stop=Stop("tool_use")))))).content

    assert call.type == "tool_use"
    assert call.input == {}


def test_T196_T197_the_last_frame_has_the_whole_usage() -> None:
    usage = Usage(input_tokens=10, cache_read_tokens=80, cache_write_5m_tokens=10, output_tokens=5)
    events: list[Event] = [Started("i", "m"), UsageReported(usage), Finished(Stop("end"))]
    final = heard(write(events, to_chat(prompt_tokens_estimate=99))).usage

    assert (final.input_tokens, final.cache_read_input_tokens) == (10, 80)
    assert (final.cache_creation_input_tokens, final.output_tokens) == (10, 5)


def test_T189_without_usage_the_prompt_is_estimated() -> None:
    events: list[Event] = [Started("i", "m"), Finished(Stop("end"))]

    assert heard(write(events, to_chat(prompt_tokens_estimate=42))).usage.input_tokens == 42


def test_T189_without_usage_what_was_written_is_estimated_at_four_characters_a_token() -> None:
    events = list(unfold(answer(Text(text="x" * 399))))
    usage = heard(write(events, to_chat(prompt_tokens_estimate=42))).usage

    assert (usage.input_tokens, usage.output_tokens) == (42, 100)


def test_T198_the_sequence_that_hit_is_named() -> None:
    stop = Stop("stop_sequence", sequence="END")
    message = heard(write(list(unfold(answer(Text(text="a"), stop=stop)))))

    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")


def test_T204_a_call_cut_by_the_limit_ends_with_max_tokens() -> None:
    call = ToolCall(id="t", name="f", arguments='{"a":')
    found = frames(write(list(unfold(answer(call, stop=Stop("max_tokens"))))))

    assert found[-2]["delta"]["stop_reason"] == "max_tokens"
    assert found[-3]["type"] == "content_block_stop"


def test_T205_an_empty_answer_is_one_empty_text_block() -> None:
    message = heard(write(list(unfold(answer()))))

    assert [block.type for block in message.content] == ["text"]
    assert message.stop_reason == "end_turn"


def test_a_refusal_streams_as_text_and_stops_as_refusal() -> None:
    message = heard(write(list(unfold(answer(Refusal(text="No."))))))

    assert message.stop_reason == "refusal"
    assert message.stop_details is not None
    assert message.stop_details.explanation == "No."


def test_left_out_parts_leave_no_gap_in_the_numbers() -> None:
    foreign = HostedCall(protocol="responses", id="ws", name="web_search", raw=({},))
    found = frames(write(list(unfold(answer(Text(text="a"), foreign, Text(text="b"))))))

    assert [f["index"] for f in found if f["type"] == "content_block_start"] == [0, 1]


def test_a_free_form_call_streams_as_an_object() -> None:
    call = ToolCall(id="t", name="patch", arguments='say "hi"\n', freeform=True)
    (block,) = heard(write(list(unfold(answer(call, stop=Stop("tool_use")))))).content

    assert block.type == "tool_use"
    assert block.input == {"input": 'say "hi"\n'}


def test_T200_T249_a_failure_in_mid_stream_raises_in_the_sdk() -> None:
    error = CallError("upstream_overloaded", "The provider is overloaded")
    events: list[Event] = [Started("i", "m"), PartStarted(0, Text(text="")), TextAdded(0, "a"), Failed(error)]
    stream = write(events, to_chat(request_id="req_1"))

    assert b"message_stop" not in stream
    with pytest.raises(APIStatusError) as caught:
        heard(stream)
    body: Any = caught.value.body
    assert body["error"]["type"] == "overloaded_error"
    assert body["error"]["code"] == "server_is_overloaded"
    assert body["request_id"] == "req_1"


def test_T206_a_heartbeat_is_a_ping() -> None:
    assert frames(write([Heartbeat()])) == [{"type": "ping"}]
    assert MESSAGES.heartbeat == write([Heartbeat()])


def test_characters_some_clients_take_for_line_ends_are_escaped() -> None:
    stream = write(list(unfold(answer(Text(text="a\u2028b\u2029c\u0085d")))))

    assert b"\xe2\x80\xa8" not in stream
    assert heard(stream).content[0].text == "a\u2028b\u2029c\u0085d"  # type: ignore[union-attr]  # a text block


# The SDK raises on argument text that is no JSON; a whole answer leaves out a call that was cut; and the
# SDK's types know no holograms.
UNEQUAL = {"tool_invalid_json", "max_tokens_in_tool", "unknown_event_and_block"}
ENDED = [name for name in STREAMS if not name.startswith(("error", "truncated"))]


@pytest.mark.parametrize("name", [name for name in ENDED if name not in UNEQUAL])
def test_T303_the_sdk_hears_the_same_from_our_stream_as_from_our_whole_answer(name: str) -> None:
    reply = fold(recorded(name))
    streamed = heard(write(list(unfold(reply)), translation()))
    whole = Message.model_validate_json(MESSAGES.write_reply(reply, translation()))

    assert streamed.to_dict(exclude_none=True) == whole.to_dict(exclude_none=True)


TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)
PARTS: st.SearchStrategy[Part] = st.one_of(
    TEXTS.map(lambda text: Text(text=text)),
    st.builds(
        lambda text, sig: Reasoning(text=text, secret=Secret("anthropic", "signature", sig, "up")),
        TEXTS,
        st.text("abc=", min_size=1, max_size=8),
    ),
    st.builds(
        lambda n, value: ToolCall(
            id=f"toolu_{n}", name="f", arguments=msgspec.json.encode({"a": value}).decode()
        ),
        st.integers(0, 10**9),
        TEXTS | st.integers(-(2**60), 2**60) | st.booleans(),
    ),
)


@given(parts=st.lists(PARTS, max_size=5))
def test_T298_what_is_written_as_a_stream_reads_back_as_it_was(parts: list[Part]) -> None:
    called = any(isinstance(part, ToolCall) for part in parts)
    reply = answer(*parts, stop=Stop("tool_use" if called else "end"), usage=Usage(input_tokens=1))
    place = translation(model_asked="up")
    again = fold(events_of(write(list(unfold(reply)), place), place))
    whole = MESSAGES.read_reply(MESSAGES.write_reply(reply, place), place)

    assert again.parts == (tuple(parts) or (Text(text=""),))
    assert whole.parts == again.parts
    assert again.stop.reason == whole.stop.reason == reply.stop.reason

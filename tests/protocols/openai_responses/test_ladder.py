"""The stream a client gets: its order, its ids, its numbers, and that OpenAI's SDK accepts it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import openai
import pytest
from openai.types.responses import (
    Response,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseReasoningItem,
)

from modelway.conversation.errors import CallError
from modelway.conversation.events import (
    Event,
    Failed,
    Finished,
    Heartbeat,
    PartEnded,
    PartStarted,
    SecretAdded,
    Started,
    TextAdded,
    UsageReported,
    unfold,
)
from modelway.conversation.parts import (
    Citation,
    HostedCall,
    Opaque,
    Part,
    Reasoning,
    Secret,
    Text,
    ToolCall,
)
from modelway.conversation.reply import Reply, Stop, StopReason, Usage
from modelway.conversation.translation import Translation
from modelway.protocols.openai_responses import RESPONSES
from tests.protocols.openai_responses.conftest import Answering
from tests.protocols.openai_responses.given import (
    PAIRS,
    Wire,
    frames_of,
    recording,
    translation,
)

USAGE = Usage(input_tokens=3, output_tokens=4)


def stream(events: Sequence[Event], using: Translation | None = None) -> bytes:
    writer = RESPONSES.writer(using or translation())
    return b"".join(writer.write(event) for event in events)


def replying(*parts: Part, stop: StopReason = "end") -> Reply:
    return Reply(id="up", model="up", parts=parts, stop=Stop(stop), usage=USAGE)


def kinds(frames: Sequence[Wire]) -> list[str]:
    return [frame["type"].removeprefix("response.") for frame in frames]


def test_T226_text_climbs_every_rung_in_order() -> None:
    events: list[Event] = [
        Started("up", "up"),
        PartStarted(0, Text(text="")),
        TextAdded(0, "Hel"),
        TextAdded(0, "lo"),
        PartEnded(0),
        UsageReported(USAGE),
        Finished(Stop("end")),
    ]

    frames = frames_of(stream(events))

    assert kinds(frames) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
    assert frames[6]["text"] == "Hello"
    assert frames[-1]["response"]["usage"]["total_tokens"] == 7


EVERYTHING = (
    Reasoning(text="hm", secret=Secret("anthropic", "signature", "sig==")),
    Text(text="Look: ", citations=(Citation(kind="url", url="https://x.org", title="X", start=0, end=4),)),
    Text(text="here"),
    ToolCall(id="c1", name="f", arguments='{"a":1}'),
    ToolCall(id="c2", name="g", namespace="crm"),
    ToolCall(id="c3", name="patch", arguments="*** x", freeform=True),
    HostedCall(
        protocol="responses", id="ws_1", name="web_search", raw=({"type": "web_search_call", "id": "ws_1"},)
    ),
    Opaque(protocol="responses", raw={"type": "hologram", "id": "h_1"}),
)


def test_A21_T227_ids_stay_the_same_through_the_stream() -> None:
    frames = frames_of(stream(list(unfold(replying(*EVERYTHING, stop="tool_use")))))

    assert len({frame["response"]["id"] for frame in frames if "response" in frame}) == 1
    added = {f["output_index"]: f["item"]["id"] for f in frames if f["type"] == "response.output_item.added"}
    done = {f["output_index"]: f["item"]["id"] for f in frames if f["type"] == "response.output_item.done"}
    assert added == done
    assert len(set(added.values())) == len(added) == 7
    assert all(frame["item_id"] == added[frame["output_index"]] for frame in frames if "item_id" in frame)


def test_T228_the_message_is_done_before_the_first_call_begins() -> None:
    parts = (Text(text="Hi"), ToolCall(id="1", name="f"), ToolCall(id="2", name="f"))

    frames = frames_of(stream(list(unfold(replying(*parts, stop="tool_use")))))

    names = kinds(frames)
    assert names.index("output_item.done") < names.index("function_call_arguments.done")
    assert [item["type"] for item in frames[-1]["response"]["output"]] == [
        "message",
        "function_call",
        "function_call",
    ]


def test_a_call_without_arguments_carries_an_empty_object() -> None:
    frames = frames_of(stream(list(unfold(replying(ToolCall(id="1", name="f"), stop="tool_use")))))

    assert [frame["delta"] for frame in frames if frame["type"].endswith("arguments.delta")] == ["{}"]
    assert frames[-1]["response"]["output"][0]["arguments"] == "{}"


def test_T229_thinking_is_a_summary_and_its_envelope_comes_when_it_is_done() -> None:
    frames = frames_of(stream(list(unfold(replying(*EVERYTHING[:2])))))

    assert kinds(frames)[2:8] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert "encrypted_content" not in frames[2]["item"]
    assert frames[7]["item"]["encrypted_content"].startswith("mw1.")


@pytest.mark.parametrize(("stop", "end"), [("max_tokens", "incomplete"), ("refusal", "incomplete")])
def test_T230_a_cut_answer_is_incomplete(stop: StopReason, end: str) -> None:
    frames = frames_of(stream(list(unfold(replying(Text(text="Once"), stop=stop)))))

    assert kinds(frames)[-1] == end
    assert frames[-1]["response"]["output"][-1]["status"] == "incomplete"


def test_a_call_cut_by_the_limit_is_incomplete_and_its_arguments_untouched() -> None:
    call = ToolCall(id="1", name="f", arguments='{"a":')

    (item,) = frames_of(stream(list(unfold(replying(call, stop="max_tokens")))))[-1]["response"]["output"]

    assert (item["status"], item["arguments"]) == ("incomplete", '{"a":')


def test_T231_A_fault_after_the_beginning_is_response_failed() -> None:
    error = CallError.upstream("It broke", code="upstream_truncated")

    frames = frames_of(
        stream([Started("up", "up"), PartStarted(0, Text(text="")), TextAdded(0, "Hel"), Failed(error)])
    )

    assert kinds(frames)[-1] == "failed"
    failed = frames[-1]["response"]
    assert (failed["status"], failed["error"]["code"]) == ("failed", "upstream_truncated")
    assert "response.completed" not in [frame["type"] for frame in frames]


def test_nothing_follows_the_end() -> None:
    writer = RESPONSES.writer(translation())
    for event in unfold(replying(Text(text="Hi"))):
        writer.write(event)

    assert writer.write(Failed(CallError.upstream("late"))) == b""


def test_T233_a_custom_tools_input_has_its_own_events() -> None:
    frames = frames_of(stream(list(unfold(replying(EVERYTHING[5], stop="tool_use")))))

    assert kinds(frames)[2:-1] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert frames[-2]["item"]["input"] == "*** x"


@pytest.mark.parametrize("parts", [EVERYTHING, (), (Text(text="Hi"),)])
def test_T234_A26_the_last_frame_repeats_what_was_done(parts: tuple[Part, ...]) -> None:
    frames = frames_of(stream(list(unfold(replying(*parts)))))

    done = [frame["item"] for frame in frames if frame["type"] == "response.output_item.done"]
    assert frames[-1]["response"]["output"] == done


@pytest.mark.parametrize("parts", [EVERYTHING, (), (Text(text="Hi"),)])
def test_T303_the_stream_ends_with_the_whole_answer(parts: tuple[Part, ...]) -> None:
    reply = replying(*parts)

    frames = frames_of(stream(list(unfold(reply))))

    assert frames[-1]["response"] == json.loads(RESPONSES.write_reply(reply, translation()))


@pytest.mark.parametrize("name", PAIRS)
def test_T303_a_recorded_stream_translated_ends_with_its_whole_answer_translated(name: str) -> None:
    reading = translation("chat", "responses", vendor="openai")
    reader = RESPONSES.reader(reading)
    events = [*reader.read(recording(f"{name}.sse")), *reader.end()]
    whole = RESPONSES.read_reply(recording(f"{name}.json"), reading)

    last = frames_of(stream(events))[-1]["response"]

    assert last == json.loads(RESPONSES.write_reply(whole, translation()))


def test_T239_a_heartbeat_is_a_comment() -> None:
    assert stream([Heartbeat()]) == b": hb\n\n" == RESPONSES.heartbeat


def test_T248_line_ends_inside_text_do_not_end_lines() -> None:
    body = stream(list(unfold(replying(Text(text="a\u2028b\u2029c\u0085d\r\ne")))))

    assert not any(character in body.decode() for character in "\u2028\u2029\u0085\r")
    assert body.endswith(b"\n\n")
    assert frames_of(body)[-1]["response"]["output"][0]["content"][0]["text"] == "a\u2028b\u2029c\u0085d\r\ne"


def test_another_vendors_search_tells_what_was_searched_for() -> None:
    search = HostedCall(
        protocol="messages",
        id="s",
        name="web_search",
        raw=({"type": "server_tool_use", "input": {"query": "q"}},),
    )

    item = frames_of(stream(list(unfold(replying(search, Text(text="Hi"))))))[-1]["response"]["output"][0]

    assert (item["type"], item["action"]) == ("web_search_call", {"type": "search", "query": "q"})


def test_secrets_that_come_late_are_kept() -> None:
    secret = Secret("openai", "encrypted", "gAAA", id="rs_1")
    events: list[Event] = [
        Started("up", "up"),
        PartStarted(0, Reasoning()),
        SecretAdded(0, secret),
        PartEnded(0),
        Finished(Stop("end")),
    ]

    assert frames_of(stream(events))[-1]["response"]["output"][0]["encrypted_content"] == "gAAA"


# -- the official SDK ------------------------------------------------------------------------------


def test_T227_T241_the_sdks_stream_helper_accepts_everything(openai_client: Answering) -> None:
    using = translation()
    body = stream(list(unfold(replying(*EVERYTHING[:6], stop="tool_use"))), using)

    with openai_client(body).responses.stream(model="m", input="Hi") as heard:
        texts = [event.delta for event in heard if event.type == "response.output_text.delta"]
        final = heard.get_final_response()

    assert texts == ["Look: ", "here"]
    assert final.output_text == "Look: here"
    assert [type(item) for item in final.output[:1]] == [ResponseReasoningItem]
    calls = [item for item in final.output if isinstance(item, ResponseFunctionToolCall)]
    assert [call.arguments for call in calls] == ['{"a":1}', "{}"]
    assert final.usage is not None
    assert final.usage.total_tokens == 7


def test_T241_the_sdk_parses_a_whole_answer(openai_client: Answering) -> None:
    client = openai_client(RESPONSES.write_reply(replying(Text(text="Hi")), translation()))

    response = client.responses.create(model="m", input="Hi")

    assert response.output_text == "Hi"
    assert isinstance(response.output[0], ResponseOutputMessage)
    Response.model_validate(response.model_dump())


@pytest.mark.parametrize("where", ["writer", "error_frame"])
def test_T249_a_failure_in_mid_stream_is_raised_by_the_sdk(openai_client: Answering, where: str) -> None:
    error = CallError("upstream_overloaded", "Too much to do")
    body = stream([Started("up", "up"), PartStarted(0, Text(text="")), TextAdded(0, "Hel")])
    failed = body + RESPONSES.error_frame(error, "req_1")
    if where == "writer":
        failed = stream([Started("up", "up"), PartStarted(0, Text(text="")), Failed(error)])
    client = openai_client(failed)

    with (
        pytest.raises(openai.APIError) as caught,
        client.responses.create(model="m", input="Hi", stream=True) as heard,
    ):
        list(heard)

    assert caught.value.message == "Too much to do"
    # In a response object an overload has OpenAI's word, at which Codex tries again.
    code = "server_error" if where == "writer" else "server_is_overloaded"
    assert (caught.value.code, caught.value.type) == (code, "overloaded_error")


def test_an_error_frame_has_openais_flat_fields_and_ours() -> None:
    (frame,) = frames_of(RESPONSES.error_frame(CallError("rate_limited", "Slow down"), "req_1"))

    assert (frame["type"], frame["code"], frame["message"]) == ("error", "rate_limit_exceeded", "Slow down")
    assert frame["error"]["type"] == "rate_limit_error"
    assert frame["request_id"] == "req_1"

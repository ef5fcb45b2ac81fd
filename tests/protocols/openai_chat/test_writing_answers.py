"""What a Chat client is answered, judged by OpenAI's own SDK."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from msgspec import structs
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from modelway.conversation.errors import CallError
from modelway.conversation.events import Failed, Heartbeat, Started, unfold
from modelway.conversation.parts import Citation, Reasoning, Refusal, Secret, Text, ToolCall
from modelway.conversation.reply import Reply, Stop, Usage
from modelway.conversation.translation import Translation
from modelway.protocols.openai_chat import CHAT
from tests.protocols.openai_chat.given import read, translation

USAGE = Usage(
    input_tokens=10, cache_read_tokens=80, cache_write_5m_tokens=10, output_tokens=5, reasoning_tokens=3
)


def answer(*parts: Any, stop: Stop | None = None, **fields: Any) -> Reply:
    return Reply(
        id="msg_1", model="upstream-model", parts=parts, stop=stop or Stop("end"), usage=USAGE, **fields
    )


def whole(reply: Reply, shared: Translation | None = None) -> dict[str, Any]:
    data = CHAT.write_reply(reply, shared or translation())
    ChatCompletion.model_validate_json(data, strict=True)
    written: dict[str, Any] = json.loads(data)
    return written


def message(reply: Reply, shared: Translation | None = None) -> dict[str, Any]:
    written: dict[str, Any] = whole(reply, shared)["choices"][0]["message"]
    return written


def frames(reply: Reply, shared: Translation | None = None) -> list[str]:
    writer = CHAT.writer(
        shared or translation(asked=read(stream=True, stream_options={"include_usage": True}))
    )
    data = b"".join(writer.write(event) for event in unfold(reply)).decode()
    assert data.endswith("\n\n")
    return data.removesuffix("\n\n").split("\n\n")


def chunks(reply: Reply, shared: Translation | None = None) -> list[dict[str, Any]]:
    *data, done = frames(reply, shared)
    assert done == "data: [DONE]"
    decoded = [json.loads(frame.removeprefix("data: ")) for frame in data]
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in decoded)
    return decoded


def accumulated(reply: Reply) -> Any:
    """What the SDK's streaming helper makes of it."""
    state = ChatCompletionStreamState()
    for chunk in chunks(reply):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return state.get_final_completion()


CALLS = (ToolCall(id="a", name="f", arguments='{"x":1}'), ToolCall(id="b", name="g", arguments="{}"))
SIGNED = Reasoning(text="hm", secret=Secret(vendor="anthropic", kind="signature", value="c2ln"))
ANSWERS: dict[str, Reply] = {
    "text": answer(Text(text="Hello 🌍\u2028!")),
    "two texts": answer(Text(text="One. "), Text(text="Two.")),
    "calls": answer(*CALLS, stop=Stop("tool_use")),
    "text and calls": answer(Text(text="Looking."), *CALLS, stop=Stop("tool_use")),
    "reasoning": answer(Reasoning(text="hm"), Text(text="Hello")),
    "signed reasoning": answer(SIGNED, Text(text="Hello")),
    "reasoning and a call": answer(Reasoning(text="hm"), CALLS[0], stop=Stop("tool_use")),
    "refusal": answer(Refusal(text="I can't."), stop=Stop("refusal")),
    "cut": answer(Text(text="Hel"), stop=Stop("max_tokens")),
    "empty": answer(),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_T225_T303_the_sdk_makes_the_same_of_the_stream_as_of_the_whole(name: str) -> None:
    if ANSWERS[name].stop.reason in ("max_tokens", "refusal"):
        with pytest.raises(openai.OpenAIError):  # the helper raises for a cut or filtered answer
            accumulated(ANSWERS[name])
        return
    said, streamed = message(ANSWERS[name]), accumulated(ANSWERS[name])
    choice = streamed.choices[0]

    assert (choice.message.content or None) == (said["content"] or None)
    assert choice.finish_reason == whole(ANSWERS[name])["choices"][0]["finish_reason"]
    calls = [
        {
            "id": call.id,
            "type": call.type,
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in choice.message.tool_calls or ()
    ]
    assert calls == said.get("tool_calls", [])
    assert streamed.usage.model_dump(exclude_none=True) == whole(ANSWERS[name])["usage"]
    assert (choice.message.model_extra or {}).get("reasoning_content") == said.get("reasoning_content")


def test_T179_the_answer_names_the_model_the_client_asked_for() -> None:
    written = whole(answer(Text(text="Hi")))

    assert written["model"] == "the/alias"
    assert written["id"].startswith("chatcmpl-")
    assert written["system_fingerprint"] is None
    assert {chunk["model"] for chunk in chunks(answer(Text(text="Hi")))} == {"the/alias"}
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks(answer(Text(text="Hi")))}) == 1


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end", "stop"),
        ("max_tokens", "length"),
        ("context_window", "length"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause", "stop"),
        ("unknown", "stop"),
    ],
)
def test_T167_every_reason_to_stop_has_a_word(reason: Any, finish: str) -> None:
    assert whole(answer(Text(text="x"), stop=Stop(reason)))["choices"][0]["finish_reason"] == finish


def test_the_sequence_that_was_hit_is_named() -> None:
    stopped = answer(Text(text="x"), stop=Stop("stop_sequence", sequence="END"))

    assert whole(stopped)["choices"][0]["stop_reason"] == "END"
    assert chunks(stopped)[-2]["choices"][0]["stop_reason"] == "END"


def test_T168_T219_a_refusal_says_why() -> None:
    explained = answer(stop=Stop("refusal", detail="Not this."))

    assert message(explained)["refusal"] == "Not this."
    assert message(answer(stop=Stop("refusal")))["refusal"] == "The model declined this request."
    assert [chunk["choices"][0]["delta"].get("refusal") for chunk in chunks(explained)[:-2]] == [
        None,
        "Not this.",
    ]


def test_T170_T171_content_is_null_only_beside_calls() -> None:
    assert message(answer(*CALLS))["content"] is None
    assert message(answer(Text(text="x"), *CALLS))["content"] == "x"
    assert message(answer())["content"] == ""


def test_T172_T220_citations_count_over_the_whole_content_and_come_once() -> None:
    cited = Citation(kind="url", url="https://example.org", title="T", start=0, end=4)
    found = answer(Text(text="One. "), Text(text="Two.", citations=(cited,)))
    expected = [
        {
            "type": "url_citation",
            "url_citation": {"url": "https://example.org", "title": "T", "start_index": 5, "end_index": 9},
        }
    ]

    assert message(found)["annotations"] == expected
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(found)[:-1]]
    assert [delta["annotations"] for delta in deltas if "annotations" in delta] == [expected]


def test_T212_T213_calls_are_numbered_from_0_and_never_without_arguments() -> None:
    silent = ToolCall(id="c", name="h")
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(answer(Text(text="x"), CALLS[0], silent))[:-1]]
    entries = [entry for delta in deltas for entry in delta.get("tool_calls", ())]

    assert [entry["index"] for entry in entries] == [0, 0, 1, 1]
    assert entries[3]["function"] == {"arguments": "{}"}
    assert message(answer(silent))["tool_calls"][0]["function"]["arguments"] == "{}"


def test_T214_T215_a_signature_comes_once_in_an_indexed_detail() -> None:
    redacted = Reasoning(secret=Secret(vendor="anthropic", kind="redacted", value="ZGF0YQ"), redacted=True)
    thinking = answer(SIGNED, redacted, Text(text="Hello"))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(thinking)[:-1]]
    details = [entry for delta in deltas for entry in delta.get("reasoning_details", ())]

    assert details == message(thinking)["reasoning_details"]
    assert details == [
        {
            "index": 0,
            "type": "reasoning.text",
            "text": "hm",
            "format": "anthropic-claude-v1",
            "signature": "c2ln",
        },
        {"index": 1, "type": "reasoning.encrypted", "format": "anthropic-claude-v1", "data": "ZGF0YQ"},
    ]


@pytest.mark.parametrize(
    "thought",
    [
        SIGNED,
        Reasoning(secret=Secret(vendor="anthropic", kind="redacted", value="ZGF0YQ"), redacted=True),
        Reasoning(
            summaries=("First.", "Second."),
            secret=Secret(vendor="openai", kind="encrypted", value="gAAAA", id="rs_1"),
        ),
    ],
)
def test_reasoning_comes_back_from_a_client_as_it_went(thought: Reasoning) -> None:
    said = message(answer(thought, Text(text="Hello")))
    hi = {"role": "user", "content": "Hi"}

    assert read(messages=[hi, said, hi]).turns[1].parts == (thought, Text(text="Hello"))


def test_T216_usage_comes_last_and_only_if_asked_for() -> None:
    *before, last = chunks(answer(Text(text="Hi")))
    assert last["choices"] == []
    assert all(chunk["usage"] is None for chunk in before)

    silent = chunks(answer(Text(text="Hi")), translation(asked=read(stream=True)))
    assert all("usage" not in chunk for chunk in silent)


def test_T217_T288_the_buckets_add_up_to_openais_counts() -> None:
    usage = whole(answer(Text(text="Hi")))["usage"]

    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (100, 5, 105)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 80
    assert usage["prompt_tokens_details"]["cache_write_tokens"] == 10
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 3
    plain = Reply(id="", model="", parts=(), stop=Stop("end"), usage=Usage(input_tokens=1, output_tokens=1))
    assert whole(plain)["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


def test_T127_legacy_clients_get_a_function_call() -> None:
    shared = translation(asked=read(stream=True))
    shared.legacy_functions = True
    called = answer(CALLS[0], stop=Stop("tool_use"))

    assert message(called, shared)["function_call"] == {"name": "f", "arguments": '{"x":1}'}
    assert whole(called, shared)["choices"][0]["finish_reason"] == "function_call"
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(called, shared)]
    assert deltas[0]["function_call"] == {"name": "f", "arguments": ""}
    assert deltas[1]["function_call"] == {"arguments": '{"x":1}'}


def test_T126_a_freeform_call_is_a_custom_call() -> None:
    patch = ToolCall(id="a", name="patch", arguments="*** Begin", freeform=True)

    assert message(answer(patch))["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    ]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(answer(patch))[:-1]]
    assert deltas[1]["tool_calls"] == [{"index": 0, "custom": {"input": "*** Begin"}}]


def test_T189_a_stream_whose_provider_counted_nothing_ends_with_an_estimate() -> None:
    shared = translation(asked=read(stream=True, stream_options={"include_usage": True}))
    shared.prompt_tokens_estimate = 9
    reply = structs.replace(answer(Text(text="x" * 399)), usage=None)
    usage = chunks(reply, shared)[-1]["usage"]

    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (9, 100, 109)


def test_T221_T239_a_heartbeat_is_a_comment() -> None:
    assert CHAT.writer(translation()).write(Heartbeat()) == b": hb\n\n" == CHAT.heartbeat


def test_T222_T249_a_failure_is_a_frame_the_sdks_raise() -> None:
    shared = translation()
    shared.request_id = "req_1"
    writer = CHAT.writer(shared)
    writer.write(Started("a", "b"))
    frame = writer.write(Failed(CallError("upstream_overloaded", "Busy\u2028now"))).decode()

    event, data = frame.removesuffix("\n\n").split("\n")
    assert event == "event: error"
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "error",
        "error": {
            "type": "overloaded_error",
            "message": "Busy\u2028now",
            "param": None,
            "code": "server_is_overloaded",
        },
        "request_id": "req_1",
    }
    assert "\u2028" not in frame


def test_no_frame_holds_a_character_that_ends_a_line_somewhere() -> None:
    for frame in frames(answer(Text(text="a\u2028b\u2029c\u0085d\re\n"))):
        assert len(frame.splitlines()) == 1

"""Whole answers: Anthropic's read, and the client's written."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from anthropic.types import Message

from modelway.conversation.envelope import open_envelope
from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    Citation,
    HostedCall,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Secret,
    Text,
    ToolCall,
    Url,
)
from modelway.conversation.reply import Reply, Stop, StopReason, Usage
from modelway.conversation.request import Conversation, OutputSpec
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages import MESSAGES
from tests.protocols.anthropic_messages.support import (
    RECORDINGS,
    Json,
    codes,
    from_chat,
    recording,
    to_chat,
    translation,
)


def read(name: str, place: Translation | None = None) -> Reply:
    return MESSAGES.read_reply(recording(f"{name}.json"), place or from_chat())


def write(*parts: Part, place: Translation | None = None, **fields: Any) -> Json:
    """The client's body for an answer; checked against the SDK's own type."""
    values: Json = {"id": "up", "model": "up", "parts": parts, "stop": Stop("end"), "usage": Usage()}
    body = MESSAGES.write_reply(Reply(**(values | fields)), place or to_chat())
    Message.model_validate_json(body, strict=True)
    decoded: Json = msgspec.json.decode(body)
    return decoded


@pytest.mark.parametrize(
    ("name", "stop"),
    [
        ("text", Stop("end", raw="end_turn")),
        ("max_tokens", Stop("max_tokens", raw="max_tokens")),
        ("stop_sequence", Stop("stop_sequence", sequence="three", raw="stop_sequence")),
        ("tool_use", Stop("tool_use", raw="tool_use")),
        ("context_window", Stop("context_window", raw="model_context_window_exceeded")),
        (
            "refusal",
            Stop("refusal", detail="This could harm others.", category="cyber", raw="refusal"),
        ),
    ],
)
def test_T167_T168_stop_reasons_are_read(name: str, stop: Stop) -> None:
    assert read(name).stop == stop


def test_T170_a_calls_input_is_compact_json_text() -> None:
    assert read("tool_use").parts[1] == ToolCall(
        id="toolu_01T1x1fJ34qAmk2tNTrN7Up6", name="get_weather", arguments='{"city":"Paris","days":7}'
    )


def test_T172_a_web_search_is_one_call_with_its_results_and_the_text_cites_it() -> None:
    parts = read("web_search").parts

    assert isinstance(parts[1], HostedCall)
    assert [block["type"] for block in parts[1].raw] == ["server_tool_use", "web_search_tool_result"]
    assert isinstance(parts[2], Text)
    (citation,) = parts[2].citations
    assert (citation.kind, citation.url, citation.title) == ("url", "https://example.org/moon", "The Moon")


def test_T173_thinking_carries_its_signature_and_who_made_it() -> None:
    reasoning = read("thinking_tool").parts[0]

    assert isinstance(reasoning, Reasoning)
    assert reasoning.secret is not None
    assert (reasoning.secret.vendor, reasoning.secret.model) == ("anthropic", "claude-opus-4-8")


def test_a_server_that_is_not_anthropics_signs_for_itself() -> None:
    reasoning = read("thinking_tool", from_chat(vendor="other")).parts[0]

    assert isinstance(reasoning, Reasoning)
    assert reasoning.secret is not None
    assert reasoning.secret.vendor == "other"


def test_T283_usage_is_split_into_buckets() -> None:
    usage = read("cache_usage").usage

    assert usage is not None
    assert (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens) == (10, 80, 5)
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == (4, 6)
    assert (usage.prompt_tokens, usage.reasoning_tokens) == (100, 3)


def test_T180_an_error_inside_a_200_is_an_error() -> None:
    with pytest.raises(CallError) as caught:
        read("error_in_200")
    assert caught.value.kind.name == "upstream_overloaded"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"type":"message","content":5}',
        b'{"usage":{},"content":[{"type":"text"}]}',
    ],
)
def test_nonsense_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(CallError) as caught:
        MESSAGES.read_reply(body, from_chat())
    assert caught.value.kind.status == 502


def test_an_end_turn_with_a_call_is_a_tool_use_and_a_tool_use_without_call_is_an_end() -> None:
    called = recording("tool_use.json").replace(
        b'"tool_use",\n  "stop_sequence"', b'"end_turn",\n  "stop_sequence"'
    )
    quiet = recording("text.json").replace(b'"end_turn"', b'"tool_use"')

    assert b'"stop_reason": "end_turn"' in called
    assert MESSAGES.read_reply(called, from_chat()).stop.reason == "tool_use"
    assert MESSAGES.read_reply(quiet, from_chat()).stop.reason == "end"


def test_an_end_turn_that_names_a_stop_sequence_is_a_stop_sequence() -> None:
    """llama.cpp's: tests/recordings/local/messages_stop_sequence.json."""
    body = (RECORDINGS.parent / "local" / "messages_stop_sequence.json").read_bytes()
    stop = MESSAGES.read_reply(body, from_chat()).stop

    assert (stop.reason, stop.sequence) == ("stop_sequence", "3")


def test_an_unknown_stop_reason_is_warned_about() -> None:
    place = from_chat()
    body = recording("text.json").replace(b'"end_turn"', b'"sunset"')

    assert MESSAGES.read_reply(body, place).stop == Stop("unknown", raw="sunset")
    assert codes(place) == ["stop_reason"]


def test_a_strict_call_keeps_an_answer_it_would_have_been_warned_about() -> None:
    body = recording("text.json").replace(b'"end_turn"', b'"sunset"')

    assert MESSAGES.read_reply(body, from_chat(strict=True)).parts


def test_T089_T126_T148_calls_come_back_under_the_clients_names() -> None:
    place = from_chat()
    place.renamed["long_1234"] = "the real name"
    place.namespaces["crm__lookup"] = ("crm", "lookup")
    place.freeform.add("patch")
    calls = [
        {"type": "tool_use", "id": str(n), "name": name, "input": {"input": "text"}}
        for n, name in enumerate(["long_1234", "crm__lookup", "patch"])
    ]
    body = {"type": "message", "model": "m", "content": calls, "stop_reason": "tool_use", "usage": {}}
    renamed, spaced, freeform = MESSAGES.read_reply(msgspec.json.encode(body), place).parts

    assert isinstance(renamed, ToolCall)
    assert isinstance(spaced, ToolCall)
    assert isinstance(freeform, ToolCall)
    assert renamed.name == "the real name"
    assert (spaced.namespace, spaced.name) == ("crm", "lookup")
    assert (freeform.freeform, freeform.arguments) == (True, "text")


def test_the_answer_tools_input_is_the_text() -> None:
    place = from_chat()
    place.answer_tool = "respond_json"
    block = {"type": "tool_use", "id": "t", "name": "respond_json", "input": {"a": 1}}
    body = {"type": "message", "model": "m", "content": [block], "stop_reason": "tool_use", "usage": {}}
    reply = MESSAGES.read_reply(msgspec.json.encode(body), place)

    assert reply.parts == (Text(text='{"a":1}'),)
    assert reply.stop.reason == "end"


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("end", "end_turn"),
        ("max_tokens", "max_tokens"),
        ("tool_use", "tool_use"),
        ("refusal", "refusal"),
        ("context_window", "model_context_window_exceeded"),
        ("pause", "pause_turn"),
        ("unknown", "end_turn"),
    ],
)
def test_T159_stop_reasons_are_written(reason: StopReason, word: str) -> None:
    assert write(Text(text="a"), stop=Stop(reason))["stop_reason"] == word


def test_T161_T162_the_sequence_that_hit_is_named_and_null_otherwise() -> None:
    hit = write(Text(text="a"), stop=Stop("stop_sequence", sequence="</tool>"))

    assert (hit["stop_reason"], hit["stop_sequence"]) == ("stop_sequence", "</tool>")
    assert write(Text(text="a"))["stop_sequence"] is None


def test_T163_an_empty_answer_has_one_empty_text_block() -> None:
    assert write()["content"] == [{"type": "text", "text": ""}]


def test_T164_reasoning_without_a_signature_is_sealed() -> None:
    thinking, text = write(Reasoning(text="hm"), Text(text="so"))["content"]

    assert (thinking["thinking"], text["text"]) == ("hm", "so")
    assert thinking["signature"].startswith("mw1.")


def test_summaries_are_joined_by_a_blank_line() -> None:
    reasoning = Reasoning(summaries=("one", "two"), secret=Secret("openai", "encrypted", "e"))

    assert write(reasoning)["content"][0]["thinking"] == "one\n\ntwo"


def test_anthropics_own_signature_is_given_as_it_is() -> None:
    reasoning = Reasoning(text="hm", secret=Secret("anthropic", "signature", "sig=="))
    redacted = Reasoning(redacted=True, secret=Secret("anthropic", "redacted", "blob"))

    assert write(reasoning, redacted)["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "blob"},
    ]


def test_T165_T166_arguments_are_objects_whatever_the_model_wrote() -> None:
    place = to_chat()
    calls = [ToolCall(id="a", name="f", arguments='{"n":1.0}'), ToolCall(id="b", name="f", arguments="oops")]
    _, good, bad = write(Text(text="t"), *calls, place=place, stop=Stop("tool_use"))["content"]

    assert good["input"] == {"n": 1.0}
    assert bad["input"] == {"_raw": "oops"}
    assert codes(place) == ["invalid_arguments"]


def test_a_call_that_was_cut_off_is_left_out() -> None:
    place = to_chat()
    cut = ToolCall(id="a", name="f", arguments='{"n":')

    body = write(Text(text="t"), cut, place=place, stop=Stop("max_tokens"))
    assert [block["type"] for block in body["content"]] == ["text"]
    assert codes(place) == ["truncated_tool_call"]


def test_a_refusal_is_text_and_a_refusal_stop() -> None:
    body = write(Refusal(text="I will not."))

    assert body["content"] == [{"type": "text", "text": "I will not."}]
    assert body["stop_reason"] == "refusal"
    assert body["stop_details"] == {"type": "refusal", "category": None, "explanation": "I will not."}


def test_T179_the_answer_bears_the_name_the_client_asked_for_and_an_id_of_ours() -> None:
    body = write(Text(text="a"))

    assert (body["model"], body["id"]) == ("asked", "msg_1")


def test_T181_a_structured_answer_is_one_text_block() -> None:
    asked = Conversation(model="m", turns=(), output=OutputSpec(format="schema"))
    body = write(Text(text='{"a":'), Text(text="1}"), place=to_chat(asked=asked))

    assert body["content"] == [{"type": "text", "text": '{"a":1}'}]


def test_a_web_citation_of_another_vendor_is_one_of_messages() -> None:
    citation = Citation(kind="url", url="https://example.org", title="T", start=0, end=3, vendor="openai")

    assert write(Text(text="abc def", citations=(citation,)))["content"][0]["citations"] == [
        {
            "type": "web_search_result_location",
            "cited_text": "abc",
            "encrypted_index": "",
            "title": "T",
            "url": "https://example.org",
        }
    ]


def test_what_messages_cannot_show_is_left_out_with_a_warning() -> None:
    place = to_chat()
    strangers: tuple[Part, ...] = (
        Image(source=Url("https://example.org/a.png")),
        HostedCall(protocol="responses", id="ws", name="web_search", raw=({},)),
        Opaque(protocol="responses", raw={"type": "x"}),
    )

    assert write(*strangers, Text(text="a"), place=place)["content"] == [{"type": "text", "text": "a"}]
    assert codes(place) == ["content_dropped"] * 3


def test_T283_T284_T286_usage_is_written_with_cache_fields_only_if_known() -> None:
    known = Usage(input_tokens=10, cache_read_tokens=80, cache_write_5m_tokens=10, output_tokens=5)

    assert write(usage=known)["usage"] == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 10,
        "cache_read_input_tokens": 80,
        "output_tokens": 5,
    }
    assert write(usage=Usage(input_tokens=3, output_tokens=4))["usage"] == {
        "input_tokens": 3,
        "output_tokens": 4,
    }


def test_T289_without_usage_the_prompt_is_estimated() -> None:
    assert write(usage=None, place=to_chat(prompt_tokens_estimate=42))["usage"]["input_tokens"] == 42


@pytest.mark.parametrize(
    "name",
    [
        "text",
        "tool_use",
        "parallel_tools",
        "thinking",
        "redacted_thinking",
        "web_search",
        "refusal",
        "cache_usage",
    ],
)
def test_an_answer_read_and_written_again_is_the_same(name: str) -> None:
    original = msgspec.json.decode(recording(f"{name}.json"))
    place = translation(model_asked=original["model"], mint=lambda prefix: original["id"])
    again = msgspec.json.decode(MESSAGES.write_reply(read(name, place), place))

    before, after = original.pop("usage"), again.pop("usage")
    assert again == original
    assert {name: after[name] for name in before} == before


def test_the_sdk_wants_both_counts_of_server_tools() -> None:
    assert write(usage=Usage(web_searches=2))["usage"]["server_tool_use"] == {
        "web_search_requests": 2,
        "web_fetch_requests": 0,
    }


def test_of_several_calls_only_the_first_is_given_to_a_client_that_wants_one() -> None:
    place = to_chat(asked=Conversation(model="m", turns=(), parallel_tools=False))
    calls = [ToolCall(id="a", name="f"), ToolCall(id="b", name="f")]

    assert [block["id"] for block in write(*calls, place=place, stop=Stop("tool_use"))["content"]] == ["a"]
    assert codes(place) == ["parallel"]


def test_a_signature_of_a_gateway_further_up_is_kept_for_it() -> None:
    place = to_chat(upstream="messages", vendor="other")
    body = recording("thinking.json").replace(b'"signature": "', b'"signature": "mw1.')
    reasoning = MESSAGES.read_reply(body, place).parts[0]

    assert isinstance(reasoning, Reasoning)
    assert reasoning.secret is not None
    assert reasoning.secret.value.startswith("mw1.")
    sealed = write(reasoning, place=place)["content"][0]["signature"]
    assert open_envelope(sealed, place.envelope_secret) == reasoning

"""Whole answers, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs
from openai.types.responses import Response

from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    Citation,
    HostedCall,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Secret,
    Text,
    ToolCall,
)
from modelway.conversation.reply import Reply, Stop, StopReason, Usage
from modelway.conversation.translation import Translation
from modelway.protocols.openai_responses import RESPONSES
from modelway.protocols.openai_responses.items import read_reasoning
from tests.protocols.openai_responses.given import PAIRS, SECRET, Wire, conversation, recording, translation

USAGE = Usage(input_tokens=3, output_tokens=4)


def read(body: bytes | Wire, **using: Any) -> Reply:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RESPONSES.read_reply(text, translation("chat", "responses", **using))


def replying(*parts: Part, stop: StopReason = "end", **fields: Any) -> Reply:
    return structs.replace(
        Reply(id="up", model="up-model", parts=parts, stop=Stop(stop), usage=USAGE), **fields
    )


def written(reply: Reply, using: Translation | None = None) -> Wire:
    body: Wire = json.loads(RESPONSES.write_reply(reply, using or translation()))
    return body


# -- reading ---------------------------------------------------------------------------------------


def test_text_is_read() -> None:
    reply = read(recording("text.json"))

    assert [part.text for part in reply.parts if isinstance(part, Text)] == ["Hello, wörld ✓\u2028!"]
    assert reply.stop.reason == "end"
    assert (reply.model, reply.created_s, reply.service_tier) == ("gpt-5.6-sol", 1_792_000_000, "default")


def test_calls_end_the_answer_as_tool_use() -> None:
    reply = read(recording("text_then_parallel_tool_calls.json"))

    calls = [part for part in reply.parts if isinstance(part, ToolCall)]
    assert [(call.id, call.name, call.arguments) for call in calls] == [
        ("call_a1", "get_weather", '{"city":"Paris"}'),
        ("call_b2", "get_weather", '{"city":"Oslo"}'),
        ("call_c3", "get_time", "{}"),
    ]
    assert reply.stop.reason == "tool_use"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("max_output_tokens", "max_tokens"),
        ("max_output_tokens_in_a_tool_call", "max_tokens"),
        ("content_filter", "refusal"),
        ("refusal", "refusal"),
        ("no_output", "end"),
    ],
)
def test_why_it_stopped(name: str, reason: str) -> None:
    assert read(recording(f"{name}.json")).stop.reason == reason


def test_a_refusal_in_words_is_the_stops_detail() -> None:
    reply = read(recording("refusal.json"))

    assert isinstance(reply.parts[0], Refusal)
    assert reply.stop.detail == reply.parts[0].text == "I can't help with that."


def test_T283_usage_comes_in_buckets_that_do_not_overlap() -> None:
    assert read(recording("cache_usage.json")).usage == Usage(
        input_tokens=10,
        cache_read_tokens=80,
        cache_write_5m_tokens=10,
        output_tokens=5,
        reasoning_tokens=3,
    )


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (
            {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 9}, "output_tokens": 1},
            Usage(cache_read_tokens=9, output_tokens=1),
        ),
        ({"input_tokens": 5, "output_tokens": 1}, Usage(input_tokens=5, output_tokens=1)),
        (
            {"input_tokens": 5, "input_tokens_details": {"cache_write_tokens": None}, "output_tokens": 1},
            Usage(input_tokens=5, output_tokens=1),
        ),
    ],
)
def test_T285_T286_T287_odd_usage_is_never_negative_nor_invented(raw: Wire, usage: Usage) -> None:
    body = json.loads(recording("text.json")) | {"usage": raw}

    assert read(body).usage == usage


def test_citations_and_searches_are_read() -> None:
    reply = read(recording("web_search_and_citations.json"))

    search, text = reply.parts
    assert isinstance(search, HostedCall)
    assert search.name == "web_search"
    assert isinstance(text, Text)
    assert [(each.kind, each.url, each.start, each.end) for each in text.citations] == [
        ("url", "https://example.org/a", 0, 5),
        ("document", "", None, None),
    ]
    assert reply.usage is not None
    assert reply.usage.web_searches == 1


@pytest.mark.parametrize(("vendor", "owner"), [("openai", "openai"), ("other", "other")])
def test_sealed_reasoning_belongs_to_its_maker(vendor: str, owner: str) -> None:
    part = read(recording("reasoning_encrypted.json"), vendor=vendor).parts[0]

    assert isinstance(part, Reasoning)
    assert part.summaries == ("**Looking**", "Second thought")
    assert part.secret is not None
    assert (part.secret.vendor, part.secret.id) == (owner, "rs_68f1c2a90000")


def test_T180_an_error_inside_a_200_is_an_error() -> None:
    with pytest.raises(CallError, match="Upstream exploded") as caught:
        read(recording("error_inside_200.json"))

    assert caught.value.kind.status == 502


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "x"}, "upstream"),
        ({"code": "rate_limit_exceeded", "message": "x"}, "upstream_rate_limited"),
        (None, "upstream"),
    ],
)
def test_T177_a_failed_answer_is_an_error(error: object, kind: str) -> None:
    body = json.loads(recording("failed.json")) | {"error": error}

    with pytest.raises(CallError) as caught:
        read(body)

    assert caught.value.kind.name == kind


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"output":[{"type":"message","content":[7]}]}']
)
def test_nonsense_is_a_502(body: bytes) -> None:
    with pytest.raises(CallError) as caught:
        read(body)

    assert caught.value.kind.status == 502


def test_names_the_upstream_saw_become_the_clients_again() -> None:
    using = translation("chat", "responses")
    using.renamed["short_1234"] = "a very long name"
    using.namespaces["crm__lookup"] = ("crm", "lookup")
    using.freeform.add("patch")
    calls = [
        {"type": "function_call", "call_id": "1", "name": "short_1234", "arguments": "{}"},
        {"type": "function_call", "call_id": "2", "name": "crm__lookup", "arguments": "{}"},
        {"type": "function_call", "call_id": "3", "name": "patch", "arguments": '{"input":"*** x"}'},
        {"type": "function_call", "name": "f", "arguments": "{}"},
    ]
    body = json.dumps(json.loads(recording("text.json")) | {"output": calls}).encode()

    parts = RESPONSES.read_reply(body, using).parts

    assert parts == (
        ToolCall(id="1", name="a very long name", arguments="{}"),
        ToolCall(id="2", name="lookup", namespace="crm", arguments="{}"),
        ToolCall(id="3", name="patch", arguments="*** x", freeform=True),
        ToolCall(id="call_0001", name="f", arguments="{}"),
    )


def test_an_unknown_item_is_kept() -> None:
    item = {"type": "hologram", "id": "h_1"}
    body = json.loads(recording("text.json")) | {"output": [item]}

    assert read(body).parts == (Opaque(protocol="responses", raw=item),)


# -- writing ---------------------------------------------------------------------------------------


def test_T178_the_response_has_every_field_that_openais_types_require() -> None:
    using = translation()
    using.asked = conversation(
        using,
        instructions="Be brief",
        tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        tool_choice="required",
        temperature=0.5,
        metadata={"a": "b"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {}}},
        reasoning={"effort": "low"},
        user="u",
        truncation="auto",
    )

    body = written(replying(Text(text="Hi")), using)

    Response.model_validate(body)
    assert body["instructions"] == "Be brief"
    assert body["tools"] == [
        {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
    ]
    assert (body["tool_choice"], body["temperature"], body["metadata"]) == ("required", 0.5, {"a": "b"})
    assert body["text"]["format"]["name"] == "n"
    assert body["reasoning"] == {"effort": "low", "summary": None}
    assert (body["user"], body["truncation"], body["completed_at"]) == ("u", "auto", 1_792_000_000)


def test_T153_a_response_nobody_asked_to_store_says_so() -> None:
    using = translation()
    using.asked = conversation(using)

    assert written(replying(Text(text="Hi")), using)["store"] is False


def test_T179_the_model_is_the_one_that_was_asked_for() -> None:
    assert written(replying(Text(text="Hi")))["model"] == "asked-model"


def test_T286_T288_usage_details_are_always_there() -> None:
    assert written(replying(Text(text="Hi")))["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    }


def test_T289_usage_nobody_reported_is_estimated() -> None:
    usage = written(replying(Text(text="x" * 400), usage=None), translation(prompt_tokens_estimate=9))[
        "usage"
    ]

    assert (usage["input_tokens"], usage["output_tokens"]) == (9, 101)


@pytest.mark.parametrize(
    ("answered", "tier"),
    [(None, "auto"), ("priority", "priority"), ("standard", "default"), ("batch", "default")],
)
def test_the_tier_is_one_of_openais(answered: str | None, tier: str) -> None:
    body = written(replying(Text(text="Hi"), service_tier=answered))

    assert body["service_tier"] == tier
    Response.model_validate(body)


@pytest.mark.parametrize(
    ("stop", "status", "reason"),
    [
        ("end", "completed", None),
        ("tool_use", "completed", None),
        ("stop_sequence", "completed", None),
        ("pause", "completed", None),
        ("unknown", "completed", None),
        ("max_tokens", "incomplete", "max_output_tokens"),
        ("context_window", "incomplete", "max_output_tokens"),
        ("refusal", "incomplete", "content_filter"),
    ],
)
def test_T176_stops_become_a_status(stop: StopReason, status: str, reason: str | None) -> None:
    body = written(replying(Text(text="Once"), stop=stop))

    assert body["status"] == status
    assert (body["incomplete_details"] or {}).get("reason") == reason
    assert body["output"][-1]["status"] == status


def test_a_refusal_says_so_in_words() -> None:
    stop = Stop("refusal", detail="Not this.", raw="refusal")

    (item,) = written(structs.replace(replying(), stop=stop))["output"]

    assert item["content"] == [{"type": "refusal", "refusal": "Not this."}]


def test_a_refusal_in_words_is_a_completed_answer() -> None:
    reply = structs.replace(replying(Refusal(text="No.")), stop=Stop("refusal", detail="No.", raw="stop"))

    body = written(reply)

    assert body["status"] == "completed"
    assert body["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_an_empty_answer_is_a_message_with_one_empty_part() -> None:
    (item,) = written(replying())["output"]

    assert [part["text"] for part in item["content"]] == [""]


def test_citations_become_annotations() -> None:
    citations = (
        Citation(kind="url", url="https://x.org", title="X", start=0, end=2, vendor="anthropic"),
        Citation(kind="document", quoted="q", vendor="anthropic", raw={"type": "char_location"}),
        Citation(
            kind="url",
            url="https://y.org",
            start=1,
            vendor="openai",
            raw={"type": "url_citation", "url_citation": {"url": "https://y.org"}},
        ),
    )

    (item,) = written(replying(Text(text="Hi", citations=citations)))["output"]

    assert item["content"][0]["annotations"] == [
        {
            "type": "url_citation",
            "url": "https://x.org",
            "title": "X",
            "start_index": 0,
            "end_index": 2,
        },
        {"type": "url_citation", "url": "https://y.org", "title": "", "start_index": 1, "end_index": 2},
    ]


@pytest.mark.parametrize(
    "part",
    [
        Reasoning(text="deep", secret=Secret("anthropic", "signature", "sig==", "claude")),
        Reasoning(redacted=True, secret=Secret("anthropic", "redacted", "data==")),
        Reasoning(text="unsigned"),
        Reasoning(summaries=("a", "b")),
    ],
)
def test_T173_T174_foreign_reasoning_travels_in_an_envelope(part: Reasoning) -> None:
    item = written(replying(part, Text(text="42")))["output"][0]

    assert item["encrypted_content"].startswith("mw1.")
    assert "".join(each["text"] for each in item["summary"]) == part.text + "".join(part.summaries)
    assert read_reasoning(item, SECRET) == part


def test_openais_own_secret_is_not_put_into_an_envelope() -> None:
    secret = Secret("openai", "encrypted", "gAAA", id="rs_9")
    part = Reasoning(summaries=("hm",), secret=secret, ext={"responses": {"id": "rs_9"}})

    item = written(replying(part, Text(text="42")))["output"][0]

    assert (item["id"], item["encrypted_content"]) == ("rs_9", "gAAA")


@pytest.mark.parametrize("name", PAIRS)
def test_a_recorded_answer_read_and_written_has_the_same_output(name: str) -> None:
    recorded = json.loads(recording(f"{name}.json"))

    body = written(
        RESPONSES.read_reply(recording(f"{name}.json"), translation("chat", "responses", vendor="openai"))
    )

    assert body["status"] == recorded["status"]
    assert body["incomplete_details"] == recorded["incomplete_details"]
    assert body["usage"] == recorded["usage"]
    if name == "no_output":  # an answer without anything in it becomes an empty message
        assert body["output"][0]["content"][0]["text"] == ""
    elif name == "content_filter":  # and one that was withheld says so
        assert body["output"][0]["content"][-1]["type"] == "refusal"
    elif name == "reasoning_text_of_an_open_model":  # unsigned reasoning gets an envelope
        assert body["output"][0].pop("encrypted_content").startswith("mw1.")
        assert body["output"] == recorded["output"]
    else:
        assert body["output"] == recorded["output"]

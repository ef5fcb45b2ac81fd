"""What users of other gateways suffer from, one by one, and that it does not happen here."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing
from dataclasses import replace
from typing import Any, get_args

import pytest
from anthropic.types import StopReason
from openai.types.chat.chat_completion import Choice

from modelway.conversation.capabilities import Capabilities
from modelway.conversation.parts import Text, ToolCall
from modelway.store.locks import WriteLock
from tests.crossing.answers import chat_says, says, text, thinking, tool_use
from tests.crossing.conftest import HEARTBEAT_S
from tests.crossing.given import PROTOCOLS, Json, codes, conversation, translation
from tests.fix_gateway import Gateway, until
from tests.fix_upstream import (
    CHAT,
    MESSAGES,
    RESPONSES,
    ScriptedUpstream,
    Wait,
    recording,
    silence,
    streamed,
    whole,
)
from tests.whole.wire import call, events, headers_for, minimal, stream

PATHS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
USER: Json = {"role": "user", "content": "Hi"}
TOOL: Json = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
PDF = "JVBERi0xLjQKJcOkw7zDtsOfCg=="
IMAGE: Json = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
DOCUMENT: Json = {
    "type": "document",
    "title": "a.pdf",
    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
}


def sent(client: str, upstream: str, able: Capabilities | None = None, **asked: Any) -> Json:
    """The body a provider gets for what this client asks."""
    shared = translation(client, upstream, capabilities=able or Capabilities())
    body: Json = json.loads(PROTOCOLS[upstream].write_request(conversation(client, shared, **asked), shared))
    return body


def result(*content: Json) -> list[Json]:
    """A history in which the tool answered `content`."""
    answered = {"type": "tool_result", "tool_use_id": "toolu_1", "content": list(content)}
    return [
        USER,
        {"role": "assistant", "content": [tool_use("toolu_1")]},
        {"role": "user", "content": [answered]},
    ]


@pytest.mark.parametrize("upstream", ["chat", "responses"])
def test_A11_A12_a_screenshot_from_a_tool_reaches_the_provider_byte_for_byte(upstream: str) -> None:
    body = sent("messages", upstream, tools=[TOOL], messages=result(text("Here:"), IMAGE))

    assert PNG in json.dumps(body)
    if upstream == "chat":
        roles = [message["role"] for message in body["messages"]]
        assert roles == ["user", "assistant", "tool", "user"]
        assert body["messages"][3]["content"][-1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"


@pytest.mark.parametrize("upstream", ["chat", "responses"])
def test_A13_a_pdf_in_a_turn_and_in_a_tools_result_keeps_its_bytes(upstream: str) -> None:
    asked = [{"role": "user", "content": [DOCUMENT, text("Read it.")]}]

    assert PDF in json.dumps(sent("messages", upstream, messages=asked))
    assert PDF in json.dumps(sent("messages", upstream, tools=[TOOL], messages=result(DOCUMENT)))


@pytest.mark.parametrize(
    ("client", "upstream"), [("messages", "chat"), ("messages", "responses"), ("chat", "messages")]
)
def test_A14_an_images_address_stays_an_address(client: str, upstream: str) -> None:
    url = "https://example.org/cat.png"
    part: Json = {"type": "image_url", "image_url": {"url": url}}
    if client == "messages":
        part = {"type": "image", "source": {"type": "url", "url": url}}

    body = sent(client, upstream, messages=[{"role": "user", "content": [part, text("What is it?")]}])

    assert url in json.dumps(body)
    assert "base64" not in json.dumps(body)


ODD = {
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
    "output_config": {"effort": "high"},
    "x_new": {"deep": [1]},
}


def test_A19_A33_what_anthropic_is_asked_through_its_own_protocol_is_not_touched(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(MESSAGES, says([text("x")]))
    body = {**minimal(MESSAGES, "messages-model"), **ODD, "max_tokens": 4096}

    assert call(crossing, MESSAGES, body).status == 200

    assert upstream.last.json() == {**body, "model": "far"}


def test_A28_an_instruction_among_the_messages_is_kept_where_it_can_be() -> None:
    asked: Json = {
        "messages": [USER, {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Go."}]
    }

    for upstream in ("chat", "responses"):
        body = json.dumps(sent("messages", upstream, **asked))
        assert body.index("Hi") < body.index("Be brief.") < body.index("Go.")


def test_A29_a_nonce_for_billing_never_changes_another_vendors_prompt() -> None:
    def asked(nonce: str) -> Json:
        header = f"x-anthropic-billing-header: cc_version=2; cch={nonce};"
        return {"system": [text(header), text("You are helpful.")]}

    for upstream in ("chat", "responses"):
        assert sent("messages", upstream, **asked("a1")) == sent("messages", upstream, **asked("b2"))
    assert "cch=a1" in json.dumps(sent("messages", "messages", **asked("a1")))


def test_A30_cache_marks_on_the_chat_path_reach_anthropic() -> None:
    marked = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    body = sent(
        "chat",
        "messages",
        Capabilities(cache_marks=True),
        messages=[{"role": "system", "content": [marked]}, {"role": "user", "content": [marked]}],
    )

    assert body["system"][0]["cache_control"]["type"] == "ephemeral"
    assert body["messages"][0]["content"][0]["cache_control"]["type"] == "ephemeral"


@pytest.mark.parametrize("upstream", ["chat", "responses"])
def test_A34_anthropics_own_fields_do_not_go_to_others(upstream: str) -> None:
    body = sent("messages", upstream, context_management={"edits": []}, betas=["x"])

    assert not {"context_management", "betas", "output_config", "anthropic_version"} & set(body)


@pytest.mark.parametrize("protocol", ["chat", "responses"])
def test_A39_a_messages_client_knows_its_context_from_the_first_event(
    crossing: Gateway, upstream: ScriptedUpstream, protocol: str
) -> None:
    upstream.answers(PATHS[protocol], streamed(recording(f"{protocol}/cache_usage.sse")))

    answer = call(crossing, MESSAGES, minimal(MESSAGES, f"{protocol}-model", stream=True))

    seen = events(answer.body)
    assert seen[0]["message"]["usage"]["input_tokens"] > 0
    final = next(event for event in seen if event["type"] == "message_delta")["usage"]
    assert final["cache_read_input_tokens"] > 0
    row = crossing.usage_of(answer.request_id)
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"]) == (
        final["input_tokens"],
        final["cache_read_input_tokens"],
        final["output_tokens"],
    )


EMPTY_SHAPES: list[Json] = [
    {"role": "assistant", "content": ""},
    {"role": "assistant", "content": " \n"},
    {"role": "assistant", "content": []},
    {"role": "assistant", "content": [{"type": "text", "text": ""}]},
    {"role": "assistant", "content": [{"type": "text", "text": "  "}, {"type": "text", "text": "x"}]},
    {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "x"}]},
    {"role": "user", "content": ""},
    {"role": "system", "content": ""},
]


@pytest.mark.parametrize("shape", EMPTY_SHAPES, ids=str)
def test_A41_empty_texts_never_reach_anthropic(shape: Json) -> None:
    body = sent("chat", "messages", messages=[USER, shape, {"role": "user", "content": "Go on."}])

    contents = [message["content"] for message in body["messages"]]
    texts = [
        block["text"] if isinstance(block, dict) else block
        for content in contents
        for block in (content if isinstance(content, list) else [content])
    ]
    assert texts
    assert all(said.strip() for said in texts)
    assert PROTOCOLS["messages"].parse(json.dumps(body).encode(), {}).passable


CALLED: Json = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
}
ANSWERED: Json = {"role": "tool", "tool_call_id": "call_1", "content": "42"}
BROKEN: dict[str, list[Json]] = {
    "a call without a result": [USER, CALLED, USER],
    "a result without a call": [USER, ANSWERED, USER],
    "a result twice": [USER, CALLED, ANSWERED, ANSWERED, USER],
    "a result too late": [USER, CALLED, USER, ANSWERED],
}


@pytest.mark.parametrize("history", BROKEN)
def test_A42_a_broken_tool_history_is_mended_or_refused_in_words(
    crossing: Gateway, upstream: ScriptedUpstream, history: str
) -> None:
    upstream.answers(MESSAGES, says([text("x")]))

    answer = call(crossing, CHAT, {"model": "messages-model", "messages": BROKEN[history]})

    if answer.status == 400:
        assert "call_1" in answer.json()["error"]["message"]
        return
    assert answer.status == 200, answer
    assert "repaired" in answer.headers["x-modelway-warnings"]


def test_A43_illegal_ids_and_names_are_mapped_the_same_on_every_turn_and_back() -> None:
    identity, name = "a:b/" + "c" * 296, "look_" + "x" * 66
    history = [
        USER,
        {"role": "assistant", "content": [tool_use("toolu_ok"), tool_use("toolu_2", name)]},
    ]
    results = [
        {"type": "tool_result", "tool_use_id": made, "content": "1"} for made in ("toolu_ok", "toolu_2")
    ]
    tools = [TOOL, {**TOOL, "name": name}]
    shared = translation("messages", "chat")
    asked = conversation(
        "messages", shared, tools=tools, messages=[*history, {"role": "user", "content": results}]
    )
    body = json.loads(PROTOCOLS["chat"].write_request(asked, shared))
    short = body["tools"][1]["function"]["name"]
    assert len(short) <= 64
    assert short == body["messages"][1]["tool_calls"][1]["function"]["name"]
    assert body["messages"][1]["tool_calls"][0]["id"] == "toolu_ok"
    assert shared.renamed[short] == name

    called = json.loads(json.dumps(CALLED).replace("call_1", identity))
    answered = {**ANSWERED, "tool_call_id": identity}
    first, second = (
        sent("chat", "messages", messages=[USER, called, answered, *more]) for more in ([], [USER])
    )
    use = first["messages"][1]["content"][0]["id"]
    assert len(use) <= 64
    assert (
        use == first["messages"][2]["content"][0]["tool_use_id"] == second["messages"][1]["content"][0]["id"]
    )


def test_A45_strict_is_said_only_of_a_schema_that_qualifies() -> None:
    closed = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    optional = {"type": "object", "properties": {"a": {"type": "string"}}}
    for upstream in ("chat", "responses"):
        for schema, expected in ((closed, True), (optional, False)):
            tool = {"name": "f", "input_schema": schema, "strict": True}
            made = sent("messages", upstream, tools=[tool])["tools"][0]
            assert made.get("function", made)["strict"] is expected


def test_A48_without_a_limit_a_claude_model_may_say_all_it_can() -> None:
    assert sent("chat", "messages", Capabilities(max_output_tokens=128_000))["max_tokens"] == 128_000


def test_A49_each_provider_gets_the_limit_and_the_role_it_knows() -> None:
    asked = {"max_tokens": 50, "messages": [{"role": "developer", "content": "Be brief."}, USER]}
    older = sent("chat", "chat", Capabilities(), **asked)
    newer = sent(
        "chat", "chat", Capabilities(max_tokens_field="max_completion_tokens", developer_role=True), **asked
    )

    assert (older["max_tokens"], older["messages"][0]["role"]) == (50, "system")
    assert (newer["max_completion_tokens"], newer["messages"][0]["role"]) == (50, "developer")
    assert not {"max_tokens"} & set(newer)


def test_A50_one_call_at_a_time_and_the_end_user_cross() -> None:
    function = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    body = sent("chat", "messages", tools=[function], parallel_tool_calls=False, user="u1")
    assert body["tool_choice"]["disable_parallel_tool_use"] is True
    assert body["metadata"]["user_id"] == "u1"
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    back = sent("messages", "responses", tools=[TOOL], tool_choice=choice, metadata={"user_id": "u1"})
    assert back["parallel_tool_calls"] is False
    assert "u1" in (back.get("safety_identifier"), back.get("user"))


@pytest.mark.parametrize("client", PATHS)
def test_A35_A36_A58_a_count_is_never_zero_and_grows_with_what_is_read(
    crossing: Gateway, upstream: ScriptedUpstream, client: str
) -> None:
    upstream.answers(f"{MESSAGES}/count_tokens", whole(b'{"input_tokens":0}'))
    bare = minimal(MESSAGES, "chat-model")

    def count(**more: Any) -> int:
        body = {name: value for name, value in {**bare, **more}.items() if name != "max_tokens"}
        answer = call(crossing, f"{MESSAGES}/count_tokens?beta=true", body)
        assert answer.status == 200, answer
        number: int = answer.json()["input_tokens"]
        return number

    alone = count()
    assert (
        0
        < alone
        < count(system="You are a careful assistant.")
        < count(
            system="You are a careful assistant.",
            tools=[{**TOOL, "description": "Looks at things far away."}],
        )
    )


def test_A37_A38_a_provider_that_cannot_count_serves_its_calls_all_the_same(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(f"{MESSAGES}/count_tokens", whole(b'{"error":{"message":"no"}}', status=404))
    upstream.answers(MESSAGES, says([text("x")]))

    for _ in range(50):
        body = {"model": "messages-model", "messages": [USER]}
        assert call(crossing, f"{MESSAGES}/count_tokens", body).json()["input_tokens"] > 0
    assert call(crossing, MESSAGES, minimal(MESSAGES, "messages-model")).status == 200


def test_A53_the_models_list_answers_both_families_without_a_redirect(crossing: Gateway) -> None:
    ours = call(crossing, "/v1/models").json()
    theirs = call(crossing, "/v1/models", headers={"anthropic-version": "2023-06-01"}).json()

    assert {model["id"] for model in ours["data"]} == {model["id"] for model in theirs["data"]}
    assert ours["object"] == "list"
    assert {"has_more", "first_id", "last_id"} <= set(theirs)


@pytest.mark.parametrize("client", PATHS)
def test_B12_T207_a_client_that_hangs_up_frees_the_provider_and_pays_what_it_heard(
    crossing: Gateway, upstream: ScriptedUpstream, client: str
) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse"), pause_after=5))
    with stream(crossing, PATHS[client], minimal(PATHS[client], "chat-model", stream=True)) as answer:
        assert answer.frame()
        answer.hang_up()

    upstream.last.wait_until_left()
    assert upstream.last.left_early
    row = crossing.usage_of(answer.request_id)
    assert (row["outcome"], row["estimated"]) == ("client_gone", 1)
    assert row["output_tokens"] > 0


def test_B12_a_client_that_leaves_while_a_heartbeat_waits_for_the_disk_frees_the_provider(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    speaks = streamed(recording("whole/chat_text.sse"), pause_after=5)
    upstream.answers(CHAT, replace(speaks, steps=(Wait(2 * HEARTBEAT_S), *speaks.steps)))
    body = json.dumps(minimal(CHAT, "chat-model", stream=True))
    connection = http.client.HTTPConnection("127.0.0.1", crossing.port)
    with closing(WriteLock(crossing.database)) as disk:
        disk.acquire()
        connection.request("POST", CHAT, body, headers_for(crossing, None))
        upstream.wait_for_calls(1)
        until(lambda: upstream.last.steps == 6, "a provider that has begun to speak")
        connection.close()

        upstream.last.wait_until_left()


def test_B15_the_words_of_an_error_cost_nothing(crossing: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.answers(CHAT, whole(json.dumps({"error": {"message": "word " * 500}}).encode(), status=500))

    row = crossing.usage_of(call(crossing, CHAT, minimal(CHAT, "priced-model")).request_id)

    assert (row["output_tokens"], row["cost_nano_usd"] or 0) == (0, 0)


def test_B17_the_first_words_may_take_longer_than_a_silence_later_may(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, silence())
    began_s = time.monotonic()
    with stream(crossing, CHAT, minimal(CHAT, "chat-model", stream=True)) as answer:
        heartbeats = answer.frames(3)
        assert heartbeats == [b": hb\n\n"] * 3
        answer.hang_up()
    assert time.monotonic() - began_s > 2 * HEARTBEAT_S


@pytest.mark.parametrize("client", PATHS)
def test_B21_a_client_that_leaves_at_the_last_event_was_served(
    crossing: Gateway, upstream: ScriptedUpstream, client: str
) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse")))
    ends = {"chat": b"[DONE]", "messages": b"message_stop", "responses": b"response.completed"}
    with stream(crossing, PATHS[client], minimal(PATHS[client], "chat-model", stream=True)) as answer:
        while ends[client] not in answer.frame():
            pass
        answer.hang_up()

    assert crossing.usage_of(answer.request_id)["outcome"] == "ok"


def test_A46_every_reason_to_stop_of_both_sdks_has_its_counterpart() -> None:
    """A value that a new SDK knows and we do not would be told as a plain end."""
    told = set()
    for word in get_args(StopReason):
        shared = translation("chat", "messages")
        reply = PROTOCOLS["messages"].read_reply(
            json.dumps({**says_nothing(), "stop_reason": word}).encode(), shared
        )
        assert reply.stop.reason != "unknown" or word == "compaction", word
        told.add(reply.stop.reason)
    for word in get_args(Choice.model_fields["finish_reason"].annotation):
        answer = json.loads(recording("chat/text.json"))
        answer["choices"][0]["finish_reason"] = word
        reply = PROTOCOLS["chat"].read_reply(json.dumps(answer).encode(), translation("messages", "chat"))
        assert reply.stop.reason != "unknown", word
    assert {"end", "max_tokens", "refusal", "pause", "context_window", "stop_sequence"} <= told


def says_nothing() -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "far",
        "content": [text("x")],
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def test_A47_web_citations_keep_address_title_and_place_in_chat_and_responses() -> None:
    for client in ("chat", "responses"):
        shared = translation(client, "messages")
        reply = PROTOCOLS["messages"].read_reply(recording("messages/web_search.json"), shared)
        written = json.loads(PROTOCOLS[client].write_reply(reply, shared))
        found = json.dumps(written)
        assert '"url_citation"' in found
        said = next(part for part in reply.parts if isinstance(part, Text) and part.citations)
        assert said.citations[0].url in found
        assert '"start_index"' in found


def test_A10_a_call_without_arguments_is_an_object_for_every_client() -> None:
    for client in PROTOCOLS:
        shared = translation(client, "chat")
        reply = PROTOCOLS["chat"].read_reply(chat_call(""), shared)
        assert [part for part in reply.parts if isinstance(part, ToolCall)]
        assert codes(shared) == []
        written = PROTOCOLS[client].write_reply(reply, shared).decode()
        assert '"input":{}' in written.replace(" ", "") or '"arguments":"{}"' in written.replace(" ", "")


def chat_call(arguments: str) -> bytes:
    answer = json.loads(recording("chat/text.json"))
    made = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": arguments}}
    answer["choices"][0] |= {
        "message": {"role": "assistant", "content": None, "tool_calls": [made]},
        "finish_reason": "tool_calls",
    }
    return json.dumps(answer).encode()


def test_A18_a_switch_of_vendor_in_mid_conversation_is_a_200(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(MESSAGES, whole(b'{"error":{"message":"busy"}}', status=529))
    upstream.answers(f"/second{CHAT}", chat_says("Taken over."))
    turn = [thinking("I look.", "native=="), tool_use("toolu_1")]
    answered = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}
    history = [USER, {"role": "assistant", "content": turn}, {"role": "user", "content": [answered]}]
    body = {"model": "messages-then-chat", "max_tokens": 50, "tools": [TOOL], "messages": history}

    answer = call(crossing, MESSAGES, body)

    assert answer.status == 200, answer
    assert answer.json()["content"] == [text("Taken over.")]

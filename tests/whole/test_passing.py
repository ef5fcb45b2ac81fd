"""The same protocol on both sides: bytes pass, except the model's name."""

from __future__ import annotations

import re

import pytest

from tests.fix_gateway import UPSTREAM_KEY, Gateway
from tests.fix_upstream import CHAT, MESSAGES, RESPONSES, ScriptedUpstream, recording, streamed, whole
from tests.whole.wire import call, events, minimal

ODD_MESSAGES = (
    b'{ "max_tokens" : 10 ,"x_unknown":{"b":1,"a":[1.0,1e400,18446744073709551617,-0.0]},\n'
    b'"messages":[{"content":[{"text":"model \\"model\\": \\u00fc","type":"text","new":true}],'
    b'"role":"user"}],'
    b'"model" : "messages-model","metadata":{"model":"messages-model"}}'
)
THINKING = (
    b'{"model":"messages-model","max_tokens":2000,"thinking":{"type":"enabled","budget_tokens":1024},'
    b'"messages":['
    b'{"role":"user","content":"x"},{"role":"assistant","content":['
    b'{"type":"thinking","thinking":"hm","signature":"EqQB+native/signature=="},{"type":"text","text":"y"}]},'
    b'{"role":"user","content":"z"}]}'
)
ODD_CHAT = (
    b'{"messages":[{"role":"user","content":"x","name":"ann"}],"x_vendor":{"deep":[1e400]},"seed":7,'
    b'"logit_bias":{"50256":-100},"model":"chat-model"}'
)
ODD_RESPONSES = (
    b'{"input":[{"role":"user","content":[{"type":"input_text","text":"x"}]}],"x_new":1.50,'
    b'"store":false,"model":"responses-model"}'
)
BODIES = [
    (MESSAGES, ODD_MESSAGES, "messages"),
    (MESSAGES, THINKING, "messages"),
    (CHAT, ODD_CHAT, "chat"),
    (RESPONSES, ODD_RESPONSES, "responses"),
]


@pytest.mark.parametrize(("path", "body", "protocol"), BODIES)
def test_T290_T291_T292_a_body_passes_byte_for_byte_except_the_model(
    gateway: Gateway, upstream: ScriptedUpstream, path: str, body: bytes, protocol: str
) -> None:
    upstream.answers(path, whole(recording(f"whole/{protocol}_text.json")))

    answer = call(gateway, path, body)

    assert answer.status == 200, answer
    asked, sent = (re.compile(rb'"model"\s*:\s*"' + name) for name in (b"\\w+-model", b"far-\\w+"))
    (where,) = [found for found in asked.finditer(body) if body[: found.start()].count(b"metadata") == 0]
    spliced = where.group().replace(f"{protocol}-model".encode(), f"far-{protocol}".encode())
    assert upstream.last.body == body[: where.start()] + spliced + body[where.end() :]
    assert sent.search(upstream.last.body)


@pytest.mark.parametrize("protocol", ["chat", "messages", "responses"])
@pytest.mark.parametrize("case", ["text", "tool_call", "parallel_tools", "cut_off"])
def test_T293_a_stream_passes_byte_for_byte_except_the_model(
    gateway: Gateway, upstream: ScriptedUpstream, protocol: str, case: str
) -> None:
    path = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}[protocol]
    stream = recording(f"whole/{protocol}_{case}.sse")
    upstream.answers(path, streamed(stream))
    options = {"stream_options": {"include_usage": True}} if protocol == "chat" else {}

    answer = call(gateway, path, minimal(path, f"{protocol}-model", stream=True, **options))

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.replace(f"{protocol}-model".encode(), f"far-{protocol}".encode()) == stream
    assert answer.body.endswith(b"\n\n")
    row = gateway.usage_of(answer.request_id)
    assert row["outcome"] == "ok"
    assert row["estimated"] == 0


def test_T294_the_usage_a_client_did_not_ask_for_is_counted_and_taken_out(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse")))

    answer = call(gateway, CHAT, minimal(CHAT, "chat-model", stream=True))

    assert upstream.last.json()["stream_options"] == {"include_usage": True}
    assert all(event["choices"] for event in events(answer.body))
    assert answer.body.endswith(b"data: [DONE]\n\n")
    row = gateway.usage_of(answer.request_id)
    assert (row["input_tokens"], row["output_tokens"]) == (21, 14)


def test_T296_an_alias_goes_out_as_the_targets_name_and_comes_back_as_the_alias(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(MESSAGES, whole(recording("whole/messages_text.json")))

    answer = call(gateway, MESSAGES, minimal(MESSAGES, "messages-alias"))

    assert upstream.last.json()["model"] == "far-messages"
    assert answer.json()["model"] == "messages-alias"
    assert answer.headers["x-modelway-model"].endswith("far-messages")


def test_T297_the_clients_version_and_betas_go_with_it_and_its_key_does_not(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(MESSAGES, whole(recording("whole/messages_text.json")))
    headers = {
        "authorization": "",
        "x-api-key": gateway.api_key,
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "context-1m-2025-08-07",
        "cookie": "session=1",
        "x-forwarded-for": "10.1.2.3",
    }

    answer = call(gateway, MESSAGES, minimal(MESSAGES, "messages-model"), headers=headers)

    assert answer.status == 200, answer
    sent = upstream.last.headers
    assert sent["anthropic-version"] == "2023-06-01"
    assert sent["anthropic-beta"] == "context-1m-2025-08-07"
    assert sent["x-api-key"] == UPSTREAM_KEY
    assert gateway.api_key not in str(sent)
    assert "cookie" not in sent
    assert "x-forwarded-for" not in sent


def test_what_an_upstream_says_in_its_headers_is_not_all_passed_on(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    unwanted = (("set-cookie", "a=b"), ("server", "far"), ("x-internal", "1"), ("request-id", "req_far"))
    upstream.answers(CHAT, whole(recording("whole/chat_text.json"), headers=unwanted))

    answer = call(gateway, CHAT, minimal(CHAT, "chat-model"))

    assert answer.request_id != "req_far"
    assert not {"set-cookie", "x-internal"} & set(answer.headers)
    assert answer.headers["x-modelway-cost-usd"] == "0.000049"


def test_connections_to_an_upstream_are_used_again(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse")))

    for _ in range(3):
        assert call(gateway, CHAT, minimal(CHAT, "chat-model", stream=True)).status == 200

    assert len({received.connection for received in upstream.calls}) == 1

"""Chat clients that drop the reasoning they do not know: the provider that signed it gets it back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.crossing.answers import Json, says, text, thinking, tool_use
from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, MESSAGES, RESPONSES, ScriptedUpstream, streamed, whole
from tests.whole.wire import Answer, call, events

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
LAYOUTS: list[list[Json]] = [
    [thinking("I must look.", "sigA=="), tool_use("toolu_a1", at="x")],
    [thinking("Hm.", "sigB=="), text("Let me see."), tool_use("toolu_b1"), tool_use("toolu_b2")],
    [
        {"type": "redacted_thinking", "data": "blob=="},
        tool_use("toolu_c1"),
        thinking("Between.", "sigC=="),
        tool_use("toolu_c2"),
    ],
]


def ask(gateway: Gateway, model: str, messages: list[Json], *, stream: bool = False, **more: Any) -> Answer:
    body = {"model": model, "messages": messages, "tools": [TOOL], "reasoning_effort": "high", **more}
    return call(gateway, CHAT, body | ({"stream": True} if stream else {}))


USER = {"role": "user", "content": "Look."}


def as_a_typed_client_keeps_it(answer: Answer, *, stream: bool) -> Json:
    """Role, content and tool calls: all that OpenAI's own type has."""
    if not stream:
        message = answer.json()["choices"][0]["message"]
        return {name: message[name] for name in ("role", "content", "tool_calls")}
    content = ""
    calls: dict[int, Any] = {}
    for event in events(answer.body):
        for choice in event["choices"]:
            content += choice["delta"].get("content") or ""
            for piece in choice["delta"].get("tool_calls") or ():
                made = calls.setdefault(
                    piece["index"], {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
                )
                made["id"] += piece.get("id", "")
                made["function"]["name"] += piece["function"].get("name", "")
                made["function"]["arguments"] += piece["function"].get("arguments", "")
    return {"role": "assistant", "content": content or None, "tool_calls": list(calls.values())}


def next_turn(said: Json) -> list[Json]:
    results = [{"role": "tool", "tool_call_id": made["id"], "content": "42"} for made in said["tool_calls"]]
    return [USER, said, *results]


@pytest.mark.parametrize("blocks", LAYOUTS)
@pytest.mark.parametrize("stream", [False, True])
def test_T136_reasoning_the_client_dropped_comes_back_where_it_stood(
    crossing: Gateway, upstream: ScriptedUpstream, blocks: list[Json], stream: bool
) -> None:
    upstream.answers(MESSAGES, says(blocks, "tool_use", stream=stream), says([text("Seen.")]))
    said = as_a_typed_client_keeps_it(ask(crossing, "messages-model", [USER], stream=stream), stream=stream)

    assert ask(crossing, "messages-model", next_turn(said)).status == 200

    assert upstream.last.json()["messages"][1]["content"] == blocks


def test_T136_what_another_account_made_is_not_there(crossing: Gateway, upstream: ScriptedUpstream) -> None:
    blocks = [thinking("Secret.", "sigD=="), tool_use("toolu_d1")]
    upstream.answers(MESSAGES, says(blocks, "tool_use"), says([text("Seen.")]))
    said = as_a_typed_client_keeps_it(ask(crossing, "messages-model", [USER]), stream=False)
    crossing.manage("accounts", "create", "--name", "stranger")
    strange = crossing.manage("keys", "create", "--name", "s", "--account", "stranger").strip()

    body = {
        "model": "messages-model",
        "messages": next_turn(said),
        "tools": [TOOL],
        "reasoning_effort": "low",
    }

    def answered() -> bool:  # the new key is known a moment after it was made
        headers = {"authorization": f"Bearer {strange}"}
        return call(crossing, CHAT, body, headers=headers).status == 200

    until(answered, "the other account's call")
    assert [block["type"] for block in upstream.last.json()["messages"][1]["content"]] == ["tool_use"]


def test_T136_A18_what_one_vendor_signed_never_goes_to_another(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    blocks = [thinking("Mine.", "sigE=="), tool_use("toolu_e1")]
    upstream.answers(MESSAGES, says(blocks, "tool_use"))
    said = as_a_typed_client_keeps_it(ask(crossing, "messages-model", [USER]), stream=False)
    upstream.answers(RESPONSES, whole(json.dumps(RESPONSE).encode()))

    assert ask(crossing, "responses-model", next_turn(said)).status == 200

    assert "sigE==" not in upstream.last.body.decode()
    assert not [item for item in upstream.last.json()["input"] if item.get("type") == "reasoning"]


RESPONSE: Json = {
    "id": "resp_far",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "far",
    "output": [
        {"type": "reasoning", "id": "rs_far1", "summary": [], "encrypted_content": "gAAA=="},
        {
            "type": "function_call",
            "id": "fc_far1",
            "call_id": "call_far1",
            "name": "look",
            "arguments": "{}",
            "status": "completed",
        },
    ],
    "usage": {"input_tokens": 5, "output_tokens": 5, "total_tokens": 10},
}


@pytest.mark.parametrize("stream", [False, True])
def test_T136_A17_an_encrypted_item_of_openais_comes_back_too(
    crossing: Gateway, upstream: ScriptedUpstream, stream: bool
) -> None:
    first = streamed(response_stream()) if stream else whole(json.dumps(RESPONSE).encode())
    upstream.answers(RESPONSES, first, whole(json.dumps(RESPONSE).encode()))
    said = as_a_typed_client_keeps_it(ask(crossing, "responses-model", [USER], stream=stream), stream=stream)

    assert ask(crossing, "responses-model", next_turn(said)).status == 200

    sent = upstream.last.json()["input"]
    kinds = [item.get("type", "message") for item in sent]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output"]
    assert (sent[1]["id"], sent[1]["encrypted_content"]) == ("rs_far1", "gAAA==")


def response_stream() -> bytes:
    def frame(kind: str, number: int, **more: Any) -> bytes:
        return (
            f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number, **more})}\n\n"
        ).encode()

    thought, called = RESPONSE["output"]
    running = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    return b"".join(
        [
            frame("response.created", 0, response=running),
            frame(
                "response.output_item.added", 1, output_index=0, item={**thought, "encrypted_content": None}
            ),
            frame("response.output_item.done", 2, output_index=0, item=thought),
            frame("response.output_item.added", 3, output_index=1, item={**called, "arguments": ""}),
            frame(
                "response.function_call_arguments.done", 4, output_index=1, item_id="fc_far1", arguments="{}"
            ),
            frame("response.output_item.done", 5, output_index=1, item=called),
            frame("response.completed", 6, response=RESPONSE),
        ]
    )


def test_a_call_without_tools_or_without_signatures_keeps_nothing(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    def kept() -> int:
        count: int = crossing.rows("SELECT count(*) AS n FROM reasoning")[0]["n"]
        return count

    before = kept()
    upstream.answers(MESSAGES, says([thinking("x", "sigF=="), text("Hello.")]))
    assert ask(crossing, "messages-model", [USER]).status == 200
    upstream.answers(MESSAGES, says([tool_use("toolu_f1")], "tool_use"))
    assert ask(crossing, "messages-model", [USER]).status == 200

    assert kept() == before

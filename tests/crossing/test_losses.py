"""Every warning the loss tables know has a request that sees it, and in strict mode a 400 in its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelway.conversation.capabilities import ANY_MODEL, Capabilities
from modelway.conversation.errors import CallError
from modelway.conversation.translation import Fate, Loss
from tests.crossing.answers import chat_says, says, text
from tests.crossing.given import PROTOCOLS, Json, codes, conversation, translation
from tests.crossing.test_round_trips import LOSSES
from tests.fix_gateway import Gateway
from tests.fix_upstream import CHAT, MESSAGES, ScriptedUpstream
from tests.whole.wire import assert_is_the_envelope, call, minimal

USER: Json = {"role": "user", "content": "Hi"}
SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}
PNG: Json = {"type": "base64", "media_type": "image/png", "data": "aGk="}
FUNCTION: Json = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
TOOL: Json = {"name": "f", "input_schema": SCHEMA}
CALLED: Json = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]}
GRAMMAR: Json = {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'}
CUSTOM: Json = {"type": "custom", "custom": {"name": "c", "format": {"type": "grammar", "grammar": GRAMMAR}}}
SEARCHED: list[Json] = [
    {"type": "server_tool_use", "id": "srv1", "name": "web_search", "input": {"query": "q"}},
    {"type": "web_search_tool_result", "tool_use_id": "srv1", "content": []},
    {"type": "text", "text": "x"},
]
CITED: Json = {
    "type": "char_location",
    "cited_text": "x",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 1,
}


def result(**fields: Any) -> Json:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", **fields}]}


def block(**fields: Any) -> Json:
    return {"messages": [{"role": "user", "content": [fields, {"type": "text", "text": "x"}]}]}


def assistant(*content: Json) -> Json:
    return {"messages": [USER, {"role": "assistant", "content": list(content)}, USER]}


MID_SYSTEM: Json = {"messages": [USER, {"role": "system", "content": "Be brief."}, USER]}
DOCUMENT: Json = block(type="document", source={"type": "text", "media_type": "text/plain", "data": "d"})
SEARCH_RESULT: Json = block(
    type="search_result", source="s", title="t", content=[{"type": "text", "text": "x"}]
)
IS_ERROR: Json = {"tools": [TOOL], "messages": [USER, CALLED, result(content="no", is_error=True)]}
MEDIA: Json = {
    "tools": [TOOL],
    "messages": [USER, CALLED, result(content=[{"type": "image", "source": PNG}])],
}
BUDGET: Json = {"max_tokens": 20_000, "thinking": {"type": "enabled", "budget_tokens": 10_000}}
STRICT_TOOL: Json = {"tools": [{**TOOL, "strict": True}]}
LOW = Capabilities(efforts=("low", "medium"))
# (upstream, feature, client, what it asks, the model's capabilities)
CASES: list[tuple[str, str, str, Json, Capabilities]] = [
    ("chat", "system.mid", "messages", MID_SYSTEM, Capabilities(leading_system_only=True)),
    ("chat", "part.document.text", "messages", DOCUMENT, ANY_MODEL),
    ("chat", "part.search_result", "messages", SEARCH_RESULT, ANY_MODEL),
    ("chat", "part.tool_result.media", "messages", MEDIA, ANY_MODEL),
    ("chat", "part.tool_result.is_error", "messages", IS_ERROR, ANY_MODEL),
    ("chat", "part.hosted_call", "messages", assistant(*SEARCHED), ANY_MODEL),
    (
        "chat",
        "part.citations",
        "messages",
        assistant({"type": "text", "text": "x", "citations": [CITED]}),
        ANY_MODEL,
    ),
    (
        "chat",
        "part.order",
        "messages",
        {
            "tools": [TOOL],
            "messages": [
                USER,
                {"role": "assistant", "content": [*CALLED["content"], {"type": "text", "text": "after"}]},
                result(content="x"),
            ],
        },
        ANY_MODEL,
    ),
    ("chat", "tool.function.strict", "messages", STRICT_TOOL, ANY_MODEL),
    ("chat", "tool.client", "messages", {"tools": [{"type": "bash_20250124", "name": "bash"}]}, ANY_MODEL),
    ("chat", "sampling.top_k", "messages", {"top_k": 5}, ANY_MODEL),
    (
        "chat",
        "reasoning.effort",
        "messages",
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        LOW,
    ),
    ("chat", "reasoning.budget", "messages", BUDGET, ANY_MODEL),
    ("chat", "attribution.speed", "messages", {"speed": "fast"}, ANY_MODEL),
    ("messages", "system.mid", "chat", MID_SYSTEM, ANY_MODEL),
    ("messages", "turn.name", "chat", {"messages": [{**USER, "name": "ann"}]}, ANY_MODEL),
    (
        "messages",
        "turn.prefill",
        "chat",
        {"messages": [USER, {"role": "assistant", "content": "So"}]},
        ANY_MODEL,
    ),
    (
        "messages",
        "part.reasoning",
        "chat",
        {
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": "x",
                    "reasoning_details": [
                        {
                            "index": 0,
                            "type": "reasoning.encrypted",
                            "data": "gA==",
                            "format": "openai-responses-v1",
                        }
                    ],
                },
                USER,
            ]
        },
        ANY_MODEL,
    ),
    (
        "messages",
        "part.refusal",
        "chat",
        {"messages": [USER, {"role": "assistant", "content": None, "refusal": "no"}, USER]},
        ANY_MODEL,
    ),
    ("messages", "tool.freeform.grammar", "chat", {"tools": [CUSTOM]}, ANY_MODEL),
    (
        "messages",
        "tool_choice",
        "chat",
        {"tools": [FUNCTION], "tool_choice": "required", "reasoning_effort": "high"},
        Capabilities(thinking_types=frozenset({"adaptive"}), max_output_tokens=64_000),
    ),
    ("messages", "max_output_tokens", "chat", {"max_tokens": 9_000}, Capabilities(max_output_tokens=8_000)),
    ("messages", "sampling.temperature", "chat", {"temperature": 1.7}, ANY_MODEL),
    (
        "messages",
        "sampling.top_p",
        "chat",
        {"temperature": 0.5, "top_p": 0.5},
        Capabilities(sampling="one_of_temperature_top_p"),
    ),
    ("messages", "sampling.seed", "chat", {"seed": 7}, ANY_MODEL),
    ("messages", "sampling.penalties", "chat", {"presence_penalty": 1.0}, ANY_MODEL),
    ("messages", "sampling.logit_bias", "chat", {"logit_bias": {"50256": -100}}, ANY_MODEL),
    ("messages", "sampling.logprobs", "chat", {"logprobs": True}, ANY_MODEL),
    (
        "messages",
        "reasoning.effort",
        "chat",
        {"reasoning_effort": "xhigh"},
        Capabilities(efforts=("low", "medium"), max_output_tokens=64_000),
    ),
    (
        "messages",
        "reasoning.mode",
        "chat",
        {"reasoning_effort": "high"},
        Capabilities(thinking_types=frozenset({"disabled"})),
    ),
    ("messages", "output.json", "chat", {"response_format": {"type": "json_object"}}, ANY_MODEL),
    (
        "messages",
        "output.schema",
        "chat",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
        ANY_MODEL,
    ),
    ("messages", "output.verbosity", "chat", {"verbosity": "low"}, ANY_MODEL),
    ("messages", "attribution.service_tier", "chat", {"service_tier": "flex"}, ANY_MODEL),
    ("responses", "turn.name", "chat", {"messages": [{**USER, "name": "ann"}]}, ANY_MODEL),
    ("responses", "part.document.text", "messages", DOCUMENT, ANY_MODEL),
    ("responses", "part.search_result", "messages", SEARCH_RESULT, ANY_MODEL),
    (
        "responses",
        "part.reasoning.redacted",
        "messages",
        assistant({"type": "redacted_thinking", "data": "blob"}, {"type": "text", "text": "x"}),
        ANY_MODEL,
    ),
    ("responses", "part.tool_result.is_error", "messages", IS_ERROR, ANY_MODEL),
    ("responses", "part.hosted_call", "messages", assistant(*SEARCHED), ANY_MODEL),
    (
        "responses",
        "part.citations",
        "messages",
        assistant({"type": "text", "text": "x", "citations": [CITED]}),
        ANY_MODEL,
    ),
    ("responses", "tool.function.strict", "messages", STRICT_TOOL, ANY_MODEL),
    (
        "responses",
        "tool.client",
        "messages",
        {"tools": [{"type": "bash_20250124", "name": "bash"}]},
        ANY_MODEL,
    ),
    ("responses", "max_output_tokens", "messages", {"max_tokens": 5}, ANY_MODEL),
    ("responses", "sampling.top_k", "messages", {"top_k": 5}, ANY_MODEL),
    ("responses", "sampling.seed", "chat", {"seed": 7}, ANY_MODEL),
    ("responses", "sampling.penalties", "chat", {"presence_penalty": 1.0}, ANY_MODEL),
    ("responses", "sampling.logit_bias", "chat", {"logit_bias": {"50256": -100}}, ANY_MODEL),
    (
        "responses",
        "reasoning.effort",
        "messages",
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        LOW,
    ),
    ("responses", "reasoning.budget", "messages", BUDGET, ANY_MODEL),
    ("responses", "attribution.speed", "messages", {"speed": "fast"}, ANY_MODEL),
    ("responses", "ext.unknown", "messages", {"a_field_to_come": 1}, ANY_MODEL),
]


def row(upstream: str, feature: str) -> Loss:
    return next(loss for loss in LOSSES[upstream] if loss.field == feature)


@pytest.mark.parametrize(
    ("upstream", "feature", "client", "asked", "able"), CASES, ids=[f"{case[0]}:{case[1]}" for case in CASES]
)
def test_T304_a_loss_is_named_and_in_strict_mode_refused(
    upstream: str, feature: str, client: str, asked: Json, able: Capabilities
) -> None:
    code = row(upstream, feature).code

    shared = translation(client, upstream, capabilities=able)
    PROTOCOLS[upstream].write_request(conversation(client, shared, **asked), shared)
    assert code in codes(shared)
    assert code in shared.warnings_header

    strict = translation(client, upstream, capabilities=able, strict=True)
    with pytest.raises(CallError) as caught:
        PROTOCOLS[upstream].write_request(conversation(client, strict, **asked), strict)
    assert caught.value.kind.status == 400
    assert caught.value.code in codes(shared)


# Their own protocol's tests see these: a request alone cannot, or only with a model's odd limits.
ELSEWHERE = {
    "chat": {
        "tool.freeform.grammar",
        "tool_choice",
        "max_output_tokens",
        "sampling.temperature",
        "sampling.top_p",
        "sampling.logprobs",
        "output.schema",
        "attribution.service_tier",
    },
    "messages": {"part.hosted_call", "tool.function.strict", "sampling.top_k", "reasoning.budget"},
    "responses": {
        "part.opaque",
        "tool.freeform.grammar",
        "tool.hosted.web_search",
        "tool.ext",
        "sampling.temperature",
        "sampling.top_p",
        "output.schema",
        "ext.context",
    },
}


@pytest.mark.parametrize("upstream", LOSSES)
def test_T304_no_row_of_the_tables_is_without_its_request(upstream: str) -> None:
    changed = {loss.field for loss in LOSSES[upstream] if loss.fate is Fate.CHANGED}
    seen = {feature for there, feature, *_ in CASES if there == upstream}

    assert changed - seen == ELSEWHERE[upstream]


def test_T304_the_warnings_come_in_a_header_before_the_first_byte_and_strict_is_a_400(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(MESSAGES, says([text("Hello.")]), says([text("Hello.")], stream=True))
    upstream.answers(CHAT, chat_says("Hello."))
    for more in ({}, {"stream": True}):
        answer = call(crossing, CHAT, minimal(CHAT, "messages-model", seed=7, **more))
        assert "sampling;param=" in answer.headers["x-modelway-warnings"]
    body = minimal(MESSAGES, "chat-model", top_k=5)
    assert "top_k" in call(crossing, MESSAGES, body).headers["x-modelway-warnings"]

    calls = len(upstream.calls)
    strict = call(crossing, MESSAGES, body, headers={"x-modelway-strict": "1"})

    error = assert_is_the_envelope(strict, 400, "invalid_request_error", "top_k")
    assert json.dumps(error["param"])
    assert len(upstream.calls) == calls

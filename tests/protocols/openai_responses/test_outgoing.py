"""Settings and tools towards an upstream that speaks Responses, and what is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from modelway.conversation.capabilities import Capabilities
from modelway.conversation.errors import CallError
from modelway.conversation.features import FEATURES
from modelway.conversation.parts import (
    CacheMark,
    Citation,
    HostedCall,
    Opaque,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from modelway.conversation.request import (
    Attribution,
    Conversation,
    FreeformTool,
    FunctionTool,
    HostedTool,
    OutputSpec,
    Sampling,
    StateSpec,
    ToolChoice,
)
from modelway.conversation.translation import Fate
from modelway.protocols.openai_responses import LOSSES
from modelway.protocols.openai_responses.outgoing_tools import CLIENT_TOOL_SCHEMAS
from tests.protocols.openai_responses.given import (
    CLOSED,
    OPEN,
    asking,
    codes,
    conversation,
    history,
    sent,
    translation,
)


def test_every_feature_has_exactly_one_row() -> None:
    assert sorted(loss.field for loss in LOSSES) == sorted(FEATURES)
    assert all(loss.code for loss in LOSSES if loss.fate in (Fate.CHANGED, Fate.REFUSED))


def test_T154_nothing_is_left_at_the_provider_and_reasoning_comes_back_sealed() -> None:
    body = sent(asking(), translation("messages", "responses"))

    assert body["store"] is False
    assert body["include"] == ["reasoning.encrypted_content"]


def test_T155_five_output_tokens_become_sixteen() -> None:
    using = translation("messages", "responses")

    assert sent(asking(max_output_tokens=5), using)["max_output_tokens"] == 16
    assert codes(using) == ["max_tokens"]


def test_no_output_tokens_warm_the_cache() -> None:
    body = sent(asking(max_output_tokens=0), translation("messages", "responses"))

    assert body["prompt_cache_options"] == {"prewarm": True}
    assert "max_output_tokens" not in body


def test_T156_stop_sequences_are_left_to_the_gateway() -> None:
    using = translation("messages", "responses")

    body = sent(asking(stop=("END",)), using)

    assert "stop" not in body
    assert using.enforced_stops == ("END",)


def test_T146_strict_left_out_is_written_as_false() -> None:
    (tool,) = sent(asking(tools=(FunctionTool(name="f", schema=CLOSED),)))["tools"]

    assert tool == {"type": "function", "name": "f", "parameters": CLOSED, "strict": False}


def test_strict_stays_only_where_the_schema_allows_it() -> None:
    using = translation("chat", "responses")
    tools = (
        FunctionTool(name="f", schema=CLOSED, strict=True),
        FunctionTool(name="g", schema=OPEN, strict=True),
    )

    assert [tool["strict"] for tool in sent(asking(tools=tools), using)["tools"]] == [True, False]
    assert [(each.code, each.param) for each in using.warnings] == [("strict", "tools.1.strict")]


def test_a_schema_without_a_type_becomes_an_object() -> None:
    (tool,) = sent(asking(tools=(FunctionTool(name="f", schema={}),)))["tools"]

    assert tool["parameters"] == {"type": "object", "properties": {}}


def test_leading_system_text_becomes_instructions() -> None:
    turns = (
        Turn(role="system", parts=(Text(text="a"), Text(text="b"))),
        Turn(role="system", parts=(Text(text="c"),)),
        Turn(role="user", parts=(Text(text="Hi"),)),
        Turn(role="system", parts=(Text(text="mid"),)),
    )

    body = sent(Conversation(model="m", turns=turns))

    assert body["instructions"] == "a\n\nb\n\nc"
    assert [item["role"] for item in body["input"]] == ["user", "system"]


def test_system_text_with_a_cache_mark_stays_an_item() -> None:
    turns = (
        Turn(role="system", parts=(Text(text="a", cache=CacheMark("1h")),)),
        Turn(role="user", parts=(Text(text="Hi"),)),
    )

    body = sent(Conversation(model="m", turns=turns))

    assert "instructions" not in body
    part = body["input"][0]["content"][0]
    assert part["prompt_cache_breakpoint"] == {"mode": "explicit", "ttl": "12h"}


def test_T148_a_namespace_is_written_as_one_for_openai_and_flat_for_others() -> None:
    tools = (
        FunctionTool(name="lookup", schema=CLOSED, strict=True, namespace="crm"),
        FunctionTool(name="f", schema=CLOSED, strict=True),
        FunctionTool(name="create", schema=CLOSED, strict=True, namespace="crm"),
    )
    openai, other = translation("chat", "responses", vendor="openai"), translation("chat", "responses")

    native = sent(asking(tools=tools), openai)["tools"]
    flat = sent(asking(tools=tools), other)["tools"]

    assert [tool["name"] for tool in native] == ["crm", "f"]
    assert [tool["name"] for tool in native[0]["tools"]] == ["lookup", "create"]
    assert [tool["name"] for tool in flat] == ["crm__lookup", "f", "crm__create"]
    assert other.namespaces["crm__lookup"] == ("crm", "lookup")


def test_a_freeform_tool_is_custom_for_openai_and_a_function_for_others() -> None:
    tool = FreeformTool(name="p", description="d", grammar={"syntax": "lark", "definition": "start: x"})
    openai, other = translation("chat", "responses", vendor="openai"), translation("chat", "responses")
    call = ToolCall(id="c", name="p", arguments="*** x", freeform=True)
    asked = structs.replace(history(call), tools=(tool,))

    native, emulated = sent(asked, openai), sent(asked, other)

    assert native["tools"][0]["format"] == {
        "type": "grammar",
        "syntax": "lark",
        "definition": "start: x",
    }
    assert native["input"][1] == {
        "type": "custom_tool_call",
        "call_id": "c",
        "name": "p",
        "input": "*** x",
    }
    assert emulated["tools"][0]["type"] == "function"
    assert "start: x" in emulated["tools"][0]["description"]
    assert emulated["input"][1]["arguments"] == '{"input":"*** x"}'
    assert (other.freeform, codes(other)) == ({"p"}, ["grammar"])


def test_illegal_names_and_ids_are_replaced_alike_everywhere() -> None:
    name, call_id = "a tool/with spaces" * 5, "call:1"
    turns = (
        Turn(role="assistant", parts=(ToolCall(id=call_id, name=name),)),
        Turn(role="user", parts=(ToolResult(call_id=call_id),)),
    )
    using = translation("messages", "responses")
    asked = Conversation(
        model="m",
        turns=turns,
        tools=(FunctionTool(name=name, schema=OPEN),),
        tool_choice=ToolChoice("named", (name,)),
    )

    body = sent(asked, using)

    legal = body["tools"][0]["name"]
    assert len(legal) <= 64
    assert using.renamed == {legal: name}
    assert body["tool_choice"] == {"type": "function", "name": legal}
    assert body["input"][0]["name"] == legal
    assert body["input"][0]["call_id"] == body["input"][1]["call_id"] != call_id
    assert body["input"][0]["arguments"] == "{}"


def test_another_vendors_web_search_becomes_ours() -> None:
    raw = {
        "type": "web_search_20250305",
        "name": "web_search",
        "max_uses": 3,
        "allowed_domains": ["a.org"],
        "user_location": {"type": "approximate", "city": "Oslo"},
    }
    using = translation("messages", "responses")
    tool = HostedTool(kind="web_search", protocol="messages", raw=raw, name="web_search")

    assert sent(asking(tools=(tool,)), using)["tools"] == [
        {
            "type": "web_search",
            "filters": {"allowed_domains": ["a.org"]},
            "user_location": {"type": "approximate", "city": "Oslo"},
        }
    ]
    assert [(each.code, each.param) for each in using.warnings] == [("web_search", "tools.0.max_uses")]


@pytest.mark.parametrize("kind", ["code_execution", "web_fetch", "mcp", "image_generation"])
def test_T149_other_hosted_tools_are_refused(kind: str) -> None:
    with pytest.raises(CallError) as caught:
        sent(asking(tools=(HostedTool(kind=kind, protocol="messages", raw={"type": kind}),)))

    assert caught.value.code == "unsupported_tool"
    assert caught.value.param == "tools.0"


def test_a_tool_that_its_caller_runs_becomes_a_function() -> None:
    using = translation("messages", "responses")
    tool = HostedTool(
        kind="bash", protocol="messages", raw={"type": "bash_20250124"}, name="bash", runs_at_vendor=False
    )

    (wire,) = sent(asking(tools=(tool,)), using)["tools"]

    assert (wire["type"], wire["name"], wire["parameters"]) == (
        "function",
        "bash",
        CLIENT_TOOL_SCHEMAS["bash"],
    )
    assert codes(using) == ["tool_emulated"]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("required"), "required"),
        (ToolChoice("none"), "none"),
        (ToolChoice("named", ("f",)), {"type": "function", "name": "f"}),
        (
            ToolChoice("allowed", ("f",), required=True),
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        ),
    ],
)
def test_tool_choices(choice: ToolChoice, wire: object) -> None:
    asked = asking(tools=(FunctionTool(name="f", schema=OPEN),), tool_choice=choice)

    assert sent(asked)["tool_choice"] == wire


def test_no_tools_no_choice() -> None:
    body = sent(asking(tool_choice=ToolChoice("auto"), parallel_tools=False))

    assert "tool_choice" not in body
    assert "parallel_tool_calls" not in body


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda: asking(sampling=Sampling(top_k=3)), "sampling"),
        (lambda: asking(sampling=Sampling(seed=3)), "sampling"),
        (lambda: asking(sampling=Sampling(presence_penalty=1.0)), "sampling"),
        (lambda: asking(sampling=Sampling(logit_bias={"1": 1.0})), "sampling"),
        (lambda: asking(attribution=Attribution(speed="fast")), "speed"),
        (lambda: asking(max_output_tokens=3), "max_tokens"),
        (lambda: asking(Opaque(protocol="messages", raw={})), "unknown_content"),
        (lambda: asking(Text(text="x", citations=(Citation(kind="document"),))), "citations"),
        (lambda: history(HostedCall(protocol="messages", id="1", name="w", raw=())), "hosted_call"),
        (lambda: history(Reasoning(redacted=True), Text(text="x")), "reasoning_dropped"),
        (lambda: asking(turns=(Turn(role="user", parts=(Text(text="x"),), name="Bo"),)), "name"),
        (
            lambda: asking(output=OutputSpec(format="schema", schema={"type": "object"}, strict=True)),
            "strict",
        ),
        (
            lambda: asking(tools=(FunctionTool(name="f", schema=OPEN, ext={"messages": {"defer": 1}}),)),
            "tool_field",
        ),
    ],
)
def test_T304_each_loss_warns_and_strict_mode_refuses_it(
    change: Callable[[], Conversation], code: str
) -> None:
    using = translation("messages", "responses")
    sent(change(), using)
    assert codes(using) == [code]

    with pytest.raises(CallError) as caught:
        sent(change(), translation("messages", "responses", strict=True))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (asking(sampling=Sampling(n=2)), "n"),
        (asking(state=StateSpec(conversation="conv_1")), "conversation"),
        (asking(state=StateSpec(background=True)), "background"),
        (asking(attribution=Attribution(inference_geo="eu")), "inference_geo"),
        (
            Conversation(
                model="m", turns=(Turn(role="assistant", parts=(Text(text="Once"),), path="messages.0"),)
            ),
            "messages.0",
        ),
    ],
)
def test_promises_that_cannot_be_kept_are_refused(asked: Conversation, param: str) -> None:
    with pytest.raises(CallError) as caught:
        sent(asked, translation("messages", "responses"))

    assert caught.value.param == param


def test_a_model_that_refuses_sampling_gets_none() -> None:
    using = translation("chat", "responses", capabilities=Capabilities(sampling="refused"))

    body = sent(asking(sampling=Sampling(temperature=0.2, top_p=1.0)), using)

    assert "temperature" not in body
    assert "top_p" not in body
    assert [each.param for each in using.warnings] == ["temperature"]


def test_who_asks_and_how() -> None:
    body = sent(
        asking(
            attribution=Attribution(
                user_id="u" * 70, metadata={"a": "b"}, service_tier="standard_only", cache_key="k"
            ),
            output=OutputSpec(format="json", verbosity="low"),
            cache=CacheMark("1h"),
        )
    )

    assert len(body["safety_identifier"]) == 64
    assert body["service_tier"] == "default"
    assert body["metadata"] == {"a": "b"}
    assert body["prompt_cache_key"] == "k"
    assert body["prompt_cache_options"] == {"mode": "implicit", "ttl": "12h"}
    assert body["text"] == {"format": {"type": "json_object"}, "verbosity": "low"}


def test_T151_a_schema_is_flat() -> None:
    body = sent(asking(output=OutputSpec(format="schema", schema=CLOSED)))

    assert body["text"]["format"] == {
        "type": "json_schema",
        "name": "response",
        "schema": CLOSED,
        "strict": True,
    }


def test_what_only_responses_can_say_goes_on_to_a_responses_upstream() -> None:
    using = translation("responses", "responses", vendor="openai")
    fields: dict[str, Any] = {
        "truncation": "auto",
        "max_tool_calls": 3,
        "client_metadata": {"a": "b"},
        "reasoning": {"effort": "low", "context": "all_turns"},
        "tool_choice": {"type": "mcp", "server_label": "x"},
        "tools": [{"type": "mcp", "server_label": "x", "server_url": "https://x"}],
        "instructions": "Be brief",
        "input": [
            {"role": "developer", "content": "More"},
            {"type": "agent_message", "text": "x"},
            {"type": "compaction", "encrypted_content": "y"},
            {"role": "user", "content": "Hi"},
        ],
    }

    body = sent(conversation(using, **fields), using)

    for name in ("truncation", "max_tool_calls", "client_metadata", "reasoning", "tools", "instructions"):
        assert body[name] == fields[name]
    assert body["tool_choice"] == fields["tool_choice"]
    assert body["input"][1:3] == fields["input"][1:3]
    assert "echo" not in body
    assert using.warnings == []

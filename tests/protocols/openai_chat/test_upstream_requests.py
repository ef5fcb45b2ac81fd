"""How tools, limits and all else reach an upstream that speaks Chat."""

from __future__ import annotations

from typing import Any

import pytest

from modelway.conversation.capabilities import Capabilities
from modelway.conversation.features import FEATURES
from modelway.conversation.parts import (
    Image,
    Inline,
    ToolCall,
)
from modelway.conversation.request import (
    Attribution,
    Conversation,
    FreeformTool,
    FunctionTool,
    HostedTool,
    OutputSpec,
    ReasoningSpec,
    Sampling,
    StateSpec,
    ToolChoice,
)
from modelway.conversation.translation import Fate
from modelway.protocols.openai_chat import CHAT, LOSSES
from tests.protocols.openai_chat.given import (
    assistant,
    body,
    codes,
    lost,
    messages,
    read,
    refused,
    result,
    said,
    translation,
    user,
    written,
)

PNG = Image(source=Inline("image/png", "aGk="))
CALL, OTHER = ToolCall(id="toolu_1", name="f", arguments='{"a":1}'), ToolCall(id="toolu_2", name="g")
OPEN = {"type": "object", "properties": {"a": {}}}
CLOSED = {**OPEN, "required": ["a"], "additionalProperties": False}


def test_the_table_speaks_of_every_feature_once() -> None:
    assert [row.field for row in LOSSES] == list(FEATURES)
    assert all(row.code for row in LOSSES if row.fate in (Fate.CHANGED, Fate.REFUSED))
    assert all(row.why for row in LOSSES)


# ---- tools ----


def tooled(*tools: Any, **fields: Any) -> Conversation:
    return said(user("Hi"), tools=tools, **fields)


def test_T088_strict_is_kept_only_where_the_schema_qualifies() -> None:
    sent, warned = lost(tooled(FunctionTool(name="f", schema=OPEN, strict=True)))
    assert warned == ["strict"]
    assert sent["tools"][0]["function"] == {"name": "f", "parameters": OPEN, "strict": False}

    kept = written(tooled(FunctionTool(name="f", schema=CLOSED, strict=True)))
    assert kept["tools"][0]["function"]["strict"] is True


def test_T089_a_long_name_is_shortened_and_comes_back() -> None:
    name = "mcp__" + "long.name_" * 10
    shared = translation("messages")
    call = ToolCall(id="toolu_1", name=name)
    sent = written(
        said(
            user("Hi"),
            assistant(call),
            user(result("toolu_1")),
            tools=(FunctionTool(name=name, schema=OPEN),),
            tool_choice=ToolChoice("named", (name,)),
        ),
        shared,
    )
    short = sent["tools"][0]["function"]["name"]

    assert len(short) <= 64
    assert short.replace("_", "").isalnum()
    assert sent["tool_choice"]["function"]["name"] == short
    assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == short
    reply = CHAT.read_reply(
        body(
            choices=[
                {
                    "message": {"tool_calls": [{"id": "c", "function": {"name": short, "arguments": "{}"}}]},
                    "finish_reason": "tool_calls",
                }
            ]
        ),
        shared,
    )
    assert isinstance(reply.parts[0], ToolCall)
    assert reply.parts[0].name == name


def test_T090_T091_forcing_forbidding_and_one_at_a_time() -> None:
    f = FunctionTool(name="f", schema=OPEN)
    forced = written(tooled(f, tool_choice=ToolChoice("required"), parallel_tools=False))
    assert (forced["tool_choice"], forced["parallel_tool_calls"]) == ("required", False)
    forbidden = written(tooled(f, tool_choice=ToolChoice("none")))
    assert forbidden["tool_choice"] == "none"
    assert len(forbidden["tools"]) == 1
    assert "parallel_tool_calls" not in written(said(user("Hi"), parallel_tools=False))

    sent, warned = lost(tooled(f, tool_choice=ToolChoice("required")), Capabilities(forced_tools=False))
    assert (sent["tool_choice"], warned) == ("auto", ["tool_choice"])


def test_T125_only_the_allowed_tools_are_sent() -> None:
    tools = (FunctionTool(name="f", schema=OPEN), FunctionTool(name="g", schema=OPEN))
    sent = written(tooled(*tools, tool_choice=ToolChoice("allowed", ("g",), required=True)))

    assert [tool["function"]["name"] for tool in sent["tools"]] == ["g"]
    assert sent["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("kind", "feature"),
    [("web_search", "web"), ("code_execution", "code"), ("mcp", "MCP"), ("magic", "tool")],
)
def test_T092_a_tool_that_only_its_vendor_runs_is_refused(kind: str, feature: str) -> None:
    error = refused(tooled(HostedTool(kind=kind, protocol="messages", raw={}, name=kind)))

    assert error.code == "unsupported_tool"
    assert feature in error.message


def test_web_search_is_an_option_where_the_model_searches() -> None:
    where = {"type": "approximate", "city": "Oslo"}
    tool = HostedTool(kind="web_search", protocol="messages", raw={"user_location": where}, name="web_search")
    shared = translation("messages", capabilities=Capabilities(hosted_web_search=True))

    assert written(tooled(tool), shared)["web_search_options"] == {
        "user_location": {"type": "approximate", "approximate": {"city": "Oslo"}}
    }


def test_a_tool_of_anthropics_that_the_client_runs_becomes_a_function() -> None:
    tool = HostedTool(kind="bash", protocol="messages", raw={}, name="bash", runs_at_vendor=False)
    sent, warned = lost(tooled(tool))

    assert warned == ["tool_emulated"]
    assert "command" in sent["tools"][0]["function"]["parameters"]["properties"]


def test_T126_T148_freeform_and_grouped_tools_come_back_as_they_were() -> None:
    shared = translation("responses")
    written(
        said(
            user("Hi"),
            tools=(
                FreeformTool(name="patch", grammar={"syntax": "lark", "definition": "start: x"}),
                FunctionTool(name="lookup", schema=OPEN, namespace="crm"),
            ),
        ),
        shared,
    )
    assert codes(shared) == ["grammar"]
    calls = [
        {"id": "a", "function": {"name": "patch", "arguments": '{"input":"*** Begin"}'}},
        {"id": "b", "function": {"name": "crm__lookup", "arguments": "{}"}},
    ]
    message = {"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}
    parts = CHAT.read_reply(body(choices=[message]), shared).parts

    assert parts == (
        ToolCall(id="a", name="patch", arguments="*** Begin", freeform=True),
        ToolCall(id="b", name="lookup", arguments="{}", namespace="crm"),
    )


def test_T111_an_odd_call_id_is_replaced_the_same_way_everywhere() -> None:
    odd = ToolCall(id="call|1:abc", name="f")
    sent = messages(said(user("Hi"), assistant(odd), user(result("call|1:abc"))))

    replaced = sent[1]["tool_calls"][0]["id"]
    assert replaced == sent[2]["tool_call_id"]
    assert replaced.replace("_", "").isalnum()
    assert messages(said(assistant(odd), user(result("call|1:abc"))))[0]["tool_calls"][0]["id"] == replaced


# ---- limits and sampling ----


def test_T022_a_request_that_writes_nothing_is_refused() -> None:
    assert refused(said(user("Hi"), max_output_tokens=0)).param == "max_tokens"


def test_a_limit_above_the_models_own_is_refused_to_messages_and_lowered_for_others() -> None:
    conversation = said(user("Hi"), max_output_tokens=9000)
    small = Capabilities(max_output_tokens=4096)

    assert refused(conversation, small).param == "max_tokens"
    shared = translation("chat", capabilities=small)
    assert written(conversation, shared)["max_tokens"] == 4096
    assert codes(shared) == ["max_tokens"]


def test_the_limit_has_the_name_the_endpoint_knows() -> None:
    conversation = said(user("Hi"), max_output_tokens=9)

    assert written(conversation)["max_tokens"] == 9
    assert written(conversation, translation("messages", vendor="openai"))["max_completion_tokens"] == 9


def test_T047_sequences_beyond_four_are_enforced_by_the_gateway() -> None:
    shared = translation("messages")
    sequences = tuple("abcdef")

    assert written(said(user("Hi"), stop=sequences), shared)["stop"] == list("abcd")
    assert shared.enforced_stops == sequences
    none = translation("messages", capabilities=Capabilities(stop_max=0))
    assert "stop" not in written(said(user("Hi"), stop=("a",)), none)
    assert none.enforced_stops == ("a",)


def test_sampling_is_sent_as_far_as_the_model_takes_it() -> None:
    conversation = said(user("Hi"), sampling=Sampling(temperature=0.5, top_p=0.9, seed=7, presence_penalty=1))

    assert written(conversation).items() >= {"temperature": 0.5, "top_p": 0.9, "seed": 7}.items()
    sent, warned = lost(conversation, Capabilities(sampling="one_of_temperature_top_p"))
    assert "top_p" not in sent
    assert sent["temperature"] == 0.5
    assert warned == ["sampling"]
    sent, _ = lost(conversation, Capabilities(sampling="refused"))
    assert not {"temperature", "top_p"} & set(sent)
    sent, warned = lost(said(user("Hi"), sampling=Sampling(top_k=5)))
    assert ("top_k" in sent, warned) == (False, ["top_k"])
    able = translation("messages", capabilities=Capabilities(top_k=True))
    assert written(said(user("Hi"), sampling=Sampling(top_k=5)), able)["top_k"] == 5
    sent, warned = lost(said(user("Hi"), sampling=Sampling(logprobs=True)), Capabilities(logprobs=False))
    assert warned == ["logprobs"]


def test_T058_several_answers_cannot_be_translated() -> None:
    assert refused(said(user("Hi"), sampling=Sampling(n=2))).code == "unsupported_value"


# ---- reasoning and form ----


@pytest.mark.parametrize(
    ("spec", "effort", "warns"),
    [
        (ReasoningSpec(), None, False),
        (ReasoningSpec(mode="off"), "none", False),
        (ReasoningSpec(mode="between_tools"), "none", False),
        (ReasoningSpec(effort="high"), "high", False),
        (ReasoningSpec(mode="adaptive"), None, False),
        (ReasoningSpec(mode="adaptive", effort="max"), "max", False),
        (ReasoningSpec(mode="budget", budget_tokens=1024), "minimal", True),
        (ReasoningSpec(mode="budget", budget_tokens=10_000), "medium", True),
        (ReasoningSpec(mode="budget", budget_tokens=64_000), "max", True),
    ],
)
def test_T093_T094_thinking_becomes_an_effort(spec: ReasoningSpec, effort: str | None, warns: bool) -> None:
    shared = translation("messages")

    assert written(said(user("Hi"), reasoning=spec), shared).get("reasoning_effort") == effort
    assert codes(shared) == (["reasoning_budget"] if warns else [])


def test_T095_an_effort_the_model_lacks_is_lowered() -> None:
    spec = ReasoningSpec(mode="adaptive", effort="xhigh")
    sent, warned = lost(said(user("Hi"), reasoning=spec), Capabilities(efforts=("low", "medium", "high")))

    assert (sent["reasoning_effort"], warned) == ("high", ["reasoning_effort"])
    sent, _ = lost(
        said(user("Hi"), reasoning=ReasoningSpec(mode="off")), Capabilities(efforts=("low", "high"))
    )
    assert sent["reasoning_effort"] == "low"


def test_T096_T151_a_schema_is_named_and_strict_where_it_may_be() -> None:
    def form(output: OutputSpec) -> Any:
        return written(said(user("Hi"), output=output))["response_format"]

    assert form(OutputSpec(format="schema", schema=CLOSED)) == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": CLOSED, "strict": True},
    }
    assert form(OutputSpec(format="schema", schema=OPEN))["json_schema"]["strict"] is False
    assert form(OutputSpec(format="json")) == {"type": "json_object"}
    sent, warned = lost(
        said(user("Hi"), output=OutputSpec(format="schema", schema=OPEN)),
        Capabilities(structured_output=False),
    )
    assert (sent["response_format"], warned) == ({"type": "json_object"}, ["json_schema"])


# ---- who, state, foreign fields ----


def test_T097_a_long_user_id_is_hashed() -> None:
    def sent(user_id: str) -> str:
        who = Attribution(user_id=user_id)
        return str(written(said(user("Hi"), attribution=who))["safety_identifier"])

    assert sent("u1") == "u1"
    assert len(sent("u" * 100)) == 64
    assert sent("u" * 100) != sent("v" * 100)


def test_T099_a_constraint_that_chat_cannot_honour_is_refused() -> None:
    assert refused(said(user("Hi"), attribution=Attribution(inference_geo="us"))).param == "inference_geo"
    for state in (
        StateSpec(previous_response_id="r"),
        StateSpec(conversation="c"),
        StateSpec(background=True),
    ):
        assert refused(said(user("Hi"), state=state)).code == "unsupported_parameter"


def test_T098_fields_of_another_protocol_stay_behind() -> None:
    sent = written(said(user("Hi"), ext={"messages": {"context_management": {}}, "chat": {"mine": 1}}))

    assert "context_management" not in sent
    assert sent["mine"] == 1


def test_speed_and_unknown_tiers_warn_and_known_tiers_are_kept() -> None:
    _, warned = lost(said(user("Hi"), attribution=Attribution(speed="fast", service_tier="ultra")))
    assert warned == ["speed", "service_tier"]
    kept = written(said(user("Hi"), attribution=Attribution(service_tier="standard_only")))
    assert kept["service_tier"] == "default"


def test_T100_T101_a_begun_answer_is_continued_only_where_the_model_can() -> None:
    conversation = said(user("Hi"), assistant("Once upon"))

    assert "assistant message prefill" in refused(conversation).message
    able = translation("messages", capabilities=Capabilities(prefill=True))
    assert written(conversation, able)["continue_final_message"] is True
    assert "continue_final_message" not in written(conversation, translation("chat"))


def test_T102_a_stream_is_asked_for_its_usage() -> None:
    assert written(said(user("Hi"), stream=True))["stream_options"] == {"include_usage": True}


def test_T298_what_a_client_sent_is_what_an_upstream_gets() -> None:
    fields: dict[str, Any] = {
        "messages": [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": [{"type": "text", "text": "Look", "odd": 1}], "name": "ann"},
            {
                "role": "assistant",
                "content": "Hm",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
            {"role": "user", "content": "Go"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": OPEN}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": True,
        "temperature": 0.3,
        "top_p": 0.5,
        "seed": 1,
        "stop": ["END"],
        "max_tokens": 10,
        "logit_bias": {"50256": -100.0},
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": CLOSED, "strict": True},
        },
        "safety_identifier": "u1",
        "service_tier": "flex",
        "an_unknown_field": {"a": [1]},
    }
    shared = translation(strict=True)

    assert written(read(shared, **fields), shared) == {"model": "m", **fields}


@pytest.mark.parametrize(("client", "kept"), [("chat", True), ("responses", None), ("messages", None)])
def test_only_a_chat_client_makes_openai_keep_the_completion(client: str, kept: bool | None) -> None:
    asked = said(user("Hi."), state=StateSpec(store=True))

    assert written(asked, translation(client=client, vendor="openai")).get("store") is kept

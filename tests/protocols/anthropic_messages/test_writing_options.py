"""Limits, sampling, thinking, tools and form of a Chat client, as Anthropic takes them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from modelway.conversation.capabilities import Capabilities
from modelway.conversation.errors import CallError
from modelway.conversation.request import (
    Attribution,
    FreeformTool,
    FunctionTool,
    HostedTool,
    OutputSpec,
    ReasoningSpec,
    Sampling,
    StateSpec,
    ToolChoice,
)
from tests.protocols.anthropic_messages.support import (
    HI,
    Json,
    assistant,
    call,
    codes,
    from_chat,
    result,
    says,
    translation,
    user,
    write,
)

ADAPTIVE = Capabilities(
    thinking_types=frozenset({"adaptive", "disabled"}), max_output_tokens=128_000, mid_system=True
)
BUDGET_ONLY = Capabilities(thinking_types=frozenset({"enabled", "disabled"}), max_output_tokens=64_000)
ALWAYS = Capabilities(thinking_types=frozenset({"adaptive"}), forced_tools=False)
TOOL = FunctionTool(name="f", schema={"type": "object", "properties": {}})


def test_T113_without_a_limit_the_model_may_write_its_most() -> None:
    assert write(HI, place=from_chat(capabilities=ADAPTIVE))["max_tokens"] == 128_000
    assert write(HI)["max_tokens"] == 32_000


def test_a_limit_past_the_models_is_clamped_for_others_and_refused_for_messages_clients() -> None:
    place = from_chat(capabilities=ADAPTIVE)

    assert write(HI, place=place, max_output_tokens=200_000)["max_tokens"] == 128_000
    assert codes(place) == ["max_tokens"]
    with pytest.raises(CallError, match="128000"):
        write(HI, place=translation(capabilities=ADAPTIVE), max_output_tokens=200_000)


def test_T115_a_temperature_past_1_is_1() -> None:
    place = from_chat()

    assert write(HI, place=place, sampling=Sampling(temperature=1.7))["temperature"] == 1.0
    assert codes(place) == ["sampling"]


def test_T116_of_a_refused_pair_the_temperature_stays() -> None:
    place = from_chat(capabilities=Capabilities(sampling="one_of_temperature_top_p"))
    body = write(HI, place=place, sampling=Sampling(temperature=0.5, top_p=0.9))

    assert body["temperature"] == 0.5
    assert "top_p" not in body
    assert codes(place) == ["sampling"]


def test_T117_thinking_excludes_sampling() -> None:
    place = from_chat(capabilities=ADAPTIVE)
    body = write(HI, place=place, sampling=Sampling(temperature=0.5), reasoning=ReasoningSpec(effort="high"))

    assert "temperature" not in body
    assert codes(place) == ["sampling"]


def test_a_model_without_sampling_gets_none_and_a_default_is_no_loss() -> None:
    place = from_chat(capabilities=Capabilities(sampling="refused"))
    body = write(HI, place=place, sampling=Sampling(temperature=1.0, top_p=1.0))

    assert "temperature" not in body
    assert place.warnings == []


def test_T118_a_stop_of_white_space_is_watched_for_here() -> None:
    place = from_chat()

    assert write(HI, place=place, stop=("\n", "END"))["stop_sequences"] == ["END"]
    assert place.enforced_stops == ("\n",)


@pytest.mark.parametrize(
    ("effort", "thinking", "config"),
    [
        ("none", {"type": "disabled"}, None),
        ("low", {"type": "adaptive"}, {"effort": "low"}),
        ("high", {"type": "adaptive"}, {"effort": "high"}),
        ("minimal", {"type": "adaptive"}, {"effort": "low"}),
    ],
)
def test_T119_efforts_on_a_model_that_decides_itself(
    effort: Any, thinking: Json, config: Json | None
) -> None:
    body = write(HI, place=from_chat(capabilities=ADAPTIVE), reasoning=ReasoningSpec(effort=effort))

    assert body["thinking"] == thinking
    assert body.get("output_config") == config


@pytest.mark.parametrize(
    ("effort", "limit", "budget"),
    [("medium", 4000, 3999), ("low", 9000, 2048), ("max", 64_000, 63_999), ("minimal", 9000, 1024)],
)
def test_T120_efforts_on_a_model_that_takes_budgets(effort: Any, limit: int, budget: int) -> None:
    place = from_chat(capabilities=BUDGET_ONLY)
    body = write(HI, place=place, max_output_tokens=limit, reasoning=ReasoningSpec(effort=effort))

    assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert "output_config" not in body


def test_T121_too_few_tokens_to_think_means_no_thinking() -> None:
    place = from_chat(capabilities=BUDGET_ONLY)
    body = write(HI, place=place, max_output_tokens=500, reasoning=ReasoningSpec(effort="high"))

    assert "thinking" not in body
    assert codes(place) == ["reasoning"]


@pytest.mark.parametrize(
    ("budget", "effort"),
    [(1024, "low"), (2048, "low"), (8192, "medium"), (16384, "high"), (32768, "xhigh"), (63999, "max")],
)
def test_T094_a_budget_stands_for_an_effort_on_a_model_without_budgets(budget: int, effort: str) -> None:
    place = from_chat(capabilities=ADAPTIVE)
    body = write(HI, place=place, reasoning=ReasoningSpec("budget", budget_tokens=budget))

    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": effort})
    assert "reasoning" in codes(place)


def test_T095_an_effort_a_model_does_not_know_is_the_next_lower() -> None:
    place = from_chat(
        capabilities=Capabilities(thinking_types=frozenset({"adaptive"}), efforts=("low", "medium", "high"))
    )

    assert write(HI, place=place, reasoning=ReasoningSpec(effort="xhigh"))["output_config"] == {
        "effort": "high"
    }
    assert codes(place) == ["reasoning"]


def test_a_model_that_always_thinks_thinks_little_when_asked_not_to() -> None:
    place = from_chat(capabilities=ALWAYS)
    body = write(HI, place=place, reasoning=ReasoningSpec("off"))

    assert "thinking" not in body
    assert body["output_config"] == {"effort": "low"}
    assert codes(place) == ["reasoning"]


def test_an_effort_alone_of_a_messages_client_stays_alone() -> None:
    body = write(HI, place=translation(capabilities=ADAPTIVE), reasoning=ReasoningSpec(effort="high"))

    assert body["output_config"] == {"effort": "high"}
    assert "thinking" not in body


@pytest.mark.parametrize(("most", "sent", "warned"), [(None, "max", []), ("high", "high", ["reasoning"])])
def test_an_effort_without_thinking_is_as_high_as_the_model_takes_it(
    most: Any, sent: str, warned: list[str]
) -> None:
    able = Capabilities(thinking_types=frozenset({"disabled"}), effort_max_without_thinking=most)
    place = translation(capabilities=able)
    body = write(HI, place=place, reasoning=ReasoningSpec("off", effort="max"))

    assert (body["thinking"], body["output_config"]) == ({"type": "disabled"}, {"effort": sent})
    assert codes(place) == warned


def test_T152_a_summary_asked_for_is_shown() -> None:
    spec = ReasoningSpec(effort="high", summary="auto")

    body = write(HI, place=from_chat(capabilities=ADAPTIVE), reasoning=spec)
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}


SCHEMA: Json = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 1},
        "x": {"oneOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
    },
    "required": ["n"],
}


def test_T122_a_schema_keeps_what_can_be_enforced_and_tells_the_rest() -> None:
    place = from_chat()
    body = write(HI, place=place, output=OutputSpec(format="schema", schema=SCHEMA, name="r"))
    form = body["output_config"]["format"]

    assert form["type"] == "json_schema"
    assert form["schema"]["additionalProperties"] is False
    assert form["schema"]["properties"]["n"] == {"type": "integer", "description": "{minimum: 1}"}
    assert "anyOf" in form["schema"]["properties"]["x"]
    assert codes(place) == ["response_format"]


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
        {"type": "object", "properties": {"a": {"$ref": "https://example.org/s.json"}}},
    ],
    ids=["recursive", "elsewhere"],
)
def test_a_schema_that_cannot_be_enforced_is_refused(schema: Json) -> None:
    with pytest.raises(CallError) as caught:
        write(HI, output=OutputSpec(format="schema", schema=schema))
    assert caught.value.code == "invalid_json_schema"


def test_a_model_without_structured_output_answers_through_a_tool() -> None:
    place = from_chat(capabilities=Capabilities(structured_output=False))
    body = write(HI, place=place, output=OutputSpec(format="schema", schema=SCHEMA))

    assert body["tool_choice"] == {"type": "tool", "name": "respond_json"}
    assert body["tools"][0]["input_schema"] == SCHEMA
    assert "output_config" not in body
    assert place.answer_tool == "respond_json"


def test_T123_plain_json_is_asked_for_in_words() -> None:
    place = from_chat()
    body = write(says("a", "system"), HI, place=place, output=OutputSpec(format="json"))

    assert "JSON object" in body["system"][1]["text"]
    assert codes(place) == ["response_format"]


def test_T124_a_forced_tool_switches_thinking_off() -> None:
    place = from_chat(capabilities=ADAPTIVE)
    body = write(
        HI,
        place=place,
        tools=(TOOL,),
        tool_choice=ToolChoice("required"),
        reasoning=ReasoningSpec(effort="high"),
    )

    assert body["tool_choice"] == {"type": "any"}
    assert (body["thinking"], body["output_config"]) == ({"type": "disabled"}, {"effort": "high"})
    assert codes(place) == ["thinking_dropped"]


def test_T124_a_model_that_cannot_be_forced_is_left_to_choose_or_refused_when_strict() -> None:
    place = from_chat(capabilities=ALWAYS)
    body = write(HI, place=place, tools=(TOOL,), tool_choice=ToolChoice("required"))

    assert body["tool_choice"] == {"type": "auto"}
    assert codes(place) == ["tool_choice"]
    strict = from_chat(capabilities=ALWAYS, strict=True)
    with pytest.raises(CallError) as caught:
        write(HI, place=strict, tools=(TOOL,), tool_choice=ToolChoice("required"))
    assert caught.value.code == "tool_choice"


def test_T125_of_allowed_tools_only_those_are_sent() -> None:
    other = FunctionTool(name="g", schema={"type": "object"})
    body = write(HI, tools=(TOOL, other), tool_choice=ToolChoice("allowed", ("f",)))

    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert body["tool_choice"] == {"type": "auto"}


def test_T126_a_free_form_tool_takes_one_string() -> None:
    place = from_chat()
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
    body = write(HI, place=place, tools=(FreeformTool(name="patch", description="d", grammar=grammar),))

    assert body["tools"][0]["input_schema"]["required"] == ["input"]
    assert "start: /a/" in body["tools"][0]["description"]
    assert place.freeform == {"patch"}
    assert codes(place) == ["grammar"]


def test_T148_a_namespace_is_part_of_the_name_there() -> None:
    place = from_chat()
    body = write(HI, place=place, tools=(FunctionTool(name="lookup", schema={}, namespace="crm"),))

    assert body["tools"][0]["name"] == "crm__lookup"
    assert place.namespaces == {"crm__lookup": ("crm", "lookup")}


def test_a_name_with_other_characters_is_mapped_everywhere() -> None:
    place = from_chat()
    tool = FunctionTool(name="get weather!", schema={})
    body = write(
        HI,
        assistant(call(name="get weather!")),
        user(result()),
        place=place,
        tools=(tool,),
        tool_choice=ToolChoice("named", ("get weather!",)),
    )
    sent = body["tools"][0]["name"]

    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", sent)
    assert body["messages"][1]["content"][0]["name"] == body["tool_choice"]["name"] == sent
    assert place.renamed == {sent: "get weather!"}


def test_T137_single_calls_need_no_tool_choice() -> None:
    body = write(HI, tools=(TOOL,), parallel_tools=False)

    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert "tool_choice" not in write(HI, parallel_tools=False)


@pytest.mark.parametrize(
    ("sampling", "code"),
    [
        (Sampling(logprobs=True), "logprobs"),
        (Sampling(seed=1), "sampling"),
        (Sampling(presence_penalty=0.5), "sampling"),
        (Sampling(logit_bias={"1": 2.0}), "sampling"),
    ],
)
def test_T138_what_messages_cannot_say_is_warned_about(sampling: Sampling, code: str) -> None:
    place = from_chat()
    write(HI, place=place, sampling=sampling)

    assert codes(place) == [code]


def test_T058_more_than_one_answer_is_refused() -> None:
    with pytest.raises(CallError) as caught:
        write(HI, sampling=Sampling(n=2))
    assert (caught.value.param, caught.value.code) == ("n", "unsupported_value")


@pytest.mark.parametrize(
    "state",
    [StateSpec(previous_response_id="r"), StateSpec(conversation="c"), StateSpec(background=True)],
)
def test_stored_state_is_refused(state: StateSpec) -> None:
    with pytest.raises(CallError):
        write(HI, state=state)


def test_T149_a_tool_of_another_vendor_is_refused() -> None:
    with pytest.raises(CallError) as caught:
        write(HI, tools=(HostedTool(kind="image_generation", protocol="responses", raw={}),))
    assert caught.value.code == "unsupported_tool"


def test_T150_web_search_keeps_its_domains_and_place() -> None:
    raw = {
        "type": "web_search",
        "filters": {"allowed_domains": ["example.org"]},
        "user_location": {"type": "approximate", "city": "Oslo"},
    }
    tool = HostedTool(kind="web_search", protocol="responses", raw=raw)
    body = write(HI, place=from_chat(capabilities=Capabilities(hosted_web_search=True)), tools=(tool,))

    assert body["tools"] == [
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "allowed_domains": ["example.org"],
            "user_location": {"type": "approximate", "city": "Oslo"},
        }
    ]


@pytest.mark.parametrize(
    ("tier", "sent", "warned"),
    [
        ("auto", "auto", []),
        ("default", "standard_only", []),
        ("flex", "standard_only", ["service_tier"]),
        ("priority", "auto", ["service_tier"]),
    ],
)
def test_service_tiers(tier: str, sent: str, warned: list[str]) -> None:
    place = from_chat()

    assert write(HI, place=place, attribution=Attribution(service_tier=tier))["service_tier"] == sent
    assert codes(place) == warned


def test_a_strict_function_stays_strict_if_its_schema_can_be_enforced() -> None:
    place = from_chat()
    good = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    bad = {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}}
    tools = (
        FunctionTool(name="good", schema=good, strict=True),
        FunctionTool(name="bad", schema=bad, strict=True),
    )
    first, second = write(HI, place=place, tools=tools)["tools"]

    assert first["strict"] is True
    assert "strict" not in second
    assert codes(place) == ["strict"]

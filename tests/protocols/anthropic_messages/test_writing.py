"""A conversation of a Chat client, as the body for Anthropic."""

from __future__ import annotations

import re
from typing import Any

import pytest

from modelway.conversation.capabilities import Capabilities
from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    Audio,
    CacheMark,
    Document,
    FileReference,
    Image,
    Inline,
    Reasoning,
    Refusal,
    Secret,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Url,
)
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
from modelway.protocols.anthropic_messages import MESSAGES
from tests.protocols.anthropic_messages.support import (
    Json,
    assistant,
    codes,
    from_chat,
    translation,
    user,
    write,
)

HI = user(Text(text="hi"))
ADAPTIVE = Capabilities(
    thinking_types=frozenset({"adaptive", "disabled"}), max_output_tokens=128_000, mid_system=True
)
BUDGET_ONLY = Capabilities(thinking_types=frozenset({"enabled", "disabled"}), max_output_tokens=64_000)
ALWAYS = Capabilities(thinking_types=frozenset({"adaptive"}), forced_tools=False)
TOOL = FunctionTool(name="f", schema={"type": "object", "properties": {}})


def says(text: str, role: str = "user") -> Turn:
    turn: Any = {"role": role, "parts": (Text(text=text),)}
    return Turn(**turn)


def call(identity: str = "t1", arguments: str = "{}", name: str = "f") -> ToolCall:
    return ToolCall(id=identity, name=name, arguments=arguments)


def result(identity: str = "t1", text: str = "ok") -> ToolResult:
    return ToolResult(call_id=identity, parts=(Text(text=text),))


def roles(body: Json) -> list[str]:
    return [message["role"] for message in body["messages"]]


def test_T103_system_and_developer_lead_as_system_blocks() -> None:
    body = write(says("a", "system"), says("b", "developer"), HI)

    assert body["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert body["messages"] == [{"role": "user", "content": "hi"}]


def test_T104_a_later_system_message_stays_where_the_model_takes_it() -> None:
    place = from_chat(capabilities=ADAPTIVE)
    body = write(HI, says("now", "system"), says("go"), place=place)

    assert roles(body) == ["user", "system", "user"]
    assert place.warnings == []


def test_T105_a_later_system_message_is_wrapped_for_an_older_model() -> None:
    place = from_chat()
    body = write(HI, says("now", "system"), says("go"), place=place)

    assert roles(body) == ["user"]
    texts = [block["text"] for block in body["messages"][0]["content"]]
    assert texts == ["hi", "<system-reminder>\nnow\n</system-reminder>", "go"]
    assert codes(place) == ["system_position"]


@pytest.mark.parametrize("capabilities", [ADAPTIVE, Capabilities()])
def test_T106_a_system_message_never_stands_between_calls_and_results(capabilities: Capabilities) -> None:
    place = from_chat(capabilities=capabilities)
    body = write(
        HI,
        assistant(call("a"), call("b")),
        says("now", "system"),
        user(result("a")),
        user(result("b")),
        says("go"),
        place=place,
    )

    results = body["messages"][2]["content"]
    assert [block["type"] for block in results[:2]] == ["tool_result", "tool_result"]
    assert roles(body) == ["user", "assistant", "user", "system", "user"][: len(roles(body))]
    assert codes(place) == ["system_position"]


def test_a_system_message_at_the_end_gets_a_user_turn_of_its_own() -> None:
    body = write(HI, assistant(Text(text="a")), says("now", "system"), place=from_chat(capabilities=ADAPTIVE))

    assert body["messages"][-1] == {"role": "user", "content": "<system-reminder>\nnow\n</system-reminder>"}


def test_instructions_alone_get_a_user_turn_after_them() -> None:
    assert roles(write(says("only this", "system"))) == ["user"]


def test_T107_user_messages_in_a_row_become_one() -> None:
    body = write(says("a"), says("b"))

    assert [block["text"] for block in body["messages"][0]["content"]] == ["a", "b"]


def test_T108_results_of_a_turn_come_first_in_one_message() -> None:
    body = write(HI, assistant(call("a"), call("b")), user(result("a")), user(result("b")), says("go"))

    assert roles(body) == ["user", "assistant", "user"]
    kinds = [block["type"] for block in body["messages"][2]["content"]]
    assert kinds == ["tool_result", "tool_result", "text"]


def test_T075_results_come_first_wherever_they_stood() -> None:
    body = write(HI, assistant(call()), user(Text(text="so"), result()))

    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "text"]


def test_T109_a_result_of_several_texts_is_a_list() -> None:
    several = ToolResult(call_id="t1", parts=(Text(text="a"), Text(text="b")))
    body = write(HI, assistant(call()), user(several))

    assert len(body["messages"][2]["content"][0]["content"]) == 2


@pytest.mark.parametrize(
    ("arguments", "sent", "warned"),
    [
        ("", {}, []),
        ("  ", {}, []),
        ('{"a": 1.0}', {"a": 1.0}, []),
        ("not json", {"_raw": "not json"}, ["invalid_arguments"]),
        ("[1]", {"_raw": "[1]"}, ["invalid_arguments"]),
    ],
)
def test_T110_arguments_always_arrive_as_an_object(arguments: str, sent: Json, warned: list[str]) -> None:
    place = from_chat()
    body = write(HI, assistant(call(arguments=arguments)), user(result()), place=place)

    assert body["messages"][1]["content"][0]["input"] == sent
    assert codes(place) == warned


def test_numbers_in_arguments_keep_their_text() -> None:
    conversation = (HI, assistant(call(arguments='{"a":1e400,"b":1.0}')), user(result()))
    place = from_chat()
    from modelway.conversation.request import Conversation  # noqa: PLC0415  # only this test needs bytes

    body = MESSAGES.write_request(Conversation(model="m", turns=conversation), place)
    assert b'"input":{"a":1e400,"b":1.0}' in body


def test_T111_an_id_with_other_characters_is_mapped_and_stays_so() -> None:
    turns = (HI, assistant(call("call|1:abc")), user(result("call|1:abc")))
    body, next_turn = write(*turns), write(*turns, assistant(Text(text="a")), HI)
    sent = body["messages"][1]["content"][0]["id"]

    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", sent)
    assert body["messages"][2]["content"][0]["tool_use_id"] == sent
    assert next_turn["messages"][1]["content"][0]["id"] == sent


def test_T112_an_id_used_twice_is_made_different() -> None:
    body = write(HI, assistant(call("x")), user(result("x")), assistant(call("x")), user(result("x")))
    first, second = (body["messages"][i]["content"][0]["id"] for i in (1, 3))

    assert first != second
    assert body["messages"][4]["content"][0]["tool_use_id"] == second


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
def test_T119_efforts_on_a_model_that_decides_itself(effort: Any, thinking: Json, config: Json | None) -> None:
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

    assert write(HI, place=place, reasoning=ReasoningSpec(effort="xhigh"))["output_config"] == {"effort": "high"}
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
    assert body["thinking"] == {"type": "disabled"}
    assert codes(place) == ["thinking_dropped"]


def test_T124_a_model_that_cannot_be_forced_is_left_to_choose_or_refused_when_strict() -> None:
    place = from_chat(capabilities=ALWAYS)
    body = write(HI, place=place, tools=(TOOL,), tool_choice=ToolChoice("required"))

    assert body["tool_choice"] == {"type": "auto"}
    assert codes(place) == ["tool_choice"]
    with pytest.raises(CallError) as caught:
        strict = from_chat(capabilities=ALWAYS, strict=True)
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


def test_T147_a_free_form_call_in_the_history_is_an_object() -> None:
    past = ToolCall(id="c", name="patch", arguments="*** text", freeform=True)

    assert write(HI, assistant(past), user(result("c")))["messages"][1]["content"][0]["input"] == {
        "input": "*** text"
    }


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


def test_T128_audio_is_refused() -> None:
    with pytest.raises(CallError) as caught:
        write(user(Audio(data="AAAA", format="wav")))
    assert caught.value.code == "unsupported_content"


def test_T129_a_detail_is_dropped_without_a_word() -> None:
    place = from_chat()
    image = Image(source=Url("https://example.org/a.png"), detail="high")
    body = write(user(image), place=place)

    assert body["messages"][0]["content"][0]["source"]["url"] == "https://example.org/a.png"
    assert place.warnings == []


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (Image(source=Inline("image/tiff", "AAAA")), "invalid_image_format"),
        (Image(source=Url("http://example.org/a.png")), "unsupported_content"),
        (Image(source=FileReference("openai", "file-1")), "unsupported_content"),
        (Document(source=FileReference("openai", "file-1")), "unsupported_content"),
        (Document(source=Inline("application/zip", "AAAA")), "unsupported_content"),
    ],
)
def test_T130_T132_what_anthropic_cannot_read_is_refused(image: Any, code: str) -> None:
    with pytest.raises(CallError) as caught:
        write(user(image))
    assert caught.value.code == code


def test_T131_files_are_documents() -> None:
    pdf = Document(source=Inline("application/pdf", "JVBERi0="), title="a.pdf")
    note = Document(source=Inline("text/markdown", "IyBIaQ=="))
    first, second = write(user(pdf, note))["messages"][0]["content"]

    assert first["source"] == {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    assert first["title"] == "a.pdf"
    assert second["source"] == {"type": "text", "media_type": "text/plain", "data": "# Hi"}


def test_T133_a_refusal_is_text() -> None:
    place = from_chat()
    body = write(HI, assistant(Text(text="a"), Refusal(text="no")), says("go"), place=place)

    assert [block["text"] for block in body["messages"][1]["content"]] == ["a", "no"]
    assert codes(place) == ["refusal"]


def test_T134_anthropics_thinking_goes_back_as_it_was() -> None:
    thinking = Reasoning(text="hm", secret=Secret("anthropic", "signature", "sig=="))
    redacted = Reasoning(redacted=True, secret=Secret("anthropic", "redacted", "blob"))
    body = write(HI, assistant(thinking, redacted, call()), user(result()))

    assert body["messages"][1]["content"][:2] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "blob"},
    ]


@pytest.mark.parametrize(
    "reasoning",
    [
        Reasoning(summaries=("s",), secret=Secret("openai", "encrypted", "enc")),
        Reasoning(text="unsigned"),
        Reasoning(text="hm", secret=Secret("other", "signature", "sig")),
    ],
)
def test_T135_foreign_reasoning_is_never_sent_to_anthropic(reasoning: Reasoning) -> None:
    place = from_chat()
    body = write(HI, assistant(reasoning, Text(text="a")), HI, place=place)

    assert body["messages"][1]["content"] == "a"
    assert codes(place) == ["reasoning_dropped"]


def test_a_model_that_binds_thinking_gets_only_its_own() -> None:
    place = from_chat(capabilities=Capabilities(binds_thinking=True))
    other = Reasoning(text="hm", secret=Secret("anthropic", "signature", "sig", model="another"))
    own = Reasoning(text="hm", secret=Secret("anthropic", "signature", "sig", model="m"))
    body = write(HI, assistant(other, own, Text(text="a")), HI, place=place)

    assert [block["type"] for block in body["messages"][1]["content"]] == ["thinking", "text"]


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


def test_T139_an_empty_message_is_dropped_in_the_middle_and_refused_at_the_end() -> None:
    body = write(says("a"), says("  "), assistant(Text(text="")), says("b"))

    assert [block["text"] for block in body["messages"][0]["content"]] == ["a", "b"]
    with pytest.raises(CallError, match="empty"):
        write(HI, assistant(Text(text="a")), says(""))


def test_T018_a_trailing_answer_is_not_continued_for_a_chat_client() -> None:
    place = from_chat()
    body = write(HI, assistant(Text(text="It is ")), place=place)

    assert body["messages"][-1] == {"role": "user", "content": "Continue."}
    assert codes(place) == ["trailing_assistant"]


def test_T044_a_messages_clients_prefill_loses_its_trailing_space() -> None:
    body = write(HI, assistant(Text(text="It is ")), place=translation())

    assert body["messages"][-1] == {"role": "assistant", "content": "It is"}


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


def test_a_participants_name_goes_before_the_text() -> None:
    turn = Turn(role="user", parts=(Text(text="hello"),), name="Ann")

    assert write(turn)["messages"][0]["content"] == "Ann: hello"


def test_only_the_last_four_cache_marks_are_kept() -> None:
    place = from_chat(capabilities=Capabilities(cache_marks=True))
    parts = tuple(Text(text=str(n), cache=CacheMark("12h" if n == 5 else "30m")) for n in range(6))
    blocks = write(user(*parts), place=place)["messages"][0]["content"]

    assert ["cache_control" in block for block in blocks] == [False, False, True, True, True, True]
    assert blocks[-1]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert blocks[-2]["cache_control"] == {"type": "ephemeral"}


def test_cache_marks_are_not_sent_to_a_model_that_does_not_know_them() -> None:
    assert write(user(Text(text="a", cache=CacheMark())))["messages"][0]["content"] == "a"


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


def test_a_history_nobody_repaired_is_repaired() -> None:
    place = from_chat()
    body = write(HI, assistant(call()), says("never mind"), place=place)

    assert body["messages"][2]["content"][0]["is_error"] is True
    assert codes(place) == ["repaired"]

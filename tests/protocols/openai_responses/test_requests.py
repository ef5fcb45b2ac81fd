"""Tools and settings of a client's request, and what Codex sends."""

from __future__ import annotations

from typing import Any

import pytest

from modelway.conversation.capabilities import Capabilities
from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    Opaque,
    Text,
    ToolCall,
    ToolResult,
)
from modelway.conversation.request import FreeformTool, FunctionTool, HostedTool, ToolChoice
from modelway.protocols.openai_responses import RESPONSES
from tests.protocols.openai_responses.given import (
    CALL,
    CLOSED,
    OPEN,
    OUTPUT,
    USER,
    conversation,
    recording,
    request,
    translation,
)


def refused(**fields: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        request(**fields)
    assert caught.value.kind.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("schema", "said", "strict"),
    [(CLOSED, None, True), (OPEN, None, False), (OPEN, True, True), (CLOSED, False, False)],
)
def test_T145_strict_left_out_means_if_the_schema_allows_it(
    schema: dict[str, Any], said: bool | None, strict: bool
) -> None:
    tool = {"type": "function", "name": "f", "parameters": schema} | (
        {} if said is None else {"strict": said}
    )

    (read,) = conversation(tools=[tool]).tools

    assert read == FunctionTool(name="f", schema=schema, strict=strict)


def test_strict_left_out_promises_nothing_to_anthropic() -> None:
    tool = {"type": "function", "name": "f", "parameters": CLOSED}

    (read,) = conversation(translation(upstream="messages"), tools=[tool]).tools

    assert read == FunctionTool(name="f", schema=CLOSED, strict=None)


def test_T147_a_custom_tools_call_is_freeform() -> None:
    call = {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "*** x"}
    output = {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"}

    turns = conversation(input=[call, output]).turns

    assert turns[0].parts == (ToolCall(id="c1", name="patch", arguments="*** x", freeform=True),)
    assert turns[1].parts == (ToolResult(call_id="c1", parts=(Text(text="done"),), freeform=True),)


def test_T148_a_namespaces_tools_carry_its_name() -> None:
    inner = {"type": "function", "name": "lookup", "parameters": CLOSED}
    group = {"type": "namespace", "name": "crm", "description": "Customers", "tools": [inner]}
    call = {**CALL, "name": "lookup", "namespace": "crm"}

    read = conversation(tools=[group], input=[call, OUTPUT])

    assert [(tool.name, getattr(tool, "namespace", None)) for tool in read.tools] == [("lookup", "crm")]
    part = read.turns[0].parts[0]
    assert isinstance(part, ToolCall)
    assert part.namespace == "crm"


def test_T150_hosted_tools_keep_their_own_words() -> None:
    search = {"type": "web_search_2025_08_26", "filters": {"allowed_domains": ["a.org"]}}
    using = translation(capabilities=Capabilities(hosted_web_search=True))

    assert conversation(using, tools=[search]).tools == (
        HostedTool(kind="web_search", protocol="responses", raw=search, name="web_search"),
    )


def test_A23_a_model_that_cannot_search_answers_without_the_tool() -> None:
    using = translation()

    assert conversation(using, tools=[{"type": "web_search"}]).tools == ()
    assert [(each.code, each.param) for each in using.warnings] == [("unsupported_tool", "tools.0")]
    with pytest.raises(CallError) as caught:
        conversation(tools=[{"type": "web_search"}], tool_choice={"type": "web_search"})
    assert (caught.value.code, caught.value.param) == ("unsupported_tool", "tool_choice")


def test_A23_a_tool_of_an_unknown_type_is_skipped_with_a_warning() -> None:
    using = translation()

    assert conversation(using, tools=[{"type": "teleport"}]).tools == ()
    assert [(each.code, each.param) for each in using.warnings] == [("unsupported_tool", "tools.0")]


def test_a_custom_tools_grammar_is_kept() -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": "start: x"}

    assert conversation(tools=[{"type": "custom", "name": "p", "format": form}]).tools == (
        FreeformTool(name="p", grammar={"syntax": "lark", "definition": "start: x"}),
    )


@pytest.mark.parametrize(
    ("wire", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("named", ("f",))),
        ({"type": "custom", "name": "p"}, ToolChoice("named", ("p",))),
        ({"type": "image_generation"}, ToolChoice("named", ("image_generation",))),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice("allowed", ("f",), required=True),
        ),
    ],
)
def test_tool_choices(wire: Any, choice: ToolChoice) -> None:
    assert conversation(tool_choice=wire, tools=[{"type": "image_generation"}]).tool_choice == choice


def test_a_tool_choice_that_is_none_is_refused() -> None:
    with pytest.raises(CallError, match="'always'"):
        conversation(tool_choice="always")


def test_T157_an_update_of_the_configuration_holds() -> None:
    update = {"type": "configuration_update", "reasoning": {"effort": "low"}}

    assert conversation(reasoning={"effort": "high"}, input=[USER, update]).reasoning.effort == "low"


def test_additional_tools_are_tools() -> None:
    using = translation()
    extra = {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "g"}]}

    assert [tool.name for tool in conversation(using, input=[extra, USER]).tools] == ["g"]
    assert using.warnings == []


def test_T158_a_reference_without_a_store_is_refused() -> None:
    with pytest.raises(CallError, match="msg_5") as caught:
        conversation(input=[USER, {"type": "item_reference", "id": "msg_5"}])

    assert caught.value.code == "unsupported_parameter"


def test_settings_are_read() -> None:
    read = conversation(
        temperature=0.5,
        top_p=0.9,
        top_logprobs=3,
        max_output_tokens=100,
        parallel_tool_calls=False,
        reasoning={"effort": "minimal", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        safety_identifier="u1",
        metadata={"a": "b"},
        service_tier="flex",
        prompt_cache_key="k",
        store=True,
        stream=True,
    )

    assert (read.sampling.temperature, read.sampling.top_p, read.sampling.top_logprobs) == (0.5, 0.9, 3)
    assert (read.max_output_tokens, read.parallel_tools, read.stream) == (100, False, True)
    assert (read.reasoning.effort, read.reasoning.summary) == ("minimal", "auto")
    assert (read.output.format, read.output.name, read.output.verbosity) == ("schema", "n", "low")
    assert (read.attribution.user_id, read.attribution.metadata) == ("u1", {"a": "b"})
    assert (read.attribution.service_tier, read.attribution.cache_key) == ("flex", "k")
    assert read.state.store is True


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"truncation": "auto"}, ["truncation"]),
        ({"truncation": "disabled"}, []),
        ({"max_tool_calls": 3}, ["max_tool_calls"]),
        ({"reasoning": {"context": "all_turns"}}, ["reasoning_context"]),
        ({"reasoning": {"mode": "standard"}}, []),
        ({"include": ["reasoning.encrypted_content"]}, []),
        ({"stream_options": {"include_obfuscation": False}}, []),
    ],
)
def test_what_only_responses_can_say_warns_on_another_route(fields: dict[str, Any], codes: list[str]) -> None:
    using, native = translation(), translation(upstream="responses")

    conversation(using, **fields)
    conversation(native, **fields)

    assert [each.code for each in using.warnings] == codes
    assert native.warnings == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"moderation": {"policy": {}}}, "moderation"),
        ({"conversation": "conv_1"}, "conversation"),
    ],
)
def test_promises_that_another_route_cannot_keep_are_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(CallError) as caught:
        conversation(**fields)

    assert caught.value.param == param


@pytest.mark.parametrize("name", ["codex_tool_loop", "codex_additional_tools"])
def test_A23_what_codex_sends_is_read_without_a_loss(name: str) -> None:
    using = translation(capabilities=Capabilities(hosted_web_search=True))
    without_search = translation()

    read = RESPONSES.parse(recording(f"requests/{name}.json"), {}).conversation(using)
    RESPONSES.parse(recording(f"requests/{name}.json"), {}).conversation(without_search)

    assert using.warnings == []
    assert [each.code for each in without_search.warnings] == ["unsupported_tool"]
    assert [type(tool).__name__ for tool in read.tools] == [
        "FunctionTool",
        "FunctionTool",
        "FunctionTool",
        "HostedTool",
        "FreeformTool",
    ]
    assert not any(isinstance(part, Opaque) for turn in read.turns for part in turn.parts)
    assert read.turns[0].role == "developer"


def test_a_body_may_hold_any_unknown_item_and_part() -> None:
    items: list[dict[str, Any]] = [
        USER,
        {"type": "agent_message", "text": "x"},
        {"role": "user", "content": [{"type": "input_smell"}]},
    ]

    read = conversation(input=items)

    assert read.turns[1].parts == (Opaque(protocol="responses", raw=items[1]),)
    assert read.turns[2].parts == (Opaque(protocol="responses", raw={"type": "input_smell"}),)


def test_a_compacted_history_is_never_dropped_silently() -> None:
    items: list[dict[str, Any]] = [{"type": "compaction", "encrypted_content": "x"}, USER]

    with pytest.raises(CallError, match="compacted"):
        conversation(input=items)

    kept = conversation(translation(upstream="responses"), input=items).turns[0]
    assert kept.parts == (Opaque(protocol="responses", raw=items[0]),)

"""A Messages body in the neutral form."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelway.conversation.envelope import seal
from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    CacheMark,
    Document,
    HostedCall,
    Image,
    Inline,
    Nested,
    Opaque,
    Plain,
    Reasoning,
    Secret,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from modelway.conversation.request import FunctionTool, HostedTool, ReasoningSpec, ToolChoice
from modelway.protocols.anthropic_messages import MESSAGES
from tests.protocols.anthropic_messages.support import (
    Json,
    codes,
    parse,
    read,
    recording,
    to_chat,
    translation,
)

HI: Json = {"role": "user", "content": "hi"}
BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2"}


def content(*blocks: Json, **fields: Any) -> tuple[Any, ...]:
    """The parts of one assistant message between two of the user's."""
    messages = [HI, {"role": "assistant", "content": list(blocks)}, HI]
    return read(messages=messages, **fields).turns[1].parts


def test_T066_a_system_string_is_the_first_turn() -> None:
    turns = read(system="Be brief.").turns

    assert turns[0] == Turn(role="system", parts=(Text(text="Be brief."),), path="system")
    assert turns[1].role == "user"


def test_T067_system_blocks_stay_apart_with_their_cache_marks() -> None:
    blocks = [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]

    assert read(system=blocks).turns[0].parts == (Text(text="a"), Text(text="b", cache=CacheMark("1h")))


def test_T068_the_attribution_line_goes_to_anthropic_only() -> None:
    system = [BILLING, {"type": "text", "text": "real"}]

    assert [part.text for part in read(system=system).turns[0].parts if isinstance(part, Text)] == ["real"]
    assert len(read(translation(), system=system).turns[0].parts) == 2


def test_T069_T071_instructions_in_mid_conversation_keep_their_place() -> None:
    messages = [HI, {"role": "system", "content": "now in French"}, {"role": "system", "content": [BILLING]}]

    assert [turn.role for turn in read(messages=messages).turns] == ["user", "system"]


def test_T072_T073_images_are_bytes_or_addresses() -> None:
    inline, linked = content(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
    )

    assert inline == Image(source=Inline("image/png", "iVBORw0KGgo="))
    assert linked.source.url == "https://example.org/a.png"


def test_T086_documents_are_text_bytes_or_parts() -> None:
    plain, nested = content(
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "words"},
            "title": "T",
            "citations": {"enabled": True},
        },
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
    )

    assert plain == Document(source=Plain("words"), title="T", citations_on=True)
    assert nested == Document(source=Nested((Text(text="x"),)))


def test_T074_a_call_and_its_result_keep_their_id_and_the_text_of_their_numbers() -> None:
    body = (
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"assistant",'
        b'"content":[{"type":"tool_use","id":"t","name":"f","input":{ "a" : 1e400, "b": 1.0 }}]},'
        b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"ok"}]}]}'
    )
    turns = MESSAGES.parse(body, {}).conversation(to_chat()).turns

    assert turns[1].parts == (ToolCall(id="t", name="f", arguments='{"a":1e400,"b":1.0}'),)
    assert turns[2].parts == (ToolResult(call_id="t", parts=(Text(text="ok"),)),)


@pytest.mark.parametrize("block", [{}, {"input": None}, {"input": {}}])
def test_a_call_may_have_no_input(block: Json) -> None:
    call = content({"type": "tool_use", "id": "t", "name": "f", **block})[0]

    assert call.arguments == "{}"


@pytest.mark.parametrize("result", [{}, {"content": None}, {"content": ""}, {"content": []}])
def test_T078_a_result_may_say_nothing(result: Json) -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    messages = [
        HI,
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", **result}]},
    ]
    (part,) = read(messages=messages).turns[2].parts

    assert isinstance(part, ToolResult)
    assert all(isinstance(inner, Text) and inner.text == "" for inner in part.parts)


def test_T081_T084_thinking_keeps_its_signature_and_its_place() -> None:
    parts = content(
        {"type": "thinking", "thinking": "hm", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "blob"},
        {"type": "text", "text": "so"},
    )

    assert parts == (
        Reasoning(text="hm", secret=Secret("anthropic", "signature", "sig==")),
        Reasoning(redacted=True, secret=Secret("anthropic", "redacted", "blob")),
        Text(text="so"),
    )


@pytest.mark.parametrize(
    "reasoning",
    [
        Reasoning(text="hm"),
        Reasoning(summaries=("a", "b"), secret=Secret("openai", "encrypted", "enc", "gpt", "rs_1")),
    ],
)
def test_T175_reasoning_sealed_for_the_client_is_opened_again(reasoning: Reasoning) -> None:
    sealed = seal(reasoning, b"secret of the tests")
    block = {"type": "thinking", "thinking": "shown", "signature": sealed}
    redacted = {"type": "redacted_thinking", "data": sealed}

    assert content(block) == content(redacted) == (reasoning,)


def test_a_seal_that_is_not_ours_drops_the_thinking_with_a_warning() -> None:
    place = to_chat()
    sealed = seal(Reasoning(text="hm"), b"another secret")
    messages = [HI, {"role": "assistant", "content": [_thinking(sealed), {"type": "text", "text": "a"}]}, HI]

    assert read(place, messages=messages).turns[1].parts == (Text(text="a"),)
    assert codes(place) == ["reasoning_dropped"]


def _thinking(signature: str) -> Json:
    return {"type": "thinking", "thinking": "hm", "signature": signature}


def test_server_tools_join_their_results() -> None:
    use = {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "q"}}
    result = {"type": "web_search_tool_result", "tool_use_id": "srv", "content": [{"encrypted_content": "e"}]}

    (part,) = content(use, result)

    assert part == HostedCall(protocol="messages", id="srv", name="web_search", raw=(use, result))


def test_T042_unknown_blocks_stay_as_they_are() -> None:
    block = {"type": "hologram", "depth": 3}

    assert content(block) == (Opaque(protocol="messages", raw=block),)


def test_fields_nobody_knows_stay_with_their_block() -> None:
    (part,) = content(
        {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "direct"}}
    )[:1]

    assert part.ext == {"messages": {"caller": {"type": "direct"}}}


@pytest.mark.parametrize(
    "block", [{"type": "text"}, {"type": "tool_use", "id": "t"}, {"type": "text", "text": 5}]
)
def test_a_half_block_is_refused_by_its_place(block: Json) -> None:
    with pytest.raises(CallError) as caught:
        read(messages=[{"role": "user", "content": [block]}])
    assert caught.value.param == "messages.0.content.0"


def test_tools_are_functions_with_what_only_messages_knows_beside_them() -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}, "description": "d", "defer_loading": True}

    (function,) = read(tools=[tool]).tools

    assert function == FunctionTool(
        name="f", schema={"type": "object"}, description="d", ext={"messages": {"defer_loading": True}}
    )


def test_T092_a_server_tool_is_hosted() -> None:
    tool = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}

    assert read(tools=[tool]).tools == (
        HostedTool(kind="web_search", protocol="messages", raw=tool, name="web_search"),
    )


def test_a_client_tool_of_anthropics_becomes_a_function_elsewhere() -> None:
    tool = {"type": "bash_20250124", "name": "bash"}
    place = to_chat()

    (elsewhere,) = read(place, tools=[tool]).tools
    (there,) = read(translation(), tools=[tool]).tools

    assert isinstance(elsewhere, FunctionTool)
    assert "command" in elsewhere.schema["properties"]
    assert codes(place) == ["tool_emulated"]
    assert isinstance(there, HostedTool)
    assert not there.runs_at_vendor


@pytest.mark.parametrize(
    ("choice", "neutral"),
    [
        ({"type": "auto"}, ToolChoice("auto")),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "none"}, ToolChoice("none")),
        ({"type": "tool", "name": "f"}, ToolChoice("named", ("f",))),
        ("required", ToolChoice("required")),
    ],
)
def test_T090_T091_tool_choices(choice: object, neutral: ToolChoice) -> None:
    tools = [{"name": "f", "input_schema": {"type": "object"}}]

    assert read(tools=tools, tool_choice=choice).tool_choice == neutral


def test_T090_single_calls_are_asked_for() -> None:
    conversation = read(tool_choice={"type": "any", "disable_parallel_tool_use": True})

    assert conversation.parallel_tools is False


@pytest.mark.parametrize(
    ("thinking", "spec"),
    [
        ({"type": "adaptive"}, ReasoningSpec("adaptive")),
        ({"type": "disabled"}, ReasoningSpec("off")),
        ({"type": "enabled", "budget_tokens": 2000}, ReasoningSpec("budget", budget_tokens=2000)),
        ({"type": "adaptive", "display": "summarized"}, ReasoningSpec("adaptive", summary="auto")),
        ({"type": "adaptive", "display": "omitted"}, ReasoningSpec("adaptive", summary="none")),
    ],
)
def test_T093_T094_thinking(thinking: Json, spec: ReasoningSpec) -> None:
    assert read(max_tokens=9000, thinking=thinking).reasoning == spec


def test_T096_output_config_is_effort_and_form() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    conversation = read(output_config={"effort": "low", "format": form})

    assert conversation.reasoning.effort == "low"
    assert (conversation.output.format, conversation.output.schema) == ("schema", {"type": "object"})
    assert read(output_format=form).output == conversation.output


def test_T098_context_hints_are_left_out_with_a_warning() -> None:
    place = to_chat()
    read(place, context_management={"edits": []}, diagnostics={"previous_message_id": None}, new_thing=1)

    assert [warning.param for warning in place.warnings] == ["context_management", "diagnostics", "new_thing"]
    assert read(translation(), context_management={"edits": []}).ext["messages"]


@pytest.mark.parametrize(
    "field", ["container", "mcp_servers", "thread", "compaction", "billing_policy", "fallback_credit_token"]
)
def test_constraints_are_refused_on_a_way_that_cannot_keep_them(field: str) -> None:
    with pytest.raises(CallError) as caught:
        read(to_chat(), **{field: {"x": 1}})
    assert caught.value.param == field
    assert read(translation(), **{field: {"x": 1}})


def test_a_refused_thread_is_told_in_the_words_after_which_the_sdks_go_on_without_one() -> None:
    with pytest.raises(CallError) as caught:
        read(to_chat(), thread={"type": "create"})

    assert caught.value.status_on("messages") == 400
    assert caught.value.details == {"error_code": "thread_unsupported_request", "unsupported": ["model"]}


def test_who_asks_is_read() -> None:
    conversation = read(metadata={"user_id": "u"}, service_tier="auto", speed="fast", inference_geo="us")
    who = conversation.attribution

    assert (who.user_id, who.service_tier, who.speed, who.inference_geo) == ("u", "auto", "fast", "us")


CALL: Json = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT: Json = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}


def test_a_call_without_result_gets_one_that_says_so() -> None:
    place = to_chat()
    turns = read(place, messages=[HI, {"role": "assistant", "content": [CALL]}, HI]).turns

    missing = ToolResult(call_id="t1", parts=(Text(text="[no result]"),), is_error=True)
    assert [turn.role for turn in turns] == ["user", "assistant", "user", "user"]
    assert turns[2].parts == (missing,)
    assert codes(place) == ["repaired"]


def test_a_result_without_call_becomes_text() -> None:
    place = to_chat()
    turns = read(place, messages=[{"role": "user", "content": [RESULT]}]).turns

    assert all(isinstance(part, Text) for part in turns[0].parts)
    assert codes(place) == ["repaired"]


def test_a_broken_history_is_refused_when_strict() -> None:
    with pytest.raises(CallError, match="t1"):
        read(to_chat(strict=True), messages=[{"role": "user", "content": [RESULT]}])


def test_a_sound_history_is_not_touched() -> None:
    place = to_chat()
    messages = [HI, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]}]

    assert len(read(place, messages=messages).turns) == 3
    assert place.warnings == []


def test_everything_at_once_is_read() -> None:
    place = translation()
    conversation = MESSAGES.parse(recording("request_everything.json"), {}).conversation(place)

    assert [turn.role for turn in conversation.turns] == ["system", "user", "user", "assistant", "user"]
    assert len(conversation.tools) == 2
    assert place.warnings == []


def test_T298_what_is_read_and_written_again_says_the_same() -> None:
    """Equal but for strings, which stand for one text block, and runs of one role, which are joined."""
    original = msgspec.json.decode(recording("request_everything.json"))
    place = translation()
    conversation = MESSAGES.parse(recording("request_everything.json"), {}).conversation(place)
    again = msgspec.json.decode(MESSAGES.write_request(conversation, place))
    messages = original["messages"]
    question = {"type": "text", "text": messages[0]["content"]}
    messages[:2] = [{"role": "user", "content": [question, *messages[1]["content"]]}]

    assert again == original


def test_sequences_and_sampling_are_read() -> None:
    conversation = read(stop_sequences=["END"], temperature=0.5, top_p=0.9, top_k=3, stream=True)

    assert conversation.stop == ("END",)
    assert (conversation.sampling.temperature, conversation.sampling.top_k) == (0.5, 3)
    assert conversation.stream
    assert parse(stream=True).stream

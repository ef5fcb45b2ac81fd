"""What a Chat client may send, and what it is told when it may not."""

from __future__ import annotations

from typing import Any

import pytest

from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    Audio,
    CacheMark,
    Document,
    Image,
    Inline,
    Plain,
    Reasoning,
    Refusal,
    Secret,
    Text,
    ToolCall,
    ToolResult,
    Url,
)
from modelway.conversation.request import FreeformTool, FunctionTool, HostedTool, ToolChoice
from modelway.protocols.openai_chat import CHAT
from tests.protocols.openai_chat.given import body, codes, read, translation

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
ASKS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWERS = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
HI = {"role": "user", "content": "Hi"}


def refused(data: bytes) -> CallError:
    with pytest.raises(CallError) as caught:
        CHAT.parse(data, {})
    assert caught.value.kind.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"model": None}, "model", "missing_required_parameter"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"stop": ["1", "2", "3", "4", "5"]}, "stop", "array_above_max_length"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tool_choice": "auto"}, "tool_choice", "invalid_value"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_tokens": "10"}, "max_tokens", "invalid_type"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_type"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "invalid_value"),
        ({"messages": [HI, {"content": "x"}]}, "messages.1.role", "missing_required_parameter"),
        ({"messages": [HI, {"role": "user", "content": 5}]}, "messages.1.content", "invalid_type"),
        ({"prompt": "Hi"}, "prompt", "invalid_value"),
        ({"stop": "a", "stop_sequences": ["b"]}, "stop_sequences", "invalid_value"),
        ({"system": "a", "system_prompt": "b"}, "system_prompt", "invalid_value"),
    ],
)
def test_T048_T049_T050_T051_T052_T053_T306_a_wrong_field_is_named(
    fields: dict[str, Any], param: str, code: str
) -> None:
    error = refused(body(**fields))

    assert (error.param, error.code) == (param, code)
    assert param.split(".")[-1] in error.message


def test_the_message_shows_the_value_seen() -> None:
    assert "2.1" in refused(body(temperature=2.1)).message
    assert '"10"' in refused(body(max_tokens="10")).message


def test_T057_a_schema_without_a_name_is_refused() -> None:
    form = {"type": "json_schema", "json_schema": {"schema": {}}}

    assert refused(body(response_format=form)).param == "response_format.json_schema.name"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"model":"m","messages":[{}', b"null"])
def test_T046_what_is_no_json_object_is_refused(data: bytes) -> None:
    refused(data)


def test_a_body_that_names_its_model_twice_is_refused() -> None:
    refused(b'{"model":"cheap","messages":[{"role":"user","content":"x"}],"model":"dear"}')


def test_a_body_nested_too_deep_is_refused() -> None:
    refused(b'{"model":"m","messages":[{"role":"user","content":"x"}],"x":' + b"[" * 70 + b"]" * 70 + b"}")
    refused(b'{"model":"m","x":' + b"[" * 5000 + b"]" * 5000 + b"}")


def test_T307_an_error_names_all_four_of_openais_fields() -> None:
    error = refused(b'{"model":"m"}').body("req_1")["error"]

    assert isinstance(error, dict)
    assert set(error) >= {"message", "type", "param", "code"}


# ---- shapes ----


def test_T305_the_shorthand_prompt_is_one_user_message_behind_its_system_prompt() -> None:
    request = CHAT.parse(b'{"model":"m","prompt":"Hi","system_prompt":"Be brief"}', {})
    turns = request.conversation(translation()).turns

    assert [(turn.role, turn.parts) for turn in turns] == [
        ("system", (Text(text="Be brief"),)),
        ("user", (Text(text="Hi"),)),
    ]
    assert not request.passable


@pytest.mark.parametrize(
    "fields",
    [
        {"system": "Be brief"},
        {"stop_sequences": ["END"]},
        {"thinking": {"type": "adaptive"}},
        {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [WEATHER], "tool_choice": {"type": "any"}},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
    ],
)
def test_a_body_in_anthropics_shape_is_not_passed_on(fields: dict[str, Any]) -> None:
    assert not CHAT.parse(body(**fields), {}).passable


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"messages": [{"role": "user", "content": 'a "tool_use" in a text'}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}]},
        {"messages": [HI, {**ASKS, "reasoning_content": "hm"}, ANSWERS], "tools": [WEATHER]},
        {"tools": [{"type": "browser_search"}], "unknown": {"x": 1}},
        {"functions": [{"name": "f"}], "function_call": "auto"},
    ],
)
def test_a_body_in_openais_shape_is_passed_on(fields: dict[str, Any]) -> None:
    assert CHAT.parse(body(**fields), {}).passable


def test_T308_T309_T310_an_anthropic_body_on_this_path_is_understood() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
    conversation = read(
        system=[{"type": "text", "text": "Be brief", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        stop_sequences=["END"],
        thinking={"type": "enabled", "budget_tokens": 2048},
        tools=[{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "document", "source": pdf, "title": "A"},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "t"}},
                    {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
                    {"type": "text", "text": "Look"},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}]},
        ],
    )

    system, asked, called, answered = conversation.turns
    assert system.parts == (Text(text="Be brief", cache=CacheMark("1h")),)
    assert asked.parts == (
        Document(source=Inline("application/pdf", "JVBERg=="), title="A"),
        Document(source=Plain("t")),
        Image(source=Url("https://example.org/a.png")),
        Text(text="Look"),
    )
    assert called.parts == (
        Reasoning(text="hm", secret=Secret(vendor="anthropic", kind="signature", value="c2ln")),
        ToolCall(id="toolu_1", name="f", arguments='{"a":1}'),
    )
    assert answered.parts == (ToolResult(call_id="toolu_1", parts=(Text(text="ok"),)),)
    assert conversation.stop == ("END",)
    assert (conversation.reasoning.mode, conversation.reasoning.budget_tokens) == ("budget", 2048)
    assert conversation.tools == (FunctionTool(name="f", schema={"type": "object"}, description="d"),)
    assert conversation.tool_choice == ToolChoice("named", ("f",))
    assert conversation.parallel_tools is False


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "none"}, ToolChoice("none")),
        ({"type": "function", "function": {"name": "get_weather"}}, ToolChoice("named", ("get_weather",))),
        ({"type": "tool", "name": "get_weather"}, ToolChoice("named", ("get_weather",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "get_weather"}}],
                },
            },
            ToolChoice("allowed", ("get_weather",), required=True),
        ),
    ],
)
def test_every_spelling_of_tool_choice_is_read(choice: Any, expected: ToolChoice) -> None:
    assert read(tools=[WEATHER], tool_choice=choice).tool_choice == expected


def test_T033_a_choice_of_an_undeclared_tool_is_refused() -> None:
    with pytest.raises(CallError, match="get_weather"):
        read(tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "other"}})


def test_T034_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(CallError, match="name of its own"):
        read(tools=[WEATHER, WEATHER])


def test_freeform_and_hosted_tools_are_told_apart() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
    tools = read(
        tools=[
            {"type": "custom", "custom": {"name": "patch", "format": grammar}},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        ],
    ).tools

    patch, bash, search = tools
    assert isinstance(patch, FreeformTool)
    assert patch.grammar == {"syntax": "lark", "definition": "start: x"}
    assert isinstance(bash, HostedTool)
    assert (bash.kind, bash.runs_at_vendor) == ("bash", False)
    assert isinstance(search, HostedTool)
    assert (search.kind, search.runs_at_vendor) == ("web_search", True)


def test_T127_legacy_functions_are_tools_and_their_results_find_the_call() -> None:
    shared = translation()
    conversation = read(
        shared,
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
        messages=[
            HI,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "42"},
        ],
    )

    assert conversation.turns[1].parts == (ToolCall(id="call_fn_1", name="f", arguments="{}"),)
    assert conversation.turns[2].parts == (ToolResult(call_id="call_fn_1", parts=(Text(text="42"),)),)
    assert conversation.tool_choice == ToolChoice("named", ("f",))
    assert shared.legacy_functions
    assert shared.warnings == []


# ---- parts ----


def content(*parts: dict[str, Any]) -> tuple[Any, ...]:
    return read(messages=[{"role": "user", "content": list(parts)}]).turns[0].parts


def test_T129_parts_of_openais_own_dialect_are_read() -> None:
    assert content(
        {"type": "text", "text": "Look", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "DATA:image/PNG;charset=x;base64,aGk="}},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
    ) == (
        Text(text="Look", cache=CacheMark("5m")),
        Image(source=Url("https://example.org/a.png"), detail="high"),
        Image(source=Inline("image/png", "aGk=")),
        Audio(data="aGk=", format="wav"),
        Document(source=Inline("application/pdf", "aGk="), title="a.pdf"),
    )


@pytest.mark.parametrize("url", ["data:;base64,aGk=", "data:image/bmp;base64,aGk=", "data:image/png,aGk="])
def test_T130_a_data_url_no_vendor_takes_is_refused(url: str) -> None:
    with pytest.raises(CallError) as caught:
        content({"type": "image_url", "image_url": {"url": url}})

    assert caught.value.code == "invalid_image_format"


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "hologram"}, "messages.0.content.0.type"),
        ({"type": "text"}, "messages.0.content.0.text"),
        ({"type": "image_url"}, "messages.0.content.0.image_url"),
        ({"type": "input_audio", "input_audio": 3}, "messages.0.content.0.input_audio"),
    ],
)
def test_T042_a_part_nobody_can_carry_is_named(part: dict[str, Any], param: str) -> None:
    with pytest.raises(CallError) as caught:
        content(part)

    assert caught.value.param == param


def test_T133_text_and_refusal_of_an_assistant_are_kept_apart() -> None:
    parts = [{"type": "text", "text": "No."}, {"type": "refusal", "refusal": "I won't."}]
    conversation = read(messages=[HI, {"role": "assistant", "content": parts}, HI])

    assert conversation.turns[1].parts == (Text(text="No."), Refusal(text="I won't."))


def test_T080_an_error_written_as_a_prefix_is_an_error_again() -> None:
    answer = {**ANSWERS, "content": "[tool_error] no such city"}
    turn = read(messages=[HI, ASKS, answer], tools=[WEATHER]).turns[2]

    assert turn.parts == (ToolResult(call_id="call_1", parts=(Text(text="no such city"),), is_error=True),)


def test_T114_the_newer_of_two_limits_counts() -> None:
    shared = translation()

    assert read(shared, max_tokens=100, max_completion_tokens=200).max_output_tokens == 200
    assert codes(shared) == ["max_tokens"]


def test_the_estimate_counts_text_tools_and_pictures_but_not_base64() -> None:
    def estimate(**fields: Any) -> int:
        return CHAT.parse(body(**fields), {}).prompt_tokens_estimate()

    text = "The quick brown fox jumps over the lazy dog. " * 40  # 10 tokens a sentence
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    assert 320 <= estimate(messages=[{"role": "user", "content": text}]) <= 480
    assert estimate(messages=[{"role": "user", "content": [picture]}]) < 2000
    assert estimate(tools=[WEATHER]) > estimate() > 0


def test_fields_only_chat_has_are_judged_when_they_leave() -> None:
    leaving = translation(upstream="messages")
    kept = read(leaving, prediction={"type": "content"}, an_odd_one=1).ext
    assert kept == {"chat": {"prediction": {"type": "content"}, "an_odd_one": 1}}
    assert [(warning.code, warning.param) for warning in leaving.warnings] == [
        ("unknown_field", "an_odd_one")
    ]

    staying = translation(upstream="chat", strict=True)
    assert read(staying, an_odd_one=1, audio={}).ext == {"chat": {"an_odd_one": 1, "audio": {}}}
    constraints: list[dict[str, Any]] = [
        {"audio": {"voice": "ash"}},
        {"modalities": ["text", "audio"]},
        {"moderation": {}},
    ]
    for fields in constraints:
        with pytest.raises(CallError) as caught:
            read(translation(upstream="messages"), **fields)
        assert caught.value.param in fields
    assert read(translation(upstream="messages", strict=True), modalities=["text"]).ext == {}


def test_results_of_custom_tools_are_free_text() -> None:
    patch = {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    turns = read(
        messages=[
            HI,
            {"role": "assistant", "tool_calls": [patch]},
            {"role": "tool", "tool_call_id": "c", "content": "ok"},
        ]
    ).turns

    assert turns[1].parts == (ToolCall(id="c", name="patch", arguments="*** Begin", freeform=True),)
    assert turns[2].parts == (ToolResult(call_id="c", parts=(Text(text="ok"),), freeform=True),)

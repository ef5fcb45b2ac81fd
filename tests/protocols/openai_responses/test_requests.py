"""Requests of clients: what is refused, and what the neutral form is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelway.conversation.envelope import seal
from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    CacheMark,
    Document,
    FileReference,
    Image,
    Inline,
    Opaque,
    Plain,
    Reasoning,
    Secret,
    Text,
    ToolCall,
    ToolResult,
    Url,
)
from modelway.conversation.request import FreeformTool, FunctionTool, HostedTool, ToolChoice
from modelway.protocols.openai_responses import RESPONSES
from modelway.protocols.openai_responses.wire import parse
from tests.protocols.openai_responses.given import (
    SECRET,
    conversation,
    recording,
    request,
    translation,
)

CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
USER = {"role": "user", "content": "Hi"}


def refused(**fields: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        request(**fields)
    assert caught.value.kind.status == 400
    return caught.value


# -- what is refused -------------------------------------------------------------------------------


def test_T059_fifteen_output_tokens_are_too_few() -> None:
    error = refused(max_output_tokens=15)

    assert error.param == "max_output_tokens"
    assert "15" in error.message
    assert "16" in error.message


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"type": "json_schema", "name": "x"}, "text.format.schema"),
        ({"type": "json_schema", "schema": {}}, "text.format.name"),
        ({"type": "json_schema", "name": "no spaces", "schema": {}}, "text.format.name"),
        ({"type": "xml"}, "text.format.type"),
    ],
)
def test_T060_an_incomplete_json_schema_is_refused(form: dict[str, Any], param: str) -> None:
    assert refused(text={"format": form}).param == param


def test_T061_a_response_nobody_stored_is_refused_when_it_must_be_translated() -> None:
    with pytest.raises(CallError, match="resp_7") as caught:
        request(previous_response_id="resp_7").conversation(translation())

    assert caught.value.code == "unsupported_parameter"
    assert caught.value.param == "previous_response_id"


def test_T062_previous_response_and_conversation_exclude_each_other() -> None:
    assert refused(previous_response_id="resp_1", conversation="conv_1").param == "previous_response_id"


def test_T063_unknown_fields_are_tolerated() -> None:
    using = translation()

    conversation(using, client_metadata={"a": "b"}, brand_new=1)

    assert [(each.code, each.param) for each in using.warnings] == [("unknown_field", "brand_new")]


def test_T064_an_item_without_type_is_a_message() -> None:
    assert conversation(input=[USER]).turns[0].parts == (Text(text="Hi"),)


def test_T065_reasoning_must_be_followed_by_what_it_led_to() -> None:
    error = refused(input=[USER, {"type": "reasoning", "id": "rs_1", "summary": []}])

    assert "rs_1" in error.message
    assert error.param == "input.1"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": 7}, "model", "invalid_type"),
        ({"model": ""}, "model", "invalid_value"),
        ({"input": None}, "input", "empty_array"),
        ({"input": []}, "input", "empty_array"),
        ({"input": 7}, "input", "invalid_type"),
        ({"input": ["x"]}, "input.0", "invalid_type"),
        ({"input": [{}]}, "input.0", "invalid_value"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input.0.role", "invalid_value"),
        ({"input": [{"role": "user"}]}, "input.0.content", "missing_required_parameter"),
        ({"input": [{"role": "user", "content": [{}]}]}, "input.0.content.0", "invalid_type"),
        ({"input": [{**CALL, "arguments": {}}]}, "input.0.arguments", "invalid_type"),
        ({"input": [{**OUTPUT, "call_id": "x" * 65}]}, "input.0.call_id", "invalid_value"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"top_p": -0.1}, "top_p", "invalid_value"),
        ({"top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "invalid_value"),
        ({"truncation": "middle"}, "truncation", "invalid_value"),
        ({"metadata": {"k": "v" * 513}}, "metadata", "invalid_value"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, Any], param: str, code: str) -> None:
    error = refused(**fields)

    assert (error.param or "").startswith(param)
    assert error.code == code


def test_a_missing_input_and_a_missing_model_are_named() -> None:
    for body, param in ((b'{"model":"m"}', "input"), (b'{"input":"Hi"}', "model")):
        with pytest.raises(CallError) as caught:
            parse(body, {})
        assert (caught.value.param, caught.value.code) == (param, "missing_required_parameter")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"model":"m"',
        b"\xff\xfe",
        b'{"model":"a","input":"Hi","model":"b"}',
        b'{"model":"a","input":"Hi","stream":true,"stream":false}',
        b'{"model":"a","input":' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"model":"a","input":' + b"[" * 9000 + b"]" * 9000 + b"}",
    ],
)
def test_what_is_no_sound_body_is_refused(body: bytes) -> None:
    with pytest.raises(CallError) as caught:
        parse(body, {})

    assert caught.value.kind.status == 400


# -- passing through -------------------------------------------------------------------------------


def test_T290_only_the_models_name_is_replaced() -> None:
    body = b'{ "input" : [{"role":"user","content":"\\"model\\":\\"a\\""}],\n"x":{"model":"a"},"model" : "a" ,"y":1e400}'

    passed = parse(body, {}).passed("bee", translation())

    assert passed == body.replace(b'"model" : "a"', b'"model" : "bee"')


def test_T292_numbers_keep_their_text() -> None:
    tool = '{"type":"function","name":"f","parameters":{"maximum":1e400,"minimum":1.0,"x":1180591620717411303424}}'
    body = b'{"model":"a","input":"Hi","tools":[' + tool.encode() + b"]}"

    assert tool.encode() in parse(body, {}).passed("b", translation())
    schema = parse(body, {}).conversation(translation()).tools[0]
    assert isinstance(schema, FunctionTool)
    assert schema.schema["maximum"] == 1.7976931348623157e308


def test_reasoning_that_this_gateway_sealed_is_not_passed_to_a_provider() -> None:
    sealed = seal(Reasoning(text="hm"), SECRET)
    items = [{"type": "reasoning", "summary": [], "encrypted_content": sealed}, CALL, OUTPUT]

    assert not request(input=items).passable
    assert request(input=[CALL, OUTPUT]).passable


def test_the_estimate_counts_text_and_not_the_bytes_of_images() -> None:
    words = request(input="word " * 1000).prompt_tokens_estimate()
    image = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 100_000}

    assert 1000 <= words <= 1500
    assert 1000 <= request(input=[{"role": "user", "content": [image]}]).prompt_tokens_estimate() < 1200


# -- turns -----------------------------------------------------------------------------------------


def test_T140_a_string_is_one_user_message() -> None:
    (turn,) = conversation(input="Hi").turns

    assert (turn.role, turn.parts) == ("user", (Text(text="Hi"),))


def test_T141_instructions_come_before_developer_items() -> None:
    items = [{"role": "developer", "content": "second"}, USER]

    turns = conversation(instructions="first", input=items).turns

    assert [(turn.role, turn.parts) for turn in turns[:2]] == [
        ("system", (Text(text="first"),)),
        ("developer", (Text(text="second"),)),
    ]


def test_T142_what_the_assistant_did_is_one_turn_in_order() -> None:
    items = [
        {"role": "user", "content": "Go"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": "Looking", "annotations": []}],
        },
        CALL,
        OUTPUT,
        USER,
    ]

    turns = conversation(input=items).turns

    assert [turn.role for turn in turns] == ["user", "assistant", "user", "user"]
    assert [type(part) for part in turns[1].parts] == [Reasoning, Text, ToolCall]
    assert turns[1].phase == "commentary"
    assert turns[2].parts == (ToolResult(call_id="c1", parts=(Text(text="42"),)),)


def test_T143_two_calls_and_their_outputs_are_two_turns() -> None:
    items = [USER, CALL, {**CALL, "call_id": "c2"}, OUTPUT, {**OUTPUT, "call_id": "c2"}]
    using = translation()

    turns = conversation(using, input=items).turns

    assert [len(turn.parts) for turn in turns] == [1, 2, 2]
    assert using.warnings == []


def test_two_messages_of_the_assistant_stay_two_turns() -> None:
    said = [{"role": "assistant", "content": text} for text in ("one", "two")]

    assert [len(turn.parts) for turn in conversation(input=[USER, *said, USER]).turns] == [1, 1, 1, 1]


def test_an_output_behind_another_message_is_moved_to_its_call() -> None:
    using = translation()

    turns = conversation(using, input=[USER, CALL, {"role": "developer", "content": "x"}, OUTPUT]).turns

    assert [turn.role for turn in turns] == ["user", "assistant", "user", "developer"]
    assert using.warnings == []


def test_a_call_without_output_and_an_output_without_call_are_repaired() -> None:
    using = translation()
    orphan = {**OUTPUT, "call_id": "c9", "output": "lost"}

    turns = conversation(using, input=[CALL, orphan, USER]).turns

    assert turns[1].parts == (ToolResult(call_id="c1", parts=(Text(text="[no result]"),), is_error=True),)
    assert turns[2].parts == (Text(text="[output of tool call c9]"), Text(text="lost"))
    assert {each.code for each in using.warnings} == {"repaired"}


@pytest.mark.parametrize("items", [[USER, CALL], [OUTPUT, USER]])
def test_strict_mode_refuses_what_would_be_repaired(items: list[dict[str, Any]]) -> None:
    with pytest.raises(CallError, match="c1"):
        request(input=items).conversation(translation(strict=True))


def test_a_marked_output_is_an_error() -> None:
    turns = conversation(input=[CALL, {**OUTPUT, "output": "[tool_error] broke"}]).turns

    assert turns[1].parts == (ToolResult(call_id="c1", parts=(Text(text="broke"),), is_error=True),)


def test_T144_an_output_may_hold_images_and_files() -> None:
    parts = [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "DATA:image/PNG;charset=x;base64,aGk=", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
    ]

    turns = conversation(input=[CALL, {**OUTPUT, "output": parts}]).turns

    result = turns[1].parts[0]
    assert isinstance(result, ToolResult)
    assert result.parts == (
        Text(text="see"),
        Image(source=Inline("image/png", "aGk="), detail="low"),
        Document(source=Inline("application/pdf", "aGk="), title="a.pdf"),
    )


def test_sources_of_images_and_files() -> None:
    parts = [
        {"type": "input_image", "image_url": "https://example.org/a.png"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_url": "https://example.org/a.pdf"},
        {"type": "input_file", "file_id": "file-2"},
        {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGk="},
    ]

    (turn,) = conversation(input=[{"role": "user", "content": parts}]).turns

    assert [part.source for part in turn.parts if isinstance(part, Image | Document)] == [
        Url("https://example.org/a.png"),
        FileReference("openai", "file-1"),
        Url("https://example.org/a.pdf"),
        FileReference("openai", "file-2"),
        Plain("hi"),
    ]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_image", "image_url": "data:image/bmp;base64,aGk="}, "input.0.content.0.image_url"),
        ({"type": "input_image"}, "input.0.content.0.image_url"),
        ({"type": "input_text"}, "input.0.content.0.text"),
        ({"type": "input_file"}, "input.0.content.0.file_data"),
    ],
)
def test_content_nobody_can_carry_is_refused(part: dict[str, Any], param: str) -> None:
    with pytest.raises(CallError) as caught:
        conversation(input=[{"role": "user", "content": [part]}])

    assert caught.value.param == param


def test_cache_marks_are_read() -> None:
    mark = {"mode": "explicit"}
    parts = [
        {"type": "input_text", "text": "a", "prompt_cache_breakpoint": mark},
        {"type": "input_text", "text": "b", "prompt_cache_breakpoint": {**mark, "ttl": "12h"}},
    ]

    (turn,) = conversation(input=[{"role": "user", "content": parts}]).turns

    assert turn.parts == (Text(text="a", cache=CacheMark("5m")), Text(text="b", cache=CacheMark("12h")))


# -- reasoning -------------------------------------------------------------------------------------


def thought(**fields: Any) -> list[dict[str, Any]]:
    return [USER, {"type": "reasoning", "id": "rs_1", "summary": [], **fields}, CALL, OUTPUT]


def test_T173_T174_sealed_reasoning_comes_back_as_it_was() -> None:
    first = Reasoning(text="deep", secret=Secret("anthropic", "signature", "sig==", "claude"))
    second = Reasoning(redacted=True, secret=Secret("anthropic", "redacted", "data=="))
    for reasoning in (first, second):
        turns = conversation(input=thought(encrypted_content=seal(reasoning, SECRET))).turns
        assert turns[1].parts[0] == reasoning


def test_reasoning_sealed_elsewhere_is_dropped_with_a_warning() -> None:
    using = translation()

    turns = conversation(using, input=thought(encrypted_content=seal(Reasoning(text="x"), b"other"))).turns

    assert [type(part) for part in turns[1].parts] == [ToolCall]
    assert [each.code for each in using.warnings] == ["reasoning_dropped"]


def test_T175_openais_own_reasoning_keeps_id_summary_and_secret() -> None:
    item = {
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "gAAAA",
        "content": None,
    }

    part = conversation(input=thought(**item)).turns[1].parts[0]

    assert isinstance(part, Reasoning)
    assert part.summaries == ("hm",)
    assert part.secret == Secret("openai", "encrypted", "gAAAA", id="rs_1")


def test_reasoning_that_leads_to_nothing_is_left_out() -> None:
    using = translation()
    items = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, USER]

    assert [turn.role for turn in conversation(using, input=items).turns] == ["user"]
    assert [each.code for each in using.warnings] == ["reasoning_dropped"]


# -- tools -----------------------------------------------------------------------------------------

CLOSED = {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}
OPEN = {"type": "object", "properties": {"a": {}}}


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

    assert conversation(tools=[search]).tools == (
        HostedTool(kind="web_search", protocol="responses", raw=search, name="web_search"),
    )


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
        ({"type": "web_search_preview"}, ToolChoice("named", ("web_search",))),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice("allowed", ("f",), required=True),
        ),
    ],
)
def test_tool_choices(wire: Any, choice: ToolChoice) -> None:
    assert conversation(tool_choice=wire).tool_choice == choice


def test_a_tool_choice_that_is_none_is_refused() -> None:
    with pytest.raises(CallError, match="'always'"):
        conversation(tool_choice="always")


# -- settings --------------------------------------------------------------------------------------


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


# -- what Codex sends ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["codex_tool_loop", "codex_additional_tools"])
def test_A23_what_codex_sends_is_read_without_a_loss(name: str) -> None:
    using = translation()

    read = RESPONSES.parse(recording(f"requests/{name}.json"), {}).conversation(using)

    assert using.warnings == []
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
    items = [
        USER,
        {"type": "agent_message", "text": "x"},
        {"role": "user", "content": [{"type": "input_smell"}]},
    ]

    read = conversation(input=items)

    assert read.turns[1].parts == (Opaque(protocol="responses", raw=items[1]),)
    assert read.turns[2].parts == (Opaque(protocol="responses", raw={"type": "input_smell"}),)


def test_a_compacted_history_is_never_dropped_silently() -> None:
    items = [{"type": "compaction", "encrypted_content": "x"}, USER]

    with pytest.raises(CallError, match="compacted"):
        conversation(input=items)
    assert json.dumps(items[0]) in json.dumps(
        [
            part.raw
            for turn in conversation(translation(upstream="responses"), input=items).turns
            for part in turn.parts
            if isinstance(part, Opaque)
        ]
    )

"""Input items become turns."""

from __future__ import annotations

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
    Plain,
    Reasoning,
    Secret,
    Text,
    ToolCall,
    ToolResult,
    Url,
)
from tests.protocols.openai_responses.given import (
    CALL,
    OUTPUT,
    SECRET,
    USER,
    conversation,
    request,
    translation,
)


def refused(**fields: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        request(**fields)
    assert caught.value.kind.status == 400
    return caught.value


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

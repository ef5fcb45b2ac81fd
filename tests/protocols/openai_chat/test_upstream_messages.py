"""How turns and their parts reach an upstream that speaks Chat."""

from __future__ import annotations

from typing import Any

import pytest

from modelway.conversation.capabilities import Capabilities
from modelway.conversation.parts import (
    Audio,
    CacheMark,
    Document,
    FileReference,
    HostedCall,
    Image,
    Inline,
    Opaque,
    Plain,
    Reasoning,
    SearchResult,
    Secret,
    Text,
    ToolCall,
    Turn,
    Url,
)
from tests.protocols.openai_chat.given import (
    assistant,
    lost,
    messages,
    refused,
    result,
    said,
    system,
    translation,
    user,
)

PNG = Image(source=Inline("image/png", "aGk="))
CALL, OTHER = ToolCall(id="toolu_1", name="f", arguments='{"a":1}'), ToolCall(id="toolu_2", name="g")
OPEN = {"type": "object", "properties": {"a": {}}}
CLOSED = {**OPEN, "required": ["a"], "additionalProperties": False}


def test_T066_a_system_string_becomes_the_first_message() -> None:
    assert messages(said(system("Be brief"), user("Hi"))) == [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Hi"},
    ]


def test_T067_two_system_blocks_stay_two_parts_or_one_string() -> None:
    conversation = said(system("A", Text(text="B", cache=CacheMark())), user("Hi"))

    assert messages(conversation)[0]["content"] == [
        {"type": "text", "text": "A"},
        {"type": "text", "text": "B"},
    ]
    strings = translation("messages", capabilities=Capabilities(string_content_only=True))
    assert messages(conversation, strings)[0]["content"] == "A\n\nB"
    marked = translation("messages", capabilities=Capabilities(cache_marks=True), vendor="openai")
    assert messages(conversation, marked)[0]["content"][1]["prompt_cache_breakpoint"] == {"mode": "explicit"}


def test_T068_T071_the_billing_header_goes_to_nobody_else() -> None:
    header = "x-anthropic-billing-header: cc_version=2.1; cch=1a2b3;"

    assert messages(said(system(header, "Be brief"), user("Hi"), system(header))) == [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Hi"},
    ]


def test_T069_T070_a_later_system_turn_stays_or_is_wrapped() -> None:
    conversation = said(system("A"), user("Hi"), system("Now in French"), user("Go"))

    assert [message["role"] for message in messages(conversation)] == ["system", "user", "system", "user"]
    sent, warned = lost(conversation, Capabilities(leading_system_only=True))
    assert warned == ["system_position"]
    assert sent["messages"][2] == {
        "role": "user",
        "content": "<system-reminder>\nNow in French\n</system-reminder>",
    }


def test_a_developer_turn_is_a_system_message_unless_the_model_knows_the_role() -> None:
    conversation = said(Turn(role="developer", parts=(Text(text="A"),)), user("Hi"))

    assert messages(conversation)[0]["role"] == "system"
    knowing = translation(capabilities=Capabilities(developer_role=True))
    assert messages(conversation, knowing)[0]["role"] == "developer"


# ---- parts ----


def test_T072_T073_images_become_image_urls() -> None:
    sent = messages(said(user("Look", PNG, Image(source=Url("https://example.org/a.png")))))

    assert sent[0]["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ]


def test_T074_a_call_and_its_result() -> None:
    assert messages(said(user("Hi"), assistant(CALL), user(result("toolu_1", Text(text="ok")))))[1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "ok"},
    ]


@pytest.mark.parametrize("first", [True, False])
def test_T075_results_come_before_the_text_beside_them(first: bool) -> None:
    answer, text = result("toolu_1", Text(text="ok")), Text(text="Go on")
    parts = (answer, text) if first else (text, answer)
    sent = messages(said(user("Hi"), assistant(CALL), user(*parts)))

    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "user"]
    assert sent[3]["content"] == "Go on"


def test_T076_results_keep_their_order_and_stay_together() -> None:
    calls = [ToolCall(id=f"toolu_{number}", name="f") for number in (1, 2, 3)]
    answers = [result(f"toolu_{number}", Text(text=str(number))) for number in (3, 1, 2)]
    sent = messages(said(user("Hi"), assistant(*calls), user(*answers)))

    assert [message["tool_call_id"] for message in sent[2:]] == ["toolu_3", "toolu_1", "toolu_2"]


def test_T077_T078_texts_of_a_result_are_lines_and_none_is_empty() -> None:
    answers = user(result("toolu_1", Text(text="a"), Text(text="b")), result("toolu_2"))
    sent = messages(said(user("Hi"), assistant(CALL, OTHER), answers))

    assert [message["content"] for message in sent[2:]] == ["a\nb", ""]


def test_T079_pictures_in_results_follow_all_results() -> None:
    answers = user(result("toolu_1", Text(text="shot"), PNG), result("toolu_2", Text(text="ok")), "And?")
    sent, warned = lost(said(user("Hi"), assistant(CALL, OTHER), answers))

    assert warned == ["tool_result_media"]
    shot, fine, picture, text = sent["messages"][2:]
    assert shot["content"] == "shot\n[image 1 of toolu_1: see next user message]"
    assert fine == {"role": "tool", "tool_call_id": "toolu_2", "content": "ok"}
    assert picture["role"] == "user"
    assert [part["type"] for part in picture["content"]] == ["text", "image_url"]
    assert text["content"] == "And?"


def test_nothing_comes_between_a_call_and_its_result() -> None:
    sent = messages(said(user("Hi"), assistant(CALL), system("Now"), user(result("toolu_1"))))

    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "system"]


def test_T080_an_error_flag_becomes_a_prefix() -> None:
    answer = result("toolu_1", Text(text="no such city"), is_error=True)
    sent, warned = lost(said(user("Hi"), assistant(CALL), user(answer)))

    assert warned == ["is_error"]
    assert sent["messages"][2]["content"] == "[tool_error] no such city"


SIGNED = Reasoning(text="hm", secret=Secret(vendor="anthropic", kind="signature", value="c2ln"))
REDACTED = Reasoning(secret=Secret(vendor="anthropic", kind="redacted", value="ZGF0YQ"), redacted=True)


def test_T081_T083_reasoning_travels_beside_the_content() -> None:
    sent = messages(
        said(user("Hi"), assistant(SIGNED, Reasoning(text=" so"), "Hello", CALL), user(result("toolu_1")))
    )

    assert sent[1]["reasoning_content"] == "hm so"
    assert sent[1]["content"] == "Hello"
    assert sent[1]["reasoning_details"] == [
        {
            "index": 0,
            "type": "reasoning.text",
            "text": "hm",
            "format": "anthropic-claude-v1",
            "signature": "c2ln",
        },
        {"index": 1, "type": "reasoning.text", "text": " so"},
    ]


def test_T082_T084_reasoning_alone_and_redacted_reasoning() -> None:
    assert messages(said(user("Hi"), assistant(Reasoning(text="hm")), user("?")))[1] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
    }
    redacted = messages(said(user("Hi"), assistant(REDACTED, "Hello"), user("?")))[1]
    assert redacted["content"] == "Hello"
    assert "reasoning_content" not in redacted
    assert redacted["reasoning_details"][0]["data"] == "ZGF0YQ"


def test_openai_itself_is_sent_no_reasoning_because_it_refuses_unknown_fields() -> None:
    shared = translation("messages", vendor="openai")

    assert messages(said(user("Hi"), assistant(SIGNED, "Hello"), user("?")), shared)[1] == {
        "role": "assistant",
        "content": "Hello",
    }


def test_T085_text_behind_a_call_moves_before_it() -> None:
    turns = (user("Hi"), assistant("One. ", CALL, "Two.", OTHER), user(result("toolu_1"), result("toolu_2")))
    sent, warned = lost(said(*turns))

    assert warned == ["order"]
    assert sent["messages"][1]["content"] == "One. Two."
    assert len(sent["messages"][1]["tool_calls"]) == 2


def test_T086_a_text_document_is_wrapped() -> None:
    sent, warned = lost(said(user(Document(source=Plain("All of it"), title="A"))))

    assert warned == ["document_flattened"]
    assert sent["messages"][0]["content"] == [
        {"type": "text", "text": '<document title="A">\nAll of it\n</document>'}
    ]


def test_T087_a_pdf_becomes_a_file_with_a_name() -> None:
    pdf = Inline("application/pdf", "aGk=")
    sent = messages(said(user(Document(source=pdf, title="A.pdf"), Document(source=pdf))))

    names = [part["file"]["filename"] for part in sent[0]["content"]]
    assert names == ["A.pdf", "document.pdf"]
    assert sent[0]["content"][0]["file"]["file_data"] == "data:application/pdf;base64,aGk="


def test_a_search_result_is_wrapped_and_a_hosted_call_left_out() -> None:
    found = SearchResult(source="https://example.org", title="T", parts=(Text(text="x"),))
    ran = HostedCall(protocol="messages", id="srvtoolu_1", name="web_search", raw=({},))
    sent, warned = lost(said(user(found), assistant(ran, "Yes"), user("?")))

    assert warned == ["document_flattened", "hosted_call_dropped"]
    assert sent["messages"][1] == {"role": "assistant", "content": "Yes"}


@pytest.mark.parametrize(
    ("part", "capabilities"),
    [
        (PNG, Capabilities(vision=False)),
        (Document(source=Inline("application/pdf", "aGk=")), Capabilities(documents=False)),
        (Image(source=FileReference("anthropic", "file_1")), Capabilities()),
        (Document(source=FileReference("openai", "file_1")), Capabilities()),
        (Document(source=Url("https://example.org/a.pdf")), Capabilities()),
        (Opaque(protocol="messages", raw={"type": "container_upload"}), Capabilities()),
    ],
)
def test_T132_what_the_model_cannot_read_is_refused(part: Any, capabilities: Capabilities) -> None:
    assert refused(said(user(part)), capabilities).code == "unsupported_content"


def test_audio_is_sent_as_input_audio() -> None:
    assert messages(said(user(Audio(data="aGk=", format="wav"))))[0]["content"] == [
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    ]

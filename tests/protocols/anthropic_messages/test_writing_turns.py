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
    Conversation,
)
from modelway.protocols.anthropic_messages import MESSAGES
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
    turns = (HI, assistant(call(arguments='{"a":1e400,"b":1.0}')), user(result()))

    body = MESSAGES.write_request(Conversation(model="m", turns=turns), from_chat())
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


def test_T147_a_free_form_call_in_the_history_is_an_object() -> None:
    past = ToolCall(id="c", name="patch", arguments="*** text", freeform=True)

    assert write(HI, assistant(past), user(result("c")))["messages"][1]["content"][0]["input"] == {
        "input": "*** text"
    }


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


def test_T139_an_empty_message_is_dropped_in_the_middle_and_refused_at_the_end() -> None:
    body = write(says("a"), says("  "), assistant(Text(text="")), says("b"))

    assert [block["text"] for block in body["messages"][0]["content"]] == ["a", "b"]
    with pytest.raises(CallError, match="empty"):
        write(HI, assistant(Text(text="a")), says(""))


def test_a_trailing_answer_is_not_continued_for_a_chat_client() -> None:
    place = from_chat()
    body = write(HI, assistant(Text(text="It is ")), place=place)

    assert body["messages"][-1] == {"role": "user", "content": "Continue."}
    assert codes(place) == ["trailing_assistant"]


def test_T044_a_messages_clients_prefill_loses_its_trailing_space() -> None:
    body = write(HI, assistant(Text(text="It is ")), place=translation())

    assert body["messages"][-1] == {"role": "assistant", "content": "It is"}


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


def test_a_history_nobody_repaired_is_repaired() -> None:
    place = from_chat()
    body = write(HI, assistant(call()), says("never mind"), place=place)

    assert body["messages"][2]["content"][0]["is_error"] is True
    assert codes(place) == ["repaired"]

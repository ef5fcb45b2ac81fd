"""What `parse` refuses, and how it says so."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from modelway.conversation.errors import CallError
from modelway.protocols.anthropic_messages import MESSAGES
from modelway.protocols.anthropic_messages.requests import BODY_BYTES_MAX
from tests.protocols.anthropic_messages.support import Json, parse, recording, translation

NEW = {"anthropic-version": "2026-10-21"}
CALL: Json = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT: Json = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
HI: Json = {"role": "user", "content": "hi"}


def refused(headers: dict[str, str] | None = None, **fields: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        parse(headers, **fields)
    return caught.value


def native(*messages: Json) -> CallError:
    """The error a Messages upstream would give, raised when the body is about to be passed to one."""
    request = parse(messages=messages)
    with pytest.raises(CallError) as caught:
        request.passed("m", translation())
    return caught.value


def user(*blocks: Json) -> Json:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def text(words: str, **fields: Any) -> Json:
    return {"type": "text", "text": words, **fields}


def image(media_type: str = "image/png", data: str = "iVBORw0KGgo=") -> Json:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def test_T008_a_request_without_a_version_is_read_by_the_rules_of_2023() -> None:
    assert parse(temperature=0.5).parsed.temperature == 0.5


def test_T009_an_unknown_version_is_refused_by_the_headers_name() -> None:
    error = refused({"anthropic-version": "2024-01-01"})

    assert (error.kind.status, error.param) == (400, "anthropic-version")
    assert "2024-01-01" in error.message


@pytest.mark.parametrize(("name", "value"), [("temperature", 1.0), ("top_p", 1.0), ("top_k", 5)])
def test_T010_version_2026_takes_no_sampling_fields_even_at_their_default(name: str, value: Any) -> None:
    assert refused(NEW, **{name: value}).param == name


def test_T011_version_2026_takes_no_document_from_the_assistant() -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}

    assert refused(NEW, messages=[HI, assistant(document), HI]).param == "messages.1.content.0"
    assert parse(messages=[HI, assistant(document), HI])


def test_T012_version_2026_takes_no_citations_from_the_user_but_an_empty_list() -> None:
    cited = user(text("x", citations=[{"type": "char_location"}]))

    assert refused(NEW, messages=[cited]).param == "messages.0.content.0.citations"
    assert parse(NEW, messages=[user(text("x", citations=[]))])
    assert parse(messages=[cited])


def test_T021_a_missing_max_tokens_is_named() -> None:
    error = refused(max_tokens=None)

    assert error.param == "max_tokens"
    assert "`max_tokens` is missing" in error.message


def test_T022_max_tokens_0_is_taken() -> None:
    assert parse(max_tokens=0).max_output_tokens == 0


@pytest.mark.parametrize("value", [-1, "10", 1.5])
def test_T023_max_tokens_must_be_a_whole_number_and_the_error_shows_what_came(value: object) -> None:
    error = refused(max_tokens=value)

    assert error.param == "max_tokens"
    assert msgspec.json.encode(value).decode() in error.message


@pytest.mark.parametrize("name", ["messages", "model"])
def test_T024_T026_missing_messages_or_model_are_named(name: str) -> None:
    error = refused(**{name: None})

    assert (error.param, error.code) == (name, "missing_required_parameter")


def test_T025_empty_messages_are_refused() -> None:
    assert refused(messages=[]).param == "messages"


def test_T027_the_first_message_must_be_the_users() -> None:
    assert "first message must use the user role" in refused(messages=[assistant(text("x")), HI]).message


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 1.01), ("temperature", -0.1), ("top_p", 1.2), ("top_k", -1)]
)
def test_T028_T029_sampling_out_of_range_is_refused(name: str, value: Any) -> None:
    error = refused(**{name: value})

    assert error.param == name
    assert str(value) in error.message


@pytest.mark.parametrize("budget", [1023, None])
def test_T030_a_thinking_budget_has_a_least(budget: int | None) -> None:
    error = refused(max_tokens=5000, thinking={"type": "enabled", "budget_tokens": budget})

    assert error.param == "thinking.budget_tokens"
    assert "1024" in error.message


def test_T031_a_thinking_budget_must_leave_room_for_the_answer() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}

    assert "less than `max_tokens`" in refused(max_tokens=2000, thinking=thinking).message


@pytest.mark.parametrize("choice", [{"type": "tool"}, {"type": "tool", "name": "g"}, {"type": "some"}])
def test_T033_a_tool_choice_must_name_a_declared_tool(choice: Json) -> None:
    error = refused(tools=[{"name": "f", "input_schema": {"type": "object"}}], tool_choice=choice)

    assert (error.param or "").startswith("tool_choice.")


def test_T034_two_tools_of_one_name_are_refused() -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}}
    error = refused(tools=[tool, tool])

    assert error.param == "tools.1.name"
    assert error.details == {"error_code": "tool_name_conflict"}


@pytest.mark.parametrize("name", ["a b", "", "x" * 129, "é"])
def test_T035_a_tool_name_has_an_alphabet_and_a_length(name: str) -> None:
    assert refused(tools=[{"name": name, "input_schema": {"type": "object"}}]).param == "tools.0.name"


def test_T036_tool_results_come_first_in_their_message() -> None:
    parse(messages=[HI, assistant(CALL), user(RESULT, text("go on"))]).passed("m", translation())

    assert native(HI, assistant(CALL), user(text("go on"), RESULT)).param == "messages.2.content.1"


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([HI, assistant(CALL), HI], id="answered by text"),
        pytest.param([HI, assistant(CALL)], id="last"),
        pytest.param([HI, assistant(CALL), HI, assistant(text("so")), user(RESULT)], id="too late"),
    ],
)
def test_T037_an_unanswered_tool_call_is_refused_by_its_id(messages: list[Json]) -> None:
    assert "t1" in native(*messages).message


def test_T038_a_result_without_a_call_is_refused() -> None:
    assert "'t1'" in native(user(RESULT)).message


def test_T039_a_second_result_for_one_call_is_refused() -> None:
    assert "already" in native(HI, assistant(CALL), user(RESULT, RESULT)).message


def test_the_results_of_one_turn_may_come_in_two_user_messages() -> None:
    second = {**CALL, "id": "t2"}
    messages = [HI, assistant(CALL, second), user(RESULT), user({**RESULT, "tool_use_id": "t2"})]

    assert parse(messages=messages).findings.history is None


def test_results_that_go_on_a_thread_answer_calls_the_provider_keeps() -> None:
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
    thread = {"type": "continue", "previous_message_id": "msg_1"}

    assert b'"continue"' in parse(messages=[user(result)], thread=thread).passed("far", translation())
    with pytest.raises(CallError) as caught:
        parse(messages=[user(result)], thread={"type": "create"}).passed("far", translation())
    assert "makes no such tool call" in caught.value.message


def test_T040_an_image_of_another_type_is_refused() -> None:
    error = refused(messages=[user(image("image/bmp"))])

    assert (error.param, error.code) == ("messages.0.content.0.source.media_type", "invalid_image_format")


@pytest.mark.parametrize("data", ["", "abc", "ab c", "iVBORw0KGgo", "a\nb="])
def test_T041_base64_that_cannot_be_read_is_refused(data: str) -> None:
    assert refused(messages=[user(image(data=data))]).param == "messages.0.content.0.source.data"


def test_images_inside_tool_results_are_checked_too() -> None:
    result = {**RESULT, "content": [image("image/bmp")]}

    error = refused(messages=[HI, assistant(CALL), user(result)])

    assert error.param == "messages.2.content.0.content.0.source.media_type"


def test_T042_an_unknown_block_is_passed_on() -> None:
    request = parse(messages=[user({"type": "hologram", "id": 5, "source": "x", "content": {"a": 1}})])

    assert b"hologram" in request.passed("m", translation())


def test_T043_two_output_formats_are_refused() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}

    assert refused(output_format=form, output_config={"format": form}).param == "output_format"


def test_T044_a_prefill_may_not_end_in_white_space() -> None:
    assert "trailing whitespace" in native(HI, assistant(text("It is "))).message
    assert "trailing whitespace" in native(HI, {"role": "assistant", "content": "It is\n"}).message


def test_T045_a_body_past_32_mb_is_too_large() -> None:
    body = b'{"x":"' + b"a" * BODY_BYTES_MAX + b'"}'

    with pytest.raises(CallError) as caught:
        MESSAGES.parse(body, {})
    assert (caught.value.type, caught.value.kind.status) == ("request_too_large", 413)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"[]",
        b'{"model":',
        b'{"model":"a","max_tokens":1,"model":"b","messages":[{"role":"user","content":"x"}]}',
        b'{"x":' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model":"m","max_tokens":NaN,"messages":[]}',
        b'{"model":"\xff"}',
    ],
    ids=["empty", "text", "list", "cut", "doubled", "deep", "very deep", "NaN", "no UTF-8"],
)
def test_T046_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(CallError) as caught:
        MESSAGES.parse(body, {})
    assert (caught.value.kind.status, caught.value.code) == (400, "invalid_json")


def test_T268_counting_tokens_needs_no_max_tokens() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'

    assert MESSAGES.parse_count(body, {}).prompt_tokens_estimate() > 0


def test_T269_counting_tokens_checks_the_rest() -> None:
    with pytest.raises(CallError):
        MESSAGES.parse_count(b'{"model":"m","messages":[]}', {})


def test_T267_tools_and_pictures_make_the_estimate_larger() -> None:
    bare = parse().prompt_tokens_estimate()
    tools = parse(tools=[{"name": "f", "input_schema": {"type": "object"}}]).prompt_tokens_estimate()
    large = base64.b64encode(bytes(300_000)).decode()
    picture = parse(messages=[user(image(data=large))]).prompt_tokens_estimate()

    assert bare < tools < picture < 10_000


def test_T316_a_full_request_of_an_older_client_is_taken() -> None:
    request = parse(
        {"anthropic-version": "2023-06-01", "anthropic-beta": "max-tokens-3-5-sonnet-2022-07-15"},
        model="claude-3.5-sonnet",
        max_tokens=4096,
        top_k=5,
        service_tier="auto",
        metadata={"user_id": "u"},
        thinking={"type": "enabled", "budget_tokens": 1024},
        tools=[{"name": "f", "input_schema": {"type": "object"}}],
        tool_choice={"type": "any"},
        something_new={"a": 1},
    )

    assert request.passable


def test_a_request_with_everything_is_taken() -> None:
    assert MESSAGES.parse(recording("request_everything.json"), NEW).passable

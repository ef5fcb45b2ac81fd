"""Requests that are refused, and requests whose bytes go on as they came."""

from __future__ import annotations

from typing import Any

import pytest

from modelway.conversation.envelope import seal
from modelway.conversation.errors import CallError
from modelway.conversation.parts import (
    Reasoning,
    Text,
)
from modelway.conversation.request import FunctionTool
from modelway.protocols.openai_responses.wire import parse
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


def test_T290_only_the_models_name_is_replaced() -> None:
    items = rb'[{"role":"user","content":"\"model\":\"a\""}]'
    body = b'{ "input" : ' + items + b',\n"x":{"model":"a"},"model" : "a" ,"y":1e400}'

    passed = parse(body, {}).passed("bee", translation())

    assert passed == body.replace(b'"model" : "a"', b'"model" : "bee"')


def test_T292_numbers_keep_their_text() -> None:
    schema = b'{"maximum":1e400,"minimum":1.0,"x":1180591620717411303424}'
    tool = b'{"type":"function","name":"f","parameters":' + schema + b"}"
    body = b'{"model":"a","input":"Hi","tools":[' + tool + b"]}"

    assert tool in parse(body, {}).passed("b", translation())
    (read,) = parse(body, {}).conversation(translation()).tools
    assert isinstance(read, FunctionTool)
    assert read.schema["maximum"] == 1.7976931348623157e308


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

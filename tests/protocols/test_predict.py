"""`/v1/predict`: a text in, a label with score and explanation out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelway.conversation.errors import CallError
from modelway.conversation.parts import Image, Inline, Reasoning, Text, Url
from modelway.conversation.reply import Reply, Stop, StopReason, Usage
from modelway.conversation.translation import Translation
from modelway.protocols.interface import Request
from modelway.protocols.predict import PredictRequest, answer_schema, parse, write_reply

USAGE = Usage(input_tokens=4, cache_read_tokens=10, output_tokens=22)
GOOD = '{"label":"positive","score":0.94,"explanation":"It is kind."}'


def translation() -> Translation:
    return Translation("predict", "chat", "asked", lambda prefix: f"{prefix}abc123", 1_733_741_250)


def request(**fields: Any) -> PredictRequest:
    return parse(json.dumps({"model": "m", "input": {"text": "Nice!"}, **fields}).encode(), {})


def answered(text: str, stop: StopReason = "end", **fields: Any) -> dict[str, Any]:
    reply = Reply(id="u", model="up", parts=(Text(text=text),), stop=Stop(stop), usage=USAGE)
    value: dict[str, Any] = json.loads(write_reply(reply, request(**fields), translation()))
    return value


def test_a_predict_request_is_a_request() -> None:
    read: Request = request(params={"max_tokens": 100})

    assert (read.model, read.stream, read.max_output_tokens, read.passable) == ("m", False, 100, False)
    assert read.prompt_tokens_estimate() > 100


def test_T314_the_example_of_the_reference() -> None:
    given = {"text": "Classify this sentence", "metadata": {"language": "en"}}
    params = {"temperature": 0.2, "top_p": 0.9}

    read = request(input=given, params=params)
    conversation = read.conversation(translation())
    answer = answered(GOOD, input=given, params=params)

    assert (conversation.sampling.temperature, conversation.sampling.top_p) == (0.2, 0.9)
    assert conversation.output.schema == answer_schema(None)
    assert conversation.turns[1].parts == (
        Text(text='Context: {"language": "en"}'),
        Text(text="Classify this sentence"),
    )
    assert answer == {
        "id": "req_abc123",
        "model": "asked",
        "created": 1_733_741_250,
        "input": given,
        "output": {"label": "positive", "score": 0.94, "explanation": "It is kind."},
        "usage": {"input_tokens": 14, "output_tokens": 22, "total_tokens": 36},
    }


def test_the_input_is_echoed_to_the_byte() -> None:
    given = b'{"text":"x" , "metadata":{"n":1.0,"big":1e20}}'
    read = parse(b'{"model":"m","input":' + given + b"}", {})
    reply = Reply(id="u", model="u", parts=(Text(text=GOOD),), stop=Stop("end"))

    assert b'"input":' + given in write_reply(reply, read, translation())


def test_messages_may_stand_in_place_of_the_input() -> None:
    messages = [
        {"role": "system", "content": "Only colours"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                {"type": "input_image", "image_url": "https://x.org/a.png"},
            ],
        },
    ]

    turns = request(input=None, messages=messages).conversation(translation()).turns

    assert [turn.role for turn in turns] == ["system", "system", "user"]
    assert turns[2].parts == (
        Text(text="What is it?"),
        Image(source=Inline("image/png", "aGk=")),
        Image(source=Url("https://x.org/a.png")),
    )
    assert answered(GOOD, input=None, messages=messages)["input"] == messages


def test_labels_are_the_only_ones_the_schema_allows() -> None:
    schema = request(params={"labels": ["a", "b"]}).conversation(translation()).output.schema

    assert schema is not None
    assert schema["properties"]["label"] == {"type": "string", "enum": ["a", "b"]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": 1}, "model"),
        ({"input": None}, "input"),
        ({"messages": [{"role": "user", "content": "x"}]}, "input"),
        ({"input": {}}, "input.text"),
        ({"input": {"text": ""}}, "input.text"),
        ({"input": "x"}, "input"),
        ({"params": {"temperature": 3}}, "params.temperature"),
        ({"params": {"labels": []}}, "params.labels"),
        ({"stream": True}, "stream"),
        ({"input": None, "messages": []}, "messages"),
        ({"input": None, "messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"input": None, "messages": [{"role": "user", "content": ""}]}, "messages.0.content"),
    ],
)
def test_T315_bad_bodies_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(CallError) as caught:
        request(**fields)

    assert caught.value.kind.status == 400
    assert caught.value.param == param


def test_a_part_nobody_reads_here_is_refused() -> None:
    messages = [{"role": "user", "content": [{"type": "video"}]}]

    with pytest.raises(CallError) as caught:
        request(input=None, messages=messages).conversation(translation())

    assert caught.value.param == "messages.0.content.0"


@pytest.mark.parametrize(("score", "clamped"), [(1.7, 1.0), (-3, 0.0), (0.5, 0.5)])
def test_a_score_is_between_nought_and_one(score: float, clamped: float) -> None:
    assert answered(json.dumps({"label": "x", "score": score}))["output"]["score"] == clamped


@pytest.mark.parametrize("text", [f"```json\n{GOOD}\n```", f"Sure! {GOOD}", f"\n {GOOD} "])
def test_an_answer_in_a_fence_or_in_words_is_read(text: str) -> None:
    assert answered(text)["output"]["label"] == "positive"


def test_thinking_is_no_part_of_the_answer() -> None:
    reply = Reply(
        id="u", model="u", parts=(Reasoning(text="{hm}"), Text(text=GOOD)), stop=Stop("end"), usage=USAGE
    )

    assert json.loads(write_reply(reply, request(), translation()))["output"]["score"] == 0.94


@pytest.mark.parametrize(
    ("text", "stop", "params"),
    [
        ("", "end", None),
        ("positive", "end", None),
        ("[]", "end", None),
        ('{"label":"x"}', "end", None),
        ('{"label":"x","score":"high"}', "end", None),
        ('{"label":"x","sco', "max_tokens", None),
        (GOOD, "end", {"labels": ["negative"]}),
    ],
)
def test_an_answer_that_is_no_prediction_is_a_502(
    text: str, stop: StopReason, params: dict[str, Any] | None
) -> None:
    with pytest.raises(CallError) as caught:
        answered(text, stop, params=params)

    assert (caught.value.kind.status, caught.value.code) == (502, "invalid_prediction")
    assert stop == "end" or stop in caught.value.message

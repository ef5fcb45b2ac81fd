"""`/v1/predict` over plain HTTP, as its users' programs call it: label, score and explanation from any
model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, MESSAGES, RESPONSES, ScriptedUpstream, recording, whole
from tests.whole.wire import Answer, call

PATH = "/v1/predict"
INPUT = {"text": "I love this product!", "metadata": {"source": "review", "stars": 5}}
SAID = {"label": "positive", "score": 1.25, "explanation": "It says love."}
UPSTREAMS = {
    "chat": (CHAT, "chat-model"),
    "messages": (MESSAGES, "messages-model"),
    "responses": (RESPONSES, "responses-model"),
}
TEXT = "Hello, wörld! 👋 It is 18 °C in “Paris”.\nTab\tand \\ too."


def answering(upstream: ScriptedUpstream, protocol: str, said: object) -> str:
    """The recorded text answer with `said`, as JSON, in the text's place; the model to ask for."""
    path, model = UPSTREAMS[protocol]
    text = json.dumps(said)

    def replaced(value: Any) -> Any:
        match value:
            case dict():
                return {name: replaced(each) for name, each in value.items()}
            case list():
                return [replaced(each) for each in value]
            case _:
                return text if value == TEXT else value

    body = json.dumps(replaced(json.loads(recording(f"whole/{protocol}_text.json"))))
    assert json.dumps(text)[1:-1] in body
    upstream.answers(path, whole(body.encode()))
    return model


@pytest.mark.parametrize("protocol", UPSTREAMS)
def test_a_text_is_classified_on_every_upstream(
    gateway: Gateway, upstream: ScriptedUpstream, protocol: str
) -> None:
    model = answering(upstream, protocol, SAID)
    params = {"temperature": 0.2, "labels": ["positive", "negative"]}

    answer = call(gateway, PATH, {"model": model, "input": INPUT, "params": params})

    assert answer.status == 200, answer.body
    given = answer.json()
    assert given["input"] == INPUT
    assert given["output"] == {**SAID, "score": 1.0}
    assert given["usage"] == {"input_tokens": 21, "output_tokens": 14, "total_tokens": 35}
    assert (given["model"], given["id"][:4]) == (model, "req_")
    sent = upstream.last.body.decode()
    assert "I love this product!" in sent
    assert "review" in sent
    assert '"enum":["positive","negative"]' in sent.replace(" ", "")


def test_a_prediction_is_metered(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    model = answering(upstream, "chat", SAID)

    answer = call(gateway, PATH, {"model": model, "input": INPUT})

    row = gateway.usage_of(answer.request_id)
    assert (row["input_tokens"], row["output_tokens"], row["cost_nano_usd"]) == (21, 14, 49_000)


def test_an_answer_that_is_no_prediction_is_502_and_paid(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))

    answer = call(gateway, PATH, {"model": "chat-model", "input": INPUT})

    assert (answer.status, answer.json()["error"]["code"]) == (502, "invalid_prediction")
    row = gateway.usage_of(answer.request_id)
    assert (row["input_tokens"], row["output_tokens"], row["outcome"]) == (21, 14, "upstream")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"stream": True}, "stream"),
        ({"input": None}, "input"),
        ({"input": {"text": ""}}, "input.text"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "input"),
        ({"params": {"labels": []}}, "params.labels"),
        ({"model": None}, "model"),
    ],
)
def test_a_bad_body_is_400_in_the_one_envelope(
    gateway: Gateway, upstream: ScriptedUpstream, change: dict[str, Any], param: str
) -> None:
    body = {"model": "chat-model", "input": INPUT, **change}

    answer = call(gateway, PATH, {name: value for name, value in body.items() if value is not None})

    error = answer.json()["error"]
    assert (answer.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert not upstream.calls


def test_messages_may_stand_in_the_place_of_input(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    model = answering(upstream, "chat", SAID)
    turns = [{"role": "user", "content": "I love it"}]

    answer = call(gateway, PATH, {"model": model, "messages": turns})

    assert answer.status == 200
    assert answer.json()["input"] == turns


def test_without_a_key_it_is_401(gateway: Gateway) -> None:
    answer = call(gateway, PATH, {"model": "chat-model", "input": INPUT}, headers={"authorization": ""})

    assert answer.status == 401


def test_the_local_model_predicts(local_gateway: Gateway) -> None:
    def predicted() -> Answer | None:
        params = {"labels": ["positive", "negative"], "max_tokens": 200, "temperature": 0}
        answer = call(local_gateway, PATH, {"model": "local/smollm2", "input": INPUT, "params": params})
        return None if answer.status == 503 else answer

    answer = until(predicted, "an answer of the local model, which may still be starting")

    assert answer.status == 200, answer.body
    assert answer.json()["output"]["label"] in ("positive", "negative")

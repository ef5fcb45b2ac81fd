"""Embeddings with the official SDK: what was asked for is what comes, whatever the provider sends."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fix_gateway import Gateway
from tests.fix_upstream import EMBEDDINGS, ScriptedUpstream, whole
from tests.whole.wire import call

VECTORS = [[0.5, -0.25, 1.0], [0.0, 2.0, -1.5]]


def vectors(form: str, *, order: tuple[int, ...] = (0, 1)) -> bytes:
    def written(vector: list[float]) -> object:
        return vector if form == "float" else base64.b64encode(struct.pack("<3f", *vector)).decode()

    data = [{"object": "embedding", "index": n, "embedding": written(VECTORS[n])} for n in order]
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    return json.dumps({"object": "list", "data": data, "model": "far-chat", "usage": usage}).encode()


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.base_url}/v1", api_key=gateway.api_key, max_retries=0) as made:
        yield made


@pytest.mark.parametrize("asked", [None, "float", "base64"])
@pytest.mark.parametrize("sent", ["float", "base64"])
def test_T277_the_format_is_the_one_asked_for(
    gateway: Gateway, client: openai.OpenAI, upstream: ScriptedUpstream, asked: Any, sent: str
) -> None:
    upstream.answers(EMBEDDINGS, whole(vectors(sent, order=(1, 0))))

    given = client.embeddings.create(
        model="chat-model", input=["one", "two"], encoding_format=asked or openai.omit
    )

    found = [item.embedding for item in given.data]
    if asked == "base64":
        encoded: Any = found
        assert [list(struct.unpack("<3f", base64.b64decode(each))) for each in encoded] == VECTORS
    else:
        assert found == VECTORS
    assert [item.index for item in given.data] == [0, 1]
    assert (given.model, given.usage.prompt_tokens) == ("chat-model", 8)
    assert upstream.last.json()["model"] == "far-chat"


@pytest.mark.parametrize(
    ("input", "count"), [("one", 1), (["one", "two"], 2), ([1, 2, 3], 1), ([[1], [2]], 2)]
)
def test_T276_every_form_of_input_gives_a_vector_each(
    client: openai.OpenAI, upstream: ScriptedUpstream, input: Any, count: int
) -> None:
    upstream.answers(EMBEDDINGS, whole(vectors("float", order=tuple(range(count)))))

    given = client.embeddings.create(model="chat-model", input=input)

    assert [item.index for item in given.data] == list(range(count))
    assert upstream.last.json()["input"] == input


def test_T279_a_length_the_model_cannot_make_is_refused(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.answers(EMBEDDINGS, whole(vectors("float", order=(0,))))
    body = {"model": "chat-model", "input": "one", "dimensions": 3}

    assert len(call(gateway, "/v1/embeddings", body).json()["data"][0]["embedding"]) == 3
    refused = call(gateway, "/v1/embeddings", {**body, "dimensions": 256})
    assert (refused.status, refused.json()["error"]["param"]) == (400, "dimensions")


def test_an_embedding_is_metered(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.answers(EMBEDDINGS, whole(vectors("float")))

    answer = call(gateway, "/v1/embeddings", {"model": "chat-model", "input": ["one", "two"]})

    row = gateway.usage_of(answer.request_id)
    assert (row["input_tokens"], row["output_tokens"], row["cost_nano_usd"]) == (8, 0, 8_000)
    assert row["outcome"] == "ok"
    assert answer.headers["x-modelway-cost-usd"] == "0.000008"
    assert answer.headers["x-modelway-model"] == "scripted-chat/far-chat"


@pytest.mark.parametrize("input", ["", [], ["a", ""], ["a"] * 2049, [["a"]], 7, [True]])
def test_T278_what_cannot_be_embedded_is_400(
    gateway: Gateway, upstream: ScriptedUpstream, input: Any
) -> None:
    answer = call(gateway, "/v1/embeddings", {"model": "chat-model", "input": input})

    assert answer.status == 400
    assert answer.json()["error"]["param"].startswith("input")
    assert not upstream.calls


def test_a_provider_without_embeddings_is_a_400_that_names_models_with(gateway: Gateway) -> None:
    answer = call(gateway, "/v1/embeddings", {"model": "messages-model", "input": "one"})

    error = answer.json()["error"]
    assert (answer.status, error["code"], error["param"]) == (400, "unsupported_parameter", "model")
    assert "chat-model" in error["message"]


def test_the_local_model_makes_none(local_gateway: Gateway) -> None:
    answer = call(local_gateway, "/v1/embeddings", {"model": "local/smollm2", "input": "one"})

    assert answer.status == 400
    assert answer.json()["error"]["code"] == "unsupported_parameter"


@pytest.mark.parametrize(("status", "seen"), [(500, 502), (429, 503), (400, 400)])
def test_a_provider_that_refuses_is_an_error_with_a_row(
    gateway: Gateway, upstream: ScriptedUpstream, status: int, seen: int
) -> None:
    refusal = b'{"error":{"message":"no vectors today","type":"server_error"}}'
    upstream.answers(EMBEDDINGS, whole(refusal, status=status))

    answer = call(gateway, "/v1/embeddings", {"model": "chat-model", "input": "one"})

    assert answer.status in (seen, status)
    assert "no vectors today" in answer.json()["error"]["message"]
    assert gateway.usage_of(answer.request_id)["outcome"] != "ok"

"""`/v1/embeddings`: what is refused, and that the format asked for is the format given."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from modelway.conversation.errors import CallError
from modelway.conversation.reply import Usage
from modelway.protocols.embeddings import EmbeddingsRequest, encoded, parse, write_reply


def request(**fields: Any) -> EmbeddingsRequest:
    return parse(json.dumps({"model": "m", "input": "Hi", **fields}).encode())


def answered(*vectors: object, **fields: Any) -> bytes:
    data = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return json.dumps({"object": "list", "data": data, "model": "up", "usage": usage, **fields}).encode()


def written(body: bytes, **fields: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(write_reply(body, request(**fields))[0])
    return value


@pytest.mark.parametrize(
    ("value", "count", "tokens"),
    [
        ("Hi", 1, 1),
        (["one", "two"], 2, 2),
        ([1, 2, 3], 1, 3),
        ([[1, 2], [3]], 2, 3),
    ],
)
def test_T276_texts_and_token_ids_alone_or_in_lists(value: object, count: int, tokens: int) -> None:
    read = request(input=value)

    assert (read.input_count, read.input_tokens) == (count, tokens)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input.0"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input.1"),
        ({"input": [[]]}, "input.0"),
        ({"input": ["x"] * 2049}, "input"),
        ({"input": 7}, "input"),
        ({"input": None}, "input"),
        ({"input": ["a", 1]}, "input.1"),
        ({"input": [1, "a"]}, "input.0"),
        ({"input": [[1], "a"]}, "input.1"),
        ({"input": [[1] * 8193]}, "input.0"),
        ({"input": [[1] * 8000] * 38}, "input"),
        ({"input": [True]}, "input.0"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"model": ""}, "model"),
    ],
)
def test_T278_what_cannot_be_embedded_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(CallError) as caught:
        request(**fields)

    assert caught.value.kind.status == 400
    assert caught.value.param == param


@pytest.mark.parametrize("missing", ["model", "input"])
def test_a_missing_field_is_named(missing: str) -> None:
    body = {name: "x" for name in ("model", "input") if name != missing}

    with pytest.raises(CallError) as caught:
        parse(json.dumps(body).encode())

    assert (caught.value.param, caught.value.code) == (missing, "missing_required_parameter")


def test_only_the_models_name_is_replaced() -> None:
    body = b'{ "input":["a"], "model" : "m","user":"u" }'

    assert parse(body).passed("up") == b'{ "input":["a"], "model" : "up","user":"u" }'


def test_T277_numbers_become_base64_for_who_asked_for_it() -> None:
    (entry,) = written(answered([0.5, -1.0]), encoding_format="base64")["data"]

    assert struct.unpack("<2f", base64.b64decode(entry["embedding"])) == (0.5, -1.0)


def test_T277_base64_becomes_numbers_for_who_asked_for_them() -> None:
    for fields in ({}, {"encoding_format": "float"}):
        (entry,) = written(answered(encoded([0.5, -1.0])), **fields)["data"]
        assert entry["embedding"] == [0.5, -1.0]


def test_the_answer_is_in_the_order_of_the_inputs() -> None:
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]

    body = written(answered(data=data), input=["a", "b"])

    assert [entry["embedding"] for entry in body["data"]] == [[1.0], [2.0]]
    assert [entry["index"] for entry in body["data"]] == [0, 1]
    CreateEmbeddingResponse.model_validate(body)
    assert body["model"] == "m"


def test_usage_is_the_upstreams_or_an_estimate() -> None:
    assert write_reply(answered([1.0]), request())[1] == Usage(input_tokens=5)
    assert write_reply(answered([1.0], usage=None), request(input=[1, 2, 3]))[1] == Usage(
        input_tokens=3, estimated=True
    )


def test_T279_a_length_the_model_cannot_make_is_a_400() -> None:
    assert len(written(answered([1.0, 2.0]), dimensions=2)["data"][0]["embedding"]) == 2

    with pytest.raises(CallError) as caught:
        written(answered([1.0, 2.0]), dimensions=256)

    assert (caught.value.kind.status, caught.value.param) == (400, "dimensions")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"data":[]}',
        answered([1.0], [2.0]),
        answered("not base64!"),
        answered("AAA="),
        b'{"error":{"message":"broke"}}',
    ],
)
def test_a_wrong_answer_is_a_502(body: bytes) -> None:
    with pytest.raises(CallError) as caught:
        write_reply(body, request())

    assert caught.value.kind.status == 502


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_float32_survives_the_way_there_and_back(floats: list[float]) -> None:
    there = written(answered(floats), encoding_format="base64")["data"][0]["embedding"]

    assert written(answered(there))["data"][0]["embedding"] == floats

"""Providers' errors, in each of the envelopes they use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelway.protocols.failures import error_from_object, read_upstream_error, redacted
from tests.protocols.openai_chat.given import recording

OUR_CREDENTIAL = "The provider refused this gateway's own credential; whoever runs the gateway must look"


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "message"),
    [
        (400, {"error": {"message": "no", "type": "invalid_request_error", "code": "unknown_parameter"}},
         "invalid", "unknown_parameter", "no"),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
         "invalid", "invalid_value", "no"),
        (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}},
         "upstream_rate_limited", "rate_limit_exceeded", "slow"),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
         "upstream_overloaded", "server_is_overloaded", "Overloaded"),
        (401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}},
         "upstream_auth", "upstream_auth", OUR_CREDENTIAL),
        (403, {"error": "forbidden"}, "upstream_auth", "upstream_auth", OUR_CREDENTIAL),
        (429, {"error": {"message": "pay", "type": "insufficient_quota", "code": "insufficient_quota"}},
         "upstream_auth", "upstream_auth", OUR_CREDENTIAL),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "must be 1", "type": "x"}]},
         "invalid", "invalid_value", "body.n: must be 1"),
        (422, {"detail": "bad"}, "invalid", "invalid_value", "bad"),
        (400, {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400},
         "invalid", "invalid_value", "bad"),
        (429, [{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}}],
         "upstream_rate_limited", "rate_limit_exceeded", "quota"),
        (400, [{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}],
         "invalid", "invalid_value", "bad"),
        (413, {"error": {"message": "big", "type": "request_too_large"}},
         "too_large", "request_too_large", "big"),
        (404, {"error": {"message": "no such model", "code": "model_not_found"}},
         "upstream", "model_not_found", "no such model"),
        (500, {"error": {"message": "oops", "type": "server_error"}}, "upstream", "upstream_error", "oops"),
        (504, {"error": {"message": "late"}}, "upstream_timeout", "upstream_timeout", "late"),
        (502, {}, "upstream", "upstream_error", "The provider answered 502"),
    ],
)  # fmt: skip
def test_T256_T258_T262_every_envelope_is_understood(
    status: int, body: Any, kind: str, code: str, message: str
) -> None:
    error = read_upstream_error(status, json.dumps(body).encode(), {})

    assert (error.kind.name, error.code, error.message) == (kind, code, message)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 128000 tokens. However, you requested 131044 tokens",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "the request exceeds the available context size",
        "Please reduce the length of the messages or completion.",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ],
)
def test_A51_a_prompt_too_long_has_one_code_whoever_says_it(message: str) -> None:
    error = read_upstream_error(400, json.dumps({"error": {"message": message}}).encode(), {})

    assert (error.kind.name, error.code, error.kind.status) == (
        "context_length",
        "context_length_exceeded",
        400,
    )


def test_recorded_errors() -> None:
    limit = read_upstream_error(429, recording("error_rate_limit.json"), {"retry-after": "2"})
    assert (limit.kind.name, limit.retry_after_s) == ("upstream_rate_limited", 2.0)
    assert "org-Ab12Cd34Ef56" not in limit.message
    assert read_upstream_error(400, recording("error_context_length.json"), {}).kind.name == "context_length"


def test_T260_a_page_of_html_is_one_short_sentence() -> None:
    error = read_upstream_error(502, b"<html><h1>Bad gateway at 10.0.0.7</h1>" * 400, {})

    assert error.message == "The provider answered 502"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdef1234567890",
        "sk-ant-api03-abcdef",
        "AIzaSyD-1234567890abc",
        "https://eu.internal.example.net:8443/v1",
        "10.1.2.3:9000",
        "gsk_abcdefgh12345",
    ],
)
def test_T256_no_key_and_no_address_gets_through(secret: str) -> None:
    assert secret not in redacted(f"Incorrect: {secret}.")
    assert "abcdef123456" not in redacted("Authorization: Bearer abcdef1234567890")


def test_a_long_message_is_cut() -> None:
    assert len(redacted("word " * 1000)) == 500


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "3600"}, 60.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:09 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 9.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 1.0),
        ({"retry-after": "-1"}, 1.0),
        ({"retry-after": "nan"}, 1.0),
        ({}, 1.0),
    ],
)
def test_T244_the_wait_a_provider_asks_for_is_at_most_a_minute(
    headers: dict[str, str], seconds: float
) -> None:
    assert read_upstream_error(429, b"{}", headers).retry_after_s == seconds


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "upstream_overloaded"),
        ({"error": {"message": "x", "code": 429}}, "upstream_rate_limited"),
        ({"error": {"message": "x", "code": "502"}}, "upstream"),
        ({"error": "x"}, "upstream"),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "x"}, "upstream_rate_limited"),
        ({"error": {"message": "x", "type": "invalid_request_error"}}, "invalid"),
    ],
)
def test_inside_a_stream_the_words_alone_decide(frame: dict[str, Any], kind: str) -> None:
    error = error_from_object(frame)

    assert (error.kind.name, error.message) == (kind, "x")


@pytest.mark.parametrize("said", ["o\0dd", "odd\n", "\ud800odd", "odd" + "\u202e"])
def test_a_code_is_a_word_that_every_database_stores(said: str) -> None:
    error = error_from_object({"error": {"message": "no", "code": said, "param": said}}, 400)

    assert (error.code, error.param) == ("odd", "odd")


def test_a_code_is_as_long_as_a_word() -> None:
    error = error_from_object({"error": {"message": "no", "code": "x" * 60_000}}, 400)

    assert error.code == "x" * 100

"""What is wrong with a request is said in one envelope that names the field; nothing goes upstream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fix_gateway import Gateway
from tests.fix_upstream import CHAT, MESSAGES, RESPONSES, ScriptedUpstream
from tests.whole.wire import Answer, assert_is_the_envelope, call, minimal, raw

PATHS = [CHAT, MESSAGES, RESPONSES]
MODELS = {CHAT: "chat-model", MESSAGES: "messages-model", RESPONSES: "responses-model"}
BODY_BYTES_MAX = 32 * 1024 * 1024  # the default of `body_bytes_max`
INVALID = "invalid_request_error"


@pytest.fixture(autouse=True)
def nothing_goes_upstream(upstream: ScriptedUpstream) -> Iterator[None]:
    yield
    assert upstream.calls == []


def body_for(path: str, **more: object) -> dict[str, Any]:
    return {**minimal(path, MODELS[path]), **more}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "credential",
    [
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer sk-mw-wrong"},
        {"authorization": "Bearer sk-mw-" + "a" * 38},
        {"authorization": "", "x-api-key": "sk-mw-" + "a" * 38},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"authorization": "Bearer ' OR 1=1 --"},
        {"authorization": "Bearer " + "k" * 4000},
    ],
    ids=["none", "empty", "short", "unknown", "unknown-x-api-key", "basic", "sql", "long"],
)
def test_without_a_valid_key_nobody_is_served(
    gateway: Gateway, path: str, credential: dict[str, str]
) -> None:
    answer = call(gateway, path, body_for(path), headers=credential)

    assert_is_the_envelope(answer, 401, "authentication_error", "invalid_api_key")


def test_a_key_in_the_query_string_does_not_count(gateway: Gateway) -> None:
    path = f"{CHAT}?api_key={gateway.api_key}&key={gateway.api_key}"

    answer = call(gateway, path, body_for(CHAT), headers={"authorization": ""})

    assert_is_the_envelope(answer, 401, "authentication_error")


def test_two_keys_that_differ_are_refused(gateway: Gateway) -> None:
    answer = call(gateway, CHAT, body_for(CHAT), headers={"x-api-key": "sk-mw-" + "b" * 38})

    assert answer.status in {400, 401}, answer
    assert answer.json()["type"] == "error"


def test_the_key_is_checked_before_the_body_is_looked_at(gateway: Gateway) -> None:
    answer = call(gateway, CHAT, b"{not json", headers={"authorization": ""})

    assert_is_the_envelope(answer, 401, "authentication_error")


@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_model_is_a_404_naming_the_nearest(gateway: Gateway, path: str) -> None:
    answer = call(gateway, path, minimal(path, "chat-modle"))

    error = assert_is_the_envelope(answer, 404, "not_found_error", "model_not_found")
    assert error["param"] == "model"
    assert "chat-modle" in error["message"]
    assert "chat-model" in error["message"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "x" * 10_000, "a\r\nb: c", "ｃｈａｔ-model"])
def test_a_hostile_model_name_is_a_404_that_does_not_echo_it_all(gateway: Gateway, name: str) -> None:
    answer = call(gateway, CHAT, minimal(CHAT, name))

    assert answer.status in {400, 404}, answer
    assert answer.request_id == answer.json()["request_id"]
    assert len(answer.body) < 2_000


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"x",
        b'{"model": "chat-model"',
        b"{} {}",
        b"{'model': 'x'}",
        b"[]",
        b'"text"',
        b"3",
        b"null",
    ],
)
def test_a_body_that_is_not_one_json_object_is_a_400(gateway: Gateway, path: str, body: bytes) -> None:
    answer = call(gateway, path, body)

    assert_is_the_envelope(answer, 400, INVALID)


WRONG_FIELDS: list[tuple[str, dict[str, object], str]] = [
    (CHAT, {"messages": "hello"}, "messages"),
    (CHAT, {"messages": []}, "messages"),
    (CHAT, {"messages": [{"role": "user", "content": 5}]}, "messages"),
    (CHAT, {"messages": [{"role": "wizard", "content": "x"}]}, "messages"),
    (CHAT, {"temperature": "hot"}, "temperature"),
    (CHAT, {"stream": "true"}, "stream"),
    (CHAT, {"max_tokens": -1}, "max_tokens"),
    (CHAT, {"max_completion_tokens": 1.5}, "max_completion_tokens"),
    (CHAT, {"model": 7}, "model"),
    (CHAT, {"model": None}, "model"),
    (MESSAGES, {"max_tokens": None}, "max_tokens"),
    (MESSAGES, {"max_tokens": "5"}, "max_tokens"),
    (MESSAGES, {"max_tokens": -1}, "max_tokens"),
    (MESSAGES, {"messages": []}, "messages"),
    (MESSAGES, {"messages": {"role": "user"}}, "messages"),
    (MESSAGES, {"messages": [{"role": "user", "content": 5}]}, "messages"),
    (MESSAGES, {"stream": 1}, "stream"),
    (MESSAGES, {"stop_sequences": "END"}, "stop_sequences"),
    (RESPONSES, {"input": 5}, "input"),
    (RESPONSES, {"max_output_tokens": "many"}, "max_output_tokens"),
    (RESPONSES, {"stream": "yes"}, "stream"),
]


@pytest.mark.parametrize(
    ("path", "wrong", "param"),
    WRONG_FIELDS,
    ids=[f"{path.rsplit('/', 1)[1]}-{wrong}" for path, wrong, _ in WRONG_FIELDS],
)
def test_a_wrong_field_is_a_400_that_names_it(
    gateway: Gateway, path: str, wrong: dict[str, object], param: str
) -> None:
    answer = call(gateway, path, body_for(path, **wrong))

    error = assert_is_the_envelope(answer, 400, INVALID)
    assert str(error["param"]).startswith(param), error


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (CHAT, "messages"),
        (CHAT, "model"),
        (MESSAGES, "max_tokens"),
        (MESSAGES, "messages"),
        (MESSAGES, "model"),
    ],
)
def test_a_missing_field_is_a_400_that_names_it(gateway: Gateway, path: str, field: str) -> None:
    body = body_for(path)
    del body[field]

    error = assert_is_the_envelope(call(gateway, path, body), 400, INVALID)

    assert error["param"] == field


@pytest.mark.parametrize("depth", [65, 2_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_body_nested_too_deep_is_a_400(gateway: Gateway, depth: int, opening: str, closing: str) -> None:
    nested = opening * depth + "1" + closing * depth
    body = '{"model":"chat-model","messages":[{"role":"user","content":"x"}],"metadata":' + nested + "}"

    assert_is_the_envelope(call(gateway, CHAT, body.encode()), 400, INVALID)


@pytest.mark.parametrize("field", ["model", "stream", "max_tokens"])
def test_a_field_said_twice_is_a_400(gateway: Gateway, field: str) -> None:
    values = {"model": '"messages-model"', "stream": "true", "max_tokens": "9"}
    twice = f'"{field}": {values[field]}, "{field}": {values[field]}'
    rest = {name: value for name, value in values.items() if name not in {field, "stream"}}
    others = "".join(f', "{name}": {value}' for name, value in rest.items())
    body = f'{{{twice}{others}, "messages": [{{"role": "user", "content": "x"}}]}}'

    assert_is_the_envelope(call(gateway, MESSAGES, body.encode()), 400, INVALID)


@pytest.mark.parametrize(
    "content",
    [rb'"\ud800"', b'"\xff\xfe"', b'"\xc0\xaf"', b'"\xed\xa0\x80"'],
    ids=["lone-surrogate", "not-utf-8", "overlong", "raw-surrogate"],
)
def test_text_that_is_not_unicode_is_a_400(gateway: Gateway, content: bytes) -> None:
    body = b'{"model":"chat-model","messages":[{"role":"user","content":' + content + b"}]}"

    assert_is_the_envelope(call(gateway, CHAT, body), 400, INVALID)


def test_a_body_in_utf_16_or_with_a_mark_is_a_400(gateway: Gateway) -> None:
    for body in ("\ufeff{}".encode(), "{}".encode("utf-16")):
        assert_is_the_envelope(call(gateway, CHAT, body), 400, INVALID)


def test_a_body_over_the_limit_is_refused_by_its_announced_length(gateway: Gateway) -> None:
    head = _head(gateway, f"content-length: {BODY_BYTES_MAX + 1}")

    answer = raw(gateway, head)  # not one byte of the body is sent

    assert_is_the_envelope(answer, 413, "request_too_large")


def test_a_body_over_the_limit_is_refused_when_it_comes_in_chunks(gateway: Gateway) -> None:
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    sent = _head(gateway, "transfer-encoding: chunked") + chunk * 32 + b"1\r\n \r\n"

    answer = raw(gateway, sent)

    assert_is_the_envelope(answer, 413, "request_too_large")


def _head(gateway: Gateway, *lines: str, path: str = CHAT, method: str = "POST") -> bytes:
    """A request's head with a valid key; `lines` come after it."""
    usual = [
        f"{method} {path} HTTP/1.1",
        f"host: 127.0.0.1:{gateway.port}",
        f"authorization: Bearer {gateway.api_key}",
        "content-type: application/json",
    ]
    return ("\r\n".join([*usual, *lines]) + "\r\n\r\n").encode("latin-1")


@pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/v1/chat", "/v2/messages", "/v1/messages/nothing"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_a_404_in_the_envelope(gateway: Gateway, path: str, method: str) -> None:
    answer = call(gateway, path, {} if method == "POST" else None, method=method)

    assert_is_the_envelope(answer, 404, "not_found_error")


@pytest.mark.parametrize(
    "path",
    [
        "/v1%2fmodels",
        "/v1/../admin",
        "//v1/models",
        "/v1/models%00",
        "/V1/Models",
        "/v1/models;x",
        "/v1/%2e%2e/admin",
    ],
)
def test_a_path_in_disguise_leads_nowhere(gateway: Gateway, path: str) -> None:
    answer = raw(gateway, _head(gateway, "connection: close", path=path, method="GET"))

    assert answer.status in {400, 404}, answer


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        (CHAT, "GET", "POST"),
        (MESSAGES, "GET", "POST"),
        (MESSAGES, "PUT", "POST"),
        (RESPONSES, "DELETE", "POST"),
        ("/v1/models", "DELETE", "GET, POST"),
        ("/livez", "POST", "GET"),
    ],
)
def test_a_wrong_method_is_a_405_that_says_which_is_right(
    gateway: Gateway, path: str, method: str, allowed: str
) -> None:
    answer = call(gateway, path, method=method)

    assert_is_the_envelope(answer, 405, INVALID)
    assert allowed in answer.headers["allow"]


def test_an_id_the_client_sends_does_not_become_ours(gateway: Gateway) -> None:
    forged = {"request-id": "forged\x41", "x-request-id": "forged"}

    first = call(gateway, CHAT, b"{}", headers=forged)
    second = call(gateway, CHAT, b"{}", headers=forged)

    assert first.request_id != second.request_id
    assert first.json()["request_id"] == first.request_id


CHAT_BODY = b'{"model":"chat-model","messages":[{"role":"user","content":"x"}]}'
LENGTH = f"content-length: {len(CHAT_BODY)}"

# Requests that two servers could read in two ways: the start of request smuggling.
AMBIGUOUS: list[tuple[str, list[str]]] = [
    ("length and chunked", [LENGTH, "transfer-encoding: chunked"]),
    ("two lengths", [LENGTH, "content-length: 3"]),
    ("a list of lengths", ["content-length: 3, 4"]),
    ("two authorizations", [LENGTH, "authorization: Bearer sk-mw-" + "c" * 38]),
    ("two hosts", [LENGTH, "host: other.example"]),
]


@pytest.mark.parametrize(("what", "lines"), AMBIGUOUS, ids=[what for what, _ in AMBIGUOUS])
def test_a_request_that_says_two_things_is_refused(gateway: Gateway, what: str, lines: list[str]) -> None:
    answer = raw(gateway, _head(gateway, *lines) + CHAT_BODY)

    assert_refused(answer, {400, 401})


def test_a_request_without_host_is_refused(gateway: Gateway) -> None:
    head = _head(gateway, LENGTH).replace(f"host: 127.0.0.1:{gateway.port}\r\n".encode(), b"")

    assert_refused(raw(gateway, head + CHAT_BODY), {400})


@pytest.mark.parametrize(
    "lines",
    [["x-long: " + "a" * 33 * 1024], [f"x-{n}: v" for n in range(101)], ["x-huge: " + "a" * 500_000]],
    ids=["33-KiB", "101-headers", "500-KB"],
)
def test_headers_beyond_the_limits_are_refused(gateway: Gateway, lines: list[str]) -> None:
    answer = raw(gateway, _head(gateway, LENGTH, *lines) + CHAT_BODY)

    assert_refused(answer, {400, 413, 431})


def test_an_address_of_nine_kilobytes_is_refused(gateway: Gateway) -> None:
    answer = raw(gateway, _head(gateway, LENGTH, path=CHAT + "?" + "q" * 9 * 1024) + CHAT_BODY)

    assert_refused(answer, {400, 414, 431})


def assert_refused(answer: Answer, statuses: set[int]) -> None:
    """Refused with one of `statuses`; what the HTTP server itself refuses it may also just close."""
    assert answer.status in {*statuses, 0}, answer

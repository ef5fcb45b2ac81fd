"""Keys, versions and headers at the door: what a call may carry, and what goes on to the provider."""

from __future__ import annotations

import gzip
import json
import re

import pytest
import zstandard

from tests.crossing.answers import chat_says, says, text
from tests.fix_gateway import UPSTREAM_KEY, Gateway
from tests.fix_upstream import CHAT, MESSAGES, RESPONSES, ScriptedUpstream, recording, streamed, whole
from tests.whole.wire import assert_is_the_envelope, call, minimal, raw

PATHS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
NO_KEY = {"authorization": "", "x-api-key": ""}


@pytest.fixture(autouse=True)
def answering(upstream: ScriptedUpstream) -> None:
    upstream.answers(CHAT, chat_says("Hello."))
    upstream.answers(MESSAGES, says([text("Hello.")]))
    upstream.answers(RESPONSES, whole(recording("responses/text.json")))


@pytest.mark.parametrize("path", PATHS.values())
@pytest.mark.parametrize("header", ["x-api-key", "authorization", "both"])
def test_T001_T002_T003_T006_T311_either_header_carries_the_key_on_every_path(
    crossing: Gateway, path: str, header: str
) -> None:
    key = crossing.api_key
    headers = {"x-api-key": {"x-api-key": key}, "authorization": {"authorization": f"Bearer {key}"}}
    given = headers.get(header) or {**headers["x-api-key"], **headers["authorization"]}

    assert call(crossing, path, minimal(path, "chat-model"), headers={**NO_KEY, **given}).status == 200


@pytest.mark.parametrize("path", PATHS.values())
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "KEY"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer KEY", "x-api-key": "sk-mw-another"},
        {"authorization": "Bearer sk-mw-unknown"},
    ],
    ids=["none", "no Bearer", "empty", "two that differ", "unknown"],
)
def test_T004_T005_T007_T315_without_one_good_key_it_is_a_401_and_nobody_is_asked(
    crossing: Gateway, upstream: ScriptedUpstream, path: str, headers: dict[str, str]
) -> None:
    given = {name: value.replace("KEY", crossing.api_key) for name, value in headers.items()}

    answer = call(crossing, path, minimal(path, "chat-model"), headers={**NO_KEY, **given})

    assert_is_the_envelope(answer, 401, "authentication_error", "invalid_api_key")
    assert not upstream.calls


def test_T008_T013_a_version_need_not_be_named(crossing: Gateway, upstream: ScriptedUpstream) -> None:
    body = minimal(MESSAGES, "messages-model", temperature=0.5)

    assert call(crossing, MESSAGES, body).status == 200

    assert upstream.last.headers["anthropic-version"] == "2023-06-01"
    assert upstream.last.json()["temperature"] == 0.5


def test_T009_an_unknown_version_is_a_400_that_names_the_header(crossing: Gateway) -> None:
    headers = {"anthropic-version": "2024-01-01"}

    answer = call(crossing, MESSAGES, minimal(MESSAGES, "messages-model"), headers=headers)

    error = assert_is_the_envelope(answer, 400, "invalid_request_error")
    assert "anthropic-version" in f"{error['message']} {error['param']}"


BETAS = "max-tokens-3-5-sonnet-2022-07-15, x-unknown"


def test_T014_T317_A32_betas_stay_here_when_the_provider_is_not_anthropics(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    answer = call(crossing, MESSAGES, minimal(MESSAGES, "chat-model"), headers={"anthropic-beta": BETAS})

    assert answer.status == 200, answer
    assert "anthropic-beta" not in upstream.last.headers


def test_T015_A32_betas_go_to_anthropic_as_one_list_each_once(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    body = json.dumps(minimal(MESSAGES, "messages-model")).encode()
    head = (
        f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nx-api-key: {crossing.api_key}\r\n"
        "content-type: application/json\r\nanthropic-beta: one, two\r\nanthropic-beta: two,three\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )

    assert raw(crossing, head.encode() + body).status == 200

    assert upstream.last.headers["anthropic-beta"] == "one,two,three"


def test_T016_T018_the_sdks_own_extras_are_ignored(crossing: Gateway) -> None:
    headers = {"x-stainless-timeout": "NOT_GIVEN", "x-stainless-retry-count": "0"}

    answer = call(crossing, f"{MESSAGES}?beta=true", minimal(MESSAGES, "messages-model"), headers=headers)

    assert answer.status == 200, answer


@pytest.mark.parametrize("path", PATHS.values())
def test_T017_stream_decides_and_not_the_accept_header(
    crossing: Gateway, upstream: ScriptedUpstream, path: str
) -> None:
    upstream.answers(CHAT, streamed(recording("chat/text.sse")))
    headers = {"accept": "application/json"}

    answer = call(crossing, path, minimal(path, "chat-model", stream=True), headers=headers)

    assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("path", PATHS.values())
def test_T019_a_compressed_body_is_read_and_an_unknown_compression_named(
    crossing: Gateway, path: str
) -> None:
    body = json.dumps(minimal(path, "chat-model")).encode()
    packed = {"gzip": gzip.compress(body), "zstd": zstandard.ZstdCompressor().compress(body)}

    for encoding, data in packed.items():
        assert call(crossing, path, data, headers={"content-encoding": encoding}).status == 200
    answer = call(crossing, path, body, headers={"content-encoding": "br"})

    assert answer.status in (400, 415)
    assert answer.json()["error"]["details"]["error_code"] == "request_body_encoding_unsupported"


@pytest.mark.parametrize("path", PATHS.values())
def test_T020_T245_every_answer_carries_one_id_in_its_headers_and_its_errors(
    crossing: Gateway, upstream: ScriptedUpstream, path: str
) -> None:
    assert re.fullmatch(r"req_\w+", call(crossing, path, minimal(path, "chat-model")).request_id)
    wrong = call(crossing, path, {**minimal(path, "chat-model"), "model": 7})
    assert_is_the_envelope(wrong, 400, "invalid_request_error")
    upstream.answers(CHAT, streamed(recording("chat/text.sse")))
    assert call(crossing, path, minimal(path, "chat-model", stream=True)).request_id


@pytest.mark.parametrize("path", PATHS.values())
def test_T254_T312_an_unknown_model_is_a_404_and_a_missing_one_a_400(crossing: Gateway, path: str) -> None:
    unknown = call(crossing, path, minimal(path, "no-such-model"))
    assert_is_the_envelope(unknown, 404, "not_found_error", "model_not_found")
    body: dict[str, object] = minimal(path, "x")
    del body["model"]
    error = assert_is_the_envelope(call(crossing, path, body), 400, "invalid_request_error")
    assert error["param"] == "model"


def test_T255_a_model_the_key_may_not_use_is_a_403(crossing: Gateway) -> None:
    key = crossing.manage("keys", "create", "--name", "narrow", "--models", "messages-model").strip()
    headers = {"authorization": f"Bearer {key}"}

    answer = call(crossing, CHAT, minimal(CHAT, "chat-model"), headers=headers)

    assert_is_the_envelope(answer, 403, "permission_error", "permission_denied")


@pytest.mark.parametrize(("path", "status"), [(MESSAGES, 402), (CHAT, 429), (RESPONSES, 429)])
def test_T253_a_spent_budget_is_not_worth_a_retry(crossing: Gateway, path: str, status: int) -> None:
    name = f"spent-{status}-{path.rpartition('/')[2]}"
    crossing.manage("accounts", "create", "--name", name, "--prepaid")
    key = crossing.manage("keys", "create", "--name", "k", "--account", name).strip()
    headers = {"authorization": f"Bearer {key}"}

    answer = call(crossing, path, minimal(path, "priced-model"), headers=headers)

    assert_is_the_envelope(answer, status, "billing_error", "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("POST", "/nothing", 404), ("GET", CHAT, 405), ("PUT", MESSAGES, 405)],
)
def test_T265_a_wrong_path_or_method_is_told_in_the_envelope(
    crossing: Gateway, method: str, path: str, status: int
) -> None:
    answer = call(crossing, path, None if method == "GET" else b"{}", method=method)

    assert answer.status == status
    assert answer.json()["request_id"] == answer.request_id


def test_A25_a_websocket_is_answered_by_426_at_once(crossing: Gateway) -> None:
    head = (
        f"GET {RESPONSES} HTTP/1.1\r\nHost: x\r\nauthorization: Bearer {crossing.api_key}\r\n"
        "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )

    assert raw(crossing, head.encode()).status == 426


def test_A31_a_sessions_headers_go_to_a_responses_provider(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    sent = {"session-id": "s1", "session_id": "s2", "x-client-request-id": "c1"}
    body = minimal(RESPONSES, "responses-model", prompt_cache_key="k1")

    assert call(crossing, RESPONSES, body, headers=sent).status == 200

    assert {name: upstream.last.headers.get(name) for name in sent} == sent
    assert upstream.last.json()["prompt_cache_key"] == "k1"


def test_a_callers_credentials_never_reach_a_provider(crossing: Gateway, upstream: ScriptedUpstream) -> None:
    for path, model in [(CHAT, "messages-model"), (MESSAGES, "chat-model"), (RESPONSES, "responses-model")]:
        assert call(crossing, path, minimal(path, model), headers={"cookie": "a=b"}).status == 200
        sent = upstream.last
        assert crossing.api_key not in f"{sent.headers} {sent.body!r}"
        assert UPSTREAM_KEY in str(sent.headers)
        assert "cookie" not in sent.headers

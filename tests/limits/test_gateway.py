"""Rate limits as callers meet them: refusals, headers, what a call takes and gives back."""

from __future__ import annotations

import json
import re
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from tests.fix_gateway import Gateway, until
from tests.fix_upstream import (
    CHAT,
    MESSAGES,
    RESPONSES,
    ScriptedUpstream,
    recording,
    silence,
    streamed,
    whole,
)
from tests.limits.conftest import Managed
from tests.whole.wire import Answer, assert_is_the_envelope, call, minimal, stream

MODELS = {CHAT: "chat-model", MESSAGES: "messages-model", RESPONSES: "responses-model"}
NAMES = {CHAT: "chat", MESSAGES: "messages", RESPONSES: "responses"}
MINUTE_MS = 60_000
DURATION = re.compile(r"(\d+ms|(\d+m)?[\d.]+s)")


@pytest.fixture(autouse=True)
def answering(upstream: ScriptedUpstream) -> None:
    for path, name in NAMES.items():
        upstream.answers(path, whole(recording(f"whole/{name}_text.json")))


def ask(managed: Managed, key: dict[str, Any], path: str = CHAT, **more: object) -> Answer:
    body = minimal(path, MODELS.get(path, "chat-model"), **more)
    return call(managed.gateway, path, body, headers=bearer(key))


def bearer(key: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {key['key']}"}


def rate_headers(answer: Answer) -> set[str]:
    return {name for name in answer.headers if "ratelimit" in name}


def of_openai(*names: str) -> set[str]:
    return {f"x-ratelimit-{part}-{name}" for name in names for part in ("limit", "remaining", "reset")}


def of_anthropic(*names: str) -> set[str]:
    return {
        f"anthropic-ratelimit-{name}-{part}" for name in names for part in ("limit", "remaining", "reset")
    }


@pytest.mark.parametrize("path", MODELS)
def test_T251_over_a_limit_is_a_429_that_says_which_and_how_long(
    managed: Managed, upstream: ScriptedUpstream, path: str
) -> None:
    key = managed.key(requests_per_minute=1)
    assert ask(managed, key, path).status == 200

    refused = ask(managed, key, path)

    error = assert_is_the_envelope(refused, 429, "rate_limit_error", "rate_limit_exceeded")
    wait_ms = error["details"].pop("retry_after_ms")
    assert error["details"] == {"limit": "requests_per_minute", "scope": "key", "value": 1}
    assert (
        f"is 1 requests per minute, and they are used up; try again in {wait_ms / 1000:g} s"
        in error["message"]
    )
    assert MINUTE_MS * 0.8 < wait_ms <= MINUTE_MS
    assert refused.headers["retry-after-ms"] == str(wait_ms)
    assert refused.headers["retry-after"] == str(-(-wait_ms // 1000))
    assert "x-should-retry" not in refused.headers
    family = of_anthropic("requests") if path == MESSAGES else of_openai("requests")
    assert rate_headers(refused) == family
    assert len(upstream.calls) == 1


def test_T252_calls_at_once_are_a_limit_and_the_refusal_says_so(
    managed: Managed, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, silence(recording("whole/chat_text.json")))
    key = managed.key(concurrency=2)
    with ThreadPoolExecutor(2) as callers:
        under_way: list[Future[Answer]] = [callers.submit(ask, managed, key) for _ in range(2)]
        until(lambda: len(upstream.calls) == 2, "two calls at the provider")

        refused = ask(managed, key)
        upstream.resume()

    error = assert_is_the_envelope(refused, 429, "rate_limit_error", "rate_limit_exceeded")
    assert "is 2 calls at once, and they are under way" in error["message"]
    assert refused.headers["retry-after"] == "1"
    assert not rate_headers(refused)
    assert [each.result().status for each in under_way] == [200, 200]
    assert ask(managed, key).status == 200


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("path", MODELS)
def test_T264_every_answer_says_what_is_left_in_its_paths_own_words(
    managed: Managed, upstream: ScriptedUpstream, path: str, streams: bool
) -> None:
    if streams:
        upstream.answers(path, streamed(recording(f"whole/{NAMES[path]}_text.sse")))
    key = managed.key(
        requests_per_minute=60, input_tokens_per_minute=5000, output_tokens_per_minute=9000, concurrency=5
    )

    answer = ask(managed, key, path, stream=streams)

    assert answer.status == 200
    headers = answer.headers
    if path == MESSAGES:
        assert rate_headers(answer) == of_anthropic("requests", "tokens", "input-tokens", "output-tokens")
        start = "anthropic-ratelimit-"
        assert headers[f"{start}requests-limit"] == "60"
        assert headers[f"{start}requests-remaining"] == "59"
        assert headers[f"{start}output-tokens-remaining"] == str(9000 - 16)
        assert headers[f"{start}tokens-limit"] == "5000"
        reset = headers[f"{start}requests-reset"]
        assert reset.endswith("Z")
        assert datetime.fromisoformat(reset).tzinfo is not None
    else:
        assert rate_headers(answer) == of_openai("requests", "tokens")
        assert headers["x-ratelimit-limit-requests"] == "60"
        assert headers["x-ratelimit-remaining-requests"] == "59"
        assert headers["x-ratelimit-reset-requests"] == "1s"
        assert headers["x-ratelimit-limit-tokens"] in ("5000", "9000")
        assert DURATION.fullmatch(headers["x-ratelimit-reset-tokens"])


def test_a_key_without_limits_gets_no_such_headers(managed: Managed) -> None:
    assert not rate_headers(ask(managed, managed.key()))


def test_an_error_of_the_provider_carries_the_headers_and_gives_the_tokens_back(
    managed: Managed, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, whole(b'{"error": {"message": "no"}}', status=400))
    key = managed.key(requests_per_minute=10, output_tokens_per_minute=5000)

    first = ask(managed, key, max_tokens=3000)
    again = ask(managed, key, max_tokens=3000)

    assert (first.status, again.status) == (400, 400)
    assert [each.headers["x-ratelimit-remaining-requests"] for each in (first, again)] == ["9", "8"]
    assert [each.headers["x-ratelimit-remaining-tokens"] for each in (first, again)] == ["2000", "2000"]


def test_what_an_answer_did_not_use_is_there_for_the_next(managed: Managed) -> None:
    key = managed.key(output_tokens_per_minute=1_000)

    answers = [ask(managed, key, max_tokens=900) for _ in range(5)]

    assert [each.status for each in answers] == [200] * 5
    used = answers[0].json()["usage"]["completion_tokens"]
    left = int(answers[1].headers["x-ratelimit-remaining-tokens"])
    assert 100 - used <= left <= 100


def test_what_is_read_from_a_providers_cache_is_free(managed: Managed, upstream: ScriptedUpstream) -> None:
    body = json.loads(recording("whole/messages_text.json"))
    body["usage"] |= {
        "input_tokens": 40,
        "cache_read_input_tokens": 90_000,
        "cache_creation_input_tokens": 50,
    }
    upstream.answers(MESSAGES, whole(json.dumps(body).encode()))
    key = managed.key(input_tokens_per_minute=1000)
    assert ask(managed, key, MESSAGES).status == 200

    left = int(ask(managed, key, MESSAGES).headers["anthropic-ratelimit-input-tokens-remaining"])

    assert 800 < left <= 1000 - 90


def test_a_client_that_hangs_up_leaves_its_place(managed: Managed, upstream: ScriptedUpstream) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_text.sse"), pause_after=2))
    key = managed.key(concurrency=1)
    body = minimal(CHAT, "chat-model", stream=True)
    with stream(managed.gateway, CHAT, body, bearer(key)) as under_way:
        under_way.frame()
        assert ask(managed, key).status == 429
        under_way.hang_up()
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))

    until(lambda: ask(managed, key).status == 200, "the place")


def test_a_response_in_the_background_holds_its_place_until_it_is_over(
    managed: Managed, upstream: ScriptedUpstream
) -> None:
    upstream.answers(RESPONSES, silence(recording("whole/responses_text.json")))
    key = managed.key(concurrency=1, requests_per_minute=100)

    queued = ask(managed, key, RESPONSES, background=True)
    assert queued.json()["status"] == "queued"
    assert queued.headers["x-ratelimit-remaining-requests"] == "99"
    until(lambda: len(upstream.calls) == 1, "the call at the provider")
    assert ask(managed, key).status == 429
    upstream.resume()

    until(lambda: ask(managed, key).status == 200, "the place")


def test_counting_tokens_is_limited_by_requests_of_its_own_and_by_nothing_else(managed: Managed) -> None:
    key = managed.key(requests_per_minute=2, input_tokens_per_minute=1, concurrency=1)
    path, body = "/v1/messages/count_tokens", minimal(MESSAGES, "chat-model")
    body.pop("max_tokens")
    assert ask(managed, key, MESSAGES).status == 200

    answers = [call(managed.gateway, path, body, headers=bearer(key)) for _ in range(3)]

    assert [each.status for each in answers] == [200, 200, 429]
    assert rate_headers(answers[0]) == of_anthropic("requests")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "chat-model", "input": "Hello."}),
        (
            "/v1/predict",
            {"model": "chat-model", "input": {"text": "Hello."}, "params": {"labels": ["a", "b"]}},
        ),
    ],
)
def test_other_paths_take_from_the_same_limits(managed: Managed, path: str, body: dict[str, Any]) -> None:
    key = managed.key(requests_per_minute=1)

    first = call(managed.gateway, path, body, headers=bearer(key))
    refused = call(managed.gateway, path, body, headers=bearer(key))

    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert_is_the_envelope(refused, 429, "rate_limit_error", "rate_limit_exceeded")


def test_an_account_s_limit_holds_for_all_its_keys_together(managed: Managed) -> None:
    name = "together"
    managed.ask("POST", "/v1/accounts", {"name": name, "rate_limits": {"requests_per_minute": 2}})
    ours, others = managed.key(account=name), managed.key(account=name, requests_per_minute=50)

    statuses = [ask(managed, key).status for key in (ours, others, ours)]
    refused = ask(managed, others)

    assert statuses == [200, 200, 429]
    assert refused.json()["error"]["details"]["scope"] == "account"
    assert "The limit of this account is 2 requests per minute" in refused.json()["error"]["message"]
    assert refused.headers["x-ratelimit-limit-requests"] == "2"


def test_a_changed_limit_holds_within_a_second(managed: Managed) -> None:
    key = managed.key(requests_per_minute=1)
    assert [ask(managed, key).status for _ in range(2)] == [200, 429]

    managed.ask("PATCH", f"/v1/keys/{key['id']}", {"rate_limits": {"requests_per_minute": 0}})
    until(lambda: ask(managed, key).status == 200, "no limit", 2)
    changed = managed.ask("PATCH", f"/v1/keys/{key['id']}", {"rate_limits": {"requests_per_minute": 50}})
    assert changed["rate_limits"] == {"requests_per_minute": 50}

    until(lambda: ask(managed, key).headers.get("x-ratelimit-limit-requests") == "50", "the limit", 2)


def test_a_refusal_is_counted_and_has_its_row(managed: Managed) -> None:
    gateway: Gateway = managed.gateway
    key = managed.key(requests_per_minute=1)
    ask(managed, key)

    def refusals() -> float:
        found = re.search(r'rate_limited_total\{.*limit="requests_per_minute".*\} (\S+)', gateway.metrics())
        return float(found[1]) if found else 0

    before = refusals()
    refused = ask(managed, key)

    row = gateway.usage_of(refused.request_id)
    assert (row["status"], row["outcome"], row["output_tokens"]) == (429, "rate_limited", 0)
    assert refusals() == before + 1


def test_bad_limits_are_refused_with_what_is_right(managed: Managed) -> None:
    for wrong in ({"requests_per_minute": -1}, {"requests_per_minute": "many"}, {"requests_per_hour": 5}):
        answer = call(
            managed.gateway,
            "/v1/keys",
            {"name": "x", "rate_limits": wrong},
            headers={"authorization": f"Bearer {managed._key}"},
        )
        assert answer.status == 400, answer.body
        assert "rate_limits" in answer.json()["error"]["param"]

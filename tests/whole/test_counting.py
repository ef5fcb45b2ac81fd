"""Counting tokens: the provider's count, the local engine's, or ours; never 0, never on the bill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest

from tests.fix_gateway import UPSTREAM_KEY, Gateway, until
from tests.fix_upstream import CHAT, COUNT_TOKENS, ScriptedUpstream, recording, whole
from tests.whole.questions import MESSAGES_TOOL
from tests.whole.wire import Answer, call

PATH = "/v1/messages/count_tokens"
TURNS: Any = [{"role": "user", "content": "What is the weather in Paris, in celsius?"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="


@pytest.fixture
def client(gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0) as made:
        yield made


def test_T266_a_provider_with_a_count_is_asked_for_it(
    gateway: Gateway, client: anthropic.Anthropic, upstream: ScriptedUpstream
) -> None:
    upstream.answers(COUNT_TOKENS, whole(b'{"input_tokens": 4711}'))
    body = {"model": "messages-model", "messages": TURNS, "tools": [MESSAGES_TOOL]}

    answer = call(gateway, PATH + "?beta=true", body, headers={"anthropic-beta": "token-counting-2024-11-01"})

    assert (answer.status, answer.json()) == (200, {"input_tokens": 4711})
    assert "x-modelway-usage" not in answer.headers
    assert upstream.last.json() == {**body, "model": "far-messages"}
    assert upstream.last.headers["x-api-key"] == UPSTREAM_KEY
    assert upstream.last.headers["anthropic-beta"] == "token-counting-2024-11-01"
    counted = client.messages.count_tokens(model="messages-model", messages=TURNS)
    assert counted.input_tokens == 4711


@pytest.mark.parametrize("model", ["chat-model", "responses-model"])
def test_other_models_are_counted_here(
    gateway: Gateway, client: anthropic.Anthropic, upstream: ScriptedUpstream, model: str
) -> None:
    plain = client.messages.count_tokens(model=model, messages=TURNS).input_tokens
    with_system = client.messages.count_tokens(model=model, messages=TURNS, system="Be brief.").input_tokens
    tool: Any = MESSAGES_TOOL
    with_tool = client.messages.count_tokens(
        model=model, messages=TURNS, system="Be brief.", tools=[tool]
    ).input_tokens

    assert 10 <= plain < with_system < with_tool
    assert not upstream.calls
    assert call(gateway, PATH, {"model": model, "messages": TURNS}).headers["x-modelway-usage"] == "estimated"


def test_T267_a_picture_costs_the_same_however_many_bytes_it_has(client: anthropic.Anthropic) -> None:
    def count(data: str) -> int:
        image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
        turns: Any = [{"role": "user", "content": [image, {"type": "text", "text": "What is it?"}]}]
        return client.messages.count_tokens(model="chat-model", messages=turns).input_tokens

    assert count(PIXEL) == count("A" * 400_000) > 1_000


@pytest.mark.parametrize("status", [404, 401, 429, 500, 529])
def test_a_provider_that_cannot_count_is_replaced_by_our_count(
    gateway: Gateway, upstream: ScriptedUpstream, status: int
) -> None:
    refusal = b'{"type":"error","error":{"type":"api_error","message":"no"}}'
    upstream.answers(COUNT_TOKENS, whole(refusal, status=status))

    answer = call(gateway, PATH, {"model": "messages-model", "messages": TURNS})

    assert answer.status == 200
    assert answer.json()["input_tokens"] > 5
    assert answer.headers["x-modelway-usage"] == "estimated"


def test_a_provider_that_says_zero_is_not_believed(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.answers(COUNT_TOKENS, whole(b'{"input_tokens": 0}'))

    answer = call(gateway, PATH, {"model": "messages-model", "messages": TURNS})

    assert answer.json()["input_tokens"] > 5


def test_a_body_that_the_provider_refuses_is_refused(
    client: anthropic.Anthropic, upstream: ScriptedUpstream
) -> None:
    refusal = b'{"type":"error","error":{"type":"invalid_request_error","message":"messages.0: odd"}}'
    upstream.answers(COUNT_TOKENS, whole(refusal, status=400))

    with pytest.raises(anthropic.BadRequestError, match="odd"):
        client.messages.count_tokens(model="messages-model", messages=TURNS)


@pytest.mark.parametrize(
    "body", [{"model": "chat-model"}, {"model": "chat-model", "messages": "Hi"}, {"messages": TURNS}]
)
def test_T269_a_bad_body_is_400(gateway: Gateway, body: dict[str, Any]) -> None:
    answer = call(gateway, PATH, body)

    assert answer.status == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_count_needs_a_key_and_a_model_that_exists(gateway: Gateway) -> None:
    body = {"model": "chat-model", "messages": TURNS}

    assert call(gateway, PATH, body, headers={"authorization": ""}).status == 401
    assert call(gateway, PATH, {**body, "model": "nobody"}).status == 404


def test_a_count_leaves_no_row(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    answer = call(gateway, PATH, {"model": "chat-model", "messages": TURNS})

    # A row would be written within milliseconds of its answer; a later call's row is there already.
    later = call(gateway, "/v1/chat/completions", {"model": "chat-model", "messages": TURNS})
    gateway.usage_of(later.request_id)
    assert gateway.rows("SELECT * FROM usage WHERE request_id = ?", answer.request_id) == []


def test_T270_a_responses_request_is_counted(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    with openai.OpenAI(base_url=f"{gateway.base_url}/v1", api_key=gateway.api_key, max_retries=0) as client:
        counted = client.responses.input_tokens.count(model="chat-model", input="Say hello.")

    assert counted.object == "response.input_tokens"
    assert counted.input_tokens > 3
    upstream.answers(COUNT_TOKENS, whole(b'{"input_tokens": 12}'))
    answer = call(gateway, "/v1/responses/input_tokens", {"model": "messages-model", "input": "Say hello."})
    assert answer.json() == {"object": "response.input_tokens", "input_tokens": 12}
    assert set(upstream.last.json()) == {"model", "messages"}


@pytest.mark.parametrize("with_tools", [False, True])
def test_T271_the_local_models_count_is_what_a_call_then_uses(
    local_gateway: Gateway, with_tools: bool
) -> None:
    body: dict[str, Any] = {"model": "local/smollm2", "messages": TURNS, "system": "Be brief."}
    if with_tools:
        body["tools"] = [MESSAGES_TOOL]

    def answer() -> Answer | None:
        answered = call(local_gateway, "/v1/messages", {**body, "max_tokens": 4})
        return answered if answered.status == 200 else None

    answered = until(answer, "an answer of the local model, which may still be starting")
    counted = call(local_gateway, PATH, body)

    assert counted.status == 200, counted.body
    assert "x-modelway-usage" not in counted.headers
    usage = answered.json()["usage"]
    used = usage["input_tokens"] + (usage.get("cache_read_input_tokens") or 0)
    assert counted.json()["input_tokens"] == used


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/predict"])
def test_a_provider_that_reports_no_usage_is_counted_here(
    gateway: Gateway, upstream: ScriptedUpstream, path: str
) -> None:
    said = json.loads(recording("whole/chat_text.json"))
    del said["usage"]
    said["choices"][0]["message"]["content"] = '{"label":"a","score":1,"explanation":"because it is so"}'
    upstream.answers(CHAT, whole(json.dumps(said).encode()))
    body: dict[str, Any] = {"model": "chat-model", "messages": TURNS}

    answer = call(gateway, path, body | ({"max_tokens": 50} if path == "/v1/messages" else {}))

    assert answer.status == 200, answer.body
    assert answer.headers["x-modelway-usage"] == "estimated"
    row = gateway.usage_of(answer.request_id)
    assert row["estimated"] == 1
    assert row["input_tokens"] >= 14
    assert 10 <= row["output_tokens"] <= 25, "seventeen tokens, says o200k_base"


def test_fifty_counts_at_once_hold_up_nobody(gateway: Gateway) -> None:
    """What a coding agent does when it starts; every one is answered, and the process lives."""
    tools = [{**MESSAGES_TOOL, "name": f"tool_{number}"} for number in range(30)]
    body = json.dumps({"model": "chat-model", "messages": TURNS, "tools": tools}).encode()
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: call(gateway, PATH, body), range(50)))

    assert {answer.status for answer in answers} == {200}
    assert len({answer.json()["input_tokens"] for answer in answers}) == 1

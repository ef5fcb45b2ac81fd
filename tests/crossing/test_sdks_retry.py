"""The official SDKs against the running gateway: they try again when told to, and only then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic import Anthropic
from anthropic import APIStatusError as AnthropicStatusError
from openai import APIStatusError as OpenAIStatusError
from openai import OpenAI

from tests.crossing.answers import chat_says, says, text
from tests.fix_gateway import Gateway
from tests.fix_upstream import CHAT, MESSAGES, Scripted, ScriptedUpstream, silence, whole
from tests.whole.wire import assert_is_the_envelope, call, minimal

SLOW = json.dumps({"error": {"message": "slow", "type": "rate_limit_error"}}).encode()
USER: Any = [{"role": "user", "content": "Hi"}]


def busy(times: int, then: Scripted) -> list[Scripted]:
    limited = whole(SLOW, status=429, headers=(("retry-after-ms", "50"),))
    return [*[limited] * times, then]


def openai(gateway: Gateway, retries: int) -> OpenAI:
    return OpenAI(api_key=gateway.api_key, base_url=f"{gateway.base_url}/v1", max_retries=retries)


def anthropic(gateway: Gateway, retries: int) -> Anthropic:
    return Anthropic(api_key=gateway.api_key, base_url=gateway.base_url, max_retries=retries)


def test_T242_T313_a_busy_provider_is_asked_again_by_the_sdk_when_it_said(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, *busy(3, chat_says("At last.")))
    completion = openai(crossing, 3).chat.completions.create(model="chat-model", messages=USER)
    assert completion.choices[0].message.content == "At last."
    assert len(upstream.calls) == 4

    upstream.answers(MESSAGES, *busy(2, says([text("At last.")])))
    message = anthropic(crossing, 2).messages.create(model="messages-model", max_tokens=9, messages=USER)
    assert json.loads(message.to_json())["content"][0]["text"] == "At last."


def test_T243_what_will_not_change_is_not_asked_for_again(
    crossing: Gateway, upstream: ScriptedUpstream
) -> None:
    refused = whole(b'{"error":{"message":"bad key"}}', status=401)
    upstream.answers(CHAT, refused)
    upstream.answers(MESSAGES, refused)

    with pytest.raises(OpenAIStatusError) as caught:
        openai(crossing, 2).chat.completions.create(model="chat-model", messages=USER)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_auth")
    with pytest.raises(AnthropicStatusError) as also_caught:
        anthropic(crossing, 2).messages.create(model="messages-model", max_tokens=9, messages=USER)
    assert also_caught.value.status_code == 502
    assert len(upstream.calls) == 2


@pytest.mark.parametrize("streams", [False, True])
def test_T259_B16_a_provider_that_says_nothing_in_time_is_a_504(
    make_gateway: Any, upstream: ScriptedUpstream, streams: bool
) -> None:
    gateway: Gateway = make_gateway(MODELWAY_TIMEOUTS_FIRST_CONTENT_S="1")
    gateway.start_new()
    upstream.answers(CHAT, silence())

    answer = call(gateway, CHAT, minimal(CHAT, "chat-model", **({"stream": True} if streams else {})))

    assert_is_the_envelope(answer, 504, "timeout_error", "upstream_timeout")
    assert answer.headers["x-should-retry"] == "true"
    assert upstream.last.wait_until_left()


@pytest.mark.parametrize("path", ["anthropic/claude-opus-4-8", "anthropic%2Fclaude-opus-4-8"])
def test_T272_T274_T275_a_model_shows_its_form_under_either_spelling(crossing: Gateway, path: str) -> None:
    listed = openai(crossing, 0).models.list().data
    assert {model.id for model in listed} >= {"chat-model", "anthropic/claude-opus-4-8"}
    assert [model.id for model in anthropic(crossing, 0).models.list().data]

    model = call(crossing, f"/v1/models/{path}").json()
    form = call(crossing, f"/v1/models/{path}/form_schema?path=messages").json()["schema"]

    assert model["id"] == "anthropic/claude-opus-4-8"
    assert model["form_schema"]
    limit = form["properties"]["max_tokens"]["maximum"]
    body = {"model": "anthropic/claude-opus-4-8", "max_tokens": limit + 1, "messages": USER}
    assert_is_the_envelope(call(crossing, MESSAGES, body), 400, "invalid_request_error")


def test_T273_the_models_list_is_paged_from_one_to_the_next(crossing: Gateway) -> None:
    everything = [model["id"] for model in call(crossing, "/v1/models").json()["data"]]
    seen: list[str] = []
    page = call(crossing, "/v1/models?limit=1").json()
    while page["data"]:
        seen += [model["id"] for model in page["data"]]
        assert (page["first_id"], page["last_id"]) == (seen[-1], seen[-1])
        assert page["has_more"] is (seen != everything)
        page = call(crossing, f"/v1/models?limit=1&after_id={seen[-1]}").json()
    assert seen == everything

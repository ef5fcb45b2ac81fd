"""The official SDKs under a limit: the right exception, the headers on it, and a retry that passes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic import Anthropic
from anthropic import RateLimitError as AnthropicRateLimitError
from openai import OpenAI
from openai import RateLimitError as OpenAIRateLimitError

from tests.fix_upstream import CHAT, MESSAGES, ScriptedUpstream, recording, whole
from tests.limits.conftest import Managed

USER: Any = [{"role": "user", "content": "Say hello."}]
# A thousand tokens drain in a second.
LIMIT = 60_000
USED = LIMIT - 500
ASKED = 1_000


def using(name: str, field: str, used: int) -> bytes:
    """The recorded answer, as if it had been so long."""
    answer = json.loads(recording(f"whole/{name}_text.json"))
    answer["usage"][field] = used
    return json.dumps(answer).encode()


@pytest.fixture(autouse=True)
def long_answers(upstream: ScriptedUpstream) -> None:
    upstream.answers(CHAT, whole(using("chat", "completion_tokens", USED)))
    upstream.answers(MESSAGES, whole(using("messages", "output_tokens", USED)))


def test_T251_both_sdks_raise_what_they_have_for_it_and_pass_when_they_wait(managed: Managed) -> None:
    base_url = managed.gateway.base_url
    for number in range(2):
        key = managed.key(output_tokens_per_minute=LIMIT)["key"]
        if number:
            openai = OpenAI(api_key=key, base_url=f"{base_url}/v1", max_retries=0)

            def ask(retries: int, client: Any = openai) -> Any:
                again = client.with_options(max_retries=retries)
                return again.chat.completions.create(model="chat-model", max_tokens=ASKED, messages=USER)
        else:
            anthropic = Anthropic(api_key=key, base_url=base_url, max_retries=0)

            def ask(retries: int, client: Any = anthropic) -> Any:
                again = client.with_options(max_retries=retries)
                return again.messages.create(model="messages-model", max_tokens=ASKED, messages=USER)

        ask(0)
        with pytest.raises((OpenAIRateLimitError, AnthropicRateLimitError)) as caught:
            ask(0)
        assert isinstance(caught.value, OpenAIRateLimitError | AnthropicRateLimitError)
        headers = caught.value.response.headers
        wait_ms = int(headers["retry-after-ms"])
        assert 0 < wait_ms <= 500
        assert headers["retry-after"] == "1"
        family = "x-ratelimit-limit-tokens" if number else "anthropic-ratelimit-output-tokens-limit"
        assert headers[family] == str(LIMIT)
        ask(2)

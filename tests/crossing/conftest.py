"""The gateway the crossings run through where bytes must really flow: fallbacks, short heartbeats."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fix_gateway import Gateway, filled
from tests.fix_upstream import ScriptedUpstream

HEARTBEAT_S = 0.5
CONFIG = """\
providers:
  - {name: chat, kind: openai-compatible, base_url: $URL/v1, api_key: $KEY}
  - {name: messages, kind: anthropic, base_url: $URL, api_key: $KEY}
  - {name: responses, kind: openai, protocol: responses, base_url: $URL/v1, api_key: $KEY}
  - {name: second-chat, kind: openai-compatible, base_url: $URL/second/v1, api_key: $KEY}
  - {name: second-messages, kind: anthropic, base_url: $URL/second/v1, api_key: $KEY}
  - {name: third-chat, kind: openai-compatible, base_url: $URL/third/v1, api_key: $KEY}
  - {name: fourth-chat, kind: openai-compatible, base_url: $URL/fourth/v1, api_key: $KEY}
models:
  - {id: chat-model, targets: [{provider: chat, model: far}]}
  - {id: priced-model, price: {input: 1.00, output: 2.00}, targets: [{provider: chat, model: far}]}
  - {id: messages-model, targets: [{provider: messages, model: far}]}
  - {id: responses-model, targets: [{provider: responses, model: far}]}
  - {id: anthropic/claude-opus-4-8, targets: [{provider: messages, model: claude-opus-4-8}]}
  - {id: chat-then-messages, targets: [{provider: chat, model: far}],
     fallback: [{provider: second-messages, model: far-too}]}
  - {id: messages-then-chat, targets: [{provider: messages, model: far}],
     fallback: [{provider: second-chat, model: far-too}]}
  - {id: responses-then-chat, targets: [{provider: responses, model: far}],
     fallback: [{provider: second-chat, model: far-too}]}
  - {id: four-deep, targets: [{provider: chat, model: far}],
     fallback: [{provider: second-chat, model: far}, {provider: third-chat, model: far},
                {provider: fourth-chat, model: far}]}
"""


@pytest.fixture(scope="session")
def crossing_gateway(
    tmp_path_factory: pytest.TempPathFactory, upstream_server: ScriptedUpstream
) -> Iterator[Gateway]:
    environment = {"MODELWAY_TIMEOUTS_HEARTBEAT_S": str(HEARTBEAT_S)}
    gateway = Gateway(tmp_path_factory.mktemp("crossing"), filled(CONFIG, upstream_server), environment)
    gateway.start_new()
    yield gateway
    assert gateway.stop() == 0, gateway.log_tail


@pytest.fixture
def crossing(crossing_gateway: Gateway) -> Gateway:
    """Models by what answers: chat-model, chat-then-messages, four-deep … ; heartbeats come quickly."""
    assert crossing_gateway.is_running, f"the gateway died:\n{crossing_gateway.log}"
    return crossing_gateway

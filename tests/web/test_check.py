"""A request against the card of the model it names: passed, mended with a warning, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from modelway.calls.call import Call
from modelway.calls.check import checked
from modelway.catalog.cards import Catalog
from modelway.conversation.errors import CallError
from modelway.protocols.anthropic_messages import MESSAGES
from modelway.protocols.interface import WireProtocol
from modelway.protocols.openai_chat import CHAT
from modelway.providers.registry import KINDS, Model, Provider, Target

CATALOG = Catalog.shipped()
SAID = [{"role": "user", "content": "Hello"}]


def call_of(protocol: WireProtocol, headers: Mapping[str, str]) -> Call:
    async def no_body() -> bytes:
        return b""

    return Call("req_1", protocol, headers, no_body, 0.0, 0, "/v1/chat/completions", "")


def model_of(name: str) -> Model:
    provider = Provider("lab", KINDS["openai-compatible"], "chat", "http://127.0.0.1:9/v1")
    return Model(name, (Target(provider, name),), card=CATALOG.find(name))


def check(protocol: WireProtocol, body: dict[str, Any], **headers: str) -> tuple[dict[str, Any], list[str]]:
    """The body that is sent on and the warnings, as `code param`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = protocol.parse(msgspec.json.encode(body), named)
    found = checked(request, model_of(body["model"]), call_of(protocol, named))
    sent: dict[str, Any] = msgspec.json.decode(found.request.body)
    return sent, [f"{warning.code} {warning.param}" for warning in found.warnings]


def test_a_request_that_is_right_passes_as_the_same_object() -> None:
    body = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": SAID}
    request = MESSAGES.parse(msgspec.json.encode(body), {})

    found = checked(request, model_of("claude-opus-4-8"), call_of(MESSAGES, {}))

    assert found.request is request
    assert found.warnings == ()


@pytest.mark.parametrize("number", [b"1e400", b"123456789012345678901234567890", b"-0", b"1.0"])
def test_a_number_in_a_tools_input_is_no_reason_to_fail(number: bytes) -> None:
    turns = (
        b'[{"role":"user","content":"Hi"},'
        b'{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"f","input":{"n":%b}}]},'
        b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"ok"}]}]' % number
    )
    body = b'{"model":"claude-opus-4-8","max_tokens":100,"messages":%b}' % turns
    request = MESSAGES.parse(body, {})

    assert checked(request, model_of("claude-opus-4-8"), call_of(MESSAGES, {})).request is request


def test_sampling_that_a_model_does_not_take_is_left_out_with_a_warning() -> None:
    sent, warnings = check(CHAT, {"model": "claude-opus-4-8", "messages": SAID, "temperature": 0.5})

    assert "temperature" not in sent
    assert [warning.split()[1] for warning in warnings] == ["/temperature"]


def test_strictness_refuses_what_would_be_left_out() -> None:
    body = {"model": "claude-opus-4-8", "messages": SAID, "temperature": 0.5}

    with pytest.raises(CallError) as raised:
        check(CHAT, body, x_modelway_strict="1")

    assert raised.value.param == "/temperature"
    assert "0.5" in raised.value.message


def test_what_no_rule_mends_is_a_400_with_pointer_value_and_nearest() -> None:
    body = {"model": "claude-opus-4-8", "max_tokens": 999_999_999, "messages": SAID}
    with pytest.raises(CallError) as raised:
        check(MESSAGES, body)

    error = raised.value
    assert error.kind.name == "invalid"
    assert error.param == "/max_tokens"
    assert "999999999" in error.message
    assert "128000" in error.message
    assert error.details is not None
    violations: Any = error.details["violations"]
    assert violations[0]["nearest"] == 128000


def test_a_model_without_a_card_is_its_providers_affair() -> None:
    body = {"model": "nobody/knows-this", "messages": SAID, "temperature": 1.9, "max_tokens": 999_999_999}

    sent, warnings = check(CHAT, body)

    assert sent == body
    assert warnings == []

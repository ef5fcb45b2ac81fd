"""What models there are, as both official SDKs read it; and what a machine asks: alive, ready, how busy."""

from __future__ import annotations

import pytest

from tests.fix_gateway import Gateway
from tests.whole.sdks import Sdk
from tests.whole.wire import assert_is_the_envelope, call

CONFIGURED = ["chat-model", "messages-model", "responses-model", "lab/slashed-model", "unreachable-model"]


def test_both_sdks_list_the_configured_models(sdk: Sdk, gateway: Gateway) -> None:
    openai_seen = sdk.use("openai models", gateway)
    anthropic_seen = sdk.use("anthropic models", gateway)

    assert set(CONFIGURED) <= {row[0] for row in openai_seen["models"]}, openai_seen
    assert [row[0] for row in anthropic_seen["models"]] == [row[0] for row in openai_seen["models"]]
    for _, object_, created, owned_by in openai_seen["models"]:
        assert object_ == "model"
        assert isinstance(created, int)
        assert owned_by
    for _, type_, created_at, display_name in anthropic_seen["models"]:
        assert type_ == "model"
        assert created_at
        assert display_name


@pytest.mark.parametrize("id", ["chat-model", "lab/slashed-model"])
def test_both_sdks_read_one_model(sdk: Sdk, gateway: Gateway, id: str) -> None:
    openai_seen = sdk.use("openai model", gateway, id=id)
    anthropic_seen = sdk.use("anthropic model", gateway, id=id)

    assert openai_seen.get("id") == id, openai_seen
    assert openai_seen["object"] == "model"
    assert anthropic_seen.get("id") == id, anthropic_seen
    assert anthropic_seen["type"] == "model"


@pytest.mark.parametrize("path", ["/v1/models/lab/slashed-model", "/v1/models/lab%2Fslashed-model"])
def test_a_slash_in_a_models_id_may_be_escaped_or_not(gateway: Gateway, path: str) -> None:
    answer = call(gateway, path)

    assert answer.status == 200, answer
    assert answer.json()["id"] == "lab/slashed-model"


def test_a_model_that_does_not_exist_is_a_404_naming_the_nearest(sdk: Sdk, gateway: Gateway) -> None:
    error = assert_is_the_envelope(
        call(gateway, "/v1/models/chat-modle"), 404, "not_found_error", "model_not_found"
    )
    openai_seen = sdk.use("openai model", gateway, id="chat-modle")
    anthropic_seen = sdk.use("anthropic model", gateway, id="chat-modle")

    assert "chat-model" in error["message"]
    assert "NotFoundError" in openai_seen["error"]["classes"]
    assert "NotFoundError" in anthropic_seen["error"]["classes"]


def test_the_list_needs_a_key(gateway: Gateway) -> None:
    answer = call(gateway, "/v1/models", headers={"authorization": ""})

    assert_is_the_envelope(answer, 401, "authentication_error")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_probes_need_no_key(gateway: Gateway, path: str) -> None:
    answer = call(gateway, path, headers={"authorization": ""})

    assert answer.status == 200, answer


def test_the_metrics_are_what_prometheus_reads(gateway: Gateway) -> None:
    answer = call(gateway, "/metrics")

    assert answer.headers["content-type"].startswith("text/plain"), answer.headers
    names = {line.split(" ")[2] for line in answer.body.decode().splitlines() if line.startswith("# TYPE ")}
    assert any(name.startswith("modelway_") for name in names), names


def test_a_key_for_some_models_sees_only_those(gateway: Gateway) -> None:
    key = gateway.manage("keys", "create", "--name", "narrow", "--models", "chat-model").strip()
    narrow = {"authorization": f"Bearer {key}"}

    listed = call(gateway, "/v1/models", headers=narrow)
    other = call(gateway, "/v1/models/messages-model", headers=narrow)

    assert [row["id"] for row in listed.json()["data"]] == ["chat-model"]
    assert_is_the_envelope(other, 403, "permission_error", "permission_denied")

"""A key's paths, addresses, models and kind hold on every path that asks for a key."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from modelway.api.addresses import client_address
from modelway.api.managed import ROWS
from modelway.api.operations import OPERATIONS
from tests.fix_gateway import Gateway
from tests.management.conftest import Keys, bearer
from tests.whole.wire import Answer, assert_is_the_envelope, call

# Every path and method that asks for a key, those of the reference and those of management.
GUARDED = [(row.method, row.path) for row in OPERATIONS if not row.open]
MANAGED = [(row.method, row.path) for row in ROWS]
TRUSTED = (ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32"))
BODY = {"model": "chat-model"}


def asked(gateway: Gateway, key: str, method: str, path: str, **headers: str) -> Answer:
    body = BODY if method in ("POST", "PATCH") else None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = path.replace("{id}", "nothing")
    return call(gateway, path, body, method=method, headers=bearer(key) | named)


@pytest.fixture
def limited(done: Callable[..., Any]) -> Callable[..., str]:
    """Makes keys with terms: `limited("api", endpoints=[…])`."""

    def limited(kind: str, **terms: object) -> str:
        key: str = done("owner", "POST", "/v1/keys", {"name": "limited", "kind": kind, **terms})["key"]
        return key

    return limited


def test_a_key_for_other_paths_is_refused_on_every_path(
    gateway: Gateway, limited: Callable[..., str]
) -> None:
    for kind, paths in (("api", GUARDED), ("management", MANAGED)):
        key = limited(kind, endpoints=["/v1/elsewhere"])
        for method, path in paths:
            error = assert_is_the_envelope(asked(gateway, key, method, path), 403, "permission_error")
            assert "it may use /v1/elsewhere" in error["message"], (method, path)


def test_a_key_for_other_addresses_is_refused_on_every_path(
    gateway: Gateway, limited: Callable[..., str]
) -> None:
    for kind, paths in (("api", GUARDED), ("management", MANAGED)):
        key = limited(kind, addresses=["192.0.2.0/24"])
        for method, path in paths:
            answer = asked(gateway, key, method, path, x_forwarded_for="192.0.2.7")
            error = assert_is_the_envelope(answer, 403, "permission_error")
            assert "may not be used from 127.0.0.1" in error["message"], (method, path)


def test_a_management_key_is_refused_wherever_models_are(gateway: Gateway, keys: Keys) -> None:
    for method, path in GUARDED:
        error = assert_is_the_envelope(asked(gateway, keys["owner"], method, path), 403, "permission_error")
        assert "is a management key" in error["message"], (method, path)


def test_models_that_a_key_may_not_use_are_not_shown_to_it(
    gateway: Gateway, limited: Callable[..., str]
) -> None:
    key = limited("api", models=["messages-*"])

    listed = asked(gateway, key, "GET", "/v1/models").json()["data"]
    assert {model["id"] for model in listed} == {"messages-model", "messages-alias"}
    takers = call(gateway, "/v1/models", {"messages": []}, headers=bearer(key)).json()
    assert {each["id"] for each in takers["data"] + takers["refused_by"]} == {"messages-model"}
    for method, path in (
        ("GET", "/v1/models/chat-model"),
        ("GET", "/v1/models/chat-model/form_schema"),
        ("POST", "/v1/validate"),
        ("POST", "/v1/chat/completions"),
    ):
        answer = call(
            gateway, path, {**BODY, "messages": []} if method == "POST" else None, headers=bearer(key)
        )
        assert answer.status in (400, 403), (path, answer)
        assert "messages-*" in answer.json()["error"]["message"] or answer.status == 400


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("203.0.113.5", "192.0.2.7", "203.0.113.5"),  # not a proxy of ours: whatever it says is its own say
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7, 203.0.113.5", "203.0.113.5"),  # the client made the first one up
        ("10.0.0.1", "192.0.2.7, 10.0.0.2, 10.0.0.3", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "192.0.2.7, unknown", ""),
        ("10.0.0.1", "", ""),
        ("10.0.0.1", "10.0.0.9, 10.0.0.2", "10.0.0.9"),
        ("unix:", "192.0.2.7", "unix:"),
    ],
)
def test_a_proxy_is_believed_as_far_as_it_is_trusted(
    peer: str, forwarded_for: str | None, address: str
) -> None:
    assert client_address(peer, forwarded_for, TRUSTED) == address


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert client_address("10.0.0.1", "192.0.2.7", ()) == "10.0.0.1"


def test_behind_a_trusted_proxy_the_clients_own_address_counts(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(MODELWAY_TRUSTED_PROXIES='["127.0.0.1"]')
    gateway.api_key = gateway.manage("keys", "create", "--name", "far", "--addresses", "192.0.2.0/24").strip()
    gateway.start()

    def status(forwarded_for: str) -> int:
        return call(gateway, "/v1/models", headers={"x-forwarded-for": forwarded_for}).status

    assert status("192.0.2.7") == 200
    assert status("198.51.100.1, 192.0.2.7") == 200
    assert [status(each) for each in ("203.0.113.5", "192.0.2.7, 203.0.113.5", "nonsense", "")] == [403] * 4

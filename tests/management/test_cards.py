"""Cards over HTTP: a dry run, saving, and a worker that serves by the new card at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, ScriptedUpstream, recording, whole
from tests.whole.wire import Answer, assert_is_the_envelope, call

OPEN = """\
providers:
  - {name: lab, kind: openai-compatible, base_url: $URL/v1, api_key: $KEY}
engine: {start: never}
"""
OWN = "id: lab/own-1\nvendor: lab\nname: Own 1\nprotocol: chat\nmax_output_tokens: 50\n"
ASKED = {"model": "lab/own-1", "messages": [{"role": "user", "content": "Hello"}]}


class Manager:
    """Somebody with a management key of the installation's owner."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.key = gateway.manage("keys", "create", "--name", "manager", "--management").strip()

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        headers = {"authorization": f"Bearer {self.key}"}
        return call(self.gateway, path, body, method=method, headers=headers)

    def put(self, text: str, card_id: str = "lab/own-1") -> Answer:
        return self.ask("PUT", f"/v1/cards/{card_id}", {"text": text})


@pytest.fixture
def manager(make_gateway: Callable[..., Gateway]) -> Manager:
    gateway = make_gateway(OPEN)
    return Manager(gateway.start_new())


def test_a_card_is_checked_kept_used_and_removed(manager: Manager, upstream: ScriptedUpstream) -> None:
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))
    gateway = manager.gateway
    too_long = {**ASKED, "max_tokens": 60}

    checked = manager.ask("POST", "/v1/cards/check", {"text": OWN}).json()
    assert checked["valid"]
    assert checked["is_new"]
    assert checked["served_by"] == [{"provider": "lab", "model": "lab/own-1", "listed": True}]
    assert "max_tokens" in {row["name"] for row in checked["forms"]["chat"]}
    assert call(gateway, "/v1/chat/completions", too_long).status == 200, "no card yet, nothing to keep to"

    assert manager.put(OWN).json()["change"] == 1
    assert call(gateway, "/v1/models/lab/own-1").json()["max_tokens"] == 50
    answer = call(gateway, "/v1/chat/completions", too_long)
    assert answer.headers["x-modelway-warnings"].startswith("max_tokens;")
    assert upstream.last.json()["max_tokens"] == 50
    assert "lab/own-1" in call(gateway, "/openapi.json").body.decode()
    assert b"Own 1" in call(gateway, "/models/lab/own-1").body

    (listed,) = manager.ask("GET", "/v1/cards").json()["data"]
    assert listed == manager.ask("GET", "/v1/cards/lab/own-1").json()
    assert (listed["text"], listed["change"]) == (OWN, 1)

    assert manager.ask("DELETE", "/v1/cards/lab/own-1").json()["deleted"]
    assert "x-modelway-warnings" not in call(gateway, "/v1/chat/completions", too_long).headers
    assert call(gateway, "/models/lab/own-1").status == 404
    assert_is_the_envelope(manager.ask("GET", "/v1/cards/lab/own-1"), 404, "not_found_error")


def test_a_wrong_card_is_refused_with_every_fault_and_its_line(manager: Manager) -> None:
    wrong = OWN + "contxt: 5\ncontxt: 6\n"
    told = [{"message": "given twice, first in line 6", "place": "contxt", "line": 7}]

    assert manager.ask("POST", "/v1/cards/check", {"text": wrong}).json()["faults"] == told
    error = assert_is_the_envelope(manager.put(wrong), 400, "invalid_request_error")
    assert "line 7: `contxt`: given twice" in error["message"]
    assert error["details"]["faults"] == told
    assert manager.ask("GET", "/v1/cards").json()["data"] == []


def test_a_card_may_come_as_an_object_and_is_kept_as_a_text(manager: Manager) -> None:
    card = {"id": "lab/own-1", "vendor": "lab", "name": "Own 1", "protocol": "chat", "aliases": ["é"]}

    assert manager.ask("PUT", "/v1/cards/lab/own-1", {"card": card}).status == 200

    text = manager.ask("GET", "/v1/cards/lab/own-1").json()["text"]
    assert text.startswith("id: lab/own-1\n")
    assert "- é" in text
    both = manager.ask("POST", "/v1/cards/check", {"card": card, "text": text})
    assert_is_the_envelope(both, 400, "invalid_request_error")


def test_who_saves_over_anothers_change_gets_409(manager: Manager) -> None:
    body = {"text": OWN, "seen_change": 0}
    assert manager.ask("PUT", "/v1/cards/lab/own-1", body).status == 200

    assert_is_the_envelope(manager.ask("PUT", "/v1/cards/lab/own-1", body), 409, "conflict_error")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/cards"), ("GET", "/v1/cards/a/b"), ("PUT", "/v1/cards/a/b"), ("DELETE", "/v1/cards/a/b"),
     ("POST", "/v1/cards/check")],
)  # fmt: skip
def test_an_api_key_changes_no_card(gateway: Gateway, method: str, path: str) -> None:
    body = {"text": OWN} if method in ("PUT", "POST") else None

    error = assert_is_the_envelope(call(gateway, path, body, method=method), 403, "permission_error")

    assert "may not add and change model cards" in error["message"]


def test_every_replica_knows_a_new_card_within_a_second(
    postgresql_url: str, make_gateway: Callable[..., Gateway]
) -> None:
    environment = {"MODELWAY_DATABASE": postgresql_url, "MODELWAY_SECRET": "3f" * 32}
    first, second = make_gateway(OPEN, **environment), make_gateway(OPEN, **environment)
    second.api_key = first.start_new().api_key
    second.start()
    assert call(second, "/models/lab/own-1").status == 404

    assert Manager(first).put(OWN).status == 200

    until(lambda: call(second, "/models/lab/own-1").status == 200, "the card on the other replica", 5)


def test_cards_outlive_a_restart(manager: Manager) -> None:
    manager.put(OWN)

    manager.gateway.stop()
    manager.gateway.start()

    assert call(manager.gateway, "/v1/models/lab/own-1").json()["max_tokens"] == 50

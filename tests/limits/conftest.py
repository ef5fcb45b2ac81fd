"""What the tests of the limits share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fix_gateway import Gateway
from tests.limits.counters import KINDS, Counter, InMemory, InValkey
from tests.whole.wire import call


@pytest.fixture(params=KINDS)
def counter(request: pytest.FixtureRequest) -> Iterator[Counter]:
    """Each counter in turn, empty."""
    made: Counter = InMemory()
    if request.param == "valkey":
        made = InValkey(request.getfixturevalue("valkey_server"))
    yield made
    made.close()


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}  # the loop that the gateway runs on


class Managed:
    """The session's gateway, and its owner's management key."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._key = gateway.manage("keys", "create", "--name", "limits", "--management").strip()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        answer = call(
            self.gateway, path, body, method=method, headers={"authorization": f"Bearer {self._key}"}
        )
        assert answer.status == 200, answer.body
        return answer.json()

    def key(self, account: str | None = None, **rate_limits: int) -> dict[str, Any]:
        """A new API key with these limits."""
        made: dict[str, Any] = self.ask(
            "POST",
            "/v1/keys",
            {"name": "limited", "member_id": None, "account": account, "rate_limits": rate_limits},
        )
        return made


@pytest.fixture(scope="package")
def managed(scripted_gateway: Gateway) -> Managed:
    return Managed(scripted_gateway)

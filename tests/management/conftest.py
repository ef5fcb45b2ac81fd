"""A gateway with two accounts, and a key of every kind and role of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fix_gateway import Gateway
from tests.whole.wire import Answer, call

ROLES = ("owner", "admin", "developer", "viewer")
Keys = dict[str, str]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="session")
def keys(scripted_gateway: Gateway) -> Keys:
    """`owner` to `viewer`: management keys of the installation's members; `us owner` to `us viewer`: of
    another account's; `api` and `us api`: API keys of both.
    """
    gateway = scripted_gateway
    made = {"api": gateway.api_key}
    made["owner"] = gateway.manage("keys", "create", "--name", "=owner", "--management").strip()
    ask(gateway, made["owner"], "POST", "/v1/accounts", {"name": "us"})
    for account, prefix in (("owner", ""), ("us", "us ")):
        for role in ROLES:
            if prefix + role in made:
                continue
            body = {"account": account, "name": role, "role": role}
            member = ask(gateway, made["owner"], "POST", "/v1/members", body).json()
            body = {"account": account, "name": role, "kind": "management", "member_id": member["id"]}
            made[prefix + role] = ask(gateway, made["owner"], "POST", "/v1/keys", body).json()["key"]
    body = {"account": "us", "name": "us"}
    made["us api"] = ask(gateway, made["owner"], "POST", "/v1/keys", body).json()["key"]
    return made


def ask(gateway: Gateway, key: str, method: str, path: str, body: object = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(gateway, path, body, method=method, headers=bearer(key) | named)


Ask = Callable[..., Answer]


@pytest.fixture
def asking(gateway: Gateway, keys: Keys) -> Ask:
    """`asking("us admin", "POST", "/v1/keys", {...})`."""

    def asking(who: str, method: str, path: str, body: object = None, **headers: str) -> Answer:
        return ask(gateway, keys[who], method, path, body, **headers)

    return asking


@pytest.fixture
def done(asking: Ask) -> Callable[..., Any]:
    """As `asking`, of what has to succeed: the answer's JSON."""

    def done(who: str, method: str, path: str, body: object = None, **headers: str) -> Any:
        answer = asking(who, method, path, body, **headers)
        assert answer.status == 200, answer.body
        return answer.json()

    return done


@pytest.fixture
def own_budget(done: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """A budget of the owner's account, which other tests use without one."""
    made = done("owner", "POST", "/v1/budgets", {"limit_usd": 70})
    yield made
    done("owner", "DELETE", f"/v1/budgets/{made['id']}")

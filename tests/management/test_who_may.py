"""Every management path times everybody who could ask: allowed, or 403 with who may; 401 without a key."""

from __future__ import annotations

import pytest

from modelway.api.managed import ROWS
from modelway.api.management import Managed
from tests.fix_gateway import Gateway
from tests.management.conftest import ROLES, Ask, Keys
from tests.whole.wire import assert_is_the_envelope, call

EVERYBODY = {"api", *ROLES}
CHANGERS = {"owner", "admin"}
# Who may, in their own account. Written down twice on purpose: here and in `accounts.roles`.
MAY: dict[str, set[str]] = {
    "key:read": EVERYBODY,
    "keys:read": {*ROLES},
    "keys:write": {"owner", "admin", "developer"},
    "usage:read_own": EVERYBODY,
    "usage:read": {*ROLES},
    "billing:read": EVERYBODY,
    "billing:write": CHANGERS,
    "budgets:read": {*ROLES},
    "budgets:write": CHANGERS,
    "members:read": {*ROLES},
    "members:write": CHANGERS,
    "audit:read": CHANGERS,
    "accounts:read": CHANGERS,
    "accounts:write": CHANGERS,
    "money:write": CHANGERS,
    "cards:write": CHANGERS,
}
# What only the account that owns the installation does.
INSTALLATION = {"accounts:read", "accounts:write", "money:write", "cards:write"}


def name_of(row: Managed) -> str:
    return f"{row.method} {row.path}"


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_each_path_is_open_to_those_it_is_for_and_to_nobody_else(
    gateway: Gateway, keys: Keys, asking: Ask, row: Managed
) -> None:
    assert row.action in MAY, f"say in this test who may {row.action}"
    path = row.path.replace("{id}", "nothing")
    body: dict[str, object] | None = {} if row.body is not None else None

    answer = call(gateway, path, body, method=row.method, headers={"authorization": ""})
    assert_is_the_envelope(answer, 401, "authentication_error")
    for who in keys:
        answer = asking(who, row.method, path, body)
        is_other = who.startswith("us ")
        may = who.removeprefix("us ") in MAY[row.action] and not (is_other and row.action in INSTALLATION)
        if may:
            assert answer.status in (200, 400, 404), (who, answer)
        else:
            error = assert_is_the_envelope(answer, 403, "permission_error")
            assert "a management key of a member who is" in error["message"]
            assert keys[who] not in error["message"]


def test_a_method_that_is_not_listed_is_not_there(keys: Keys, asking: Ask) -> None:
    listed = {(row.method, row.path) for row in ROWS}
    for path in sorted({row.path for row in ROWS}):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            if (method, path) not in listed:
                answer = asking("owner", method, path.replace("{id}", "nothing"), {})
                assert answer.status in (404, 405), (method, path, answer)

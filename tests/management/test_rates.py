"""Who may let a key go faster than the installation's defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

NONE = dict.fromkeys(
    ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute", "concurrency"), 0
)


@pytest.mark.parametrize(
    ("who", "granted"),
    [("owner", True), ("admin", True), ("developer", False), ("us owner", False), ("us developer", False)],
)
def test_only_who_may_change_accounts_loosens_a_key(
    done: Callable[..., Any], who: str, granted: bool
) -> None:
    made = done(who, "POST", "/v1/keys", {"name": "fast", "rate_limits": NONE})
    assert (made["rate_limits"], made["rate_limits_granted"]) == (NONE, granted)

    changed = done(who, "PATCH", f"/v1/keys/{made['id']}", {"rate_limits": {"concurrency": 5}})
    assert (changed["rate_limits"], changed["rate_limits_granted"]) == ({"concurrency": 5}, granted)
    assert done(who, "GET", f"/v1/keys/{made['id']}") == changed


def test_what_was_granted_lasts_until_the_tenant_sets_limits_of_their_own(done: Callable[..., Any]) -> None:
    path = f"/v1/keys/{done('us admin', 'POST', '/v1/keys', {'name': 'fast'})['id']}"
    assert done("owner", "PATCH", path, {"rate_limits": NONE})["rate_limits_granted"]

    assert done("us admin", "PATCH", path, {"name": "faster"})["rate_limits_granted"]
    rotated = done("us admin", "POST", f"{path}/rotate", {"overlap_s": 60})
    assert rotated["rate_limits_granted"]
    path = f"/v1/keys/{rotated['id']}"
    assert not done("us admin", "PATCH", path, {"rate_limits": NONE})["rate_limits_granted"]


def test_nobody_grants_by_saying_so(asking: Callable[..., Any]) -> None:
    for name in ("is_granted", "rate_limits_granted"):
        body = {"name": "fast", "rate_limits": NONE | {name: True}}
        assert asking("us owner", "POST", "/v1/keys", body).status == 400

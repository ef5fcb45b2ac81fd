"""Keys, budgets, members, accounts and money are changed over HTTP, by those who may and nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from modelway.accounts.keys import looks_valid
from modelway.api.managed import ROWS
from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, ScriptedUpstream, recording, whole
from tests.management.conftest import ROLES, Ask, Keys, bearer
from tests.whole.wire import assert_is_the_envelope, call, minimal

Done = Callable[..., Any]


def test_a_keys_life(gateway: Gateway, upstream: ScriptedUpstream, asking: Ask, done: Done) -> None:
    terms = {"name": "ci", "models": ["chat-*"], "endpoints": ["/v1/chat/completions"], "limit_usd": "2.50"}
    made = done("developer", "POST", "/v1/keys", {**terms, "resets": "daily"})
    text = made.pop("key")
    assert looks_valid(text)
    assert made["limit_usd"] == "2.50"
    assert made["member_id"] is not None, "a key is its maker's unless somebody says otherwise"
    assert made == done("viewer", "GET", f"/v1/keys/{made['id']}")

    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))
    body = minimal("/v1/chat/completions", "chat-model")
    assert call(gateway, "/v1/chat/completions", body, headers=bearer(text)).status == 200
    answer = call(gateway, "/v1/messages", minimal("/v1/messages", "chat-model"), headers=bearer(text))
    assert_is_the_envelope(answer, 403, "permission_error")

    changed = done("developer", "PATCH", f"/v1/keys/{made['id']}", {"name": "ci 2", "limit_usd": 0})
    assert (changed["name"], changed["limit_usd"], changed["resets"]) == ("ci 2", "0.00", "daily")
    assert changed["models"] == ["chat-*"], "what is not said stays"
    until(
        lambda: call(gateway, "/v1/chat/completions", body, headers=bearer(text)).status == 429,
        "the new limit",
    )
    rotated = done("developer", "POST", f"/v1/keys/{made['id']}/rotate", {"overlap_s": 60})
    assert rotated["replaces_id"] == made["id"]
    assert done("developer", "DELETE", f"/v1/keys/{made['id']}")["status"] == "revoked"
    until(
        lambda: call(gateway, "/v1/chat/completions", body, headers=bearer(text)).status == 401,
        "the revocation",
    )
    assert asking("developer", "PATCH", f"/v1/keys/{made['id']}", {"name": "again"}).status == 409


def test_a_body_that_is_too_large_is_not_read(asking: Ask) -> None:
    answer = asking("owner", "POST", "/v1/keys", {"name": "x" * 70_000})

    assert_is_the_envelope(answer, 413, "request_too_large")


def test_rotating_needs_no_body(done: Done) -> None:
    made = done("admin", "POST", "/v1/keys", {"name": "short"})

    assert done("admin", "POST", f"/v1/keys/{made['id']}/rotate")["name"] == "short"
    assert done("admin", "GET", f"/v1/keys/{made['id']}")["status"] == "expired"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": "x", "modles": []}, "modles"),
        ({"name": "x", "kind": "master"}, "kind"),
        ({"name": "x", "limit_usd": "lots"}, "limit_usd"),
        ({"name": "x", "limit_usd": -1}, "limit_usd"),
        ({"name": "x", "resets": "hourly"}, "resets"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"name": "x", "expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
        ({"name": "x", "member_id": "mem_\0"}, "member_id"),
        ({"name": "x", "addresses": ["10.0.0.0/99"]}, "addresses"),
        ({"name": "x", "endpoints": ["messages"]}, "endpoints"),
        ({"name": "x", "kind": "management", "models": ["*"]}, "kind"),
        ({"name": "two\nlines"}, "name"),
    ],
)
def test_a_key_that_makes_no_sense_is_a_400_that_names_the_field(
    asking: Ask, body: dict[str, object], param: str
) -> None:
    error = assert_is_the_envelope(asking("owner", "POST", "/v1/keys", body), 400, "invalid_request_error")
    assert error["param"] == param


def test_a_developer_keeps_to_their_own_keys(done: Done, asking: Ask) -> None:
    theirs = done("developer", "POST", "/v1/keys", {"name": "mine"})
    others = done("admin", "POST", "/v1/keys", {"name": "the admin's"})
    nobodys = done("admin", "POST", "/v1/keys", {"name": "nobody's", "member_id": None})

    assert nobodys["member_id"] is None
    for key in (others, nobodys):
        for method, path in (("PATCH", ""), ("POST", "/rotate"), ("DELETE", "")):
            answer = asking("developer", method, f"/v1/keys/{key['id']}{path}", {})
            assert_is_the_envelope(answer, 403, "permission_error")
    for member_id in (others["member_id"], None):
        body = {"name": "for another", "member_id": member_id}
        assert_is_the_envelope(asking("developer", "POST", "/v1/keys", body), 403, "permission_error")
    assert done("admin", "DELETE", f"/v1/keys/{theirs['id']}")["status"] == "revoked"


def test_only_owners_make_and_touch_management_keys(done: Done, asking: Ask) -> None:
    owners = done("owner", "GET", "/v1/key")
    body = {"name": "up", "kind": "management", "member_id": owners["member_id"]}
    for who in ("admin", "developer"):
        assert_is_the_envelope(asking(who, "POST", "/v1/keys", body), 403, "permission_error")
        for method, path in (("PATCH", ""), ("POST", "/rotate"), ("DELETE", "")):
            answer = asking(who, method, f"/v1/keys/{owners['id']}{path}", {})
            assert_is_the_envelope(answer, 403, "permission_error")


def test_a_limited_management_key_makes_none_without_limits(gateway: Gateway, done: Done) -> None:
    body = {"name": "keys only", "kind": "management", "endpoints": ["/v1/key*"]}
    limited = done("owner", "POST", "/v1/keys", body)

    def as_limited(method: str, path: str, body: object = None) -> int:
        return call(gateway, path, body, method=method, headers=bearer(limited["key"])).status

    assert as_limited("GET", "/v1/members") == 403
    assert as_limited("POST", "/v1/keys", {"name": "api"}) == 200
    assert as_limited("POST", "/v1/keys", {"name": "free", "kind": "management"}) == 403
    assert as_limited("PATCH", f"/v1/keys/{limited['id']}", {"endpoints": None}) == 403
    assert as_limited("DELETE", f"/v1/keys/{limited['id']}") == 200, "any key may give itself up"


def test_another_account_is_not_there(done: Done, asking: Ask, own_budget: dict[str, Any]) -> None:
    key, budget = done("owner", "POST", "/v1/keys", {"name": "ours"}), own_budget
    member = done("owner", "GET", "/v1/members")["data"][0]
    for method, path, body in (
        ("GET", f"/v1/keys/{key['id']}", None),
        ("PATCH", f"/v1/keys/{key['id']}", {"name": "theirs"}),
        ("POST", f"/v1/keys/{key['id']}/rotate", {}),
        ("DELETE", f"/v1/keys/{key['id']}", None),
        ("PATCH", f"/v1/budgets/{budget['id']}", {"limit_usd": 500}),
        ("DELETE", f"/v1/budgets/{budget['id']}", None),
        ("PATCH", f"/v1/members/{member['id']}", {"role": "viewer"}),
        ("DELETE", f"/v1/members/{member['id']}", None),
        ("POST", "/v1/keys", {"name": "x", "account": "owner"}),
        ("POST", "/v1/keys", {"name": "x", "member_id": member["id"]}),
        ("POST", "/v1/budgets", {"limit_usd": 1, "scope": "key", "subject": key["id"]}),
        ("GET", "/v1/keys?account=owner", None),
        ("GET", "/v1/members?account=owner", None),
        ("GET", f"/v1/budgets?account={key['account_id']}", None),
        ("GET", "/v1/audit?account=owner", None),
    ):
        answer = asking("us owner", method, path, body)
        assert_is_the_envelope(answer, 404, "not_found_error")
        nobody = asking("us owner", method, path.replace(key["id"], "key_nobody"), body)
        assert nobody.status == 404, "what is another's reads like what is nobody's"
    for path in ("/v1/keys", "/v1/members", "/v1/budgets", "/v1/audit", "/v1/key"):
        shown = asking("us owner", "GET", path).body.decode()
        assert key["account_id"] not in shown, path
    assert done("owner", "GET", f"/v1/keys/{key['id']}")["name"] == "ours"
    assert done("owner", "GET", "/v1/keys?account=us")["data"][0]["name"] == "owner"


@pytest.mark.usefixtures("own_budget")
def test_nothing_that_one_tenant_reads_names_another(gateway: Gateway, asking: Ask, done: Done) -> None:
    body = minimal("/v1/chat/completions", "chat-model")
    call(gateway, "/v1/chat/completions", body)  # whatever comes of it is in our books
    ours = {
        row["id"]
        for table in ("accounts", "members", "keys", "budgets", "trail")
        for row in gateway.rows(f"SELECT * FROM {table}")
        if row.get("account_id", row["id"]) == done("owner", "GET", "/v1/key")["account_id"]
    }
    assert len(ours) > len(ROLES)

    for row in ROWS:
        if row.method == "GET" and "{id}" not in row.path:
            for who in ("us api", "us owner"):
                shown = asking(who, "GET", row.path).body.decode()
                assert not [each for each in ours if each in shown], (who, row.path)


def test_budgets_are_made_changed_and_removed(done: Done) -> None:
    body = {"limit_usd": "10", "scope": "model", "subject": "chat-model", "resets": "weekly", "alerts": [80]}
    made = done("us admin", "POST", "/v1/budgets", body)
    assert (made["limit_usd"], made["spent_usd"], made["alerts"]) == ("10.00", "0.00", [80])
    assert made["resets_at"].endswith("T00:00:00Z")
    assert done("us viewer", "GET", "/v1/budgets")["data"] == [made]

    path = f"/v1/budgets/{made['id']}"
    assert done("us admin", "PATCH", path, {"limit_usd": 20.5})["limit_usd"] == "20.50"
    assert done("us admin", "DELETE", path)["deleted"] is True
    assert done("us viewer", "GET", "/v1/budgets")["data"] == []


def test_a_role_that_is_taken_away_is_gone_at_once(gateway: Gateway, done: Done, asking: Ask) -> None:
    member = done("us owner", "POST", "/v1/members", {"name": "new", "role": "admin"})
    body = {"name": "new", "kind": "management", "member_id": member["id"]}
    key = done("us owner", "POST", "/v1/keys", body)["key"]

    def adds() -> int:
        return call(
            gateway, "/v1/members", {"name": "x", "role": "viewer"}, headers=bearer(key), method="POST"
        ).status

    assert adds() == 200
    assert done("us owner", "PATCH", f"/v1/members/{member['id']}", {"role": "viewer"})["role"] == "viewer"
    assert adds() == 403
    done("us owner", "DELETE", f"/v1/members/{member['id']}")
    until(lambda: adds() == 401, "their keys die with their going")


def test_only_owners_make_owners_and_the_last_one_stays(done: Done, asking: Ask) -> None:
    owner = next(each for each in done("us viewer", "GET", "/v1/members")["data"] if each["role"] == "owner")
    path = f"/v1/members/{owner['id']}"

    assert asking("us admin", "POST", "/v1/members", {"name": "x", "role": "owner"}).status == 403
    assert asking("us admin", "PATCH", path, {"role": "viewer"}).status == 403
    assert asking("us admin", "DELETE", path).status == 403
    for method, body in (("PATCH", {"role": "viewer"}), ("DELETE", None)):
        error = assert_is_the_envelope(asking("us owner", method, path, body), 409, "conflict_error")
        assert "only owner" in error["message"]


def test_money_comes_goes_and_is_not_moved_twice(done: Done, asking: Ask) -> None:
    name = f"payers {time.monotonic_ns()}"
    made = done("admin", "POST", "/v1/accounts", {"name": name, "billing": "prepaid"})
    move = {"account": name, "usd": "7.25", "note": "first"}

    first = done("admin", "POST", "/v1/billing/top-ups", move, Idempotency_Key="payment 1")
    again = done("admin", "POST", "/v1/billing/top-ups", move, Idempotency_Key="payment 1")
    assert (first["direction"], first["amount_usd"], first) == ("in", "7.25", again)
    other = asking("admin", "POST", "/v1/billing/top-ups", {**move, "usd": 8}, Idempotency_Key="payment 1")
    assert_is_the_envelope(other, 422, "invalid_request_error", "idempotency_key_reused")
    taken = done("admin", "POST", "/v1/billing/withdrawals", {"account": name, "usd": 2})
    assert (taken["direction"], taken["type"]) == ("out", "withdrawal")
    assert done("admin", "GET", f"/v1/accounts/{made['id']}")["balance_usd"] == "5.25"
    too_much = asking("admin", "POST", "/v1/billing/withdrawals", {"account": name, "usd": 6})
    assert_is_the_envelope(too_much, 409, "conflict_error")

    terms = {"billing": "postpaid", "limit_usd": "100"}
    assert done("admin", "PATCH", f"/v1/accounts/{made['id']}", terms)["available_usd"] == "105.25"


def test_a_voucher_is_worth_its_amount_once(done: Done, asking: Ask) -> None:
    voucher = done("admin", "POST", "/v1/billing/vouchers", {"usd": "3"})
    redeem = {"voucher": voucher["voucher"]}

    assert done("us admin", "POST", "/v1/billing/vouchers/redeem", redeem)["amount_usd"] == "3.00"
    for text in (redeem["voucher"], "mw-nothing"):
        answer = asking("us admin", "POST", "/v1/billing/vouchers/redeem", {"voucher": text})
        error = assert_is_the_envelope(answer, 404, "not_found_error")
        assert text not in error["message"]


def test_every_change_is_in_the_trail_and_no_secret(gateway: Gateway, done: Done, keys: Keys) -> None:
    made = done("admin", "POST", "/v1/keys", {"name": "trailed", "limit_usd": 4})
    done("admin", "DELETE", f"/v1/keys/{made['id']}")
    voucher = done("admin", "POST", "/v1/billing/vouchers", {"usd": "3"})["voucher"]

    deeds = done("owner", "GET", "/v1/audit?limit=3")
    assert [each["action"] for each in deeds["data"]] == ["voucher.create", "key.revoke", "key.create"]
    admin = done("admin", "GET", "/v1/key")
    assert {(each["via"], each["key_id"], each["member_id"]) for each in deeds["data"]} == {
        ("api", admin["id"], admin["member_id"])
    }
    assert deeds["data"][2]["subject"] == made["id"]
    assert deeds["data"][2]["details"]["limit_nano_usd"] == 4_000_000_000
    assert deeds["has_more"]
    cursor = deeds["next_cursor"]
    assert done("owner", "GET", f"/v1/audit?limit=1&cursor={cursor}")["data"][0]["id"] < cursor

    kept = repr(gateway.rows("SELECT * FROM trail")) + gateway.log
    for secret in (*keys.values(), made["key"], voucher):
        assert secret not in kept

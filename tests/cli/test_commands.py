"""Every command through the real parser, on a real database; in one process: each start costs 0.5 s."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from modelway.accounts.keys import looks_valid
from modelway.cli.commands import app
from modelway.config import ConfigError
from modelway.conversation.errors import CallError

Run = Callable[..., str]
BUDGET = ("budgets", "create", "--account", "x", "--limit-usd", "1")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("keys", "list")`: what it printed; what it raises is raised."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, stdin: str | None = None) -> str:
        done = CliRunner().invoke(app, [*words, "--data-dir", str(tmp_path / "data")], input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


@pytest.fixture
def read(run: Run) -> Callable[..., Any]:
    def read(*words: str) -> Any:
        return json.loads(run(*words, "--json"))

    return read


Read = Callable[..., Any]


def test_a_key_with_every_restriction(run: Run, read: Read) -> None:
    text = run(
        *("keys", "create", "--name", "ci", "--models", "openai/*, small", "--endpoints", "/v1/chat/*"),
        *("--addresses", "10.0.0.0/8", "--expires", "90d", "--limit-usd", "5", "--resets", "weekly"),
    ).strip()
    assert looks_valid(text)
    [key] = read("keys", "list")
    assert (key["models"], key["endpoints"]) == (["openai/*", "small"], ["/v1/chat/*"])
    assert (key["addresses"], key["limit_nano_usd"], key["resets"]) == (["10.0.0.0/8"], 5 * 10**9, "weekly")
    assert round((key["expires_at_ms"] - key["created_at_ms"]) / 86_400_000) == 90

    assert "7.50 USD/daily" in run("keys", "limit", key["id"], "--limit-usd", "7.5", "--resets", "daily")
    new = read("keys", "rotate", key["id"], "--overlap-s", "60")
    assert looks_valid(new["key"])
    assert run("keys", "revoke", key["id"]).startswith("revoked sk-mw-")
    assert "no limit" in run("keys", "limit", new["id"])


def test_keys_and_accounts_have_rate_limits_that_can_be_changed(run: Run, read: Read) -> None:
    run("accounts", "create", "--name", "us", "--input-tokens-per-minute", "500000")
    run(
        "keys",
        "create",
        "--name",
        "ci",
        "--account",
        "us",
        "--requests-per-minute",
        "60",
        "--concurrency",
        "4",
    )
    [key] = read("keys", "list")
    limits = (key["rate_limits"]["requests_per_minute"], key["rate_limits"]["concurrency"])
    assert limits == (60, 4)
    assert read("accounts", "show", "--account", "us")["rate_limits"] == {"input_tokens_per_minute": 500_000}

    [changed] = read("keys", "rates", key["id"], "--output-tokens-per-minute", "900")
    assert changed["rate_limits"]["output_tokens_per_minute"] == 900
    assert changed["rate_limits"]["requests_per_minute"] is None
    new = read("keys", "rotate", key["id"])
    [rotated] = [each for each in read("keys", "list") if each["id"] == new["id"]]
    assert rotated["rate_limits"] == changed["rate_limits"]
    assert read("accounts", "rates", "--account", "us")["rate_limits"] is None
    with pytest.raises(CallError, match="requests_per_minute is -1"):
        run("keys", "rates", key["id"], "--requests-per-minute", "-1")


def test_a_management_key_belongs_to_the_owner(run: Run, read: Read) -> None:
    run("keys", "create", "--name", "admin", "--management")

    [key] = read("keys", "list")
    [owner] = read("members", "list", "--account", "owner")
    assert (key["kind"], key["member_id"], owner["role"]) == ("management", owner["id"], "owner")


def test_members_come_change_and_go(run: Run, read: Read) -> None:
    run("accounts", "create", "--name", "us")
    with pytest.raises(CallError, match="no owner"):
        run("keys", "create", "--name", "x", "--account", "us", "--management")
    member = run("members", "add", "--account", "us", "--name", "Ann", "--role", "owner").strip()
    run("keys", "create", "--name", "x", "--account", "us", "--management")
    other = run("members", "add", "--account", "us", "--name", "Bo").strip()

    assert "owner" in run("members", "role", other, "--account", "us", "--role", "owner")
    assert run("members", "remove", member, "--account", "us") == "removed Ann\n"
    assert [each["id"] for each in read("members", "list", "--account", "us")] == [other]
    assert read("keys", "list", "--account", "us")[0]["revoked_at_ms"] is not None
    with pytest.raises(CallError, match="the only owner"):
        run("members", "remove", other, "--account", "us")


def test_money_moves_and_budgets_stand(run: Run, read: Read) -> None:
    run("accounts", "create", "--name", "us", "--prepaid")
    run("accounts", "top-up", "--account", "us", "--usd", "5")
    assert read("accounts", "withdraw", "--account", "us", "--usd", "2")["balance_usd"] == "3.00"
    voucher = run("vouchers", "create", "--usd", "4", "--expires", "1d")
    redeemed = run("vouchers", "redeem", "-", "--account", "us", "--json", stdin=voucher)
    assert json.loads(redeemed)["balance_usd"] == "7.00"
    assert read("accounts", "terms", "--account", "us", "--limit-usd", "50")["available_usd"] == "57.00"
    with pytest.raises(CallError, match="there is no charge"):
        run("accounts", "refund", "--account", "us", "--charge", "ent_nobody")

    budget = run("budgets", "create", "--account", "us", "--limit-usd", "9", "--alerts", "80,100").strip()
    [listed] = read("budgets", "list", "--account", "us")
    assert (listed["budget"]["id"], listed["budget"]["alerts"]) == (budget, [80, 100])
    assert "0.00 of 9.00 USD/monthly" in run("budgets", "list", "--account", "us")
    run("budgets", "remove", budget, "--account", "us")
    assert read("budgets", "list", "--account", "us") == []

    deeds = read("audit", "list", "--account", "us")
    assert [deed["action"] for deed in deeds] == [
        *("budget.remove", "budget.create", "account.terms", "money.voucher", "money.withdrawal"),
        *("money.top_up", "account.create"),
    ]
    assert {deed["via"] for deed in deeds} == {"cli"}
    assert voucher.strip() not in json.dumps(deeds)
    assert "money.top_up" in run("audit", "list", "--account", "us", "--limit", "6")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("keys", "create", "--name", "x", "--resets", "hourly"), "--resets is 'hourly'"),
        (("keys", "create", "--name", "x", "--expires", "soon"), "--expires is 'soon'"),
        (("keys", "create", "--name", "x", "--expires", "2030-01-01T00:00:00"), "--expires is"),
        (("budgets", "create", "--account", "x", "--limit-usd", "1", "--scope", "team"), "--scope is 'team'"),
        (
            ("budgets", "create", "--account", "x", "--limit-usd", "1", "--alerts", "most"),
            "--alerts is 'most'",
        ),
    ],
)
def test_a_wrong_option_shows_the_value_and_what_would_be_right(
    run: Run, words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        run(*words)

"""Usage and billing over HTTP: every figure is what the upstream said, and what the ledger charged."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable

import pytest

from modelway.accounts.money import format_usd
from tests.fix_gateway import Gateway, until
from tests.fix_upstream import CHAT, ScriptedUpstream
from tests.management.books import FORMULA, HELLO, SECRET, TOP_UP_USD, Books, Told, expected, open_books
from tests.management.conftest import Keys, ask
from tests.whole.wire import Answer, assert_is_the_envelope


@pytest.fixture(scope="module")
def books(scripted_gateway: Gateway, upstream_server: ScriptedUpstream, keys: Keys) -> Books:
    return open_books(scripted_gateway, upstream_server, keys["owner"])


def rows_of_csv(answer: Answer) -> list[dict[str, str]]:
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))


def test_the_log_has_a_row_for_every_call_newest_first(books: Books) -> None:
    rows = books.json("/v1/usage/logs")["data"]

    assert [row["request_id"] for row in rows] == [each.request_id for each in books.calls[::-1]]
    for row, each in zip(rows, books.calls[::-1], strict=True):
        assert (row["status"], row["outcome"], row["stream"]) == (each.status, each.outcome, each.stream), row
        assert row["model"] == each.model
        assert row["key_id"] == books.key_ids[each.key]
        counted = [
            row[f"{name}_tokens"] or 0
            for name in ("input", "cache_read", "cache_write", "output", "reasoning")
        ]
        assert counted == list(each.tokens), row
        assert row["cost_nano_usd"] == each.cost_nano_usd
        assert row["estimated"] == (each.outcome == "client_gone")


def test_a_call_keeps_the_name_it_asked_for_beside_the_models_own(books: Books) -> None:
    [row] = books.json("/v1/usage/logs?model=messages-alias")["data"]

    assert (row["model"], row["model_asked"]) == ("messages-model", "messages-alias")
    assert (row["key_name"], row["member_name"]) == ("other", "-Mia")


GROUPED: dict[str, Callable[[Told], object]] = {
    "model": lambda each: each.model,
    "key": lambda each: each.key,
    "member": lambda each: each.key == "other",
    "day": lambda each: "today",
}


@pytest.mark.parametrize("by", ["model", "key", "member", "day", "model,key", "day,member,model"])
def test_sums_are_those_of_the_calls_and_totals_those_of_the_sums(books: Books, by: str) -> None:
    found = books.json(f"/v1/usage?period=2d&group_by={by}")

    groups: dict[object, list[Told]] = defaultdict(list)
    for each in books.calls:
        groups[tuple(GROUPED[name](each) for name in by.split(","))].append(each)
    figures = list(expected([]))
    by_figures = sorted(json.dumps([row[name] for name in figures]) for row in found["data"])
    wanted = [expected(some) for some in groups.values()]
    assert by_figures == sorted(json.dumps([each[name] for name in figures]) for each in wanted)
    assert found["totals"] == expected(books.calls)
    for name in figures:
        if name != "cost_usd":
            assert sum(row[name] for row in found["data"]) == found["totals"][name]


def test_usage_log_and_ledger_agree_to_the_nano_dollar(books: Books) -> None:
    used = books.json("/v1/usage?period=2d")["totals"]["cost_nano_usd"]
    logged = books.json("/v1/usage/logs")["data"]
    moved = books.json("/v1/billing/transactions?limit=1000")["data"]
    balance = books.json("/v1/billing/balance")

    charged = [row for row in moved if row["type"] in ("charge", "estimate", "void")]
    assert (
        used
        == sum(row["cost_nano_usd"] or 0 for row in logged)
        == -sum(r["change_nano_usd"] for r in charged)
    )
    assert balance["spent_usd"] == format_usd(used)
    assert balance["credit_usd"] == TOP_UP_USD
    assert balance["balance_usd"] == format_usd(5_000_000_000 - used)
    assert sum(row["change_nano_usd"] for row in moved) == 5_000_000_000 - used
    assert (balance["held_usd"], balance["available_usd"], balance["billing"]) == ("0.00", None, "postpaid")


def test_a_charge_leads_to_its_call_and_the_call_to_its_charge(books: Books) -> None:
    for row in books.json("/v1/usage/logs")["data"]:
        charges = books.json(f"/v1/billing/transactions?reference_id={row['request_id']}")["data"]
        if row["outcome"] in ("invalid", "unknown_model"):  # refused before money was thought of
            assert (charges, row["transaction_id"], row["charged_usd"]) == ([], None, "0.00")
            continue
        [charge] = charges
        assert charge["id"] == row["transaction_id"]
        assert charge["reference_id"] == row["request_id"]
        assert charge["change_usd"] == (f"-{row['charged_usd']}" if row["cost_nano_usd"] else "0.00")
        assert charge["amount_usd"] == row["charged_usd"]
        assert charge["type"] == {"ok": "charge", "client_gone": "estimate"}.get(row["outcome"], "void")
        assert (charge["key_id"], charge["model"]) == (row["key_id"], row["model"])


def test_budgets_say_where_they_stand_and_when_they_start_anew(books: Books) -> None:
    balance = books.json("/v1/billing/balance")
    spent: dict[str, int] = defaultdict(int)
    for each in books.calls:
        spent[each.key] += each.cost_nano_usd or 0

    stands = {row["scope"]: row["spent_usd"] for row in balance["budgets"]}
    assert stands == {
        "account": format_usd(sum(spent.values())),
        "key": format_usd(spent["other"]),
        "member": format_usd(spent["other"]),
    }
    assert all(row["resets_at"] > row["began_at"] for row in balance["budgets"])

    own = books.json("/v1/billing/balance", "app")
    assert [row["scope"] for row in own["budgets"]] == ["key", "account"], "not those of another key"
    assert own["budgets"][0]["id"] == books.key_ids["app"]
    assert own["budgets"][0]["spent_usd"] == format_usd(spent["app"])
    assert (own["budgets"][0]["limit_usd"], own["budgets"][0]["resets"]) == ("3.00", "daily")


def test_an_api_key_reads_what_it_used_itself(books: Books) -> None:
    own = [each for each in books.calls if each.key == "app"]

    assert books.json("/v1/usage", "app")["totals"] == expected(own)
    assert {row["request_id"] for row in books.json("/v1/usage/logs", "app")["data"]} == {
        each.request_id for each in own
    }
    moved = books.json("/v1/billing/transactions", "app")["data"]
    assert {row["key_id"] for row in moved} == {books.key_ids["app"]}
    for path in ("/v1/usage", "/v1/usage/logs", "/v1/billing/transactions"):
        answer = books.get(f"{path}?key={books.key_ids['other']}", "app")
        assert assert_is_the_envelope(answer, 403, "permission_error")["param"] == "key"
    other = next(each for each in books.calls if each.key == "other")
    assert books.json(f"/v1/usage/logs?request_id={other.request_id}", "app")["data"] == []
    assert books.json(f"/v1/billing/transactions?reference_id={other.request_id}", "app")["data"] == []


def test_nobody_reads_another_account_but_the_installations_owner(books: Books, keys: Keys) -> None:
    books.texts |= {"us": keys["us owner"], "installation": keys["owner"]}
    stranger = books.calls[0].request_id
    for path in ("/v1/usage", "/v1/usage/logs", "/v1/billing/balance", "/v1/billing/transactions"):
        answer = books.get(f"{path}?account=books", "us")
        assert assert_is_the_envelope(answer, 404, "not_found_error")["param"] == "account"
        assert books.json(f"{path}?account=books", "installation") == books.json(path), path
    assert books.json(f"/v1/usage/logs?request_id={stranger}", "us")["data"] == []
    assert books.json(f"/v1/usage/logs?key={books.key_ids['app']}", "us")["data"] == []
    own = {row["key_id"] for row in books.json("/v1/usage?group_by=key", "us")["data"]}
    assert not own & set(books.key_ids.values())


@pytest.mark.parametrize(
    ("query", "is_wanted"),
    [
        ("model=chat-model", lambda each: each.model == "chat-model"),
        ("model=nobody,messages-model", lambda each: each.model in ("nobody", "messages-model")),
        ("status=4xx", lambda each: 400 <= each.status < 500),
        ("status=502&status=404", lambda each: each.status in (404, 502)),
        ("outcome=failed", lambda each: each.status >= 400),
        ("outcome=client_gone", lambda each: each.outcome == "client_gone"),
        ("stream=true", lambda each: each.stream),
        ("provider=scripted-messages", lambda each: each.model == "messages-model"),
        ("key=key_none", lambda each: False),
        ("start=2020-01-01&end=2020-01-31", lambda each: False),
    ],
)
def test_filters_leave_what_they_say(books: Books, query: str, is_wanted: Callable[[Told], bool]) -> None:
    found = books.json(f"/v1/usage/logs?{query}")["data"]

    assert {row["request_id"] for row in found} == {
        each.request_id for each in books.calls if is_wanted(each)
    }


def test_pages_are_the_whole_list(books: Books) -> None:
    for path in ("/v1/usage/logs?", "/v1/billing/transactions?"):
        assert books.pages(path) == books.json(f"{path}limit=1000")["data"]


def test_pages_lose_and_repeat_nothing_while_calls_arrive(books: Books, keys: Keys) -> None:
    books.texts["us api"] = keys["us api"]

    def fail() -> str:
        answer = ask(books.gateway, keys["us api"], "POST", CHAT, {"model": "nobody", "messages": HELLO})
        return answer.request_id

    made = [fail() for _ in range(7)]
    until(lambda: books.json(f"/v1/usage/logs?request_id={made[-1]}", "us api")["data"], "the last row")
    seen: list[str] = []
    cursor = ""
    while True:
        page = books.json(f"/v1/usage/logs?limit=2&cursor={cursor}", "us api")
        seen += [row["request_id"] for row in page["data"]]
        if not page["has_more"]:
            break
        cursor = page["next_cursor"]
        fail()

    # Newest first; calls of one millisecond stand in any order.
    milliseconds = [each[:14] for each in seen]
    assert milliseconds == sorted(milliseconds, reverse=True)
    assert set(made) <= set(seen)
    assert len(set(seen)) == len(seen)


def test_csv_has_the_same_figures_and_runs_no_formula(books: Books) -> None:
    for path in (
        "/v1/usage?group_by=key,member",
        "/v1/usage/logs?limit=3",
        "/v1/billing/transactions?limit=1000",
    ):
        answer = books.get(path, accept="text/csv")
        listed = books.json(path)
        rows = rows_of_csv(answer)
        assert answer.body.count(b"\r\n") == len(rows) + 1, "RFC 4180 ends lines with CRLF"
        assert answer.headers.get("x-next-cursor") == listed.get("next_cursor")
        for row, wanted in zip(rows, listed["data"], strict=True):
            for name, text in row.items():
                value = wanted[name]
                written = (
                    "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
                )
                assert text in (written, f"'{written}"), name
                assert text[:1] not in ("=", "@", "+"), (name, text)
                assert not text.startswith("-") or text[1:].replace(".", "").isdigit(), (name, text)
    assert f"'{FORMULA}".encode() in books.get("/v1/usage?group_by=key&format=csv").body

    balance = rows_of_csv(books.get("/v1/billing/balance?format=csv"))
    assert [row["object"] for row in balance] == ["balance", "budget", "budget", "budget"]
    assert balance[0]["balance_usd"] == books.json("/v1/billing/balance")["balance_usd"]


def test_no_answer_ever_shows_a_prompt(books: Books) -> None:
    for path in ("/v1/usage", "/v1/usage/logs", "/v1/billing/transactions", "/v1/billing/balance"):
        for query in ("", "?format=csv"):
            assert SECRET.encode() not in books.get(path + query).body


@pytest.mark.parametrize("tz", ["Europe/Berlin", "Asia/Kolkata", "Pacific/Kiritimati", "America/Los_Angeles"])
def test_a_zone_moves_midnight_and_loses_nothing(books: Books, tz: str) -> None:
    found = books.json(f"/v1/usage?period=3d&tz={tz}")

    assert found["timezone"] == tz
    assert found["start"][10:19] == "T00:00:00" == found["end"][10:19]
    assert found["totals"] == expected(books.calls)
    row = books.json(f"/v1/usage/logs?tz={tz}&limit=1")["data"][0]
    assert row["started_at"][-6:] in (found["start"][-6:], found["end"][-6:])


@pytest.mark.parametrize(
    ("path", "param", "says"),
    [
        ("/v1/usage?period=1y", "period", "30d"),
        ("/v1/usage?period=93d", "period", "92d"),
        ("/v1/usage?start=2026-01-01&end=2026-06-01", "start", "at most 92"),
        ("/v1/usage?start=2026-02-30", "start", "2026-11-20"),
        ("/v1/usage?start=2026-02-01&end=2026-02-01", "end", "not after its start"),
        ("/v1/usage?end=2026-02-01", "start", "without `start`"),
        ("/v1/usage?period=7d&start=2026-02-01", "period", "exclude each other"),
        ("/v1/usage?tz=Mars/Olympus", "tz", "Europe/Berlin"),
        ("/v1/usage?tz=../../etc/passwd", "tz", "Europe/Berlin"),
        ("/v1/usage?tz=Europe", "tz", "Europe/Berlin"),
        ("/v1/usage?group_by=prompt", "group_by", "day, model, key, member"),
        ("/v1/usage?group_by=", "group_by", "empty part"),
        ("/v1/usage?groupby=day", "groupby", "did you mean `group_by`"),
        ("/v1/usage?format=xls", "format", "json or csv"),
        ("/v1/usage/logs?limit=100000", "limit", "1000"),
        ("/v1/usage/logs?limit=-1", "limit", "1"),
        ("/v1/usage/logs?cursor=%27%20OR%201=1", "cursor", "next_cursor"),
        ("/v1/usage/logs?cursor=99999999999999999999.x", "cursor", "next_cursor"),
        ("/v1/usage/logs?status=teapot", "status", "4xx"),
        ("/v1/usage/logs?outcome=bad", "outcome", "client_gone"),
        ("/v1/usage/logs?stream=maybe", "stream", "maybe"),
        ("/v1/usage/logs?start=2026-01-01T00:00:00", "start", "offset"),
        ("/v1/billing/transactions?type=gift", "type", "top_up"),
        ("/v1/billing/transactions?cursor=1", "cursor", "next_cursor"),
        ("/v1/billing/balance?period=7d", "period", "account"),
    ],
)
def test_a_wrong_parameter_is_a_400_that_says_what_is_right(
    books: Books, path: str, param: str, says: str
) -> None:
    error = assert_is_the_envelope(books.get(path), 400, "invalid_request_error")

    assert error["param"] == param
    assert says in error["message"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *(("/v1/usage", name) for name in ("group_by", "key", "member", "model", "provider")),
        *(("/v1/usage/logs", name) for name in ("outcome", "status")),
        ("/v1/billing/transactions", "type"),
    ],
)
def test_a_filter_has_at_most_a_hundred_values(books: Books, path: str, name: str) -> None:
    value = {"group_by": "day", "outcome": "ok", "status": "4xx", "type": "charge"}.get(name, "a")
    assert books.get(f"{path}?{name}={','.join([value] * 100)}").status == 200

    answer = books.get(f"{path}?{name}={','.join([value] * 99)}&{name}={value},{value}")
    refused = assert_is_the_envelope(answer, 400, "invalid_request_error")
    assert (refused["param"], "101 values" in refused["message"]) == (name, True)


@pytest.mark.parametrize("value", ["%00", "%27%3B--", "%F0%9F%92%A5", "x" * 5000])
def test_strange_values_find_nothing_and_break_nothing(books: Books, value: str) -> None:
    for name in ("model", "key", "member", "provider", "request_id"):
        answer = books.get(f"/v1/usage/logs?{name}={value}")
        assert answer.status in (200, 400), answer.body
        if answer.status == 200:
            assert answer.json()["data"] == []


def test_a_refund_belongs_to_the_call_whose_charge_it_gives_back(books: Books, keys: Keys) -> None:
    """Last, because it moves the account's money."""
    first = next(each for each in books.calls if each.key == "app" and each.cost_nano_usd)
    [before] = books.json(f"/v1/usage/logs?request_id={first.request_id}")["data"]
    body = {"account": "books", "transaction_id": before["transaction_id"], "usd": "0.000001"}
    refund = ask(books.gateway, keys["owner"], "POST", "/v1/billing/refunds", body)
    assert refund.status == 200, refund.body

    for who in ("manager", "app"):
        [after] = books.json(f"/v1/usage/logs?request_id={first.request_id}", who)["data"]
        assert after == before | {"charged_usd": format_usd((first.cost_nano_usd or 0) - 1_000)}
        moved = books.json(f"/v1/billing/transactions?reference_id={first.request_id}", who)["data"]
        assert [(row["type"], row["id"]) for row in moved] == [
            ("refund", refund.json()["id"]),
            ("charge", before["transaction_id"]),
        ]
        assert sum(row["change_nano_usd"] for row in moved) == 1_000 - (first.cost_nano_usd or 0)

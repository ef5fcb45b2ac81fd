"""`modelway usage`, on a database with calls in it."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from typer.testing import CliRunner

from modelway.cli.commands import app
from modelway.conversation.errors import CallError
from modelway.store.usage import add
from tests.store.rows import usage_row


def run(folder: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--data-dir", str(folder / "data")])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with an account, `us`, that made three calls now and one long ago."""
    monkeypatch.chdir(tmp_path)
    account_id = run(tmp_path, "accounts", "create", "--name", "us").strip()
    now_ms = time.time_ns() // 1_000_000
    rows = [
        usage_row(number, account_id=account_id, started_at_ms=began_ms, model_asked=model, cost_nano_usd=15)
        for number, (began_ms, model) in enumerate(
            [(now_ms, "small"), (now_ms, "small"), (now_ms, "large"), (1_000_000_000_000, "large")]
        )
    ]
    engine = create_engine(f"sqlite:///{tmp_path / 'data' / 'modelway.db'}")
    with engine.begin() as connection:
        add(connection, rows)
    engine.dispose()
    return tmp_path


def test_json_csv_and_the_table_have_the_same_figures(folder: Path) -> None:
    asked = ("usage", "--account", "us", "--group-by", "model", "--period", "2d")
    found = json.loads(run(folder, *asked, "--json"))
    rows = list(csv.DictReader(io.StringIO(run(folder, *asked, "--csv"))))
    table = [line.split() for line in run(folder, *asked).splitlines()]

    assert {row["model"]: row["requests"] for row in found["data"]} == {"large": 1, "small": 2}
    assert found["totals"]["cost_usd"] == "0.000000045"
    assert [{name: str(value) for name, value in row.items()} for row in found["data"]] == rows
    assert table == [
        ["model", "requests", "failed_requests", "input_tokens", "output_tokens", "cost_usd"],
        ["large", "1", "0", "10", "5", "0.000000015"],
        ["small", "2", "0", "20", "10", "0.00000003"],
        ["total", "3", "0", "30", "15", "0.000000045"],
    ]


def test_a_period_of_its_own_in_a_zone(folder: Path) -> None:
    ends = ("--start", "2001-09-09", "--end", "2001-09-10")
    found = json.loads(run(folder, "usage", "--account", "us", *ends, "--tz", "Asia/Tokyo", "--json"))

    assert [(row["day"], row["requests"]) for row in found["data"]] == [("2001-09-09", 1)]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--account", "nobody"),
        ("--account", "us", "--tz", "Mars"),
        ("--account", "us", "--group-by", "prompt"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, wrong: tuple[str, ...]) -> None:
    with pytest.raises(CallError, match=f"{wrong[-1]!r}"):
        run(folder, "usage", *wrong)

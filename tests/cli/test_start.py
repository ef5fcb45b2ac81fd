"""A start: what it need not load, and that both readers of its options read the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.servers import gateway_environment
from modelway.cli.plain import plain_options
from modelway.cli.serving import serve
from tests.fix_gateway import START_S, Gateway, free_port

# What a start would load for nothing, and what it is for.
NOT_AT_START = {
    "alembic": "a migration that is due",
    "jinja2": "the first page",
    "markdown_it": "the first page of the reference",
    "modelway.web.pages": "the first page",
    "psycopg": "PostgreSQL",
    "pydantic": "a command line that typer has to look at",
    "rich": "help, tables, a download's progress",
    "sqlalchemy.dialects.postgresql": "PostgreSQL",
    "sqlalchemy.orm": "nothing of ours",
    "starlette": "the first page",
    "xllamacpp": "the local model's own process",
}
VALUES = ("9000", "0.0.0.0", "a b", "x.yaml", "/data", "-1", "--", "-h", "", "1_000", " 7", "٣", "x\ny")
OPTIONS = ("--port", "--host", "--data-dir", "--config", "--worker", "--data_dir", "--return", "port")
PAIRS = st.tuples(st.sampled_from(OPTIONS), st.sampled_from(VALUES))
UNSAID = dict.fromkeys(signature(serve).parameters)
ODD_WORDS = st.sampled_from(((), ("--help",), ("--port=9000",), ("--workers",)))


def test_a_second_start_loads_nothing_that_serving_does_not_need(
    make_gateway: Callable[..., Gateway],
) -> None:
    gateway = make_gateway(PYTHONPROFILEIMPORTTIME="1")
    gateway.manage("migrate")

    gateway.start()

    loaded = set(re.findall(r"^import time: +\d+ \| +\d+ \| +([\w.]+)$", gateway.log, re.M))
    assert {"modelway.app", "sqlalchemy"} <= loaded, "the log names what was loaded"
    assert not {name: NOT_AT_START[name] for name in NOT_AT_START.keys() & loaded}


def test_a_start_whose_words_nobody_reads_ends_without_a_traceback(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    os.close(reads)

    words = ["serve", "--port", str(free_port()), "--data-dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "modelway.cli", *words],
        env={**gateway_environment(), "MODELWAY_ENGINE_START": "never"},
        stdout=writes,
        stderr=subprocess.PIPE,
        timeout=START_S,
        check=False,
    )
    os.close(writes)

    assert done.returncode == 1
    assert b"BrokenPipe" not in done.stderr


def read_by_typer(words: list[str]) -> dict[str, Any] | None:
    """The arguments that typer would call `serve` with; None where it does not call it."""
    heard: dict[str, Any] = {}

    @wraps(serve)
    def command(**arguments: Any) -> None:
        heard.update(arguments)

    application = typer.Typer(add_completion=False)
    application.command()(command)
    return heard if CliRunner().invoke(application, words).exit_code == 0 and heard else None


@settings(max_examples=60)
@given(st.lists(PAIRS, max_size=3), ODD_WORDS)
def test_what_is_read_without_typer_is_what_typer_reads(
    pairs: list[tuple[str, str]], odd: tuple[str, ...]
) -> None:
    words = [word for pair in pairs for word in pair] + list(odd)

    options = plain_options(serve, words)

    assert options is None or UNSAID | options == read_by_typer(words)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {}),
        (["--host", "0.0.0.0", "--port", "9000"], {"host": "0.0.0.0", "port": 9000}),
        (["--data-dir", "a b", "--worker", "x/y"], {"data_dir": Path("a b"), "worker": Path("x/y")}),
        (["--help"], None),
        (["--port=9000"], None),
        (["--port", "x"], None),
        (["--port"], None),
        (["--host", "--port"], None),
        (["--nonsense", "1"], None),
    ],
)
def test_pairs_of_option_and_value_are_read_without_typer(
    words: list[str], options: dict[str, Any] | None
) -> None:
    assert plain_options(serve, words) == options

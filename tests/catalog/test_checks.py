"""What is checked of a whole catalog, and that the price table is what its script writes."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from modelway.catalog.capabilities import PATHS
from modelway.catalog.cards import Catalog, unknown_card
from modelway.catalog.checks import problems
from modelway.catalog.forms import flat
from modelway.catalog.validation import accepts
from tests.catalog.breaking import CATALOG

ROOT = Path(__file__).parents[2]


def test_the_shipped_cards_have_no_problem() -> None:
    assert problems(CATALOG) == []


def test_a_default_outside_its_limits_is_named() -> None:
    parameters = {"chat": {"temperature": {"default": 3}}}

    (problem,) = problems(Catalog.shipped([{"id": "openai/gpt-4o", "parameters": parameters}]))

    assert problem == "openai/gpt-4o: chat: the default of `temperature`, 3, breaks its own limits"


def test_a_form_that_is_no_schema_is_named() -> None:
    parameters = {"chat": {"temperature": {"minimum": "low"}}}

    (problem,) = problems(Catalog.shipped([{"id": "openai/gpt-4o", "parameters": parameters}]))

    assert problem.startswith("openai/gpt-4o: chat: the form is no JSON Schema: ")


def test_an_example_its_own_card_refuses_is_named() -> None:
    parameters = {"messages": {"max_tokens": {"minimum": 100_000}}}

    (problem,) = problems(
        Catalog.shipped([{"id": "claude-x", "family": "claude", "name": "X", "parameters": parameters}])
    )

    assert problem.startswith("claude-x: messages: the request example is refused: `/max_tokens` is 256")


@pytest.mark.parametrize("protocol", PATHS)
def test_a_model_without_a_card_gets_its_dialects_whole_form(protocol: str) -> None:
    stranger = unknown_card("lab/new-model", protocol)  # type: ignore[arg-type]  # PATHS holds paths
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10**7}

    assert accepts(stranger, "messages", body | {"temperature": 0.5})
    assert {"temperature", "tools", "thinking.type"} <= {row["name"] for row in flat(stranger, "messages")}


def test_the_price_table_is_what_its_script_writes() -> None:
    first_line = (ROOT / "src/modelway/catalog/cards/_prices.yaml").read_text().partition("\n")[0]
    try:
        installed = version("genai-prices")
    except PackageNotFoundError:
        pytest.skip("genai-prices is not installed, so the price table cannot be written again")
    if f"genai-prices {installed} " not in first_line:
        pytest.skip(f"the price table is of another version of the data than {installed}: {first_line}")
    day = first_line.rstrip(".").rpartition(" ")[2]

    checked = subprocess.run(
        [sys.executable, "scripts/prices.py", "--check", "--date", day],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert checked.stdout == "_prices.yaml is up to date\n", checked.stderr

"""Every case of the catalogue is a test with its number, or stands in NOT_COVERED.md with a reason."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent
CASES = {f"T{number:03}" for number in range(1, 318)}
PAINS = {f"A{number:02}" for number in range(1, 59)} | {f"B{number:02}" for number in range(1, 23)}
REASON_WORDS_MIN = 4  # "not built yet" says too little

_TEST = re.compile(r"^(?:async )?def (test_\w+)", re.M)
_ROW = re.compile(r"^\| ([TAB]\d+) \| ([^|]+) \| ([^|]+) \|$", re.M)


def numbers_in(name: str) -> set[str]:
    """The catalogue's numbers in a test's name: `test_T142_A15_…` has two."""
    return {word for word in name.split("_") if re.fullmatch(r"T\d{3}|[AB]\d{2}", word)}


def shown() -> set[str]:
    """The numbers that tests carry."""
    sources = [path.read_text() for path in TESTS.rglob("test_*.py") if "node_modules" not in path.parts]
    return {number for text in sources for name in _TEST.findall(text) for number in numbers_in(name)}


def excused() -> list[tuple[str, str, str]]:
    return _ROW.findall((TESTS / "NOT_COVERED.md").read_text())


def test_every_case_is_shown_or_excused() -> None:
    missing = sorted(CASES - shown() - {number for number, _, _ in excused()})

    assert not missing, f"neither in a test's name nor in NOT_COVERED.md: {', '.join(missing)}"


def test_every_pain_is_shown_or_excused() -> None:
    missing = sorted(PAINS - shown() - {number for number, _, _ in excused()})

    assert not missing, f"neither in a test's name nor in NOT_COVERED.md: {', '.join(missing)}"


def test_nothing_is_shown_and_excused_or_excused_twice() -> None:
    counted = Counter(number for number, _, _ in excused())

    assert not sorted(set(counted) & shown())
    assert not [number for number, count in counted.items() if count > 1]


def test_an_excuse_is_for_a_case_of_the_catalogue_and_gives_its_reason() -> None:
    table = [line for line in (TESTS / "NOT_COVERED.md").read_text().splitlines() if line.startswith("| ")]
    rows = excused()

    assert len(rows) == len(table) - 1, "a line of the table is not `| number | what | why |`"
    assert not [number for number, _, _ in rows if number not in CASES | PAINS]
    assert not [number for number, _, why in rows if len(why.split()) < REASON_WORDS_MIN]


def test_no_test_carries_a_number_that_is_none() -> None:
    assert not sorted(shown() - CASES - PAINS)


def test_numbers_are_read_from_names() -> None:
    assert numbers_in("test_T142_A15_reasoning_then_B2B_and_T1") == {"T142", "A15"}

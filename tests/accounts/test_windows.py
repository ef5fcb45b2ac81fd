"""When limits start anew."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.accounts.keys import Resets
from modelway.accounts.windows import as_text, window_end_ms, window_start_ms

moments = st.integers(0, 4_000_000_000_000)  # to the year 2096
RECURRING: tuple[Resets, ...] = ("daily", "weekly", "monthly")


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("resets", "start", "end"),
    [
        ("daily", "2026-11-20", "2026-11-21"),
        ("weekly", "2026-11-16", "2026-11-23"),  # the 16th is a Monday
        ("monthly", "2026-11-01", "2026-12-01"),
    ],
)
def test_a_friday_in_november(resets: Resets, start: str, end: str) -> None:
    now_ms = ms("2026-11-20T10:30:00")

    assert (window_start_ms(resets, now_ms), window_end_ms(resets, now_ms)) == (ms(start), ms(end))


def test_never_is_one_window() -> None:
    assert (window_start_ms("never", 5), window_end_ms("never", 5)) == (0, None)


def test_december_ends_with_the_year() -> None:
    assert window_end_ms("monthly", ms("2026-12-31T23:59:59")) == ms("2027-01-01")


@given(moments, st.sampled_from(RECURRING))
def test_every_moment_is_in_exactly_one_window(now_ms: int, resets: Resets) -> None:
    start_ms, end_ms = window_start_ms(resets, now_ms), window_end_ms(resets, now_ms)

    assert end_ms is not None
    assert start_ms <= now_ms < end_ms
    assert window_start_ms(resets, end_ms - 1) == start_ms
    assert window_start_ms(resets, end_ms) == end_ms


def test_a_moment_is_shown_in_utc() -> None:
    assert as_text(ms("2026-11-20T10:30:00")) == "2026-11-20T10:30:00Z"

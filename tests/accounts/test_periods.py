"""Which stretch of time a report is about, and where its days are cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.accounts.periods import (
    DAYS_MAX,
    Period,
    moment_ms,
    moment_text,
    named_period,
    period_between,
)
from modelway.conversation.errors import CallError

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ZONES = [
    ZoneInfo(name)
    for name in (
        "Europe/Berlin",
        "Asia/Kolkata",
        "America/Los_Angeles",
        "Australia/Lord_Howe",  # half an hour
        "Pacific/Apia",  # crossed the date line
        "Asia/Beirut",  # skips midnight itself
        "America/Havana",  # goes back to midnight
        "America/St_Johns",  # went back over midnight
    )
]


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOW_MS = ms("2026-11-20T10:30:00")


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("today", "2026-11-20", "2026-11-21"),
        ("yesterday", "2026-11-19", "2026-11-20"),
        ("7d", "2026-11-14", "2026-11-21"),
        ("30d", "2026-10-22", "2026-11-21"),
        ("month", "2026-11-01", "2026-11-21"),
        ("last_month", "2026-10-01", "2026-11-01"),
        ("92d", "2026-08-21", "2026-11-21"),
    ],
)
def test_a_friday_in_november(name: str, start: str, end: str) -> None:
    period = named_period(name, NOW_MS, UTC)

    assert (period.start_ms, period.end_ms) == (ms(start), ms(end))


def test_today_is_the_day_of_the_zone_that_is_asked_for() -> None:
    late_ms = ms("2026-11-20T23:30:00")  # half past midnight in Berlin

    assert [day.date for day in named_period("today", late_ms, BERLIN).days()] == ["2026-11-21"]


@pytest.mark.parametrize(("date", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_day_on_which_clocks_change_is_as_long_as_it_is(date: str, hours: int) -> None:
    next_date = (datetime.fromisoformat(date) + timedelta(days=1)).date().isoformat()

    [day] = period_between(date, next_date, NOW_MS, BERLIN).days()

    assert day.end_ms - day.start_ms == hours * HOUR_MS


def test_a_day_without_midnight_begins_when_clocks_go_on() -> None:
    [day] = period_between("2026-03-29", "2026-03-30", NOW_MS, ZoneInfo("Asia/Beirut")).days()

    assert day.start_ms == ms("2026-03-28T22:00:00")
    assert day.end_ms - day.start_ms == 23 * HOUR_MS


def test_a_date_that_a_zone_left_out_is_no_day() -> None:
    period = period_between("2011-12-29", "2012-01-01", NOW_MS, ZoneInfo("Pacific/Apia"))

    assert [day.date for day in period.days()] == ["2011-12-29", "2011-12-31"]


def test_ninety_two_local_days_are_allowed_though_an_hour_longer_by_the_clock() -> None:
    assert len(period_between("2026-09-01", "2026-12-02", NOW_MS, BERLIN).days()) == DAYS_MAX
    with pytest.raises(CallError, match="93 days"):
        period_between("2026-09-01", "2026-12-03", NOW_MS, BERLIN)


@given(
    st.integers(ms("1990-01-01"), ms("2040-01-01")), st.integers(1, DAYS_MAX * DAY_MS), st.sampled_from(ZONES)
)
def test_days_are_the_period_cut_into_pieces(start_ms: int, length_ms: int, zone: ZoneInfo) -> None:
    days = Period(start_ms, start_ms + length_ms, zone).days()

    assert [day.start_ms for day in days] == [start_ms, *(day.end_ms for day in days[:-1])]
    assert days[-1].end_ms == start_ms + length_ms
    assert all(day.start_ms < day.end_ms for day in days)
    assert len({day.date for day in days}) == len(days)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20", "2026-11-19T23:00:00"),  # midnight in Berlin
        ("2026-11-20T09:30:00Z", "2026-11-20T09:30:00"),
        ("2026-11-20t09:30:00.123456789z", "2026-11-20T09:30:00.123"),
        ("2026-11-20T09:30:00+02:00", "2026-11-20T07:30:00"),
        ("2026-11-20T09:30:00 02:00", "2026-11-20T07:30:00"),  # a plus that was not escaped
        ("2026-11-20T09:30:00-02:30", "2026-11-20T12:00:00"),
    ],
)
def test_dates_and_moments(text: str, moment: str) -> None:
    assert moment_ms(text, BERLIN, "start") == ms(moment)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-31",
        "2026-1-1",
        "1763629200",
        "2026-11-20T09:30:00",  # of which zone?
        "2026-11-20 09:30:00Z",
        "2026-11-20T25:00:00Z",
        "2026-11-20T09:30:00+99:00",
        "0001-01-01",
        "9999-12-31",
        "٢٠٢٦-١١-٢٠",
        "=cmd",
        "2026-11-20" * 100,
    ],
)
def test_what_is_no_moment_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(CallError, match=r"`start` is .*2026-11-20T09:30:00Z, would be right"):
        moment_ms(text, BERLIN, "start")


@pytest.mark.parametrize("name", ["", "8w", "0d", "93d", "-1d", "٣d", "TODAY", "1000d"])
def test_other_words_are_no_period(name: str) -> None:
    with pytest.raises(CallError, match="it may be today, yesterday, 7d, 30d, month, last_month"):
        named_period(name, NOW_MS, UTC)


def test_a_period_that_ends_before_it_starts_is_refused() -> None:
    for end in ("2026-11-19", "2026-11-20"):
        with pytest.raises(CallError, match="not after its start"):
            period_between("2026-11-20", end, NOW_MS, UTC)
    with pytest.raises(CallError, match="not after its start"):
        period_between("2026-11-21", None, NOW_MS, UTC)  # it ends now


def test_moments_are_written_with_the_offset_of_their_zone() -> None:
    assert moment_text(NOW_MS) == "2026-11-20T10:30:00Z"
    assert moment_text(NOW_MS + 250, BERLIN) == "2026-11-20T11:30:00.250+01:00"
    assert moment_text(ms("2026-10-25T00:30:00"), BERLIN) == "2026-10-25T02:30:00+02:00"

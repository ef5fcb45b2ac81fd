"""Which stretch of time a report is about, and where its days are cut: at midnight in a time zone. Pure.

A day is what the zone's people call one: 23 hours when their clocks go forward, 25 when they go back.
The zone comes in as a `tzinfo`, because the rules behind its name are files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from modelway.conversation.errors import CallError

DAYS_MAX = 92  # a quarter: the longest is 92 days
FIRST_YEAR, LAST_YEAR = 1970, 9998  # times here are milliseconds since 1970; the day after must exist too
DEFAULT = "30d"
NAMES = ("today", "yesterday", "7d", "30d", "month", "last_month")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = re.compile(r"([1-9]\d?)d", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# RFC 3339. A plus that was not escaped in a query has become a space.
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d{1,9})?(?:([Zz])|([+ -])(\d\d:\d\d))", re.ASCII
)


class Day(NamedTuple):
    """A local date and what of it is in the period: from `start_ms` up to, not including, `end_ms`."""

    date: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Period:
    """From `start_ms` up to, not including, `end_ms`; days are those of `zone`."""

    start_ms: int
    end_ms: int
    zone: tzinfo

    def days(self) -> list[Day]:
        """The days it touches, in order; the first and the last may be parts."""
        days: list[Day] = []
        day = _local(self.start_ms, self.zone).date()
        start_ms = self.start_ms
        while start_ms < self.end_ms:
            next_day = day + timedelta(days=1)
            end_ms = min(_midnight_ms(next_day, self.zone), self.end_ms)
            if end_ms > start_ms:  # a zone that crossed the date line has left out a date
                days.append(Day(day.isoformat(), start_ms, end_ms))
            day, start_ms = next_day, max(start_ms, end_ms)
        return days


def named_period(name: str, now_ms: int, zone: tzinfo) -> Period:
    """`today`, `yesterday`, `7d` (today and the six days before), `month` (since the first), `last_month`.

    Ends with the day that `now_ms` is in, or earlier. Raises CallError("invalid") for other words.
    """
    today = _local(now_ms, zone).date()
    first = today.replace(day=1)
    tomorrow = today + timedelta(days=1)
    match name:
        case "today":
            start, end = today, tomorrow
        case "yesterday":
            start, end = today - timedelta(days=1), today
        case "month":
            start, end = first, tomorrow
        case "last_month":
            start, end = (first - timedelta(days=1)).replace(day=1), first
        case _:
            start, end = tomorrow - timedelta(days=_days_of(name)), tomorrow
    return Period(_midnight_ms(start, zone), _midnight_ms(end, zone), zone)


def period_between(start: str, end: str | None, now_ms: int, zone: tzinfo) -> Period:
    """From `start` up to, not including, `end` (now, when there is none): dates, which mean their first
    moment in `zone`, or moments as RFC 3339 has them. Raises CallError("invalid").
    """
    start_ms = moment_ms(start, zone, "start")
    end_ms = now_ms + 1 if end is None else moment_ms(end, zone, "end")
    if end_ms <= start_ms:
        raise CallError.invalid(
            f"the period ends at {moment_text(end_ms, zone)}, which is not after its start, "
            f"{moment_text(start_ms, zone)}; `end` is the first moment that is not in it",
            param="start" if end is None else "end",
        )
    period = Period(start_ms, end_ms, zone)
    length = _local(end_ms, zone).replace(tzinfo=None) - _local(start_ms, zone).replace(tzinfo=None)
    if length > timedelta(days=DAYS_MAX):
        raise CallError.invalid(
            f"the period is {-(-length // timedelta(days=1))} days long; a report covers at most {DAYS_MAX}",
            param="start",
        )
    return period


def moment_ms(text: str, zone: tzinfo, param: str) -> int:
    """`2026-11-20` (its first moment in `zone`) or `2026-11-20T09:30:00Z`. Raises CallError("invalid")."""
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            if FIRST_YEAR <= day.year <= LAST_YEAR:
                return _midnight_ms(day, zone)
        elif (match := _MOMENT.fullmatch(text)) is not None:
            day_text, clock, fraction, _, sign, offset = match.groups()
            micro = (fraction or ".0")[:7]
            moment = datetime.fromisoformat(
                f"{day_text}T{clock}{micro}{(sign or '+').replace(' ', '+')}{offset or '00:00'}"
            )
            if FIRST_YEAR < moment.year < LAST_YEAR:
                return _ms(moment)
    except ValueError:
        pass
    raise CallError.invalid(
        f"`{param}` is {text[:40]!r}; a date such as 2026-11-20, or a moment with its offset from UTC such "
        "as 2026-11-20T09:30:00Z, would be right",
        param=param,
    )


def moment_text(ms: int, zone: tzinfo = UTC) -> str:
    """`2026-11-20T09:30:00.250Z`, or with the zone's offset; milliseconds only where there are any."""
    moment = _local(ms, zone)
    text = moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
    return text.removesuffix("+00:00") + "Z" if zone is UTC else text


def _days_of(name: str) -> int:
    match = _DAYS.fullmatch(name)
    count = int(match[1]) if match else 0
    if not 1 <= count <= DAYS_MAX:
        raise CallError.invalid(
            f"`period` is {name[:40]!r}; it may be {', '.join(NAMES)} or another number of days up to "
            f"{DAYS_MAX}d",
            param="period",
        )
    return count


def _local(ms: int, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(milliseconds=ms)).astimezone(zone)


def _midnight_ms(day: date, zone: tzinfo) -> int:
    """The first moment of a date: where clocks skip midnight, the moment they skip it at (PEP 495)."""
    return _ms(datetime.combine(day, time(), tzinfo=zone))


def _ms(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)

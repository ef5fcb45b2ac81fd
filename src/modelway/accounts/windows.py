"""When a spending limit starts anew: days at 00:00 UTC, weeks on Monday, months on the first. Pure.

A window is named by the millisecond it began at. Nothing is ever set back to zero: what was spent in a
window stays in its own row, and a new window is a new row.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from modelway.accounts.keys import Resets

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def window_start_ms(resets: Resets, now_ms: int) -> int:
    """The beginning of the window that `now_ms` is in; 0 for a limit that never resets."""
    if resets == "never":
        return 0
    day = _day(now_ms)
    if resets == "weekly":
        day -= timedelta(days=day.weekday())
    elif resets == "monthly":
        day = day.replace(day=1)
    return _ms(day)


def window_end_ms(resets: Resets, now_ms: int) -> int | None:
    """When the window that `now_ms` is in ends; None if it never does."""
    start = _EPOCH + timedelta(milliseconds=window_start_ms(resets, now_ms))
    match resets:
        case "daily":
            return _ms(start + timedelta(days=1))
        case "weekly":
            return _ms(start + timedelta(weeks=1))
        case "monthly":
            # The 1st plus 32 days is always in the next month.
            return _ms((start + timedelta(days=32)).replace(day=1))
        case "never":
            return None


def as_text(ms: int) -> str:
    """`2026-11-20T00:00:00Z`, for people."""
    return (_EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(now_ms: int) -> datetime:
    moment = _EPOCH + timedelta(milliseconds=now_ms)
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)

"""What an account used and was charged, as reports: the same for the API, the command line and pages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from modelway.accounts.periods import DEFAULT, Period, named_period, period_between
from modelway.conversation.errors import CallError
from modelway.store import entry_lists, reports
from modelway.store.database import Connection, Database
from modelway.store.entries import Entry
from modelway.store.entry_lists import Entries
from modelway.store.reports import GROUPS, Calls, Group, Named, Place, Sums
from modelway.store.usage import UsageRow

BY = ("day", *GROUPS)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(/[A-Za-z0-9_+\-]+)*", re.ASCII)
_ZONE_CHARACTERS_MAX = 50  # the longest there is has 32


@dataclass(frozen=True, slots=True)
class Report:
    """Sums of a period by `by`, only of groups with calls; `total` is the sum of them all."""

    period: Period
    by: tuple[str, ...]
    groups: Mapping[Group, Sums]
    total: Sums
    names: Mapping[str, Named]  # of keys and members, by id


@dataclass(frozen=True, slots=True)
class CallPage:
    """Some calls, newest first; `entries` are what they cost, by request id; `then` is where to go on."""

    rows: Sequence[UsageRow]
    entries: Mapping[str, list[Entry]]
    names: Mapping[str, Named]
    then: Place | None


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Some entries, newest first; `then` is the id below which to go on."""

    entries: Sequence[Entry]
    names: Mapping[str, Named]
    then: str | None


def period_of(period: str | None, start: str | None, end: str | None, now_ms: int, zone: tzinfo) -> Period:
    """The period that is meant by a name, or by its two ends; thirty days by neither. Raises 400."""
    if start is None and end is None:
        return named_period(period or DEFAULT, now_ms, zone)
    if period is not None:
        raise CallError.invalid("`period` and `start` exclude each other; give one of them", param="period")
    if start is None:
        raise CallError.invalid("`end` is given without `start`; give both, or a `period`", param="start")
    return period_between(start, end, now_ms, zone)


def zone_named(name: str) -> tzinfo:
    """The time zone of that name in the IANA database, as this machine has it. Raises 400."""
    if name == "UTC":
        return UTC
    if len(name) <= _ZONE_CHARACTERS_MAX and _ZONE.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # no file, no rules in it, or a folder
            pass
    raise CallError.invalid(
        f"`tz` is {name[:_ZONE_CHARACTERS_MAX]!r}; a name of the IANA time zone database such as "
        "Europe/Berlin would be right",
        param="tz",
    )


def groups_of(names: Sequence[str]) -> tuple[str, ...]:
    """What to tell apart by, each once. Raises 400."""
    for name in names:
        if name not in BY:
            raise CallError.invalid(
                f"`group_by` is {name[:40]!r}; one or several of {', '.join(BY)} would be right",
                param="group_by",
            )
    return tuple(dict.fromkeys(names))


async def report(database: Database, calls: Calls, period: Period, by: tuple[str, ...]) -> Report:
    """What these calls used. Raises CallError: invalid (too many groups), unavailable, overloaded."""

    def query(connection: Connection) -> Report:
        groups = reports.sum_up(connection, calls, period.days(), by)
        ids = {
            name: {group[by.index(name)] or "" for group in groups} if name in by else set()
            for name in ("key", "member")
        }
        names = reports.names_of(connection, calls.account_id, ids["key"], ids["member"])
        return Report(period, by, groups, reports.total_of(groups.values()), names)

    return await database.read_long(query, calls.account_id)


async def list_calls(
    database: Database, calls: Calls, period: Period, after: Place | None, limit: int
) -> CallPage:
    """A page of the log, from `after` on. Raises CallError: unavailable, overloaded."""

    def query(connection: Connection) -> CallPage:
        rows, then = reports.list_calls(connection, calls, period.days(), after, limit)
        return _call_page(connection, calls, rows, then)

    return await database.read_long(query, calls.account_id)


async def find_call(database: Database, calls: Calls, request_id: str) -> CallPage:
    """That call alone, whenever it was; nothing when it is none of `calls`."""

    def query(connection: Connection) -> CallPage:
        row = reports.find_call(connection, calls, request_id)
        return _call_page(connection, calls, [] if row is None else [row], None)

    return await database.read(query)


async def list_entries(
    database: Database, wanted: Entries, period: Period, before: str | None, limit: int
) -> EntryPage:
    """A page of the statement, from `before` on. Raises CallError: unavailable, overloaded."""

    def query(connection: Connection) -> EntryPage:
        found, then = entry_lists.list_entries(connection, wanted, period.days(), before, limit)
        return _entry_page(connection, wanted, found, then)

    return await database.read_long(query, wanted.account_id)


async def entries_of_call(database: Database, wanted: Entries, request_id: str) -> EntryPage:
    """What that call was charged, and what of it was given back."""

    def query(connection: Connection) -> EntryPage:
        found = entry_lists.entries_of(connection, wanted, [request_id])
        return _entry_page(connection, wanted, found.get(request_id, [])[::-1], None)

    return await database.read(query)


def _call_page(
    connection: Connection, calls: Calls, rows: Sequence[UsageRow], then: Place | None
) -> CallPage:
    own = Entries(calls.account_id)
    entries = entry_lists.entries_of(connection, own, [row.request_id for row in rows])
    key_ids = {row.key_id for row in rows}
    member_ids = {row.member_id for row in rows if row.member_id is not None}
    return CallPage(rows, entries, reports.names_of(connection, calls.account_id, key_ids, member_ids), then)


def _entry_page(
    connection: Connection, wanted: Entries, found: Sequence[Entry], then: str | None
) -> EntryPage:
    key_ids = {entry.key_id for entry in found if entry.key_id is not None}
    member_ids = {entry.member_id for entry in found if entry.member_id is not None}
    return EntryPage(found, reports.names_of(connection, wanted.account_id, key_ids, member_ids), then)

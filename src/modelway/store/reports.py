"""What is read from the rows of calls: sums of a period by day, model, key or member, and the log itself.

Everything is one account over one period, along the index that `usage` has for it. A long period is read
in pieces, so that no statement runs into the database's own time limit and a reader that takes too long
can be stopped between two of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
)

from modelway.accounts.periods import Day
from modelway.conversation.errors import CallError
from modelway.store.schema import keys, members, usage
from modelway.store.usage_rows import UsageRow

# Measured on SQLite: a million rows take 1 s by day and 3 s by model, key and member. Below the 10 s after
# which a PostgreSQL server that has not answered is hung up on.
READ_S = 8.0
SUMS_MAX = 10_000  # rows of one report: what a spreadsheet shows and 5 MB of JSON carry
DAYS_PER_PIECE = 7  # where days are not told apart: few enough for one statement, few statements
FAILED = "failed"  # the outcomes that are neither of these
NOT_FAILED = ("ok", "client_gone", "replayed")

# Null of a call that was refused before it was known which model it is for. Spelled out: PostgreSQL takes
# two parameters of one value for two, and what is grouped by for something else than what is selected.
_MODEL = func.coalesce(usage.c.model, func.nullif(usage.c.model_asked, literal_column("''")))
# What sums can be told apart by, besides the day.
GROUPS: dict[str, ColumnElement[str | None]] = {
    "model": _MODEL,
    "key": usage.c.key_id,
    "member": usage.c.member_id,
    "provider": usage.c.provider,
}


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _sum(*columns: ColumnElement[int]) -> ColumnElement[int]:
    total: ColumnElement[int] = func.coalesce(columns[0], 0)
    for column in columns[1:]:
        total = total + func.coalesce(column, 0)
    return func.coalesce(func.sum(total), 0)


class Sums(NamedTuple):
    """Figures of some calls. Tokens are disjoint, except that reasoning is part of output."""

    requests: int = 0
    failed_requests: int = 0
    estimated_requests: int = 0  # tokens counted here, because the provider did not report
    unpriced_requests: int = 0  # tokens without a known price: not in the cost
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int = 0

    def plus(self, other: Sums) -> Sums:
        return Sums(*(one + another for one, another in zip(self, other, strict=True)))


_SUMS: dict[str, ColumnElement[int]] = {
    "requests": func.count(),
    "failed_requests": _count(usage.c.outcome.not_in(NOT_FAILED)),
    "estimated_requests": _count(usage.c.estimated),
    "unpriced_requests": _count(
        usage.c.cost_nano_usd.is_(None) & (usage.c.input_tokens + usage.c.output_tokens > 0)
    ),
    "input_tokens": _sum(usage.c.input_tokens),
    "cache_read_tokens": _sum(usage.c.cache_read_tokens),
    "cache_write_tokens": _sum(usage.c.cache_write_5m_tokens, usage.c.cache_write_1h_tokens),
    "output_tokens": _sum(usage.c.output_tokens),
    "reasoning_tokens": _sum(usage.c.reasoning_tokens),
    "cost_nano_usd": _sum(usage.c.cost_nano_usd),
}


@dataclass(frozen=True, slots=True)
class Calls:
    """Which calls of an account. An empty tuple does not narrow; statuses are ranges, both ends in them."""

    account_id: str
    models: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()  # as in the rows, or `FAILED`
    statuses: tuple[tuple[int, int], ...] = ()
    stream: bool | None = None

    def condition(self) -> ColumnElement[bool]:
        wanted: list[ColumnElement[bool]] = [usage.c.account_id == self.account_id]
        for name in ("model", "key", "member", "provider"):
            values: tuple[str, ...] = getattr(self, f"{name}s")
            if values:
                wanted.append(GROUPS[name].in_(values))
        if self.outcomes:
            failed = not_(usage.c.outcome.in_(NOT_FAILED)) if FAILED in self.outcomes else false()
            wanted.append(or_(usage.c.outcome.in_(self.outcomes), failed))
        if self.statuses:
            wanted.append(or_(*(usage.c.status.between(low, high) for low, high in self.statuses)))
        if self.stream is not None:
            wanted.append(usage.c.stream == self.stream)
        return and_(*wanted)


@dataclass(frozen=True, slots=True)
class Place:
    """Between two rows of the log: those from here on began before `started_at_ms`, or then, with an id
    below `request_id`.
    """

    started_at_ms: int
    request_id: str


Group = tuple[str | None, ...]


def sum_up(
    connection: Connection, calls: Calls, days: Sequence[Day], by: Sequence[str], *, read_s: float = READ_S
) -> dict[Group, Sums]:
    """Figures by `by` (`day` and names of `GROUPS`), in the order of the groups; only those with calls.

    Raises CallError: invalid for more than `SUMS_MAX` groups, unavailable after `read_s` seconds.
    """
    columns = [GROUPS[name].label(name) for name in by if name != "day"]
    statement = select(*_SUMS.values(), *columns).where(calls.condition(), _within())
    # Not by name: `model` is also a column.
    statement = statement.group_by(*(GROUPS[name] for name in by if name != "day")).limit(SUMS_MAX + 1)
    patience = Patience(read_s)
    found: dict[Group, Sums] = {}
    for piece in days if "day" in by else _weeks(days):
        patience.check()
        for row in connection.execute(statement, {"from_ms": piece.start_ms, "to_ms": piece.end_ms}):
            values: list[Any] = list(row)
            sums, rest = Sums(*map(int, values[: len(_SUMS)])), iter(values[len(_SUMS) :])
            group: Group = tuple(piece.date if name == "day" else next(rest) for name in by)
            if sums.requests:
                found[group] = found.get(group, Sums()).plus(sums)
            if len(found) > SUMS_MAX:
                raise CallError.invalid(
                    f"the report has more than {SUMS_MAX} rows; a shorter period, a filter, or less to group "
                    "by makes it shorter",
                    param="group_by",
                )
    return dict(sorted(found.items(), key=lambda item: tuple(each or "" for each in item[0])))


def total_of(sums: Iterable[Sums]) -> Sums:
    """All of them together."""
    return Sums(*map(sum, zip(Sums(), *sums, strict=True)))


def list_calls(
    connection: Connection,
    calls: Calls,
    days: Sequence[Day],
    after: Place | None,
    limit: int,
    *,
    read_s: float = READ_S,
) -> tuple[list[UsageRow], Place | None]:
    """The newest `limit` rows of the period from `after` on, and where the next ones begin, if there may be
    any. Fewer rows than that come back when looking for more would take longer than `read_s` seconds.
    """
    condition = and_(calls.condition(), _within())
    if after is not None:
        later = or_(usage.c.started_at_ms < after.started_at_ms, usage.c.request_id < after.request_id)
        condition = and_(condition, usage.c.started_at_ms <= after.started_at_ms, later)
    newest_first = (usage.c.started_at_ms.desc(), usage.c.request_id.desc())
    statement = select(usage).where(condition).order_by(*newest_first).limit(bindparam("rows"))
    patience, found = Patience(read_s), list[UsageRow]()
    for day in reversed(days):
        if after is not None and day.start_ms > after.started_at_ms:
            continue
        if patience.is_over:
            return found, Place(day.end_ms, "")
        bounds = {"from_ms": day.start_ms, "to_ms": day.end_ms, "rows": limit + 1 - len(found)}
        found += [UsageRow(*row) for row in connection.execute(statement, bounds)]
        if len(found) > limit:
            last = found[limit - 1]
            return found[:limit], Place(last.started_at_ms, last.request_id)
    return found, None


def find_call(connection: Connection, calls: Calls, request_id: str) -> UsageRow | None:
    """The row of that request, whenever it was, if it is one of `calls`."""
    statement = select(usage).where(usage.c.request_id == request_id, calls.condition())
    row = connection.execute(statement).first()
    return None if row is None else UsageRow(*row)


class Named(NamedTuple):
    """What people call a key or member; `masked` is a key's."""

    name: str
    masked: str | None = None


def names_of(
    connection: Connection, account_id: str, key_ids: Iterable[str], member_ids: Iterable[str]
) -> dict[str, Named]:
    """Names by id, of those of the account that are known."""
    columns = (keys.c.id, keys.c.name, keys.c.masked)
    of_keys = select(*columns).where(keys.c.account_id == account_id, keys.c.id.in_(set(key_ids)))
    of_members = select(members.c.id, members.c.name).where(
        members.c.account_id == account_id, members.c.id.in_(set(member_ids))
    )
    named = {row.id: Named(row.name, row.masked) for row in connection.execute(of_keys)}
    return named | {row.id: Named(row.name) for row in connection.execute(of_members)}


def _within() -> ColumnElement[bool]:
    started = usage.c.started_at_ms
    return and_(started >= bindparam("from_ms"), started < bindparam("to_ms"))


def _weeks(days: Sequence[Day]) -> Iterator[Day]:
    for first in range(0, len(days), DAYS_PER_PIECE):
        some = days[first : first + DAYS_PER_PIECE]
        yield Day(some[0].date, some[0].start_ms, some[-1].end_ms)


class Patience:
    """How long a reader may keep one of the few connections there are for reading."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._ends_s = seconds, time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._ends_s

    def check(self) -> None:
        if self.is_over:
            raise CallError(
                "unavailable",
                f"the report was not done after {self._seconds:g} s; a shorter period takes less",
                should_retry=False,
            )

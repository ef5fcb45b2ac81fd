"""Whether the books agree: each invariant of the ledger as a query that finds what breaks it.

I1 every line moves money between two known sides, so all sides add up to nothing · I2 no limited account
is below its limit · I3 what accounts and limits hold is what open holds hold · I4 an attempt ends once ·
I6 every call that is over has its line · I8 calls and lines add up to the same. (I5, no more is posted
than was held, and I7, lines never change, are kept where they could be broken: `entries.settle`, triggers.)
"""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Connection, case, func, literal, select

from modelway.store.entries import CASH, LATE, OVERRUN, REVENUE, read_caps
from modelway.store.schema import accounts, cap_windows, entries, holds, usage

TERMINAL = ("charge", "estimate", "void")
_COMES_IN = ("top_up", "voucher", "refund")


def audit(connection: Connection) -> list[str]:
    """Sentences about what is broken; none when the books agree. Reads everything: not for a call's path."""
    return [
        *_sides(connection),
        *_sums(connection),
        *_caps(connection),
        *_ends(connection),
        *_calls(connection),
    ]


def _sides(connection: Connection) -> list[str]:
    known = {CASH, REVENUE, OVERRUN, *connection.execute(select(accounts.c.id)).scalars()}
    pairs = connection.execute(select(entries.c.debit, entries.c.credit).distinct())
    return [f"I1: a line from {debit} to {credit}" for debit, credit in pairs if not {debit, credit} <= known]


def _sums(connection: Connection) -> list[str]:
    held = dict(
        _pairs(connection, select(holds.c.account_id, func.sum(holds.c.amount_nano_usd)), holds.c.account_id)
    )
    amount = entries.c.amount_nano_usd
    put_in = case((entries.c.kind.in_(_COMES_IN), amount), (entries.c.kind == "withdrawal", -amount), else_=0)
    charged = case((entries.c.kind.in_(TERMINAL), amount), (entries.c.kind == "return", -amount), else_=0)
    credit = dict(_pairs(connection, select(entries.c.account_id, func.sum(put_in)), entries.c.account_id))
    posted = dict(_pairs(connection, select(entries.c.account_id, func.sum(charged)), entries.c.account_id))
    broken = []
    for row in connection.execute(select(accounts)):
        for name, sums in (("credit", credit), ("posted", posted), ("held", held)):
            kept = getattr(row, f"{name}_nano_usd")
            if kept != sums.get(row.id, 0):
                broken.append(
                    f"I3: {row.name} has {name} {kept}, its lines and holds say {sums.get(row.id, 0)}"
                )
        available = row.credit_nano_usd - row.posted_nano_usd - row.held_nano_usd
        if row.limit_nano_usd is not None and available + row.limit_nano_usd < 0:
            broken.append(f"I2: {row.name} is {available + row.limit_nano_usd} below its limit")
    return broken


def _caps(connection: Connection) -> list[str]:
    wanted: Counter[tuple[str, int]] = Counter()
    for caps, amount in connection.execute(select(holds.c.caps, holds.c.amount_nano_usd)):
        for cap in read_caps(caps):
            wanted[cap] += amount
    broken = []
    for row in connection.execute(select(cap_windows)):
        held = wanted.pop((row.cap_id, row.window_start_ms), 0)
        if held != row.held_nano_usd:
            broken.append(f"I3: {row.cap_id} has held {row.held_nano_usd}, its holds say {held}")
    return broken + [
        f"I3: {cap_id} is held against and has no window" for (cap_id, _), n in wanted.items() if n
    ]


def _ends(connection: Connection) -> list[str]:
    twice = (
        select(entries.c.attempt_id)
        .where(entries.c.kind.in_(TERMINAL))
        .group_by(entries.c.attempt_id)
        .having(func.count() > 1)
    )
    both = select(holds.c.attempt_id).join(entries, entries.c.attempt_id == holds.c.attempt_id)
    broken = [f"I4: {attempt} ended twice" for attempt in connection.execute(twice).scalars()]
    return broken + [f"I4: {each} has ended and is held" for each in connection.execute(both).scalars()]


def _calls(connection: Connection) -> list[str]:
    """A call that was refused before it was held (no tokens, no target) has a row and no line."""
    line = entries.c.attempt_id == usage.c.request_id
    booked = select(literal(1)).where(line, entries.c.kind.in_(TERMINAL)).exists()
    unbooked = select(usage.c.request_id).where(usage.c.provider.is_not(None), ~booked)
    broken = [f"I6: {call} has no line" for call in connection.execute(unbooked).scalars()]
    cost = dict(
        _pairs(connection, select(usage.c.account_id, func.sum(usage.c.cost_nano_usd)), usage.c.account_id)
    )
    first_said = func.coalesce(entries.c.note, "") != LATE
    lined = select(entries.c.account_id, func.sum(entries.c.amount_nano_usd)).where(
        entries.c.kind.in_((*TERMINAL, "overrun")),
        first_said,
        entries.c.attempt_id.not_like("%.%"),  # a target that failed before: in no call's row
    )
    for account, amount in _pairs(connection, lined, entries.c.account_id):
        if amount != (cost.get(account) or 0):
            broken.append(f"I8: the calls of {account} cost {cost.get(account) or 0}, its lines say {amount}")
    return broken


def _pairs(connection: Connection, statement: object, group: object) -> list[tuple[str, int]]:
    rows = connection.execute(statement.group_by(group))  # type: ignore[attr-defined]  # any two-column SELECT
    return [(name, int(total or 0)) for name, total in rows]

"""Budgets, and what an account's calls have to be admitted against: rows in and out.

What was spent is counted per window as it is posted (`store/entries.py`); a limit that is made in the
middle of its window starts with what the ledger says was spent in it so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, and_, case, func, insert, select, update

from modelway.accounts.keys import Key, Resets
from modelway.accounts.rates import RateLimits, parse_rates
from modelway.accounts.windows import window_start_ms
from modelway.store.changes import MONEY, count_up
from modelway.store.entries import Cap
from modelway.store.keys import key_chain
from modelway.store.schema import accounts, budgets, cap_windows, entries, keys
from modelway.store.statements import insert_for

Scope = Literal["account", "member", "key", "model"]
BUDGETS_MAX = 100  # of one account: each is a statement on the path of every call that it covers

# Whose entries count against a budget of each scope; a key's are those of its chain.
_COUNTED: dict[str, ColumnElement[str | None]] = {
    "account": entries.c.account_id,
    "member": entries.c.member_id,
    "model": entries.c.model,
}
_SPENDING = ("charge", "estimate")


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit of `scope` for `subject` (an id), counted anew as `resets` says. `chain` is that of a key
    (`Key.chain`): its budget goes on for those that take over from it.
    """

    id: str
    account_id: str
    scope: Scope
    subject: str
    resets: Resets
    limit_nano_usd: int
    alerts: tuple[int, ...] = ()
    created_at_ms: int = 0
    chain: str | None = None

    def covers(self, key: Key, model: str) -> bool:
        match self.scope:
            case "account":
                return True
            case "member":
                return key.member_id == self.subject
            case "key":
                return key.chain == self.chain
            case "model":
                return model == self.subject


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for an account's calls. `limit_nano_usd` None: it may spend without limit."""

    account_id: str
    name: str
    billing: Literal["prepaid", "postpaid"]
    limit_nano_usd: int | None
    budgets: tuple[Budget, ...] = ()
    rate_limits: RateLimits | None = None

    def caps(self, key: Key, model: str, now_ms: int) -> list[Cap]:
        """The limits beside the account's own that a call of `key` to `model` counts against."""
        caps = [
            Cap(each.id, window_start_ms(each.resets, now_ms), each.limit_nano_usd)
            for each in self.budgets
            if each.covers(key, model)
        ]
        if key.limit_nano_usd is not None:
            caps.append(Cap(key.chain, window_start_ms(key.resets, now_ms), key.limit_nano_usd))
        return caps


def own_limit(key: Key, limit_nano_usd: int, at_ms: int) -> Budget:
    """The limit that a key has by itself, as a budget under the name of its chain."""
    return Budget(
        id=key.chain,
        account_id=key.account_id,
        scope="key",
        subject=key.id,
        resets=key.resets,
        limit_nano_usd=limit_nano_usd,
        created_at_ms=at_ms,
        chain=key.chain,
    )


def find_terms(connection: Connection, account_id: str) -> Terms | None:
    columns = (accounts.c.name, accounts.c.billing, accounts.c.limit_nano_usd, accounts.c.rate_limits)
    row = connection.execute(select(*columns).where(accounts.c.id == account_id)).first()
    if row is None:
        return None
    in_force = tuple(list_budgets(connection, account_id))
    rates = parse_rates(row.rate_limits)
    return Terms(account_id, row.name, row.billing, row.limit_nano_usd, in_force, rates)


def list_budgets(connection: Connection, account_id: str) -> list[Budget]:
    """The budgets in force, oldest first."""
    its_key = and_(budgets.c.scope == "key", keys.c.id == budgets.c.subject)
    statement = (
        select(budgets, key_chain.label("chain"))
        .select_from(budgets.outerjoin(keys, its_key))
        .where(budgets.c.account_id == account_id, budgets.c.removed_at_ms.is_(None))
        .order_by(budgets.c.id)
    )
    rows = connection.execute(statement).mappings()
    return [
        Budget(
            id=row["id"],
            account_id=row["account_id"],
            scope=row["scope"],
            subject=row["subject"],
            resets=row["resets"],
            limit_nano_usd=row["limit_nano_usd"],
            alerts=tuple(row["alerts"]),
            created_at_ms=row["created_at_ms"],
            chain=row["chain"],
        )
        for row in rows
    ]


def add_budget(connection: Connection, budget: Budget) -> None:
    columns = [name for name in budget.__slots__ if name in budgets.c]
    values = {name: getattr(budget, name) for name in columns} | {"alerts": list(budget.alerts)}
    connection.execute(insert(budgets).values(values))
    seed(connection, budget)
    count_up(connection, MONEY)


def change_limit(connection: Connection, account_id: str, budget_id: str, limit_nano_usd: int) -> bool:
    changed = connection.execute(
        update(budgets)
        .where(
            budgets.c.id == budget_id, budgets.c.account_id == account_id, budgets.c.removed_at_ms.is_(None)
        )
        .values(limit_nano_usd=limit_nano_usd)
    )
    count_up(connection, MONEY)
    return changed.rowcount == 1


def remove_budget(connection: Connection, account_id: str, budget_id: str, now_ms: int) -> bool:
    """True if it was in force. Its windows stay: what was spent is not forgotten."""
    removed = connection.execute(
        update(budgets)
        .where(
            budgets.c.id == budget_id, budgets.c.account_id == account_id, budgets.c.removed_at_ms.is_(None)
        )
        .values(removed_at_ms=now_ms)
    )
    count_up(connection, MONEY)
    return removed.rowcount == 1


def seed(connection: Connection, limit: Budget) -> None:
    """Begin the current window of a limit with what the ledger says was spent in it before; a window that was
    begun already, and not counted in while there was no limit, is brought up to that.
    """
    start_ms = window_start_ms(limit.resets, limit.created_at_ms)
    spent = connection.execute(
        select(func.coalesce(func.sum(entries.c.amount_nano_usd), 0)).where(
            entries.c.account_id == limit.account_id,
            entries.c.kind.in_(_SPENDING),
            entries.c.created_at_ms >= start_ms,
            _counted(limit),
        )
    ).scalar_one()
    posted = cap_windows.c.posted_nano_usd
    statement = insert_for(connection.dialect.name, cap_windows).values(
        cap_id=limit.id, window_start_ms=start_ms, posted_nano_usd=int(spent), held_nano_usd=0
    )
    # Never less than was counted: what others post at this moment is not in the sum.
    at_least = case((posted < int(spent), int(spent)), else_=posted)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["cap_id", "window_start_ms"], set_={"posted_nano_usd": at_least}
        )
    )


def _counted(limit: Budget) -> ColumnElement[bool]:
    if limit.scope != "key":
        return _COUNTED[limit.scope] == limit.subject
    chain = select(keys.c.id).where(keys.c.account_id == limit.account_id, key_chain == limit.chain)
    return entries.c.key_id.in_(chain)


def spent_in(connection: Connection, cap_id: str, start_ms: int) -> tuple[int, int]:
    """(posted, held) against a limit in the window that began at `start_ms`."""
    columns = (cap_windows.c.posted_nano_usd, cap_windows.c.held_nano_usd)
    row = connection.execute(
        select(*columns).where(cap_windows.c.cap_id == cap_id, cap_windows.c.window_start_ms == start_ms)
    ).first()
    return (row[0], row[1]) if row is not None else (0, 0)

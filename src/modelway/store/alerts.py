"""Budgets that have passed a threshold: noted once per window, kept until somebody has been told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from modelway.accounts.ids import RANDOM_BYTES, sortable_id
from modelway.accounts.windows import window_start_ms
from modelway.store.budgets import Budget, spent_in
from modelway.store.schema import alerts, budgets
from modelway.store.statements import insert_new

TRIES_MAX = 8  # with the waits between them about an hour; then it is in the table, and nobody was told
FIRST_WAIT_MS = 15_000
TAKEN_MAX = 20  # told in one round


class Alert(NamedTuple):
    """What is told: the budget, the window, the threshold, and what was spent when it was passed."""

    id: str
    budget_id: str
    account_id: str
    scope: str
    subject: str
    resets: str
    limit_nano_usd: int
    window_start_ms: int
    percent: int
    spent_nano_usd: int
    created_at_ms: int
    tries: int


Passed = tuple[Budget, int, int, int]  # budget, start of its window, percent, spent


def passed(connection: Connection, watched: Iterable[Budget], now_ms: int) -> list[Passed]:
    """Every threshold at or below what is spent now."""
    found = []
    for budget in watched:
        start_ms = window_start_ms(budget.resets, now_ms)
        spent, _ = spent_in(connection, budget.id, start_ms)
        for percent in budget.alerts:
            if spent * 100 >= budget.limit_nano_usd * percent:
                found.append((budget, start_ms, percent, spent))
    return found


def note(connection: Connection, found: Iterable[Passed], now_ms: int, random: bytes) -> int:
    """Note thresholds; those that were noted in their window before are left alone. How many are new."""
    new = 0
    for number, (budget, start_ms, percent, spent) in enumerate(found):
        new += insert_new(
            connection,
            alerts,
            id=sortable_id("alert", now_ms + number, random[:RANDOM_BYTES]),
            budget_id=budget.id,
            window_start_ms=start_ms,
            percent=percent,
            spent_nano_usd=spent,
            created_at_ms=now_ms,
            tries=0,
            next_try_at_ms=now_ms,
        )
    return new


def take_due(connection: Connection, now_ms: int) -> list[Alert]:
    """Alerts whose time has come; taking one is a try, so no other worker takes it meanwhile."""
    due = select(alerts.c.id).where(alerts.c.next_try_at_ms <= now_ms).order_by(alerts.c.id).limit(TAKEN_MAX)
    rows = connection.execute(select(alerts.c.id, alerts.c.tries).where(alerts.c.id.in_(due))).all()
    taken = []
    for alert_id, tries in rows:
        again_ms = now_ms + FIRST_WAIT_MS * 2**tries if tries + 1 < TRIES_MAX else None
        mine = connection.execute(
            update(alerts)
            .where(alerts.c.id == alert_id, alerts.c.tries == tries, alerts.c.next_try_at_ms <= now_ms)
            .values(tries=tries + 1, next_try_at_ms=again_ms)
        )
        if mine.rowcount == 1:
            taken.append(alert_id)
    columns = (
        alerts.c.id,
        alerts.c.budget_id,
        *(budgets.c[name] for name in ("account_id", "scope", "subject", "resets", "limit_nano_usd")),
        *(alerts.c[name] for name in ("window_start_ms", "percent", "spent_nano_usd", "created_at_ms")),
        alerts.c.tries,
    )
    statement = select(*columns).join(budgets, budgets.c.id == alerts.c.budget_id)
    told_of = statement.where(alerts.c.id.in_(taken)).order_by(alerts.c.id)
    return [Alert(*row) for row in connection.execute(told_of)]


def told(connection: Connection, alert_id: str, now_ms: int) -> None:
    connection.execute(
        update(alerts).where(alerts.c.id == alert_id).values(delivered_at_ms=now_ms, next_try_at_ms=None)
    )

"""Every management path, subject by subject: the routes, the reference and the tests read this list."""

from __future__ import annotations

from modelway.api import billing, budgets, cards, keys, money, people, usage
from modelway.api.management import Managed

ROWS: tuple[Managed, ...] = (
    *keys.ROWS,
    *usage.ROWS,
    *billing.ROWS,
    *budgets.ROWS,
    *people.ROWS,
    *money.ROWS,
    *cards.ROWS,
)

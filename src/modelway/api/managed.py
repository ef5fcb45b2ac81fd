"""Every management path, subject by subject: the routes, the reference and the tests read this list."""

from __future__ import annotations

from modelway.api import budgets, cards, keys, money, people
from modelway.api.management import Managed

ROWS: tuple[Managed, ...] = (*keys.ROWS, *budgets.ROWS, *people.ROWS, *money.ROWS, *cards.ROWS)

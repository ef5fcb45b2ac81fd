"""All rules between fields, and those that matter for one card on one path."""

from __future__ import annotations

from functools import lru_cache

from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.catalog.field_rules import FIELD_RULES
from modelway.catalog.findings import Rule
from modelway.catalog.message_rules import MESSAGE_RULES
from modelway.catalog.sampling_rules import SAMPLING_RULES
from modelway.catalog.thinking_rules import THINKING_RULES

# In order of precedence: of two findings about one place the first is taken.
RULES: tuple[Rule, ...] = (*SAMPLING_RULES, *THINKING_RULES, *FIELD_RULES, *MESSAGE_RULES)
# Three paths and some hundreds of cards fit several times.
ROWS_MAX = 4096


@lru_cache(ROWS_MAX)
def rules_for(card: Card, path: Path) -> tuple[Rule, ...]:
    """The rules a request to this model on this path can break, in order of precedence."""
    return tuple(rule for rule in RULES if rule.holds(card, path))

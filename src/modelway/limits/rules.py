"""What is limited, over which window, and what a call takes of it. A limit is a row here.

A bucket fills with what calls take and drains evenly, its limit in one window (GCRA, the generic cell rate
algorithm, told as a leaking bucket): a limit's worth may come at once, and what came is free again at
exactly known times. Amounts are kept as units x milliseconds of a window, so that every sum is a whole
number, in Python as in the doubles of a script.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from modelway.accounts.rates import NAMES, NO_LIMITS, RateLimits

MINUTE_MS = 60_000
# A full bucket of calls under way empties when one of them ends, and nobody knows when: worth a look.
CONCURRENCY_WAIT_MS = 1_000
# Of a limit that leaves this worker nothing: its share may grow with the next worker that leaves.
NO_SHARE_WAIT_MS = MINUTE_MS
# The most that a bucket holds, debts included. An answer of five minutes' worth still costs what it is; of
# one that is longer the limit is no measure, and it shall not lock a key out for hours.
DEBT_WINDOWS_MAX = 5

Scope = Literal["key", "account"]
# What a call takes: requests, input tokens, output tokens, one place among the calls under way.
Costs = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Dimension:
    """One row. `index` is its place in `Costs`; without a window it counts what is under way."""

    index: int
    setting: str
    words: str
    window_ms: int | None


DIMENSIONS = (
    Dimension(0, "requests_per_minute", "requests per minute", MINUTE_MS),
    Dimension(1, "input_tokens_per_minute", "input tokens per minute", MINUTE_MS),
    Dimension(2, "output_tokens_per_minute", "output tokens per minute", MINUTE_MS),
    Dimension(3, "concurrency", "calls at once", None),
)
assert tuple(row.setting for row in DIMENSIONS) == NAMES
REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS, CONCURRENCY = DIMENSIONS
# Counting tokens is free and asked for before every turn: it has requests of its own, as many.
COUNTING = "counting"


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit of one key or account. `bucket` is its name in every counter; what stands in braces there
    keeps the buckets of an account on one server of a cluster.
    """

    scope: Scope
    subject: str
    dimension: Dimension
    limit: int
    bucket: str
    index: int = field(init=False)
    window_ms: int | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", self.dimension.index)
        object.__setattr__(self, "window_ms", self.dimension.window_ms)


class State(NamedTuple):
    """What is left of a rule after a call was let in (or refused), and when all of it will be again."""

    rule: Rule
    remaining: int
    reset_ms: int


@dataclass(slots=True)
class Mark:
    """What one call took of one bucket, and where in the bucket it lies: in which time without a pause
    (`since_ms`), and how much had been taken in it when this was (`added`, this included).
    """

    rule: Rule
    taken: int
    since_ms: int = 0
    added: int = 0


@dataclass(slots=True)
class Ticket:
    """A call that was let in. Whoever holds it gives it back once, with what was used."""

    member: str
    marks: list[Mark]
    states: list[State]
    is_shared: bool = False  # counted where every worker looks, not in this process alone
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that was not let in, and of which nothing was taken: the same call passes in `wait_ms`."""

    rule: Rule
    wait_ms: int
    states: list[State]


def rules_of(chain: str, account_id: str, key: RateLimits, account: RateLimits | None) -> tuple[Rule, ...]:
    """Every limit that a call has to pass. `chain` is its key's: one that took over from another goes on with
    what is left in its buckets.
    """
    found = []
    subjects: tuple[tuple[Scope, str, RateLimits], ...] = (
        ("key", chain, key),
        ("account", account_id, account or NO_LIMITS),
    )
    for scope, subject, limits in subjects:
        for dimension, limit in zip(DIMENSIONS, limits.values(), strict=True):
            if limit:
                bucket = f"modelway:{{{account_id}}}:{subject}:{dimension.setting}"
                found.append(Rule(scope, subject, dimension, limit, bucket))
    return tuple(found)


def counting_rules(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The limits of a call that only counts tokens."""
    return tuple(
        Rule(rule.scope, rule.subject, rule.dimension, rule.limit, f"{rule.bucket}:{COUNTING}")
        for rule in rules
        if rule.dimension is REQUESTS
    )

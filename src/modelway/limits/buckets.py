"""Buckets in memory: how one fills and drains, and which of too many are forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush, heapreplace

from modelway.limits.rules import DEBT_WINDOWS_MAX, Mark, Rule, Scope

# Kept, about 500 bytes each. A key has four at most, so one account with every key that it may have
# (`manage/keys.py`) fills half of them.
BUCKETS_MAX = 40_000
# When one has to go. What was looked at is not looked at again before it was used, so few are nearly always
# enough; these take 0.1 ms.
LOOKED_AT_MAX = 64


class Bucket:
    """What was taken and has not drained yet, in units x milliseconds (`limits/rules.py`)."""

    __slots__ = ("added", "at_ms", "level", "limit", "rule", "since_ms", "window_ms")

    def __init__(self, rule: Rule, window_ms: int, limit: int, at_ms: int, level: int) -> None:
        self.rule, self.window_ms, self.limit = rule, window_ms, limit
        self.at_ms = self.since_ms = at_ms
        self.level = level
        self.added = 0

    def drain(self, now_ms: int, limit: int) -> None:
        """Bring the level to now. Empty is empty: a new time without a pause begins."""
        passed_ms, self.at_ms = now_ms - self.at_ms, now_ms
        level = self.level
        if passed_ms > 0:  # a clock that was set back drains from where it stands
            level -= passed_ms * limit
        if limit != self.limit:
            if limit < self.limit and level > limit * self.window_ms:
                level = limit * self.window_ms  # what was right before is no debt now
            self.limit = limit
        if level <= 0:
            level = self.added = 0
            self.since_ms = now_ms
        self.level = level

    def owe(self, units: int) -> None:
        """Take more than there may be: a debt, of which nobody waits for more than a few windows."""
        limit = self.limit * DEBT_WINDOWS_MAX
        units = min(units, limit)
        self.level = min(self.level + units * self.window_ms, limit * self.window_ms)
        self.added += units

    def take_back(self, units: int, mark: Mark) -> None:
        """Give back what was not used, as far as it has not drained: what came after it drains last."""
        if mark.since_ms == self.since_ms:
            left = self.level - (self.added - mark.added) * self.window_ms
            self.level -= max(0, min(units * self.window_ms, left))

    def drained_ms(self) -> int:
        """When it is empty."""
        return self.at_ms + (-(-self.level // self.limit) if self.limit else 0)


class Buckets:
    """By name. Of too many, those that drain soonest are forgotten, so what has drained goes first; one of an
    account, which bounds all its keys, only where there are none of keys.
    """

    def __init__(self) -> None:
        self.by_name: dict[str, Bucket] = {}
        # When each was last known to drain, at the earliest, and its name: two heaps.
        self._drains: dict[Scope, list[tuple[int, str]]] = {"key": [], "account": []}

    def __len__(self) -> int:
        return len(self.by_name)

    def __iter__(self) -> Iterator[Bucket]:
        return iter(self.by_name.values())

    def add(self, bucket: Bucket) -> None:
        rule = bucket.rule
        self.by_name[rule.bucket] = bucket
        heappush(self._drains[rule.scope], (bucket.at_ms, rule.bucket))

    def make_room(self) -> None:
        """Forget what is too much: as many as the last call added, at most."""
        while len(self.by_name) > BUCKETS_MAX:
            self._forget_one(self._drains["key"] or self._drains["account"])

    def _forget_one(self, drains: list[tuple[int, str]]) -> None:
        for _ in range(LOOKED_AT_MAX):
            known_ms, name = drains[0]
            drained_ms = self.by_name[name].drained_ms()
            if drained_ms <= known_ms:
                break
            heapreplace(drains, (drained_ms, name))
        del self.by_name[heappop(drains)[1]]

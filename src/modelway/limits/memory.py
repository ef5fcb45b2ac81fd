"""The counter of one process. Exact, and knows of nobody else: several workers each have a share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from modelway.limits.rules import (
    CONCURRENCY_WAIT_MS,
    NO_SHARE_WAIT_MS,
    Costs,
    Mark,
    Refusal,
    Rule,
    State,
    Ticket,
)

# Buckets kept; above it those that have drained are let go. A bucket is about 200 bytes.
BUCKETS_MAX = 20_000

Share = Callable[[int], int]


class Bucket:
    """What was taken and has not drained yet, in units x milliseconds (`limits/rules.py`)."""

    __slots__ = ("added", "at_ms", "level", "limit", "rule", "since_ms", "window_ms")

    def __init__(self, rule: Rule, window_ms: int, now_ms: int, level: int = 0) -> None:
        self.rule, self.window_ms, self.limit = rule, window_ms, 0
        self.at_ms = self.since_ms = now_ms
        self.level = level
        self.added = 0

    def drain(self, now_ms: int, limit: int) -> int:
        """The level now. Empty is empty: a new time without a pause begins."""
        self.limit = limit
        passed_ms, self.at_ms = now_ms - self.at_ms, now_ms
        level = self.level
        if passed_ms > 0:  # a clock that was set back drains from where it stands
            level -= passed_ms * limit
        if level <= 0:
            level = self.added = 0
            self.since_ms = now_ms
        self.level = level
        return level

    def fill(self, units: int) -> None:
        self.level += units * self.window_ms
        self.added += units

    def take_back(self, units: int, mark: Mark) -> None:
        """Give back what was not used, as far as it has not drained: what came after it drains last."""
        if mark.since_ms == self.since_ms:
            left = self.level - (self.added - mark.added) * self.window_ms
            self.level -= max(0, min(units * self.window_ms, left))


class MemoryCounter:
    """`now_ms` is monotonic. `share` says how much of a limit is this worker's, None all of it;
    `starts_full` makes every bucket begin without anything left in it, for a time in which others may have
    used what there was.
    """

    def __init__(
        self, now_ms: Callable[[], int], share: Share | None = None, *, starts_full: bool = False
    ) -> None:
        self._now_ms, self._share, self._starts_full = now_ms, share, starts_full
        self._buckets: dict[str, Bucket] = {}
        self._under_way: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._buckets) + len(self._under_way)

    def admit(self, rules: tuple[Rule, ...], costs: Costs, member: str) -> Ticket | Refusal:
        """Take what the call costs of every rule, or nothing of any."""
        now_ms = self._now_ms()
        if len(self._buckets) >= BUCKETS_MAX:
            self._let_go(now_ms)
        looked = [self._bucket(rule, now_ms) for rule in rules]
        worst, wait_ms = None, 0
        for rule, bucket in zip(rules, looked, strict=True):
            if (rule_wait_ms := self._wait_ms(rule, bucket, costs[rule.index])) > wait_ms:
                worst, wait_ms = rule, rule_wait_ms
        if worst is not None:
            return Refusal(worst, wait_ms, _states(rules, looked))
        marks = []
        for rule, bucket in zip(rules, looked, strict=True):
            cost = costs[rule.index]
            if bucket is None:
                if cost:
                    marks.append(self._enter(rule))
            elif cost:
                taken = cost if cost < bucket.limit else bucket.limit
                bucket.level += taken * bucket.window_ms
                bucket.added += taken
                marks.append(Mark(rule, taken, bucket.since_ms, bucket.added))
        return Ticket(member, marks, _states(rules, looked))

    def _bucket(self, rule: Rule, now_ms: int) -> Bucket | None:
        """The rule's, drained; None for one that counts what is under way."""
        window_ms = rule.window_ms
        if window_ms is None:
            return None
        limit = rule.limit if self._share is None else self._share(rule.limit)
        bucket = self._buckets.get(rule.bucket)
        if bucket is None:
            full = limit * window_ms if self._starts_full else 0
            bucket = self._buckets[rule.bucket] = Bucket(rule, window_ms, now_ms, full)
        bucket.rule = rule  # its limit may have changed
        bucket.drain(now_ms, limit)
        return bucket

    def _wait_ms(self, rule: Rule, bucket: Bucket | None, cost: int) -> int:
        """How long a call would have to wait for this rule."""
        if not cost:
            return 0
        if bucket is None:
            limit = rule.limit if self._share is None else self._share(rule.limit)
            if not limit:
                return NO_SHARE_WAIT_MS
            return CONCURRENCY_WAIT_MS if self._under_way.get(rule.bucket, 0) >= limit else 0
        limit = bucket.limit
        if not limit:
            return NO_SHARE_WAIT_MS
        # A call that may need more than a whole window's worth waits for an empty bucket, no longer.
        over = bucket.level + ((cost if cost < limit else limit) - limit) * bucket.window_ms
        return -(-over // limit) if over > 0 else 0

    def _let_go(self, now_ms: int) -> None:
        """Forget the buckets that have drained."""
        kept = {
            name: each
            for name, each in self._buckets.items()
            if each.level > (now_ms - each.at_ms) * each.limit
        }
        while len(kept) >= BUCKETS_MAX:  # every one of them in use: the oldest starts anew
            del kept[next(iter(kept))]
        self._buckets = kept

    def _enter(self, rule: Rule) -> Mark:
        self._under_way[rule.bucket] = self._under_way.get(rule.bucket, 0) + 1
        return Mark(rule, 1)

    def settle(self, ticket: Ticket, used: Costs) -> None:
        """Give back what the call did not use, or take what it used beyond. A second time does nothing."""
        if not ticket.is_open:
            return
        ticket.is_open = False
        now_ms = self._now_ms()
        for mark in ticket.marks:
            rule = mark.rule
            if rule.window_ms is None:
                self._leave(rule.bucket)
                continue
            bucket, more = self._buckets.get(rule.bucket), used[rule.index] - mark.taken
            if bucket is None or not more:
                continue
            bucket.drain(now_ms, bucket.limit)
            if more > 0:
                bucket.fill(more)
            else:
                bucket.take_back(-more, mark)

    def _leave(self, name: str) -> None:
        left = self._under_way.get(name, 0) - 1
        if left > 0:
            self._under_way[name] = left
        else:
            self._under_way.pop(name, None)

    def enter(self, ticket: Ticket) -> None:
        """Count a call that was let in elsewhere among those under way here."""
        for mark in ticket.marks:
            if mark.rule.window_ms is None:
                self._enter(mark.rule)

    def leave(self, ticket: Ticket) -> None:
        """End what `enter` began."""
        for mark in ticket.marks:
            if mark.rule.window_ms is None:
                self._leave(mark.rule.bucket)

    def take_out(self) -> Iterator[tuple[Rule, int]]:
        """Units that were taken here and have not drained, each given once. What a bucket began with drains
        first.
        """
        now_ms = self._now_ms()
        for bucket in self._buckets.values():
            level = bucket.level - (now_ms - bucket.at_ms) * bucket.limit
            if (units := min(-(-level // bucket.window_ms), bucket.added)) > 0:
                bucket.added = 0
                yield bucket.rule, units


def _states(rules: tuple[Rule, ...], looked: list[Bucket | None]) -> list[State]:
    """What is left of every rule that has a window."""
    states = []
    for rule, bucket in zip(rules, looked, strict=True):
        if bucket is not None:
            level, limit = bucket.level, bucket.limit
            left = limit - -(-level // bucket.window_ms)
            states.append(State(rule, left if left > 0 else 0, -(-level // limit) if limit else 0))
    return states

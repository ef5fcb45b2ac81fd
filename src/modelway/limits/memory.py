"""The counter of one process. Exact, and knows of nobody else: several workers each have a share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from modelway.limits.buckets import Bucket, Buckets
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

Share = Callable[[int], int]


class MemoryCounter:
    """`now_ms` is monotonic. `share` says how much of a limit is this worker's, None all of it;
    `starts_full` begins without anything left in any bucket, for a time in which others may have used what
    there was.
    """

    def __init__(
        self, now_ms: Callable[[], int], share: Share | None = None, *, starts_full: bool = False
    ) -> None:
        self._now_ms, self._share = now_ms, share
        self._full_at_ms = now_ms() if starts_full else None
        self._kept = Buckets()
        self._buckets = self._kept.by_name
        self._under_way: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._buckets) + len(self._under_way)

    def admit(self, rules: tuple[Rule, ...], costs: Costs, member: str) -> Ticket | Refusal:
        """Take what the call costs of every rule, or nothing of any."""
        now_ms = self._now_ms()
        self._kept.make_room()  # before the call's own are looked up: none of them goes
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
            if self._full_at_ms is None:
                bucket = Bucket(rule, window_ms, limit, now_ms, 0)
            else:
                bucket = Bucket(rule, window_ms, limit, self._full_at_ms, limit * window_ms)
            self._kept.add(bucket)
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
            more = used[rule.index] - mark.taken
            if more:
                self._correct(mark, more, now_ms)

    def _correct(self, mark: Mark, more: int, now_ms: int) -> None:
        """Add to a call's bucket what it used beyond what was taken, or give back what it did not use."""
        bucket = self._buckets.get(mark.rule.bucket)
        if bucket is not None:
            bucket.drain(now_ms, bucket.limit)  # the limit of now: the call's own may be an old one
        elif more > 0:
            bucket = self._bucket(mark.rule, now_ms)
        if bucket is None:
            return
        if more > 0:
            bucket.owe(more)
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
        for bucket in self._kept:
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

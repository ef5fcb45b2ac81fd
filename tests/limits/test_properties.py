"""Whatever calls come, however long they run and whatever they use: never above the limit, the wait is exact,
and both counters say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelway.accounts.rates import RateLimits
from modelway.limits.rules import Costs, Refusal, Ticket, rules_of
from tests.fix_valkey import ValkeyServer
from tests.limits.counters import Counter, InMemory, InValkey

MINUTE_MS = 60_000
FAR_MS = 10 * MINUTE_MS


@dataclass(frozen=True)
class Step:
    """Time passes, a call comes and may be let in, one that is under way may end."""

    pause_ms: int
    read: int
    written: int
    ends: int | None  # which of those under way
    share_used: float


def steps_that_use(*shares: float) -> st.SearchStrategy[list[Step]]:
    step = st.builds(
        Step,
        pause_ms=st.one_of(st.just(0), st.integers(0, 2_000), st.integers(0, 70_000)),
        read=st.integers(0, 60),
        written=st.integers(0, 120),
        ends=st.one_of(st.none(), st.integers(0, 5)),
        share_used=st.sampled_from(shares),
    )
    return st.lists(step, max_size=40)


FORESEEN = steps_that_use(0.0, 0.1, 0.5, 1.0)
STEPS = steps_that_use(0.0, 0.1, 0.5, 1.0, 2.0, 30.0)  # with debts
LIMITS = st.builds(
    RateLimits,
    requests_per_minute=st.integers(1, 12),
    input_tokens_per_minute=st.integers(1, 100),
    output_tokens_per_minute=st.integers(1, 200),
    concurrency=st.integers(1, 4),
)


@dataclass
class Held:
    """A call that was let in: when, what of each bucket, how much of that it used."""

    at_ms: int
    ticket: Ticket
    used: list[int]
    is_over: bool = False


def run(counter: Counter, limits: RateLimits, steps: list[Step]) -> tuple[list[Held], list[object]]:
    """What happened: the calls let in, and every outcome as it was told."""
    rules, now_ms = rules_of("key_1", "acct_1", limits, None), 0
    calls: list[Held] = []
    told: list[object] = []
    for number, step in enumerate(steps):
        counter.advance(step.pause_ms)
        now_ms += step.pause_ms
        under_way = [each for each in calls if not each.is_over]
        if step.ends is not None and step.ends < len(under_way):
            finish(counter, under_way[step.ends], step.share_used)
        outcome = counter.admit(rules, (1, step.read, step.written, 1), f"call_{number}")
        told.append(said(outcome))
        if isinstance(outcome, Ticket):
            taken = [0, 0, 0, 0]
            for mark in outcome.marks:
                taken[mark.rule.index] = mark.taken
            calls.append(Held(now_ms, outcome, taken))
    return calls, told


def finish(counter: Counter, call: Held, share: float) -> None:
    call.used = [call.used[0], *(int(each * share) for each in call.used[1:3]), 0]
    used: Costs = (1, call.used[1], call.used[2], 0)
    counter.settle(call.ticket, used)
    call.is_over = True


def said(outcome: Ticket | Refusal) -> object:
    states = [(state.rule.index, state.remaining, state.reset_ms) for state in outcome.states]
    return (outcome.rule.index, outcome.wait_ms, states) if isinstance(outcome, Refusal) else states


@given(limits=LIMITS, steps=FORESEEN)
def test_no_window_ever_holds_more_than_the_limit_allows(limits: RateLimits, steps: list[Step]) -> None:
    calls, _ = run(InMemory(), limits, steps)

    for index, limit in enumerate(limits.values()[:3]):
        assert limit is not None
        for first, begin in enumerate(calls):
            in_window = 0
            for call in calls[first:]:
                in_window += call.used[index]
                # A full bucket, and what drains out of it meanwhile.
                assert in_window <= limit + limit * (call.at_ms - begin.at_ms) / MINUTE_MS


@given(limits=LIMITS, steps=STEPS)
def test_a_refused_call_passes_when_it_was_told_and_not_a_millisecond_earlier(
    limits: RateLimits, steps: list[Step]
) -> None:
    counter = InMemory()
    calls, _ = run(counter, limits, steps)
    for call in calls:
        if not call.is_over:
            finish(counter, call, 1.0)
    rules, costs = rules_of("key_1", "acct_1", limits, None), (1, 30, 60, 1)

    refusal = counter.admit(rules, costs)
    if isinstance(refusal, Ticket):
        return

    counter.advance(refusal.wait_ms - 1)
    again = counter.admit(rules, costs)
    assert isinstance(again, Refusal)
    assert again.wait_ms == 1
    counter.advance(1)
    assert isinstance(counter.admit(rules, costs), Ticket)


@given(limits=LIMITS, steps=STEPS)
def test_when_all_is_over_all_is_there_again(limits: RateLimits, steps: list[Step]) -> None:
    counter = InMemory()
    calls, _ = run(counter, limits, steps)
    for call in calls:
        if not call.is_over:
            finish(counter, call, 0.5)
    counter.advance(FAR_MS)

    outcome = counter.admit(rules_of("key_1", "acct_1", limits, None), (1, 0, 0, 1))

    assert isinstance(outcome, Ticket)
    assert [state.remaining + (state.rule.index == 0) for state in outcome.states] == list(limits.values())[
        :3
    ]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(limits=LIMITS, steps=STEPS)
def test_both_counters_say_the_same(
    valkey_server: ValkeyServer, limits: RateLimits, steps: list[Step]
) -> None:
    shared = InValkey(valkey_server)
    try:
        assert run(shared, limits, steps)[1] == run(InMemory(), limits, steps)[1]
    finally:
        shared.close()

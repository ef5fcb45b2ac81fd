"""What bounds a limit itself: how long it can keep anybody waiting, and how many buckets a worker keeps."""

from __future__ import annotations

from dataclasses import replace
from time import process_time

import pytest

from modelway.accounts.keys import Key
from modelway.accounts.rates import RateLimits
from modelway.limits.buckets import BUCKETS_MAX
from modelway.limits.limiter import Limiter
from modelway.limits.memory import MemoryCounter
from modelway.limits.rules import Refusal, Rule, Ticket, rules_of
from tests.limits.counters import BEGAN_MS, Counter, rules_for
from tests.limits.test_counters import MINUTE_MS, admitted, refused


@pytest.mark.parametrize("used", [200_000, 10**19])
def test_one_long_answer_is_waited_for_five_minutes_at_most_and_the_wait_is_exact(
    counter: Counter, used: int
) -> None:
    rules = rules_for(output_tokens_per_minute=1000)
    counter.settle(admitted(counter, rules, (1, 0, 1000, 0)), (1, 0, used, 0))

    wait_ms = refused(counter, rules, (1, 0, 1, 0)).wait_ms
    assert wait_ms == 4 * MINUTE_MS + MINUTE_MS // 1000
    assert refused(counter, rules, (1, 0, 1000, 0)).wait_ms == 5 * MINUTE_MS

    counter.advance(wait_ms - 1)
    assert refused(counter, rules, (1, 0, 1, 0)).wait_ms == 1
    counter.advance(1)
    admitted(counter, rules, (1, 0, 1, 0))


def test_many_long_answers_at_once_are_no_longer_to_wait_for_than_one(counter: Counter) -> None:
    rules = rules_for(output_tokens_per_minute=1000)
    for ticket in [admitted(counter, rules, (1, 0, 100, 0)) for _ in range(10)]:
        counter.settle(ticket, (1, 0, 50_000, 0))

    assert refused(counter, rules, (1, 0, 1000, 0)).wait_ms == 5 * MINUTE_MS


def test_what_was_used_under_a_larger_limit_is_at_most_a_minute_of_a_smaller_one(counter: Counter) -> None:
    admitted(counter, rules_for(input_tokens_per_minute=1_000_000), (1, 900_000, 0, 0))
    smaller = rules_for(input_tokens_per_minute=1000)

    assert refused(counter, smaller, (1, 1000, 0, 0)).wait_ms == MINUTE_MS
    counter.advance(MINUTE_MS)
    admitted(counter, smaller, (1, 1000, 0, 0))


def test_a_call_that_ends_after_its_limit_was_raised_forgives_nothing(counter: Counter) -> None:
    slow = admitted(counter, rules_for(output_tokens_per_minute=100), (1, 0, 100, 0))
    larger = rules_for(output_tokens_per_minute=1000)
    admitted(counter, larger, (1, 0, 800, 0))

    counter.settle(slow, (1, 0, 250, 0))

    assert refused(counter, larger, (1, 0, 1, 0)).wait_ms == 51 * MINUTE_MS // 1000


# --- buckets of one worker --------------------------------------------------------------------


class Worker:
    """A counter in memory on a clock that stands still."""

    def __init__(self, *, starts_full: bool = False) -> None:
        self.now_ms = BEGAN_MS
        self.counter = MemoryCounter(lambda: self.now_ms, starts_full=starts_full)

    def crowd(self, count: int, name: str = "crowd") -> None:
        """Keys that have one call each, and so a bucket that takes a second to drain."""
        for number in range(count):
            self.call(rules_for(f"{name}_{number}", requests_per_minute=60))

    def call(self, rules: tuple[Rule, ...]) -> Ticket | Refusal:
        return self.counter.admit(rules, (1, 0, 0, 0), "call")


def test_an_accounts_limit_is_not_forgotten_however_many_keys_it_has() -> None:
    worker, account = Worker(), RateLimits(requests_per_minute=25_000)
    own = RateLimits(requests_per_minute=60)

    for number in range(BUCKETS_MAX + 20):
        outcome = worker.call(rules_of(f"key_{number}", "acct_1", own, account))
        if isinstance(outcome, Refusal):
            break

    assert number == 25_000
    assert outcome.states[1].remaining == 0


def test_of_too_many_buckets_those_that_drain_soonest_are_forgotten() -> None:
    worker, busy = Worker(), rules_for("busy", requests_per_minute=10)
    assert sum(isinstance(worker.call(busy), Ticket) for _ in range(20)) == 10

    worker.crowd(BUCKETS_MAX + 500)

    assert isinstance(worker.call(busy), Refusal)
    assert len(worker.counter) <= BUCKETS_MAX + 1


def test_what_has_drained_makes_room_before_anything_else() -> None:
    worker = Worker()
    worker.crowd(BUCKETS_MAX)
    worker.now_ms += MINUTE_MS
    worker.crowd(500, "new")

    again = [worker.call(rules_for(f"new_{number}", requests_per_minute=60)) for number in range(500)]

    assert {each.states[0].remaining for each in again} == {58}


def test_a_new_key_among_too_many_costs_about_what_it_costs_among_few() -> None:
    worker, few_s = Worker(), 0.0
    for _ in range(3):
        worker = Worker()
        few_s = max(few_s, took_s(worker, 500))
    worker.crowd(BUCKETS_MAX)

    # Looking at every bucket there is would be thousands of times as much; a busy machine is not.
    assert took_s(worker, 500) < 50 * few_s


def took_s(worker: Worker, calls: int) -> float:
    began_s = process_time()
    worker.crowd(calls, "one more")
    return process_time() - began_s


def test_debts_of_a_bucket_that_had_to_go_are_not_forgiven() -> None:
    worker, rules = Worker(), rules_for("slow", output_tokens_per_minute=600)
    ticket = worker.counter.admit(rules, (1, 0, 1, 0), "slow")
    assert isinstance(ticket, Ticket)
    worker.now_ms += MINUTE_MS
    worker.crowd(BUCKETS_MAX + 10)

    worker.counter.settle(ticket, (1, 0, 1201, 0))

    refusal = worker.counter.admit(rules, (1, 0, 600, 0), "next")
    assert isinstance(refusal, Refusal)
    assert refusal.wait_ms == 2 * MINUTE_MS


def test_a_worker_that_begins_with_nothing_left_has_all_after_a_minute_for_new_keys_too() -> None:
    worker = Worker(starts_full=True)
    assert isinstance(worker.call(rules_for("early", requests_per_minute=6)), Refusal)
    worker.now_ms += 30_000
    half = worker.call(rules_for("half", requests_per_minute=6))
    worker.now_ms += 30_000

    late = worker.call(rules_for("late", requests_per_minute=6))

    assert [half.states[0].remaining, late.states[0].remaining] == [2, 5]


# --- what holds for a key ---------------------------------------------------------------------


def test_a_key_that_a_tenant_gave_no_limit_is_held_by_the_defaults_and_one_that_was_granted_is_not() -> None:
    worker = Worker()
    limiter = Limiter(RateLimits(requests_per_minute=6), worker.counter)
    unlimited = RateLimits(requests_per_minute=0)
    key = Key("key_1", "acct_1", "a tenant's", "mw-…", BEGAN_MS, rate_limits=unlimited)
    granted = replace(key, id="key_2", rate_limits=replace(unlimited, is_granted=True))

    rules = limiter.rules(key, None)

    assert sum(isinstance(worker.call(rules), Ticket) for _ in range(20)) == 6
    assert limiter.rules(granted, None) == ()

"""One suite for both counters: what a limit lets through, when, and what a call gives back."""

from __future__ import annotations

from modelway.accounts.rates import RateLimits
from modelway.limits.rules import Costs, Refusal, Rule, Ticket, counting_rules, rules_of
from tests.limits.counters import Counter, rules_for

ONE: Costs = (1, 0, 0, 1)
MINUTE_MS = 60_000


def admitted(counter: Counter, rules: tuple[Rule, ...], costs: Costs = ONE) -> Ticket:
    outcome = counter.admit(rules, costs)
    assert isinstance(outcome, Ticket), outcome
    return outcome


def refused(counter: Counter, rules: tuple[Rule, ...], costs: Costs = ONE) -> Refusal:
    outcome = counter.admit(rules, costs)
    assert isinstance(outcome, Refusal), outcome
    return outcome


def passed(counter: Counter, rules: tuple[Rule, ...], tries: int, costs: Costs = ONE) -> int:
    return sum(isinstance(counter.admit(rules, costs), Ticket) for _ in range(tries))


def test_a_limits_worth_may_come_at_once_and_no_more(counter: Counter) -> None:
    assert passed(counter, rules_for(requests_per_minute=10), 50) == 10


def test_the_wait_is_exact_to_the_millisecond(counter: Counter) -> None:
    rules = rules_for(requests_per_minute=7)
    assert passed(counter, rules, 7) == 7
    counter.advance(1234)

    wait_ms = refused(counter, rules).wait_ms
    assert wait_ms == -(-MINUTE_MS // 7) - 1234

    counter.advance(wait_ms - 1)
    assert refused(counter, rules).wait_ms == 1
    counter.advance(1)
    admitted(counter, rules)


def test_calls_come_back_evenly_not_all_at_a_windows_edge(counter: Counter) -> None:
    rules = rules_for(requests_per_minute=60)
    assert passed(counter, rules, 100) == 60

    freed = []
    for _ in range(10):
        counter.advance(1000)
        freed.append(passed(counter, rules, 5))

    assert freed == [1] * 10


def test_a_refused_call_takes_nothing_of_any_limit(counter: Counter) -> None:
    rules = rules_for(requests_per_minute=5, input_tokens_per_minute=100, concurrency=5)
    first = admitted(counter, rules, (1, 100, 0, 1))

    for _ in range(20):
        assert refused(counter, rules, (1, 1, 0, 1)).rule.dimension.setting == "input_tokens_per_minute"

    counter.settle(first, (1, 100, 0, 0))
    counter.advance(MINUTE_MS)
    assert passed(counter, rules, 10, (1, 0, 0, 1)) == 5


def test_a_call_passes_the_limits_of_its_key_and_of_its_account_or_none(counter: Counter) -> None:
    account = RateLimits(requests_per_minute=3)
    ours = rules_of("key_1", "acct_1", RateLimits(requests_per_minute=2), account)
    theirs = rules_of("key_2", "acct_1", RateLimits(requests_per_minute=9), account)

    assert passed(counter, ours, 5) == 2
    assert passed(counter, theirs, 5) == 1
    assert refused(counter, theirs).rule.scope == "account"


def test_the_wait_is_the_longest_of_all_limits_in_the_way(counter: Counter) -> None:
    rules = rules_for(requests_per_minute=1, output_tokens_per_minute=1000)
    admitted(counter, rules, (1, 0, 1000, 0))

    refusal = refused(counter, rules, (1, 0, 500, 0))

    assert (refusal.rule.dimension.setting, refusal.wait_ms) == ("requests_per_minute", MINUTE_MS)
    counter.advance(refusal.wait_ms)
    admitted(counter, rules, (1, 0, 500, 0))


def test_tokens_that_were_not_used_are_there_again_at_once(counter: Counter) -> None:
    rules = rules_for(input_tokens_per_minute=1000, output_tokens_per_minute=1000)
    first = admitted(counter, rules, (1, 600, 900, 0))
    assert refused(counter, rules, (1, 1, 200, 0)).rule.dimension.setting == "output_tokens_per_minute"

    counter.settle(first, (1, 500, 100, 0))

    states = {state.rule.dimension.setting: state.remaining for state in admitted(counter, rules).states}
    assert states == {"input_tokens_per_minute": 500, "output_tokens_per_minute": 900}


def test_a_failed_call_gives_back_all_its_tokens_and_counts_as_a_request(counter: Counter) -> None:
    rules = rules_for(requests_per_minute=10, input_tokens_per_minute=1000, output_tokens_per_minute=1000)
    counter.settle(admitted(counter, rules, (1, 800, 800, 0)), (1, 0, 0, 0))

    states = {s.rule.dimension.setting: s.remaining for s in admitted(counter, rules, (1, 0, 0, 0)).states}

    assert states == {
        "requests_per_minute": 8,
        "input_tokens_per_minute": 1000,
        "output_tokens_per_minute": 1000,
    }


def test_more_than_was_taken_is_a_debt_that_later_calls_wait_for(counter: Counter) -> None:
    rules = rules_for(output_tokens_per_minute=600)
    counter.settle(admitted(counter, rules, (1, 0, 100, 0)), (1, 0, 1200, 0))

    assert refused(counter, rules, (1, 0, 1, 0)).wait_ms == MINUTE_MS + 100
    counter.advance(MINUTE_MS + 100)
    admitted(counter, rules, (1, 0, 1, 0))


def test_what_drained_while_a_call_ran_is_not_given_back_a_second_time(counter: Counter) -> None:
    rules = rules_for(output_tokens_per_minute=600)
    slow = admitted(counter, rules, (1, 0, 600, 0))
    counter.advance(MINUTE_MS)
    admitted(counter, rules, (1, 0, 500, 0))

    counter.settle(slow, (1, 0, 0, 0))

    assert refused(counter, rules, (1, 0, 101, 0)).wait_ms == 100
    admitted(counter, rules, (1, 0, 100, 0))


def test_a_call_larger_than_a_window_waits_for_an_empty_bucket_and_no_longer(counter: Counter) -> None:
    rules = rules_for(input_tokens_per_minute=100)
    admitted(counter, rules, (1, 10, 0, 0))

    assert refused(counter, rules, (1, 5000, 0, 0)).wait_ms == 6000
    counter.advance(6000)
    admitted(counter, rules, (1, 5000, 0, 0))


def test_places_among_calls_at_once_are_left_once_however_often_a_call_is_settled(counter: Counter) -> None:
    rules = rules_for(concurrency=2)
    first, second = admitted(counter, rules), admitted(counter, rules)
    assert refused(counter, rules).rule.dimension.setting == "concurrency"

    for _ in range(3):
        counter.settle(first, (1, 0, 0, 0))

    admitted(counter, rules)
    refused(counter, rules)
    counter.settle(second, (1, 0, 0, 0))
    admitted(counter, rules)


def test_counting_tokens_has_as_many_requests_of_its_own(counter: Counter) -> None:
    rules = rules_for(requests_per_minute=3, input_tokens_per_minute=10, concurrency=1)
    admitted(counter, rules, (1, 10, 0, 1))

    assert passed(counter, counting_rules(rules), 10, (1, 0, 0, 0)) == 3


def test_what_is_left_and_when_all_will_be_again_is_told(counter: Counter) -> None:
    rules = rules_for(requests_per_minute=60, output_tokens_per_minute=6000)
    admitted(counter, rules, (1, 0, 1500, 0))
    counter.advance(500)

    states = admitted(counter, rules, (1, 0, 0, 0)).states

    assert [(s.rule.dimension.index, s.remaining, s.reset_ms) for s in states] == [
        (0, 58, 1500),
        (2, 4550, 14500),
    ]


def test_keys_do_not_share_a_bucket(counter: Counter) -> None:
    assert passed(counter, rules_for("key_1", requests_per_minute=3), 5) == 3
    assert passed(counter, rules_for("key_2", requests_per_minute=3), 5) == 3


def test_another_limit_holds_at_once_and_forgets_nothing_that_it_would_have_let_through(
    counter: Counter,
) -> None:
    assert passed(counter, rules_for(requests_per_minute=10), 8) == 8

    assert passed(counter, rules_for(requests_per_minute=12), 8) == 4
    assert passed(counter, rules_for(requests_per_minute=5), 8) == 0
    assert passed(counter, rules_for(requests_per_minute=6), 8) == 1


def test_a_clock_set_back_freezes_nothing(counter: Counter) -> None:
    rules = rules_for(requests_per_minute=60)
    assert passed(counter, rules, 100) == 60
    counter.advance(-2 * 60 * MINUTE_MS)

    assert refused(counter, rules).wait_ms == 1000
    counter.advance(1000)
    assert passed(counter, rules, 5) == 1

"""Which of a key's own numbers and the installation's defaults holds."""

from __future__ import annotations

import pytest

from modelway.accounts.rates import NO_LIMITS, RateLimits, parse_rates
from modelway.conversation.errors import CallError


@pytest.mark.parametrize(
    ("own", "default", "holds", "granted"),
    [
        (None, 60, 60, 60),
        (10, 60, 10, 10),
        (600, 60, 60, 600),
        (0, 60, 60, 0),
        (10, 0, 10, 10),
        (10, None, 10, 10),
        (None, None, None, None),
    ],
)
def test_a_keys_number_is_never_looser_than_the_default_unless_it_was_granted(
    own: int | None, default: int | None, holds: int | None, granted: int | None
) -> None:
    defaults = RateLimits(default, default, default, default)

    assert RateLimits(own, own, own, own).over(defaults).values() == (holds,) * 4
    assert RateLimits(own, own, own, own, is_granted=True).over(defaults).values() == (granted,) * 4


def test_each_number_is_judged_by_itself() -> None:
    own, defaults = RateLimits(0, 5, None, 30), RateLimits(60, 100, 1000, 20)
    assert own.over(defaults).values() == (60, 5, 1000, 20)


@pytest.mark.parametrize("rates", [RateLimits(0, 7), RateLimits(0, 7, is_granted=True)])
def test_what_is_stored_is_read_again(rates: RateLimits) -> None:
    assert parse_rates(rates.stored()) == rates
    assert rates.as_dict() == {"requests_per_minute": 0, "input_tokens_per_minute": 7}


def test_a_grant_without_a_number_is_nothing() -> None:
    assert parse_rates(RateLimits(is_granted=True).stored()) is None
    assert parse_rates(NO_LIMITS.stored()) is None


@pytest.mark.parametrize("value", [-1, 1.5, True, "60", 1_000_000_001])
def test_a_number_that_is_none_is_refused_with_what_would_be_right(value: object) -> None:
    with pytest.raises(CallError, match="a whole number from 1 to 1000000000 is right, or 0 for no limit"):
        parse_rates({"requests_per_minute": value})

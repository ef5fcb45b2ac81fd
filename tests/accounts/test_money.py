"""Money stays exact: reading, writing, and what a call costs."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.accounts.money import Price, cost_of, format_usd, parse_usd
from modelway.conversation.errors import CallError
from modelway.conversation.reply import Usage

amounts = st.integers(0, 10**18 - 1)
tokens = st.integers(0, 10**7)
maybe_tokens = st.none() | tokens
rates = st.integers(0, 10**12)
prices = st.builds(Price, rates, rates, st.none() | rates, st.none() | rates, st.none() | rates)
usages = st.builds(
    Usage,
    input_tokens=tokens,
    cache_read_tokens=maybe_tokens,
    cache_write_5m_tokens=maybe_tokens,
    cache_write_1h_tokens=maybe_tokens,
    output_tokens=tokens,
)


@given(amounts)
def test_what_is_written_reads_back(nano_usd: int) -> None:
    assert parse_usd(format_usd(nano_usd)) == nano_usd


@pytest.mark.parametrize(
    ("text", "nano_usd"),
    [("0.15", 150_000_000), ("0", 0), ("3", 3_000_000_000), ("0.000000001", 1), ("007.50", 7_500_000_000)],
)
def test_dollars_are_read_exactly(text: str, nano_usd: int) -> None:
    assert parse_usd(text) == nano_usd


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1.", ".5", "1e3", "1,5", " 1", "1\n", "nan", "0.0000000001", "1000000000", "١"],
)
def test_what_is_no_amount_is_refused_and_shown(text: str) -> None:
    with pytest.raises(CallError, match="is no amount in USD") as caught:
        parse_usd(text, "limit_usd")
    assert repr(text) in caught.value.message
    assert caught.value.param == "limit_usd"


@pytest.mark.parametrize(
    ("nano_usd", "text"), [(150_000_000, "0.15"), (-3_000_000_000, "-3.00"), (1, "0.000000001"), (0, "0.00")]
)
def test_dollars_are_written_short(nano_usd: int, text: str) -> None:
    assert format_usd(nano_usd) == text


@given(usages, prices)
def test_a_cost_is_the_exact_sum_rounded_up_once(usage: Usage, price: Price) -> None:
    def rate(own: int | None) -> int:
        return price.input if own is None else own

    exact = Fraction(
        usage.input_tokens * price.input
        + usage.output_tokens * price.output
        + (usage.cache_read_tokens or 0) * rate(price.cache_read)
        + (usage.cache_write_5m_tokens or 0) * rate(price.cache_write_5m)
        + (usage.cache_write_1h_tokens or 0) * rate(price.cache_write_1h),
        1_000_000,
    )

    assert 0 <= cost_of(usage, price) - exact < 1


@given(usages, usages, prices)
def test_splitting_a_call_never_makes_it_cheaper(one: Usage, other: Usage, price: Price) -> None:
    both = Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        cache_read_tokens=(one.cache_read_tokens or 0) + (other.cache_read_tokens or 0),
        cache_write_5m_tokens=(one.cache_write_5m_tokens or 0) + (other.cache_write_5m_tokens or 0),
        cache_write_1h_tokens=(one.cache_write_1h_tokens or 0) + (other.cache_write_1h_tokens or 0),
        output_tokens=one.output_tokens + other.output_tokens,
    )

    assert cost_of(one, price) + cost_of(other, price) >= cost_of(both, price)


def test_reasoning_is_part_of_the_output() -> None:
    price = Price(input=0, output=1_000_000)

    assert cost_of(Usage(output_tokens=10, reasoning_tokens=7), price) == 10


def test_a_price_below_a_nano_dollar_a_token_is_not_free() -> None:
    assert cost_of(Usage(input_tokens=1), Price(input=37_500_000, output=0)) == 38


def test_a_long_prompt_is_charged_at_its_tier_entirely() -> None:
    price = Price(input=1_000_000, output=2_000_000, tiers=((200, Price(input=2_000_000, output=3_000_000)),))

    assert cost_of(Usage(input_tokens=150, cache_read_tokens=50, output_tokens=1), price) == 202
    assert cost_of(Usage(input_tokens=150, cache_read_tokens=51, output_tokens=1), price) == 405

"""Money stays exact: reading, writing, and what a call costs."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.accounts.money import (
    COST_NANO_USD_MAX,
    Price,
    cost_of,
    format_usd,
    parse_usd,
    version_of,
    worst_cost,
)
from modelway.conversation.errors import CallError
from modelway.conversation.reply import COUNT_MAX, Usage

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


def test_audio_tokens_cost_what_audio_costs_and_are_counted_once() -> None:
    price = Price(input=1_000_000, output=2_000_000, audio_input=5_000_000, audio_output=7_000_000)
    usage = Usage(input_tokens=10, audio_input_tokens=4, output_tokens=8, audio_output_tokens=3)

    assert cost_of(usage, price) == 6 * 1 + 4 * 5 + 5 * 2 + 3 * 7


def test_audio_without_a_price_of_its_own_is_text() -> None:
    price = Price(input=1_000_000, output=2_000_000)

    assert cost_of(Usage(input_tokens=10, audio_input_tokens=4, output_tokens=8), price) == 26


def test_searches_are_charged_one_by_one() -> None:
    price = Price(input=0, output=0, web_search=10_000_000)

    assert cost_of(Usage(web_searches=3), price) == 30_000_000


@given(usages, prices, prices, st.integers(0, 10**6))
def test_no_call_costs_more_than_the_worst(usage: Usage, price: Price, tier: Price, above: int) -> None:
    tiered = replace(price, tiers=((above, tier),))
    # Reading a cache is never dearer than not having one; a price list that says so is not one.
    sane = all(each.cache_read is None or each.cache_read <= each.input for each in (price, tier))

    worst = worst_cost(tiered, usage.prompt_tokens, usage.output_tokens, writes_cache=True)

    assert not sane or cost_of(usage, tiered) <= worst


def test_every_price_has_its_own_name() -> None:
    one = Price(1, 2)

    assert version_of(one) == version_of(Price(1, 2))
    assert (
        len({version_of(each) for each in (one, Price(2, 1), Price(1, 2, 1), Price(1, 2, tiers=((5, one),)))})
        == 4
    )


def test_no_cost_is_more_than_a_database_can_add_up() -> None:
    dear = Price(10**18, 10**18, web_search=10**18)

    assert cost_of(Usage(output_tokens=COUNT_MAX), dear) == COST_NANO_USD_MAX
    assert cost_of(Usage(web_searches=COUNT_MAX), dear) == COST_NANO_USD_MAX
    assert worst_cost(dear, 1, 10**30) == COST_NANO_USD_MAX

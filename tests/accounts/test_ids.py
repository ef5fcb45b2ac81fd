"""Ids sort by time."""

from __future__ import annotations

from itertools import accumulate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.accounts.ids import ALPHABET, Mint, sortable_id

moments = st.integers(0, 2**48 - 1)
random_bytes = st.binary(min_size=10, max_size=10)


@given(moments, moments, random_bytes, random_bytes)
def test_an_id_made_later_sorts_later(one_ms: int, other_ms: int, one: bytes, other: bytes) -> None:
    ordered = sorted([(one_ms, one), (other_ms, other)])

    assert [sortable_id("x", *made) for made in ordered] == sorted(
        sortable_id("x", *made) for made in ordered
    )


@given(moments, random_bytes)
def test_an_id_is_its_prefix_and_26_characters(now_ms: int, entropy: bytes) -> None:
    prefix, characters = sortable_id("key", now_ms, entropy).split("_")

    assert prefix == "key"
    assert len(characters) == 26
    assert set(characters) <= set(ALPHABET)


def test_an_id_wants_a_time_and_exactly_its_randomness() -> None:
    with pytest.raises(ValueError, match="10 random bytes, not 9"):
        sortable_id("x", 0, bytes(9))
    with pytest.raises(ValueError, match="not -1"):
        sortable_id("x", -1, bytes(10))


@pytest.mark.parametrize("now_ms", [-1, 2**48])
def test_a_mint_wants_a_time_that_an_id_can_hold(now_ms: int) -> None:
    mint = Mint(lambda: now_ms, Random(0).randbytes)

    for _ in range(2):
        with pytest.raises(ValueError, match=f"not {now_ms}"):
            mint("req_")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=600), st.integers(0, 2**32))
def test_a_mint_makes_ids_of_the_same_shape_each_its_own_in_the_order_of_their_time(
    steps_ms: list[int], seed: int
) -> None:
    moments_ms = list(accumulate(steps_ms, initial=1_800_000_000_000))
    clock = iter(moments_ms)
    mint = Mint(lambda: next(clock), Random(seed).randbytes)

    made = [mint("req_") for _ in moments_ms]

    assert len(set(made)) == len(made)
    for id, now_ms in zip(made, moments_ms, strict=True):
        assert id[:14] == sortable_id("req", now_ms, bytes(10))[:14]
        assert len(id) == 30
        assert set(id[14:]) <= set(ALPHABET)

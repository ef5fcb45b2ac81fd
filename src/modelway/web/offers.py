"""The models as pages show them: what this installation serves, and the cards it could serve."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from modelway.accounts.money import NANO_PER_USD
from modelway.calls.call import Services
from modelway.calls.check import card_of
from modelway.catalog.cards import Card, Catalog
from modelway.catalog.names import normalised
from modelway.providers.registry import Model

# A search longer than this finds nothing that a shorter one would not.
QUERY_CHARACTERS_MAX = 100


@dataclass(frozen=True, slots=True)
class Offer:
    """A model with its card. `model` None: it has a card, but no provider serves it here."""

    id: str
    card: Card
    model: Model | None

    @property
    def is_served(self) -> bool:
        return self.model is not None

    @property
    def aliases(self) -> tuple[str, ...]:
        bare = self.card.id.rpartition("/")[2]
        names = self.model.aliases if self.model else (bare, *self.card.aliases)
        return tuple(dict.fromkeys(name for name in names if name != self.id))

    @property
    def input_usd(self) -> Decimal | None:
        """USD per million tokens read: what this installation charges, else the vendor's list price."""
        if self.model and self.model.price:
            return Decimal(self.model.price.input) / NANO_PER_USD
        return Decimal(self.card.prices.input) if self.card.prices else None

    @property
    def output_usd(self) -> Decimal | None:
        if self.model and self.model.price:
            return Decimal(self.model.price.output) / NANO_PER_USD
        return Decimal(self.card.prices.output) if self.card.prices else None


def offers(services: Services) -> list[Offer]:
    """What is served here first, in the configuration's order; then the other cards by vendor and age."""
    registry = services.registry
    served = [Offer(model.id, card_of(model), model) for model in registry.models]
    shown = {offer.card.id for offer in served}
    others = [Offer(card.id, card, None) for card in registry.catalog.all() if card.id not in shown]
    others.sort(key=lambda offer: (offer.card.vendor, _age(offer), offer.id))
    return served + others


def find(everything: Iterable[Offer], name: str, catalog: Catalog) -> Offer | None:
    """The offer a name means, by id or alias, however it is spelled; what is served here comes first."""
    wanted, card = normalised(name), catalog.find(name)
    by_name = (o for o in everything if wanted in {normalised(each) for each in (o.id, *o.aliases)})
    return next(by_name, None) or next((o for o in everything if card and o.card is card), None)


# Vendors that do not write themselves as their id with a capital letter.
VENDOR_NAMES = {"openai": "OpenAI", "deepseek": "DeepSeek", "xai": "xAI", "local": "Local"}


def vendor_name(vendor: str) -> str:
    return VENDOR_NAMES.get(vendor, vendor.capitalize())


def _age(offer: Offer) -> int:
    return -(offer.card.released.toordinal() if offer.card.released else 0)


# What a filter is called in the address, what people read, and which cards pass.
CAPABILITIES: dict[str, tuple[str, Callable[[Card], bool]]] = {
    "tools": ("Tools", lambda card: card.capabilities.tools),
    "thinking": (
        "Thinking",
        lambda card: bool(card.capabilities.thinking_types or card.capabilities.efforts),
    ),
    "structured": ("Structured output", lambda card: card.capabilities.structured_output),
    "cache": ("Cache marks", lambda card: card.capabilities.cache_marks),
    "search": ("Web search", lambda card: card.capabilities.hosted_web_search),
    "sampling": ("Sampling", lambda card: card.capabilities.sampling != "refused"),
    "prefill": ("Prefill", lambda card: card.capabilities.prefill),
    "batch": ("Batch", lambda card: card.capabilities.batch),
}
MODALITIES = {"image": "Images", "document": "Documents", "audio": "Audio", "video": "Video"}
CONTEXTS = {
    "32000": "32K or more",
    "128000": "128K or more",
    "200000": "200K or more",
    "1000000": "1M or more",
}
PRICES = {"0": "Free", "1": "$1 or less", "3": "$3 or less", "10": "$10 or less"}
SORTS: dict[str, tuple[str, Callable[[Offer], tuple[object, ...]]]] = {
    "served": (
        "Served here first",
        lambda offer: (not offer.is_served, offer.card.lifecycle != "active", _age(offer)),
    ),
    "newest": ("Newest", lambda offer: (_age(offer),)),
    "price": ("Price, low to high", lambda offer: (offer.input_usd is None, offer.input_usd or Decimal(0))),
    "context": ("Context, long to short", lambda offer: (-(offer.card.context_window_tokens or 0),)),
    "name": ("Name", lambda offer: (offer.card.name.lower(),)),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What the Models page's address asks for. Unknown words count as not asked."""

    q: str = ""
    vendor: str = ""
    capability: tuple[str, ...] = ()
    modality: tuple[str, ...] = ()
    price: str = ""
    context: str = ""
    served: bool = False
    sort: str = "served"

    @classmethod
    def of(cls, query: Mapping[str, str], lists: Callable[[str], list[str]]) -> Filter:
        return cls(
            q=query.get("q", "").strip()[:QUERY_CHARACTERS_MAX],
            vendor=query.get("vendor", "")[:QUERY_CHARACTERS_MAX],
            capability=tuple(name for name in CAPABILITIES if name in lists("capability")),
            modality=tuple(name for name in MODALITIES if name in lists("modality")),
            price=query.get("price", "") if query.get("price") in PRICES else "",
            context=query.get("context", "") if query.get("context") in CONTEXTS else "",
            served=query.get("served") == "1",
            sort=query.get("sort", "served") if query.get("sort") in SORTS else "served",
        )

    def pairs(self) -> list[tuple[str, str]]:
        """The address of this view: only what differs from the plain page."""
        pairs = [("q", self.q), ("vendor", self.vendor)]
        pairs += [("capability", name) for name in self.capability]
        pairs += [("modality", name) for name in self.modality]
        pairs += [("price", self.price), ("context", self.context), ("served", "1" if self.served else "")]
        pairs += [("sort", self.sort if self.sort != "served" else "")]
        return [(name, value) for name, value in pairs if value]

    def chosen(self, everything: Iterable[Offer]) -> list[Offer]:
        """The offers that pass, sorted."""
        passing = [offer for offer in everything if self._passes(offer)]
        return sorted(passing, key=SORTS[self.sort][1])

    def _passes(self, offer: Offer) -> bool:
        card = offer.card
        price = offer.input_usd
        return (
            _matches(self.q, offer)
            and (not self.vendor or card.vendor == self.vendor)
            and all(CAPABILITIES[name][1](card) for name in self.capability)
            and all(name in card.input for name in self.modality)
            and (not self.context or (card.context_window_tokens or 0) >= int(self.context))
            and (not self.price or (price is not None and price <= Decimal(self.price)))
            and (not self.served or offer.is_served)
        )


def _matches(text: str, offer: Offer) -> bool:
    """Every word of the search is somewhere in the model's names, vendor or description."""
    card = offer.card
    written = " ".join((offer.id, card.name, card.vendor, card.description, *offer.aliases)).lower()
    return all(word in written for word in text.lower().split())

"""Providers as rows, models as what callers name, and how a name finds its targets.

A new kind of provider is a row in `KINDS` (and one function in `credentials` or `quirks` if it is odd).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from modelway.accounts.money import Price
from modelway.catalog import names
from modelway.catalog.cards import Card, Catalog
from modelway.conversation.capabilities import ANY_MODEL, Capabilities
from modelway.conversation.errors import CallError
from modelway.conversation.parts import Vendor
from modelway.protocols.interface import ProtocolName

# Nearest ids shown in a 404: enough to spot a typo, few enough to read.
SUGGESTIONS_MAX = 3
NAME_CHARACTERS_SHOWN_MAX = 100
# As long as a model's id may be in the configuration. The name of an unlisted model becomes a header.
NAME_CHARACTERS_MAX = 256


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of provider."""

    name: str
    base_url: str | None
    protocol: ProtocolName
    credential: str
    vendor: Vendor


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("openai", "https://api.openai.com/v1", "chat", "bearer", "openai"),
        Kind("anthropic", "https://api.anthropic.com", "messages", "x-api-key", "anthropic"),
        Kind("openai-compatible", None, "chat", "bearer", "other"),
        Kind("local", None, "chat", "bearer", "other"),
    )
}

# Where a protocol lives under a provider's base address. Anthropic's base has no /v1, OpenAI's does.
_PATHS: dict[ProtocolName, str] = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "messages": "/messages",
}


@dataclass(frozen=True, slots=True)
class Provider:
    """A company's endpoint, ready to call. `is_local` means the engine knows the address."""

    name: str
    kind: Kind
    protocol: ProtocolName
    base_url: str
    api_key: str | None = field(repr=False, default=None)

    @property
    def is_local(self) -> bool:
        return self.kind.name == "local"

    @property
    def vendor(self) -> Vendor:
        return self.kind.vendor

    def url(self, path: str | None = None) -> str:
        """The address of this provider's protocol, or of `path` beside it (`/embeddings`)."""
        return versioned(self.base_url) + (path or _PATHS[self.protocol])


@lru_cache(maxsize=1024)  # one per provider
def versioned(base_url: str) -> str:
    """`base_url` with its version: a bare host, and Anthropic's, get `/v1`; any other path is kept."""
    base = base_url.rstrip("/")
    host_only = base.count("/") == 2
    return base + "/v1" if host_only else base


@dataclass(frozen=True, slots=True)
class Target:
    """Provider and model chosen for a call."""

    provider: Provider
    model: str
    weight: int = 1
    capabilities: Capabilities = ANY_MODEL
    name: str = field(init=False)
    """`provider/model`, as the header that says what answered has it."""

    def __post_init__(self) -> None:
        prefix = f"{self.provider.name}/"
        name = self.model if self.model.startswith(prefix) else prefix + self.model
        object.__setattr__(self, "name", name)


@dataclass(frozen=True, slots=True)
class Model:
    """What callers name. `price` None means nobody knows what it costs."""

    id: str
    targets: tuple[Target, ...]
    fallback: tuple[Target, ...] = ()
    aliases: tuple[str, ...] = ()
    price: Price | None = None
    listed: bool = True
    """False for `provider/model` where the caller chose what comes after the slash."""
    card: Card | None = field(default=None, compare=False)
    """What is known of it; the registry looks it up, once."""

    @property
    def label(self) -> str:
        """Its name in metrics, where a series once begun stays: `provider/*` for all that are not listed."""
        return self.id if self.listed else f"{self.targets[0].provider.name}/*"


class Registry:
    """All providers and models of an installation and the cards they are known by: one value, replaced
    whole when any of them changes.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        models: tuple[Model, ...],
        catalog: Catalog,
        open_to_any: Collection[str] = (),
    ) -> None:
        """`open_to_any`: the providers that take any model's name as `provider/model`, listed or not."""
        self.providers = dict(providers)
        self.catalog = catalog
        self.models = tuple(map(self._with_card, models))
        self.open_to_any = frozenset(open_to_any)
        self._by_name: dict[str, Model] = {}
        for model in self.models:
            for name in (model.id, *model.aliases):
                self._by_name.setdefault(names.normalised(name), model)

    def find(self, name: str) -> Model:
        """The model of that name; raises 404 with the nearest ids."""
        found = self.known(name)
        if found is None:
            raise self._unknown(name)
        return found

    def known(self, name: str) -> Model | None:
        """As `find`, of names that may well be nobody's: without the search for the nearest."""
        return self._by_name.get(name) or self._by_name.get(names.normalised(name)) or self._prefixed(name)

    def _prefixed(self, name: str) -> Model | None:
        """`provider/model`: another spelling of one that is listed, or any at a provider open to it."""
        prefix, slash, rest = name.partition("/")
        provider = self.providers.get(prefix)
        if not slash or not rest or provider is None or provider.is_local:
            return None
        if len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
            return None
        known = self._by_name.get(names.normalised(rest))
        if known is not None and any(target.provider is provider for target in known.targets):
            return known
        if prefix not in self.open_to_any:
            return None
        return self._with_card(Model(name, (Target(provider, rest),), listed=False))

    def _with_card(self, model: Model) -> Model:
        """By its own name, else by the name its provider knows it under."""
        card = self.catalog.find(model.id) or self.catalog.find(model.targets[0].model)
        return replace(model, card=card)

    def _unknown(self, name: str) -> CallError:
        known = [name for model in self.models for name in (model.id, *model.aliases)]
        nearest = names.nearest(name, known, SUGGESTIONS_MAX) or known[:SUGGESTIONS_MAX]
        hint = f"the nearest are {', '.join(nearest)}" if nearest else "none is configured"
        shown = name[:NAME_CHARACTERS_SHOWN_MAX]
        return CallError("unknown_model", f"There is no model {shown!r} here; {hint}", param="model")

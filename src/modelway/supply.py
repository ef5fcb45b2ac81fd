"""What an installation can serve: its configuration, environment and cards made into one registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from modelway.accounts.money import Price, parse_usd
from modelway.catalog.cards import Card, CardError, Catalog, Rates, Raw
from modelway.catalog.drafts import read_draft
from modelway.config import (
    USUAL_VARIABLES,
    Config,
    ConfigError,
    ModelConfig,
    PriceConfig,
    ProviderConfig,
    TargetConfig,
    resolve_key,
)
from modelway.conversation.capabilities import ANY_MODEL, Capabilities
from modelway.providers.registry import KINDS, Model, Provider, Registry, Target
from modelway.store.cards import CARDS_MAX

LOCAL_MODEL = "local/smollm2"


class Supply:
    """What an installation is configured with, read once; only the cards written on its pages change."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self._config, self._environ = config, environ
        self._own = own_cards(config)

    def registry(self, written: Iterable[str] = ()) -> Registry:
        """Everything with the cards of these texts. Raises CardError for what cannot be used."""
        catalog = _catalog(self._config, [*self._own, *map(_values_of, written)])
        return registry_of(self._config, catalog, self._environ)

    def usable(self, written: Mapping[str, str], complain: Callable[[str, str], None]) -> Registry:
        """As `registry`, without the cards that cannot be used any more: a newer version of Modelway may
        have a card of its own under a name that one of them took. `complain` is told id and reason.
        """
        try:
            return self.registry(written.values())
        except CardError:
            good: list[str] = []
            registry = self.registry()
            for card_id, text in written.items():
                try:
                    registry = self.registry([*good, text])
                except CardError as error:
                    complain(card_id, str(error))
                else:
                    good.append(text)
            return registry


@lru_cache(CARDS_MAX)
def _values_of(text: str) -> Raw:
    return read_draft(text).raw


def own_cards(config: Config) -> list[Raw]:
    """The cards in the installation's folder."""
    found: list[Raw] = []
    if config.cards is not None:
        for path in sorted(Path(config.cards).expanduser().glob("*.yaml")):
            try:
                found.append(read_draft(path.read_text(encoding="utf-8")).raw)
            except (OSError, UnicodeDecodeError, CardError) as error:
                raise ConfigError(f"{path}: cannot be read as a card: {error}") from None
    return found


def catalog_of(config: Config) -> Catalog:
    """Our cards, with the installation's own over them and the local model's real context."""
    return _catalog(config, own_cards(config))


def _catalog(config: Config, overlay: Iterable[Raw]) -> Catalog:
    if config.engine.model_path is not None:
        return Catalog.shipped(overlay)
    window = config.engine.context_tokens
    context = {"id": LOCAL_MODEL, "context_window_tokens": window, "max_output_tokens": window}
    return Catalog.shipped([*overlay, context])


def registry_of(config: Config, catalog: Catalog, environ: Mapping[str, str]) -> Registry:
    """Providers and models as the configuration has them, plus the local model and what needs no writing:
    a provider whose usual environment variable is set, and the cards of a provider without models.
    """
    providers = {
        row.name: _provider(row, environ) for row in (*config.providers, *_from_environment(config, environ))
    }
    if config.engine.start != "never":
        providers.setdefault("local", Provider("local", KINDS["local"], "chat", ""))
    models = [_model(row, providers, catalog) for row in config.models]
    named = {target.provider.name for model in models for target in (*model.targets, *model.fallback)}
    # Whose models are all listed: those the configuration sends calls to, and those our cards are of.
    listed = {target.provider.name for model in models for target in model.targets}
    vendors = {_vendor(card) for card in Catalog.shipped().all()}
    for provider in providers.values():
        if provider.is_local:
            models.append(_local_model(provider, catalog))
        elif provider.name not in named:
            models.extend(_models_of(provider, catalog))
            listed |= {provider.name} if provider.kind.name in vendors else set()
    return Registry(providers, tuple(models), catalog, providers.keys() - listed)


def _from_environment(config: Config, environ: Mapping[str, str]) -> list[ProviderConfig]:
    """Providers that nobody wrote down, whose usual variable is set."""
    taken = {row.name for row in config.providers} | {row.kind for row in config.providers}
    rows = {
        "openai": ProviderConfig(name="openai", kind="openai", api_key=f"env:{USUAL_VARIABLES['openai']}"),
        "anthropic": ProviderConfig(
            name="anthropic", kind="anthropic", api_key=f"env:{USUAL_VARIABLES['anthropic']}"
        ),
    }
    return [row for name, row in rows.items() if environ.get(USUAL_VARIABLES[name]) and name not in taken]


def _provider(row: ProviderConfig, environ: Mapping[str, str]) -> Provider:
    kind = KINDS[row.kind]
    base_url = row.base_url or kind.base_url
    if base_url is None and kind.name != "local":
        raise ConfigError(
            f"provider {row.name!r}: kind {kind.name} needs a base_url such as http://127.0.0.1:9001/v1"
        )
    return Provider(row.name, kind, row.protocol or kind.protocol, base_url or "", resolve_key(row, environ))


def _model(row: ModelConfig, providers: Mapping[str, Provider], catalog: Catalog) -> Model:
    card = catalog.find(row.id)
    return Model(
        id=row.id,
        targets=tuple(_target(target, row.id, providers, catalog) for target in row.targets),
        fallback=tuple(_target(target, row.id, providers, catalog) for target in row.fallback),
        aliases=row.aliases,
        price=price_of(row.price) if row.price else _card_price(card),
    )


def _target(row: TargetConfig, model_id: str, providers: Mapping[str, Provider], catalog: Catalog) -> Target:
    name = row.model or model_id
    card = catalog.find(name) or catalog.find(model_id)
    provider = providers[row.provider]
    return Target(provider, name, row.weight, _capabilities(card, provider))


def _capabilities(card: Card | None, provider: Provider) -> Capabilities:
    """The card's word on the model, if its vendor's own dialect is spoken; else only what the dialect has."""
    return card.capabilities if card is not None else ANY_MODEL


def _local_model(provider: Provider, catalog: Catalog) -> Model:
    card = catalog.find(LOCAL_MODEL)
    target = Target(provider, LOCAL_MODEL, 1, _capabilities(card, provider))
    return Model(LOCAL_MODEL, (target,), aliases=("smollm2",), price=Price(0, 0))


def _models_of(provider: Provider, catalog: Catalog) -> list[Model]:
    """The cards of a provider's own vendor and those written for it by name (`lab/own-1` for the provider
    `lab`), named `provider/model` with the bare name as alias.
    """
    chosen: dict[str, Card] = {}
    for card in catalog.all():
        if _vendor(card) in (provider.kind.name, provider.name):
            bare = card.id.partition("/")[2]
            if bare not in chosen or _vendor(card) == provider.name:
                chosen[bare] = card
    models = []
    for bare, card in chosen.items():
        target = Target(provider, bare, 1, _capabilities(card, provider))
        aliases = (bare, *card.aliases) if provider.name == _vendor(card) else ()
        models.append(Model(f"{provider.name}/{bare}", (target,), aliases=aliases, price=_card_price(card)))
    return models


def _vendor(card: Card) -> str:
    """What stands before the slash of a card's id."""
    return card.id.partition("/")[0]


def price_of(row: PriceConfig) -> Price:
    def nano(usd: float | str | None) -> int | None:
        return None if usd is None else _nano(usd)

    return Price(
        _nano(row.input),
        _nano(row.output),
        nano(row.cache_read),
        nano(row.cache_write),
        nano(row.cache_write_1h),
    )


def _nano(usd: float | str) -> int:
    """Exactly the digits that were written: a float's shortest spelling is what stood in the file."""
    return parse_usd(format(Decimal(str(usd)), "f"))


def _card_price(card: Card | None) -> Price | None:
    if card is None or card.prices is None:
        return None
    tiers = tuple((tier.above_prompt_tokens, _rates(tier)) for tier in card.prices.tiers)
    return replace(_rates(card.prices), tiers=tiers)


def _rates(rates: Rates) -> Price:
    def nano(usd: str | None) -> int | None:
        return None if usd is None else parse_usd(usd)

    return Price(
        parse_usd(rates.input),
        parse_usd(rates.output),
        nano(rates.cache_read),
        nano(rates.cache_write_5m),
        nano(rates.cache_write_1h),
    )

"""`modelway models …`: what an installation serves, with the cards that were written on its pages."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import typer

from modelway.app import database_url
from modelway.catalog.cards import CardError
from modelway.catalog.checks import problems
from modelway.cli.base import ConfigOption, DataDirOption, JsonOption, print_json
from modelway.config import Config, environment, load
from modelway.conversation.errors import CallError
from modelway.manage import models as manage
from modelway.providers.registry import Registry
from modelway.store.cards import StoredCard
from modelway.store.database import Database
from modelway.store.urls import StoreError
from modelway.supply import Supply

app = typer.Typer(
    no_args_is_help=True,
    help="What models there are, counting the cards written on the pages if there is a database yet.",
)


@app.command("list")
def list_all(
    config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """The models this installation serves, with where they go."""
    registry, _ = _served(config, data_dir)
    rows = [
        {
            "id": model.id,
            "aliases": model.aliases,
            "targets": [f"{t.provider.name}: {t.model}" for t in model.targets],
        }
        for model in registry.models
    ]
    if as_json:
        print_json(rows)
    else:
        for model in registry.models:
            print(f"{model.id}  ->  {', '.join(f'{t.provider.name}: {t.model}' for t in model.targets)}")


@app.command("show")
def show_one(model_id: str, config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """A model's card."""
    catalog = _served(config, data_dir)[0].catalog
    card = catalog.find(model_id)
    if card is None:
        nearest = ", ".join(catalog.nearest(model_id))
        hint = f"the nearest are {nearest}" if nearest else "`modelway models validate` counts them all"
        raise CallError("unknown_model", f"there is no card {model_id!r}; {hint}")
    print_json(card)


@app.command("validate")
def validate(config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Load every card and check it: ours, the folder's, and those written on the pages."""
    registry, unusable = _served(config, data_dir)
    if faults := [*unusable, *problems(registry.catalog)]:
        raise CardError("\n".join(faults))
    print(f"All {len(registry.catalog.all())} cards are good.")


def _served(config_path: Path | None, data_dir: Path | None) -> tuple[Registry, list[str]]:
    """What is served, and which of the cards written on the pages cannot be used, with the reason."""
    settings = load(config_path, environment(), data_dir=str(data_dir) if data_dir else None)
    texts = {card.id: card.text for card in _written(settings)}
    unusable: list[str] = []
    registry = Supply(settings, environment()).usable(
        texts, lambda card_id, reason: unusable.append(f"{card_id}: {reason}")
    )
    for line in unusable:
        print(f"modelway: left out, as it cannot be used: {line}", file=sys.stderr)
    return registry, unusable


def _written(settings: Config) -> list[StoredCard]:
    """The cards written on the pages. Reading changes nothing: a database that is not there is not made, an
    older one stays as it is; what cannot be read is said, and the command goes on without it.
    """
    folder = Path(settings.data_dir).expanduser().absolute()
    if settings.database == "sqlite" and not (folder / "modelway.db").exists():
        return []

    async def read() -> list[StoredCard]:
        database = await Database.open(database_url(settings, folder))
        try:
            return await manage.list_cards(database)
        finally:
            await database.close()

    try:
        return asyncio.run(read())
    except (StoreError, CallError) as error:
        print(f"modelway: without the cards written on the pages: {error}", file=sys.stderr)
        return []

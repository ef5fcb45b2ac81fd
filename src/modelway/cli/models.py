"""`modelway models …`."""

from __future__ import annotations

import typer

from modelway.catalog.cards import CardError
from modelway.catalog.checks import problems
from modelway.cli.base import ConfigOption, JsonOption, print_json
from modelway.config import environment, load
from modelway.conversation.errors import CallError
from modelway.supply import catalog_of, registry_of

app = typer.Typer(no_args_is_help=True, help="What models there are.")


@app.command("list")
def list_all(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The models this configuration serves, with where they go."""
    settings = load(config, environment())
    registry = registry_of(settings, catalog_of(settings), environment())
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
def show_one(model_id: str, config: ConfigOption = None) -> None:
    """A model's card."""
    catalog = catalog_of(load(config, environment()))
    card = catalog.find(model_id)
    if card is None:
        nearest = ", ".join(catalog.nearest(model_id))
        hint = f"the nearest are {nearest}" if nearest else "`modelway models validate` counts them all"
        raise CallError("unknown_model", f"there is no card {model_id!r}; {hint}")
    print_json(card)


@app.command("validate")
def validate(config: ConfigOption = None) -> None:
    """Load every card and check it."""
    catalog = catalog_of(load(config, environment()))
    if faults := problems(catalog):
        raise CardError("\n".join(faults))
    print(f"All {len(catalog.all())} cards are good.")

"""Write the vendors' list prices into `catalog/cards/_prices.yaml` from the data of `genai-prices`.

    python scripts/prices.py [--date 2026-11-20] [--check]

`genai-prices` is needed only here; nothing is fetched. A price that changes with the hour is written at
its peak, because a bill that is too low is a loss nobody sees.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from genai_prices import types
from genai_prices.data import providers

CARDS = Path(__file__).parent.parent / "src/modelway/catalog/cards"
TABLE = CARDS / "_prices.yaml"
FIELDS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}


class _Dumper(yaml.SafeDumper):
    """Writes a repeated date each time instead of an anchor and its alias."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def main() -> int:
    """Write the table, or with `--check` only say whether it is what this version of the data gives."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--date", type=date.fromisoformat, default=datetime.now(UTC).date())
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    text = written(arguments.date)
    if arguments.check:
        same = TABLE.read_text() == text
        print(f"{TABLE.name} is {'up to date' if same else 'not what this script writes'}")
        return 0 if same else 1
    TABLE.write_text(text)
    print(f"{TABLE.name} written")
    return 0


def written(day: date) -> str:
    """The whole file for one day."""
    models = {
        f"{provider.id}/{model.id}": (provider, model) for provider in providers for model in provider.models
    }
    table = {}
    for card_id in sorted(_card_ids()):
        found = models.get(card_id)
        if found is not None:
            table[card_id] = _entry(*found, day)
    header = f"# Written by scripts/prices.py from genai-prices {version('genai-prices')} (MIT) for {day}.\n"
    return header + yaml.dump(table, Dumper=_Dumper, sort_keys=False, width=110)


def _card_ids() -> Iterable[str]:
    for path in CARDS.glob("[!_]*.yaml"):
        yield yaml.safe_load(path.read_text())["id"]


def _entry(provider: types.Provider, model: types.ModelInfo, day: date) -> dict[str, Any]:
    now, later = _periods(model, day)
    batch = _batch(model, now, day)
    prices = _rates(now) | ({"batch": batch} if batch else {})
    if note := _hours_note(model):
        prices["note"] = note
    page = (provider.pricing_urls or ["no page named"])[0]
    entry: dict[str, Any] = {"prices": prices}
    if later:
        entry["later_prices"] = [{"valid_from": start} | _rates(price) for start, price in later]
    source = f"genai-prices {version('genai-prices')}, after {page}"
    entry["sources"] = [{"fact": "prices", "source": source, "date": day}]
    return entry


def _periods(
    model: types.ModelInfo, day: date
) -> tuple[types.ModelPrice, list[tuple[date, types.ModelPrice]]]:
    """The price of `day` (the dearest hour of it) and the announced later ones."""
    if isinstance(model.prices, types.ModelPrice):
        return model.prices, []
    now, later, hourly = model.prices[0].prices, [], []
    for row in model.prices:
        if isinstance(row.constraint, types.StartDateConstraint):
            if row.constraint.start_date <= day:
                now = row.prices
            else:
                later.append((row.constraint.start_date, row.prices))
        elif isinstance(row.constraint, types.TimeOfDateConstraint):
            hourly.append(row.prices)
    return max([now, *hourly], key=lambda price: _base(price.input_mtok)), later


def _hours_note(model: types.ModelInfo) -> str:
    if isinstance(model.prices, types.ModelPrice):
        return ""
    hours = any(isinstance(row.constraint, types.TimeOfDateConstraint) for row in model.prices)
    return "Price of the vendor's peak hours; at other hours it is lower." if hours else ""


def _batch(model: types.ModelInfo, standard: types.ModelPrice, day: date) -> dict[str, Any] | None:
    for variant in model.price_variants or ():
        start = (
            variant.constraint.start_date
            if isinstance(variant.constraint, types.StartDateConstraint)
            else day
        )
        if variant.when == {"processing": "batch"} and start <= day:
            # A rate the batch table does not name stays at the standard one.
            return _rates(standard, variant.prices)
    return None


def _rates(standard: types.ModelPrice, special: types.ModelPrice | None = None) -> dict[str, Any]:
    values = {
        ours: getattr(special, theirs, None) or getattr(standard, theirs) for ours, theirs in FIELDS.items()
    }
    rates: dict[str, Any] = _flat_rates(values)
    starts = sorted(
        {
            tier.start
            for value in values.values()
            if isinstance(value, types.TieredPrices)
            for tier in value.tiers
        }
    )
    if starts:
        rates["tiers"] = [{"above_prompt_tokens": start} | _flat_rates(values, start) for start in starts]
    return rates


def _flat_rates(values: dict[str, Any], above: int = 0) -> dict[str, str]:
    return {name: _text(_base(value, above)) for name, value in values.items() if value is not None}


def _base(value: Decimal | types.TieredPrices | None, above: int = 0) -> Decimal:
    if isinstance(value, types.TieredPrices):
        reached = [tier.price for tier in value.tiers if tier.start <= above]
        return reached[-1] if reached else value.base
    return value or Decimal(0)


def _text(value: Decimal) -> str:
    return format(value.normalize(), "f")


if __name__ == "__main__":
    sys.exit(main())

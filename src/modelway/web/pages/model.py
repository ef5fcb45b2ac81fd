"""One model: what it is and costs, every parameter of its form, a request that runs, what can go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from modelway.catalog.capabilities import PATHS, Path
from modelway.catalog.cards import Card, Rates
from modelway.catalog.forms import Field, flat, form_schema
from modelway.catalog.samples import LANGUAGES, ROUTES
from modelway.web.errors import common_errors
from modelway.web.examples import LANGUAGE_NAMES, PATH_NAMES, example, language_of
from modelway.web.offers import CAPABILITIES, MODALITIES, Offer, find, vendor_name
from modelway.web.render import page
from modelway.web.sources import all_offers, base_url, sources

# Defaults and enum values longer than this are cut in the table; the schema has them whole.
SHOWN_CHARACTERS_MAX = 60
# A limit beyond it (a seed's 64 bits) limits nothing that a client could write in JSON.
WHOLE_MAX = 2**53


class PriceRow(NamedTuple):
    """One line of the price table: what it is for, and its five rates."""

    label: str
    rates: Rates


async def show(request: Request) -> Response:
    everything = all_offers(request)
    name = request.path_params["id"]
    offer = find(everything, name, sources(request).services.catalog)
    if offer is None:
        text = f"There is no model called {name[:100]}."
        return page(request, "message.html", status=404, title="No such model", text=text)
    api = path_of(request.query_params.get("api"), offer.card)
    language = language_of(request.query_params.get("lang"))
    origin = base_url(request)
    address = f"/models/{quote(offer.id)}"
    answer = page(
        request,
        "model.html",
        offer=offer,
        card=offer.card,
        vendor=vendor_name(offer.card.vendor),
        groups=grouped(everything),
        address=address,
        api=api,
        apis=PATH_NAMES,
        route=ROUTES[api],
        language=language,
        languages={each: LANGUAGE_NAMES[each] for each in LANGUAGES},
        code=example(offer.card, offer.id, api, language, origin),
        rows=[row(field) for field in flat(offer.card, api)],
        rules=form_schema(offer.card, api)["x-rules"],
        abilities=list(abilities(offer.card)),
        prices=list(price_rows(offer.card)),
        errors=common_errors(offer.card, api),
    )
    query = {key: request.query_params[key] for key in ("api", "lang") if key in request.query_params}
    answer.headers["hx-push-url"] = address + (f"?{urlencode(query)}" if query else "")
    return answer


def path_of(asked: str | None, card: Card) -> Path:
    """The protocol a page shows: the asked one, else Chat."""
    return next((path for path in PATHS if path == asked), "chat")


def grouped(everything: list[Offer]) -> dict[str, list[Offer]]:
    """The switcher's options: what is served here, then the other cards by vendor."""
    groups: dict[str, list[Offer]] = {}
    for offer in everything:
        label = "Served here" if offer.is_served else vendor_name(offer.card.vendor)
        groups.setdefault(label, []).append(offer)
    return groups


def row(field: Field) -> dict[str, Any]:
    """A parameter as the table shows it; the dots of a name say how deep it lies."""
    return {
        "name": field["name"],
        "depth": field["name"].count("."),
        "type": field["type"],
        "required": field["required"],
        "default": _shown(field["default"]) if "default" in field else "",
        "range": _range(field),
        "enum": [_shown(value) for value in field.get("enum", ())],
        "description": field["description"],
    }


def _range(field: Field) -> str:
    low, high = (
        None if limit is None or abs(limit) > WHOLE_MAX else limit
        for limit in (field.get("minimum"), field.get("maximum"))
    )
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    if low is not None:
        return f"{low:,} or more"
    return f"{high:,} or less" if high is not None else ""


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text[:SHOWN_CHARACTERS_MAX]


def abilities(card: Card) -> Iterator[tuple[str, bool, str]]:
    """Ability, whether the model has it, and the detail people ask next."""
    able = card.capabilities
    details = {
        "tools": "in parallel" if able.tools and able.parallel_tools else "",
        "thinking": ", ".join(able.efforts) or ", ".join(sorted(able.thinking_types)),
        "cache": f"from {able.cache_prompt_tokens_min:,} tokens" if able.cache_prompt_tokens_min else "",
        "sampling": "" if able.sampling == "free" else able.sampling.replace("_", " "),
    }
    for name, label in MODALITIES.items():
        yield f"{label} in", name in card.input, ""
    for name, (label, has) in CAPABILITIES.items():
        yield label, has(card), details.get(name, "") if has(card) else ""


def price_rows(card: Card) -> Iterator[PriceRow]:
    """The vendor's list prices: plain, above each prompt length, in batches, and those announced."""
    if card.prices is None:
        return
    yield PriceRow("Standard", card.prices)
    for tier in card.prices.tiers:
        yield PriceRow(f"Prompts over {tier.above_prompt_tokens:,} tokens", tier)
    if card.prices.batch:
        yield PriceRow("Batch", card.prices.batch)
    for later in card.later_prices:
        yield PriceRow(f"From {later.valid_from}", later)

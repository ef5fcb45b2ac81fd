"""The playground: a form drawn from the model's card; the calls are the browser's own, to the public API."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.catalog.forms import Field, flat
from modelway.catalog.samples import ROUTES, request_example
from modelway.web.examples import PATH_NAMES
from modelway.web.offers import find
from modelway.web.pages.model import path_of
from modelway.web.render import page
from modelway.web.sources import all_offers, base_url, sources

# These have a place of their own on the page, or are the page's affair.
_ELSEWHERE = frozenset(
    (
        *("model", "messages", "prompt", "input", "stream", "stream_options"),
        *("system", "system_prompt", "instructions", "tools"),
    )
)
# Shown at once, in this order; all else waits below "More parameters".
_FIRST = (
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "temperature", "top_p"),
    *("reasoning_effort", "reasoning.effort", "output_config.effort"),
    *("thinking.type", "thinking.budget_tokens"),
)
# Which file kinds a browser offers for what a card says the model reads.
_FILES = {"image": "image/png,image/jpeg,image/webp,image/gif", "document": "application/pdf,text/plain"}


async def show(request: Request) -> Response:
    catalog = sources(request).services.catalog
    served = [offer for offer in all_offers(request) if offer.is_served]
    if not served:
        text = "No provider is set up yet, so there is no model to talk to."
        return page(request, "message.html", title="Playground", text=text)
    offer = find(served, request.query_params.get("model", ""), catalog) or served[0]
    card, api = offer.card, path_of(request.query_params.get("api"), offer.card)
    fields = controls(card, api)
    listed = card.prices
    rates = (offer.input_usd, offer.output_usd, listed.cache_read if listed else None)
    return page(
        request,
        "playground.html",
        served=served,
        offer=offer,
        card=card,
        api=api,
        apis=PATH_NAMES,
        route=ROUTES[api],
        origin=base_url(request),
        first=[field for field in fields if field["first"]],
        more=[field for field in fields if not field["first"]],
        has_tools=card.capabilities.tools,
        accept=",".join(_FILES[kind] for kind in card.input if kind in _FILES),
        prices=["" if rate is None else str(rate) for rate in rates],
    )


def controls(card: Card, api: Path) -> list[dict[str, Any]]:
    """One control per parameter; an object whose fields have controls needs none itself."""
    fields = flat(card, api)
    parents = {field["name"].rpartition(".")[0] for field in fields}
    example = request_example(card, api)
    made = [
        _control(field, card, example)
        for field in fields
        if field["name"] not in parents and field["name"].partition(".")[0] not in _ELSEWHERE
    ]
    order = {name: place for place, name in enumerate(_FIRST)}
    return sorted(made, key=lambda control: order.get(control["name"], len(order)))


def _control(field: Field, card: Card, example: dict[str, Any]) -> dict[str, Any]:
    name = field["name"]
    twin = name in ("max_tokens", "max_completion_tokens") and name not in example
    return {
        "name": name,
        "kind": _kind(field),
        "step": "1" if field["type"] == "integer" else "any",
        "minimum": field.get("minimum"),
        "maximum": field.get("maximum"),
        "enum": [value for value in field.get("enum", ()) if value is not None],
        "default": field.get("default"),
        "description": field["description"],
        "value": example[name] if name in example and "max" in name else "",
        "first": name in _FIRST and not twin,
    }


def _kind(field: Field) -> str:
    if "enum" in field:
        return "enum"
    kinds = set(field["type"].split(" | ")) - {"null"}
    if kinds & {"array", "object"}:
        return "text or json" if "string" in kinds else "json"
    if kinds & {"integer", "number"}:
        return "number"
    return "boolean" if "boolean" in kinds else "text"

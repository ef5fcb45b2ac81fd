"""The start: what this is, how many models there are, and where to go."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from modelway.catalog.samples import LANGUAGES
from modelway.web.examples import LANGUAGE_NAMES, example, language_of
from modelway.web.offers import Filter
from modelway.web.render import page
from modelway.web.sources import all_offers, base_url


async def show(request: Request) -> Response:
    everything = all_offers(request)
    served = [offer for offer in Filter().chosen(everything) if offer.is_served]
    language = language_of(request.query_params.get("lang"))
    first = served[0] if served else everything[0]
    origin = base_url(request)
    return page(
        request,
        "home.html",
        origin=origin,
        served=served,
        cards=len(everything),
        vendors=len({offer.card.vendor for offer in everything}),
        language=language,
        languages={name: LANGUAGE_NAMES[name] for name in LANGUAGES},
        code=example(first.card, first.id, "chat", language, origin),
    )

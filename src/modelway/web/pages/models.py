"""All models: searched, filtered and sorted on the server; the address is the whole state."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from modelway.web.offers import CAPABILITIES, CONTEXTS, MODALITIES, PRICES, SORTS, Filter, vendor_name
from modelway.web.render import page
from modelway.web.sources import all_offers


async def show(request: Request) -> Response:
    query = request.query_params
    if opened := query.get("open"):
        return _opened(opened, request)
    everything = all_offers(request)
    chosen = Filter.of(query, query.getlist)
    answer = page(
        request,
        "models.html",
        filter=chosen,
        offers=chosen.chosen(everything),
        total=len(everything),
        vendors={name: vendor_name(name) for name in sorted({offer.card.vendor for offer in everything})},
        capabilities={name: label for name, (label, _) in CAPABILITIES.items()},
        modalities=MODALITIES,
        prices=PRICES,
        contexts=CONTEXTS,
        sorts={name: label for name, (label, _) in SORTS.items()},
    )
    pairs = chosen.pairs()
    answer.headers["hx-replace-url"] = "/models" + (f"?{urlencode(pairs)}" if pairs else "")
    return answer


def _opened(name: str, request: Request) -> Response:
    """Where the model switcher leads: the chosen model's page, with its tabs as they were."""
    query = request.query_params
    kept = {key: query[key] for key in ("api", "lang") if key in query}
    address = f"/models/{quote(name)}" + (f"?{urlencode(kept)}" if kept else "")
    return RedirectResponse(address, 303)

"""A card being written: a text, what is wrong with it in which line, and what it would do.

The page is a client of `/v1/cards`, as the playground is one of the models' paths: it asks and saves with a
management key that stays in the tab.
"""

from __future__ import annotations

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from modelway.catalog.cards import Card
from modelway.catalog.drafts import text_of
from modelway.web.examples import PATH_NAMES
from modelway.web.offers import find
from modelway.web.pages.model import grouped
from modelway.web.render import page
from modelway.web.sources import all_offers, sources

SKELETON = """\
id: vendor/model
vendor: vendor
name: Name for people
protocol: chat            # or responses, messages
description: >-
  What it is good for.
input: [text]             # image, document, audio, video
context_window_tokens: 128000
max_output_tokens: 8192
capabilities:
  tools: true
  structured_output: false
prices:                   # USD per million tokens
  input: 0.15
  output: 0.60
sources:
  - fact: limits and prices
    source: "https://…"
    date: 2026-01-31
"""
CHANGED = """\
id: {id}
# Write only what is to be different; all else stays as it is.
"""
# What a card may say, for people; each is explained where it stands in `catalog/cards.py`.
FIELDS: tuple[tuple[str, str], ...] = (
    ("id", "What the model is called: vendor/model. The provider named before the slash serves it."),
    ("family", "What models of one line share: claude, gpt-reasoning, gemini, chat-compatible …"),
    ("vendor, name, line, description", "Whose it is, and what people read."),
    ("protocol", "The dialect its provider speaks best: chat, responses or messages."),
    ("aliases, any_date", "Other names; whether a dated name (…-20260131) means the same."),
    ("input, output", "What it reads and writes: text, image, document, audio, video."),
    ("context_window_tokens, max_output_tokens", "Its limits."),
    ("capabilities", "What it can do: tools, structured_output, thinking_types, efforts, sampling …"),
    ("prices, later_prices", "USD per million tokens: input, output, cache_read, tiers, batch …"),
    ("parameters", "Per protocol, what its form has otherwise: {chat: {temperature: {maximum: 1}}}."),
    ("lifecycle, released, deprecated, retires, successor", "active, deprecated or retired, and when."),
    ("sources", "Where each fact was read, and on which day."),
)


async def new(request: Request) -> Response:
    """A card of an id that is new; `?from=` begins with what another says."""
    source = find(
        all_offers(request), request.query_params.get("from", ""), sources(request).services.catalog
    )
    if source is None:
        return _page(request, SKELETON)
    like = replace(
        source.card, id=f"{source.card.vendor}/new-model", name="New model", aliases=(), sources=()
    )
    return _page(request, text_of(like), source=source.id)


async def change(request: Request) -> Response:
    """A card that lies over the one there is; where a model has none, its first."""
    catalog = sources(request).services.catalog
    name = request.path_params["id"]
    card = catalog.find(name)
    if card is not None:
        return _page(request, CHANGED.format(id=card.id), card=card, whole=text_of(card))
    offer = find(all_offers(request), name, catalog)
    if offer is None:
        text = f"There is no model called {name[:100]}."
        return page(request, "message.html", status=404, title="No such model", text=text)
    return _page(request, text_of(offer.card), card=offer.card)


def _page(
    request: Request, text: str, *, card: Card | None = None, whole: str = "", source: str = ""
) -> Response:
    return page(
        request,
        "edit.html",
        text=text,
        card=card,
        whole=whole,
        source=source,
        fields=FIELDS,
        apis=PATH_NAMES,
        groups=grouped(all_offers(request)),
    )

"""The pages as one application: which address shows which page, and the headers on all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from modelway.calls.call import Services
from modelway.web.pages import edit, home, model, models, playground, reference
from modelway.web.render import STATIC, page, static
from modelway.web.sources import Sources


def pages(services: Services, document: Callable[[], dict[str, Any]]) -> Starlette:
    """The pages of one worker."""
    sources = Sources(services, document)
    application = Starlette(
        routes=[
            Route("/", home.show),
            Route("/models", models.show),
            Route("/models/new", edit.new),
            Route("/models/edit/{id:path}", edit.change),
            Route("/models/{id:path}", model.show),
            Route("/reference", reference.show),
            Route("/playground", playground.show),
            Route(f"{STATIC}{{name:path}}", static),
        ],
        exception_handlers={404: _not_found, 500: _failed},
    )
    application.state.sources = sources
    return application


async def _not_found(request: Request, error: Exception) -> Response:
    return page(request, "message.html", status=404, title="Not found", text=getattr(error, "detail", ""))


async def _failed(request: Request, error: Exception) -> Response:
    text = "The page could not be made. The gateway itself may be fine: try again, or ask its operator."
    return page(request, "message.html", status=500, title="This did not work", text=text)

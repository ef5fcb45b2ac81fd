"""What every page reads: the services of its worker and the description of the API."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from modelway.calls.call import Services
from modelway.web.offers import Offer, offers

# What a Host may look like on a page that people copy commands from; anything else is not repeated there.
_HOST = re.compile(r"[A-Za-z0-9.\-_]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Sources:
    """`document` makes the OpenAPI description of this installation."""

    services: Services
    document: Callable[[], dict[str, Any]]


def sources(request: Request) -> Sources:
    found: Sources = request.app.state.sources
    return found


def all_offers(request: Request) -> list[Offer]:
    return offers(sources(request).services)


def base_url(request: Request) -> str:
    """This installation's origin as the browser knows it, for the examples; behind TLS, a proxy says so."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        host = "localhost"
    secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    return f"{'https' if secure else 'http'}://{host}"

"""Where requests for pages come in. Starlette and Jinja2 are imported with the first page, not before.

They take 60 ms to import: a gateway that only serves programs starts without them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from modelway.calls.call import Services

# Addresses the pages answer on; one that ends in a slash stands for all below it.
PATHS = ("/", "/models", "/models/", "/reference", "/playground", "/static/")
METHODS = ("GET", "HEAD")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Pages:
    """The pages as a plain ASGI callable. `document` makes the OpenAPI description they draw."""

    def __init__(self, services: Services, document: Callable[[], dict[str, Any]]) -> None:
        self._services, self._document = services, document
        self._application: Callable[..., Awaitable[None]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._made()(scope, receive, send)
        except Exception as error:  # the edge: the page that says so has already been sent
            described = type(error).__name__
            self._services.log.write("error", "page_failed", path=scope["path"][:200], error=described)

    def _made(self) -> Callable[..., Awaitable[None]]:
        if self._application is None:
            from modelway.web.application import pages  # noqa: PLC0415  # keeps its import out of the start

            self._application = pages(self._services, self._document)
        return self._application

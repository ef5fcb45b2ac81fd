"""Which path answers what. Default deny: what is not listed is 404, a listed path's other verbs are 405."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from modelway.api.edge import AsgiClient, Receive, Scope, Send
from modelway.conversation.errors import CallError

App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is matched whole, or as the beginning of a longer one when it ends in a slash."""

    method: str
    path: str
    app: App


class Router:
    """The ASGI application. One dictionary look-up for the paths that models answer on."""

    def __init__(self, routes: list[Route], mint: Callable[[str], str]) -> None:
        self._mint = mint
        self._exact: dict[str, dict[str, App]] = {}
        self._prefixes: list[tuple[str, dict[str, App]]] = []
        for route in routes:
            if route.path.endswith("/") and route.path != "/":
                self._prefixes.append((route.path, {route.method: route.app}))
            else:
                self._exact.setdefault(route.path, {})[route.method] = route.app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        verbs = self._exact.get(path)
        if verbs is None:
            verbs = next((v for prefix, v in self._prefixes if path.startswith(prefix)), None)
        app = verbs.get(scope["method"]) if verbs else None
        if app is not None:
            await app(scope, receive, send)
            return
        await self._refuse(path, scope["method"], verbs, receive, send)

    async def _refuse(
        self, path: str, method: str, verbs: dict[str, App] | None, receive: Receive, send: Send
    ) -> None:
        request_id = self._mint("req_")
        client = AsgiClient(request_id, receive, send)
        if verbs is None:
            error = CallError("not_found", f"There is nothing at {path[:200]!r}")
        else:
            allowed = ", ".join(sorted(verbs))
            error = CallError("method", f"{path[:200]} answers {allowed}, not {method[:20]}")
            error.headers.append(("allow", allowed))
        protocol = "messages" if path.startswith("/v1/messages") else "chat"
        await client.fail(error, protocol, request_id)

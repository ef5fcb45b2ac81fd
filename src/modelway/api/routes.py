"""Which path answers what. Default deny: what is not listed is 404, a listed path's other verbs are 405."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from modelway.api.edge import AsgiClient, Receive, Scope, Send
from modelway.conversation.errors import CallError

App = Callable[[Scope, Receive, Send], Awaitable[None]]

# What nginx and Apache take by default.
TARGET_BYTES_MAX = 8 * 1024


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
        longer: dict[str, dict[str, App]] = {}
        for route in routes:
            if route.path.endswith("/") and route.path != "/":
                longer.setdefault(route.path, {})[route.method] = route.app
            else:
                self._exact.setdefault(route.path, {})[route.method] = route.app
        self._prefixes = list(longer.items())

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # As it was sent: an escaped slash or letter is not the path that it stands for.
        path = scope["raw_path"].decode("latin-1")
        verbs = self._exact.get(path)
        if verbs is None:
            verbs = next((v for prefix, v in self._prefixes if path.startswith(prefix)), None)
        app = verbs.get(scope["method"]) if verbs else None
        if app is None and verbs and scope["method"] == "HEAD" and (app := verbs.get("GET")) is not None:
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        is_short = len(path) + len(scope["query_string"]) <= TARGET_BYTES_MAX
        if app is not None and is_short:
            return app(scope, receive, send)
        error = _refusal(path, scope["method"], verbs) if is_short else _too_long()
        return self.refuse(error)(scope, receive, send)

    def refuse(self, error: CallError) -> App:
        """An application that answers everything with `error`."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            request_id = self._mint("req_")
            protocol = "messages" if scope["path"].startswith("/v1/messages") else "chat"
            await AsgiClient(request_id, receive, send).fail(error, protocol, request_id)

        return answer


def _too_long() -> CallError:
    return CallError("uri_too_long", f"The path and query are over {TARGET_BYTES_MAX} bytes")


def _refusal(path: str, method: str, verbs: dict[str, App] | None) -> CallError:
    if verbs is None:
        return CallError("not_found", f"There is nothing at {path[:200]!r}")
    allowed = ", ".join(sorted(verbs))
    error = CallError("method", f"{path[:200]} answers {allowed}, not {method[:20]}")
    error.headers.append(("allow", allowed))
    return error

"""The paths below `/v1/responses/`: a stored response fetched, cancelled, deleted, its input listed."""

from __future__ import annotations

from urllib.parse import parse_qs

from modelway.accounts.keys import Key
from modelway.api.edge import AsgiClient, Receive, Scope
from modelway.api.endpoint import Endpoint, no_body
from modelway.calls import stored
from modelway.calls.admit import authenticate
from modelway.calls.call import Services
from modelway.conversation.errors import CallError

PREFIX = "/v1/responses/"


class StoredResponses(Endpoint):
    """GET `{id}` and `{id}/input_items`, DELETE `{id}`, POST `{id}/cancel`."""

    def __init__(self, services: Services) -> None:
        super().__init__(services.protocols["responses"], services)

    async def respond(self, scope: Scope, receive: Receive, client: AsgiClient, request_id: str) -> None:
        key = await authenticate(self.call(scope, no_body, request_id), self._services)
        await client.answer(200, await self._answer(scope, key))

    async def _answer(self, scope: Scope, key: Key) -> object:
        response_id, _, what = scope["path"][len(PREFIX) :].partition("/")
        query = {
            name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()
        }
        match scope["method"], what:
            case "GET", "":
                if query.get("stream", "").lower() in ("true", "1"):
                    raise CallError.unsupported(
                        "`stream` is true; a stored response is fetched whole", param="stream"
                    )
                return await stored.retrieve(key, response_id, self._services)
            case "GET", "input_items":
                return await stored.input_items(key, response_id, query, self._services)
            case "DELETE", "":
                return await stored.remove(key, response_id, self._services)
            case "POST", "cancel":
                return await stored.cancel(key, response_id, self._services)
        raise CallError("not_found", f"There is nothing at {scope['method']} {scope['path'][:200]!r}")


class NoWebSocket(Endpoint):
    """GET `/v1/responses`: programs that would rather speak WebSocket are told at once to use HTTP."""

    def __init__(self, services: Services) -> None:
        super().__init__(services.protocols["responses"], services)

    async def respond(self, scope: Scope, receive: Receive, client: AsgiClient, request_id: str) -> None:
        if any(name == b"upgrade" for name, _ in scope["headers"]):
            raise CallError("upgrade", "Responses are served over HTTP here: POST /v1/responses")
        error = CallError("method", "/v1/responses answers POST, not GET")
        error.headers.append(("allow", "POST"))
        raise error

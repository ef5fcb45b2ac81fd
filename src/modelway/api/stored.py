"""The paths below `/v1/responses/`: a stored response fetched, cancelled, deleted, its input listed."""

from __future__ import annotations

from urllib.parse import parse_qs

from modelway.accounts.keys import Key
from modelway.api.edge import AsgiClient, Receive, Scope, Send, read_headers
from modelway.calls import stored
from modelway.calls.admit import authenticate
from modelway.calls.call import Call, Services
from modelway.conversation.errors import CallError

PREFIX = "/v1/responses/"


class StoredResponses:
    """GET `{id}` and `{id}/input_items`, DELETE `{id}`, POST `{id}/cancel`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        request_id = services.mint("req_")
        client = AsgiClient(request_id, receive, send)
        try:
            key = await authenticate(self._call(scope, request_id), services)
            await client.answer(200, await self._answer(scope, key))
        except CallError as error:
            await client.fail(error, "responses", request_id)
        except Exception as error:  # the edge: nothing of a failure inside may reach the client
            services.log.write("error", "call_failed", request_id=request_id, error=type(error).__name__)
            failed = CallError("internal", "The gateway failed; the failure is logged")
            await client.fail(failed, "responses", request_id)

    def _call(self, scope: Scope, request_id: str) -> Call:
        async def nothing() -> bytes:
            return b""

        services, headers = self._services, read_headers(scope["headers"])
        protocol = services.protocols["responses"]
        return Call(request_id, protocol, headers, nothing, services.clock(), services.now())

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


class NoWebSocket:
    """GET `/v1/responses`: programs that would rather speak WebSocket are told at once to use HTTP."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = self._services.mint("req_")
        client = AsgiClient(request_id, receive, send)
        if any(name == b"upgrade" for name, _ in scope["headers"]):
            error = CallError("upgrade", "Responses are served over HTTP here: POST /v1/responses")
        else:
            error = CallError("method", "/v1/responses answers POST, not GET")
            error.headers.append(("allow", "POST"))
        await client.fail(error, "responses", request_id)

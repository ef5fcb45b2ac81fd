"""What a program asks before it calls: is the gateway alive, ready, and which models are there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from modelway.api.edge import AsgiClient, Receive, Scope, Send, read_headers
from modelway.calls.admit import authenticate
from modelway.calls.call import Call, Services
from modelway.conversation.errors import CallError

Answer = Callable[[Scope, AsgiClient], Awaitable[None]]


class Discovery:
    """A GET path that answers from memory. `guarded` asks for a key first."""

    def __init__(self, answer: Answer, services: Services, *, guarded: bool) -> None:
        self._answer, self._services, self._guarded = answer, services, guarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        request_id = services.mint("req_")
        client = AsgiClient(request_id, receive, send)
        try:
            if self._guarded:
                await authenticate(self._call(scope, request_id), services)
            await self._answer(scope, client)
        except CallError as error:
            await client.fail(error, "chat", request_id)

    def _call(self, scope: Scope, request_id: str) -> Call:
        async def nothing() -> bytes:
            return b""

        headers = read_headers(scope["headers"])
        services = self._services
        chat = services.protocols["chat"]
        return Call(request_id, chat, headers, nothing, services.clock(), services.now())


def livez(services: Services) -> Answer:
    async def answer(scope: Scope, client: AsgiClient) -> None:
        await client.answer(200, {"status": "alive"})

    return answer


def readyz(services: Services, is_ready: Callable[[], Awaitable[bool]]) -> Answer:
    """200 while new calls are welcome: not draining, and the database answers."""

    async def answer(scope: Scope, client: AsgiClient) -> None:
        state = "draining" if services.draining else "ready" if await is_ready() else "database unavailable"
        engine = services.engine.state if services.engine else "off"
        await client.answer(200 if state == "ready" else 503, {"status": state, "local_model": engine})

    return answer


def metrics(services: Services) -> Answer:
    async def answer(scope: Scope, client: AsgiClient) -> None:
        services.metrics.live = services.live
        if services.engine is not None:
            services.metrics.engine_restarts = services.engine.restarts
        data = services.metrics.render()
        content_type = b"text/plain; version=0.0.4; charset=utf-8"
        await client.begin(
            200, [(b"content-type", content_type), (b"content-length", str(len(data)).encode())]
        )
        await client.end(data)

    return answer

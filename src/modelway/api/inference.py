"""The paths that models answer on: one callable each, from the ASGI scope to `calls.serve`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from modelway.api.edge import AsgiClient, Body, BodyLimits, Receive, Scope, Send
from modelway.api.endpoint import Endpoint
from modelway.calls.call import Call, Client, Services
from modelway.calls.refusals import Refusals
from modelway.calls.serve import serve
from modelway.conversation.errors import CallError
from modelway.protocols.interface import WireProtocol

Serve = Callable[[Call, Services, Client], Awaitable[None]]


class Inference(Endpoint):
    """One inference path: its protocol and the limits of its body. What `is_free` has no rows of usage."""

    def __init__(
        self,
        protocol: WireProtocol,
        services: Services,
        limits: BodyLimits,
        serve: Serve = serve,
        *,
        is_free: bool = False,
    ) -> None:
        super().__init__(protocol, services)
        self._limits, self._answer = limits, serve
        self._refusals = None if is_free else Refusals(services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services, task = self._services, asyncio.current_task()
        assert task is not None
        services.live += 1
        services.tasks.add(task)
        try:
            await super().__call__(scope, receive, send)
        finally:
            services.live -= 1
            services.tasks.discard(task)
            if services.draining:
                services.told_idle()

    async def respond(self, scope: Scope, receive: Receive, client: AsgiClient, request_id: str) -> None:
        async def read_body() -> bytes:
            data = await body.read()
            client.listen()
            return data

        call = self.call(scope, read_body, request_id)
        call.headers_out = client.headers
        body = Body(receive, call.headers, self._limits)
        try:
            await self._answer(call, self._services, client)
        except CallError as error:
            if self._refusals is not None:
                self._refusals.note(call, error)
            raise

    async def tell(self, client: AsgiClient, error: CallError, request_id: str) -> None:
        if not error.recorded:
            self._services.log.write(
                "info",
                "refused",
                request_id=request_id,
                protocol=self._protocol.name,
                status=error.status_on(self._protocol.name),
                code=error.code,
            )
        await super().tell(client, error, request_id)

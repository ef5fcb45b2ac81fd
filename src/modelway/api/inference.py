"""The paths that models answer on: one callable each, from the ASGI scope to `calls.serve`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from modelway.api.edge import AsgiClient, Body, Receive, Scope, Send, read_headers
from modelway.calls.call import Call, Services
from modelway.calls.serve import serve
from modelway.conversation.errors import CallError
from modelway.protocols.interface import WireProtocol

Serve = Callable[[Call, Services, AsgiClient], Awaitable[None]]


class Inference:
    """One inference path: its protocol and the limits of its body."""

    def __init__(
        self,
        protocol: WireProtocol,
        services: Services,
        *,
        body_bytes_max: int,
        body_idle_s: float,
        serve: Serve = serve,
    ) -> None:
        self._answer = serve
        self._protocol, self._services = protocol, services
        self._body_bytes_max, self._body_idle_s = body_bytes_max, body_idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        request_id = services.mint("req_")
        client = AsgiClient(request_id, receive, send)
        services.live += 1
        try:
            await self._serve(scope, receive, client, request_id)
        except CallError as error:
            await self._fail(client, error, request_id)
        except asyncio.CancelledError:
            if not client.gone:
                raise
        except Exception as error:  # the edge: nothing of a failure inside may reach the client
            services.log.write("error", "call_failed", request_id=request_id, error=_described(error))
            await self._fail(
                client, CallError("internal", "The gateway failed; the failure is logged"), request_id
            )
        finally:
            client.hush()
            services.live -= 1
            if services.draining:
                services.told_idle()

    async def _serve(self, scope: Scope, receive: Receive, client: AsgiClient, request_id: str) -> None:
        services = self._services
        headers = read_headers(scope["headers"])
        body = Body(receive, headers, bytes_max=self._body_bytes_max, idle_s=self._body_idle_s)

        async def read_body() -> bytes:
            data = await body.read()
            client.listen()
            return data

        call = Call(
            id=request_id,
            protocol=self._protocol,
            headers=headers,
            read_body=read_body,
            began_s=services.clock(),
            began_at_s=services.now(),
        )
        await self._answer(call, services, client)

    async def _fail(self, client: AsgiClient, error: CallError, request_id: str) -> None:
        if not error.recorded:
            self._services.log.write(
                "info",
                "refused",
                request_id=request_id,
                protocol=self._protocol.name,
                status=error.status_on(self._protocol.name),
                code=error.code,
            )
        if client.gone:
            return
        if client.begun:
            await client.end(self._protocol.error_frame(error, request_id))
        else:
            await client.fail(error, self._protocol.name, request_id)


def _described(error: BaseException) -> str:
    """Type and place of a failure, without its values: those may hold what a caller said."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"

"""What every path of the API has in common: an id, a client, and one place where a failure is told."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from modelway.api.addresses import client_address
from modelway.api.edge import AsgiClient, Receive, Scope, Send, read_headers
from modelway.calls.call import Call, Services
from modelway.conversation.errors import CallError
from modelway.protocols.interface import WireProtocol

# Where a guarded path's scope holds the key that opened it.
KEY = "modelway.key"


class Endpoint(ABC):
    """One path, from the ASGI scope to its answer: whatever fails inside is told in the one envelope."""

    def __init__(self, protocol: WireProtocol, services: Services) -> None:
        self._protocol, self._services = protocol, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        request_id = services.mint("req_")
        client = AsgiClient(request_id, receive, send)
        try:
            await self.respond(scope, receive, client, request_id)
        except CallError as error:
            await self.tell(client, error, request_id)
        except asyncio.CancelledError:
            if not client.gone:
                raise
        except Exception as error:  # the edge: nothing of a failure inside may reach the client
            services.log.write("error", "call_failed", request_id=request_id, error=_described(error))
            failed = CallError("internal", "The gateway failed; the failure is logged")
            await self.tell(client, failed, request_id)
        finally:
            client.hush()

    @abstractmethod
    async def respond(self, scope: Scope, receive: Receive, client: AsgiClient, request_id: str) -> None:
        """Answer the request through `client`. Raises CallError."""

    async def tell(self, client: AsgiClient, error: CallError, request_id: str) -> None:
        """The failure, to a client that may be gone or in the midst of an answer."""
        if client.gone:
            return
        if client.begun:
            await client.end(self._protocol.error_frame(error, request_id))
        else:
            await client.fail(error, self._protocol.name, request_id)

    def call(self, scope: Scope, read_body: Callable[[], Awaitable[bytes]], request_id: str) -> Call:
        """The request as a call of this path's protocol. Raises 400 for its headers."""
        services, headers = self._services, read_headers(scope["headers"])
        peer = (scope.get("client") or ("",))[0]
        return Call(
            id=request_id,
            protocol=self._protocol,
            headers=headers,
            read_body=read_body,
            began_s=services.clock(),
            began_at_ms=int(services.now() * 1000),
            path=scope["path"],
            address=client_address(peer, headers.get("x-forwarded-for"), services.trusted_proxies),
        )


async def no_body() -> bytes:
    """What a request without a body holds."""
    return b""


def _described(error: BaseException) -> str:
    """Type and place of a failure, without its values: those may hold what a caller said."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"

"""What a program asks before it calls: is the gateway alive, ready, and which models are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from modelway.accounts.keys import Key, may_call
from modelway.api.edge import AsgiClient, Receive, Scope
from modelway.api.endpoint import KEY, Endpoint, no_body
from modelway.calls.admit import authenticate
from modelway.calls.call import Services
from modelway.observe import PUBLISH_EVERY_S

Answer = Callable[[Scope, AsgiClient], Awaitable[None]]


class Discovery(Endpoint):
    """A GET path that answers from memory. `guarded` asks for a key first, one that may call models unless
    `check` says otherwise.
    """

    def __init__(
        self,
        answer: Answer,
        services: Services,
        *,
        guarded: bool,
        check: Callable[[Key, str, str], None] = may_call,
    ) -> None:
        super().__init__(services.protocols["chat"], services)
        self._answer, self._guarded, self._check = answer, guarded, check

    async def respond(self, scope: Scope, receive: Receive, client: AsgiClient, request_id: str) -> None:
        if self._guarded:
            call = self.call(scope, no_body, request_id)
            scope[KEY] = await authenticate(call, self._services, self._check)
        await self._answer(scope, client)


def livez(services: Services) -> Answer:
    async def answer(scope: Scope, client: AsgiClient) -> None:
        await client.answer(200, {"status": "alive"})

    return answer


def readyz(services: Services) -> Answer:
    """200 while new calls are welcome: not draining, the database answers, what the dead held is
    resolved, and keys are known to be good.
    """

    async def answer(scope: Scope, client: AsgiClient) -> None:
        is_ready = services.keys.is_fresh and services.usage_log.is_joined
        is_ready = is_ready and await services.database.is_ready()
        state = "draining" if services.draining else "ready" if is_ready else "database unavailable"
        engine = services.engine.state if services.engine else "off"
        said = {"status": state, "local_model": engine}
        if (shared := services.limits.shared) is not None:  # away, limits still hold: no reason to be unready
            said["valkey"] = "away" if shared.is_away else "ready"
        await client.answer(200 if state == "ready" else 503, said)

    return answer


async def _publish(services: Services) -> None:
    """Bring the metrics up to date, here and for the workers beside this one."""
    shared = services.limits.shared
    services.metrics.now(
        services.live,
        services.engine.restarts if services.engine else 0,
        valkey_away=shared is not None and shared.is_away,
    )
    try:
        await services.metrics.publish()
    except Exception as error:  # the edge of a background loop: the disk may be full, and free later
        services.log.write("warning", "metrics_not_published", error=str(error))


def metrics(services: Services) -> Answer:
    async def answer(scope: Scope, client: AsgiClient) -> None:
        # Published first: whichever worker is asked next, no counter goes back behind what is shown now.
        await _publish(services)
        data = services.metrics.render()
        content_type = b"text/plain; version=0.0.4; charset=utf-8"
        await client.begin(
            200, [(b"content-type", content_type), (b"content-length", str(len(data)).encode())]
        )
        await client.end(data)

    return answer


@asynccontextmanager
async def publishing(services: Services) -> AsyncIterator[None]:
    """Show this worker's metrics to those beside it, every second and at the end."""

    ending = asyncio.Event()

    async def keep_publishing() -> None:
        while not ending.is_set():
            await _publish(services)
            with suppress(TimeoutError):
                async with asyncio.timeout(PUBLISH_EVERY_S):
                    await ending.wait()
        await _publish(services)

    task = asyncio.create_task(keep_publishing())
    try:
        yield
    finally:
        ending.set()  # not cancelled: half a file would be nobody's numbers
        await task

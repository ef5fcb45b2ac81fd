"""A response made without its client: it outlives the connection, its worker's death is noticed, and it
can be cancelled from anywhere.

The row in the database is all that workers share: a run looks at it twice a second, and stops when it
was cancelled or deleted. It renews its lease meanwhile; a row whose lease ran out has no worker any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from modelway.calls.call import Client, Services, taken, unheeded
from modelway.calls.keeping import Headers, Keeper
from modelway.conversation.errors import CallError
from modelway.store import responses

POLL_EVERY_S = 0.5  # a cancelled run stops within a second
RENEW_EVERY_POLLS = 10  # every five seconds, of a lease of thirty


class Nobody:
    """The client of a run whose client has been answered."""

    gone = False

    async def begin(self, status: int, headers: Headers) -> None:
        pass

    async def write(self, data: bytes) -> None:
        pass

    async def end(self, data: bytes = b"") -> None:
        pass


class Guest:
    """A client that may leave: the run goes on without it."""

    def __init__(self, client: Client) -> None:
        self.gone = False
        self._client = client

    async def begin(self, status: int, headers: Headers) -> None:
        await self._told(lambda: self._client.begin(status, headers))

    async def write(self, data: bytes) -> None:
        await self._told(lambda: taken(self._client.write(data)))

    async def end(self, data: bytes = b"") -> None:
        await self._told(lambda: self._client.end(data))

    async def _told(self, tell: Callable[[], Awaitable[None]]) -> None:
        if self._client.gone:
            return
        with suppress(OSError, RuntimeError):  # how a server says that the connection has ended
            await tell()


class Run:
    """One background run. `start` returns when it is safe to answer its client."""

    def __init__(
        self,
        answer: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]],
        keeper: Keeper,
        client: Nobody | Guest,
        account_id: str,
        services: Services,
    ) -> None:
        self._answer, self._keeper, self._client = answer, keeper, client
        self._account_id, self._services = account_id, services
        self._stopped: CallError | None = None
        self._admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    async def start(self, queued: bytes | None) -> None:
        """Begin, and wait until the call is admitted and `queued`, its first object, is on the disk."""
        self._task = self._begin(queued)
        await asyncio.shield(self._admitted)

    async def whole(self) -> None:
        """The run's end, for a client that listens; leaving does not end the run."""
        assert self._task is not None
        await asyncio.shield(self._task)

    def _begin(self, queued: bytes | None) -> asyncio.Task[None]:
        services = self._services
        task = asyncio.get_running_loop().create_task(self._run(queued))
        services.live += 1
        services.background.add(task)
        services.streams.add(self._abort)

        def over(task: asyncio.Task[None]) -> None:
            services.live -= 1
            services.background.discard(task)
            services.streams.discard(self._abort)
            if services.draining:
                services.told_idle()
            unheeded(task)  # whoever listens has it; for the others it is in the row

        task.add_done_callback(over)
        return task

    def _abort(self, why: CallError) -> None:
        """The gateway is shutting down and has waited long enough."""
        self._stop(why)

    def _stop(self, why: CallError) -> None:
        self._stopped = why
        self._client.gone = True  # for the meter: it is not the provider who broke off
        if self._task is not None:
            self._task.cancel()

    async def _run(self, queued: bytes | None) -> None:
        watching = asyncio.get_running_loop().create_task(self._watch())
        try:
            await self._answer(lambda: self._open(queued))
        except asyncio.CancelledError:
            await self._failed(self._stopped or CallError("internal", "The run was ended"))
        except CallError as error:
            await self._failed(error)
        except Exception as error:  # the edge of a task: nobody above would see it
            self._services.log.write("error", "background_failed", error=type(error).__name__)
            await self._failed(CallError("internal", "The gateway failed; the failure is logged"))
        finally:
            watching.cancel()

    async def _open(self, queued: bytes | None) -> None:
        if queued is not None:
            await self._keeper.open_queued(queued)
        if not self._admitted.done():
            self._admitted.set_result(None)
        if queued is not None:
            began = with_status(queued, "in_progress")
            await self._services.database.write(
                lambda connection: responses.renew(
                    connection, self._account_id, self._keeper.id, self._keeper.lease_until_ms(), began
                )
            )

    async def _failed(self, error: CallError) -> None:
        """Tell whoever still waits, and the row if there is one."""
        if not self._admitted.done():
            self._admitted.set_exception(error)
            self._admitted.exception()  # heard: a client that left meanwhile does not ask any more
            return
        keeper = self._keeper
        if keeper.id and not keeper.over:
            with suppress(CallError):  # the database is away: the lease runs out, which says the same
                row = await self._services.database.read(
                    lambda connection: responses.find(
                        connection, self._account_id, keeper.id, round(self._services.now() * 1000)
                    )
                )
                if row is not None:
                    await keeper.finish(keeper.id, "failed", failed_object(row.response, error))
        if isinstance(self._client, Guest):
            raise error

    async def _watch(self) -> None:
        keeper, services = self._keeper, self._services
        for polls in range(1, 2**31):
            await asyncio.sleep(POLL_EVERY_S)
            if not keeper.id or keeper.over or not self._admitted.done():
                continue
            try:
                if polls % RENEW_EVERY_POLLS == 0:
                    held = await services.database.write(
                        lambda connection: responses.renew(
                            connection, self._account_id, keeper.id, keeper.lease_until_ms()
                        )
                    )
                else:
                    status = await services.database.read(
                        lambda connection: responses.status_of(connection, self._account_id, keeper.id)
                    )
                    held = status in responses.LIVE
            except CallError:
                continue  # the database is away; the next poll may find it
            if not held and not keeper.over:
                self._stop(CallError("conflict", "The response was cancelled"))
                return


def failed_object(response: bytes, error: CallError) -> bytes:
    """A response object as it stands when the run behind it failed."""
    code = "rate_limit_exceeded" if error.type == "rate_limit_error" else "server_error"
    return with_status(response, "failed", error={"code": code, "message": error.message})


def with_status(response: bytes, status: str, **more: object) -> bytes:
    """The response object with another status."""
    return msgspec.json.encode({**msgspec.json.decode(response), "status": status, **more})

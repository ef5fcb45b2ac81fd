"""The port: who comes in, how many, how long they may idle, and how they are seen out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from typing import NamedTuple

from modelway.conversation.errors import CallError
from modelway.server.connection import Connection
from modelway.server.exchange import App, Exchange

# Connections waiting to be accepted; Linux's own ceiling (somaxconn) is 4096.
BACKLOG = 1024
# How often deadlines are looked at, or four times in the shortest.
WATCH_S = 1.0


class Deadlines(NamedTuple):
    """Seconds a client has for each thing that the application does not watch."""

    head_s: float = 10.0  # who needs longer for its headers holds a connection for nothing
    idle_s: float = 75.0  # as nginx; longer than the 60 s of AWS, which must be the first to let go
    linger_s: float = 2.0  # to take the answer to something that was refused, or the last one at the end
    stall_s: float = 60.0  # to take anything of what is written; proxies wait as long


class Listener:
    """Serves `app` on a port. `refuse` makes the application that answers what is not let through to it."""

    def __init__(
        self,
        app: App,
        refuse: Callable[[CallError], App],
        connections_max: int,
        deadlines: Deadlines | None = None,
    ) -> None:
        self.refuse = refuse
        self.is_draining = False
        self.loop = asyncio.get_running_loop()
        self.sent: asyncio.Future[None] = self.loop.create_future()  # for all that need not be waited for
        self.sent.set_result(None)
        self.date_line = _date_line()
        self._app, self._room = app, connections_max
        self._deadlines = deadlines or Deadlines()
        self._watch_s = min(WATCH_S, min(self._deadlines) / 4)
        self.connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_empty = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def opened(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen while the block runs, then see everybody out; gives the port."""
        server = await self.loop.create_server(
            lambda: Connection(self, self._app), sock=_bound(host, port), backlog=BACKLOG
        )
        self._watch()
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await self._see_out()

    def drain(self) -> None:
        """Let idle connections go, and the others after their answer. New ones still come in."""
        self.is_draining = True
        for connection in tuple(self.connections):
            # One that has not asked yet may be about to; it hears that the gateway leaves.
            if connection.exchange is None and connection.has_asked and not connection.is_reading_head:
                connection.close()

    def welcomes(self, connection: Connection) -> bool:
        """Whether there is room for it. One that hears there is none takes none, and is watched too."""
        self.connections.add(connection)
        self._is_empty.clear()
        if self._room:
            self._room -= 1
            connection.is_welcome = True
        return connection.is_welcome

    def start(self, exchange: Exchange) -> None:
        exchange.task = self.loop.create_task(exchange.run())
        self._tasks.add(exchange.task)  # the loop itself holds no task

    def ended(self, exchange: Exchange) -> None:
        self._tasks.discard(exchange.task)

    def lost(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self._room += connection.is_welcome
        if not self.connections:
            self._is_empty.set()

    async def _see_out(self) -> None:
        """What is written may still be taken for `linger_s`; then the connections end, and so do tasks."""
        self.is_draining = True
        for connection in tuple(self.connections):
            if connection.exchange is None:
                connection.close()
        if self.connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_empty.wait(), self._deadlines.linger_s)
        if self._timer is not None:
            self._timer.cancel()
        for connection in tuple(self.connections):
            connection.transport.abort()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._deadlines.linger_s)

    def _watch(self) -> None:
        """One timer for all."""
        now_s = self.loop.time()
        self._timer = self.loop.call_later(self._watch_s, self._watch)
        self.date_line = _date_line()
        for connection in tuple(self.connections):
            if connection.exchange is None:
                self._look_at(connection, now_s)

    def _look_at(self, connection: Connection, now_s: float) -> None:
        unsent_bytes = connection.transport.get_write_buffer_size()
        if unsent_bytes != connection.unsent_bytes:  # it still takes what it was told
            connection.unsent_bytes, connection.since_s = unsent_bytes, now_s
        if now_s - connection.since_s <= self._patience_s(connection):
            return
        if connection.is_reading_head and not connection.is_deaf:
            connection.refuse(CallError("timeout", f"No whole head came within {self._deadlines.head_s:g} s"))
        else:
            connection.transport.abort()

    def _patience_s(self, connection: Connection) -> float:
        head_s, idle_s, linger_s, stall_s = self._deadlines
        if connection.unsent_bytes:
            return stall_s
        if connection.is_leaving:
            return linger_s
        return idle_s if connection.has_asked and not connection.is_reading_head else head_s


def _date_line() -> bytes:
    return f"date: {formatdate(usegmt=True)}".encode()


def _bound(host: str, port: int) -> socket.socket:
    """A socket that the workers beside this one may share; `::` hears IPv4 too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server(
        (host, port),
        family=family,
        backlog=BACKLOG,
        reuse_port=True,
        dualstack_ipv6=family == socket.AF_INET6 and host == "::",
    )

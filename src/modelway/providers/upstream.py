"""The one client that speaks to providers. Nothing else here opens a connection to one.

Kept behind two small classes so that what is under it can be exchanged by measurement.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from functools import cached_property
from itertools import chain, zip_longest
from types import TracebackType

from modelway.conversation.errors import CallError
from modelway.providers.exchange import REPLY_BYTES_MAX, Connection, Upstream
from modelway.providers.http1 import Origin, address_of, request_head

__all__ = ["ERROR_BYTES_MAX", "REPLY_BYTES_MAX", "Upstream", "UpstreamClient"]

# An error's body is read for its message only.
ERROR_BYTES_MAX = 64 * 1024
# Connections of one process to all providers; each call holds one. More streams than one core carries, and
# each is an open file: the process needs that many (`ulimit -n`), or a connection fails before this does.
CONNECTIONS_MAX = 4096
# A connection nobody uses is closed before the provider's front end does it (AWS and nginx: 60 and 75 s).
IDLE_S_MAX = 30.0
# How long one address of a name may stay silent before the next is tried beside it (RFC 8305, 5: 250 ms).
NEXT_ADDRESS_S = 0.25
# The watch over silent and idle connections looks this often, or ten times in the silence allowed.
WATCH_S = 1.0

# What kept a connection from being made, most particular first. Never a name or address: they may be secret.
OBSTACLES: tuple[tuple[type[OSError], str], ...] = (
    (ssl.SSLCertVerificationError, "its TLS certificate was not accepted"),
    (ssl.SSLError, "the TLS handshake failed"),
    (socket.gaierror, "its name has no address"),
    (ConnectionRefusedError, "the connection was refused"),
    (ConnectionError, "the connection was closed at once"),
    (OSError, "no connection could be made"),
)


class UpstreamClient:
    """Connections to all providers, kept alive and shared by all calls of this process."""

    def __init__(self, *, connect_timeout_s: float, silence_timeout_s: float) -> None:
        self._connect_timeout_s, self._silence_timeout_s = connect_timeout_s, silence_timeout_s
        self._watch_s = min(WATCH_S, silence_timeout_s / 10)
        self._connections: set[Connection] = set()
        self._idle: dict[Origin, list[Connection]] = {}
        self._connecting = 0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> UpstreamClient:
        self._timer = asyncio.get_running_loop().call_later(self._watch_s, self._watch)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._timer is not None
        self._timer.cancel()
        for connection in tuple(self._connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # the loop closes their sockets in its next round

    async def open(self, url: str, body: bytes, headers: Mapping[str, str]) -> Upstream:
        """POST `body` and wait for the response's head. Raises 502 or 504; redirects are not followed."""
        address = address_of(url)
        request = request_head(address, headers, len(body)) + body
        kept = self._take(address.origin)
        if kept is not None:
            try:
                return await _ask(kept, request)
            except _Stale:
                pass
        return await _ask(await self._connect(address.origin), request)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _take(self, origin: Origin) -> Connection | None:
        """The connection that rested last: the others grow old and are let go."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    def _rested(self, connection: Connection) -> None:
        connection.idle_since_s = connection.loop.time()
        self._idle.setdefault(connection.origin, []).append(connection)

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle is not None and connection in idle:
            idle.remove(connection)
        if not idle:
            self._idle.pop(connection.origin, None)

    async def _connect(self, origin: Origin) -> Connection:
        """A fresh connection, secured. Raises 502, 503 or 504."""
        self._make_room()
        self._connecting += 1
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = await self._secured(origin)
        except TimeoutError:
            raise CallError("upstream_timeout", "The provider could not be reached in time") from None
        except OSError as error:
            what = next(words for kind, words in OBSTACLES if isinstance(error, kind))
            message = f"The provider cannot be reached: {what}"
            raise CallError.upstream(message, code="upstream_unreachable") from None
        finally:
            self._connecting -= 1
        self._connections.add(connection)
        return connection

    async def _secured(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        connected = await _first_to_connect(origin)
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(origin, self._rested, self._lost),
                sock=connected,
                ssl=self._tls if origin.is_tls else None,
                server_hostname=origin.host if origin.is_tls else None,
            )
        except BaseException:
            connected.close()
            raise
        return connection

    def _make_room(self) -> None:
        """Nobody waits here for a connection: beyond the limit an idle one goes, or the call is refused."""
        if len(self._connections) + self._connecting < CONNECTIONS_MAX:
            return
        oldest = min(chain(*self._idle.values()), key=lambda each: each.idle_since_s, default=None)
        if oldest is None:
            message = f"{CONNECTIONS_MAX} connections to providers are in use here; try again in a moment"
            raise CallError("overloaded", message)
        oldest.transport.abort()
        self._lost(oldest)

    def _watch(self) -> None:
        """One timer for all: ends what a provider has left silent, and what nobody has used for long."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._timer = loop.call_later(self._watch_s, self._watch)
        for connection in tuple(self._connections):
            upstream = connection.upstream
            if upstream is None:
                if now_s - connection.idle_since_s > IDLE_S_MAX:
                    connection.transport.abort()
            elif upstream.heard or upstream.is_paused:
                upstream.heard, upstream.heard_s = False, now_s
            elif now_s - upstream.heard_s >= self._silence_timeout_s:
                upstream.fall_silent()


# A provider that hangs up this soon had closed the kept connection before our request came. One that
# takes longer may have begun to generate, and would be paid twice.
STALE_CONNECTION_S = 0.25


class _Stale(Exception):
    """A kept connection had been closed by the provider before our request came: nothing was generated."""


async def _ask(connection: Connection, request: bytes) -> Upstream:
    """The answer that has begun. Raises CallError, or `_Stale` when the same may be asked once more."""
    has_served = connection.idle_since_s > 0
    asked_s = connection.loop.time()
    upstream = Upstream(connection, request)
    try:
        await upstream.begun()
    except CallError:
        took_s = connection.loop.time() - asked_s
        if upstream.was_dropped and has_served and took_s < STALE_CONNECTION_S:
            raise _Stale from None
        raise
    except BaseException:
        upstream.close()
        raise
    return upstream


async def _first_to_connect(origin: Origin) -> socket.socket:
    """Try the addresses of a name side by side, a little apart (RFC 8305). Raises the last one's OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    families = [
        [each for each in found if each[0] == family] for family in dict.fromkeys(e[0] for e in found)
    ]
    waiting = [each for pair in zip_longest(*families) for each in pair if each is not None]
    if len(waiting) == 1:
        return await _connected(*waiting[0])
    return await _race(waiting)


SocketAddress = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
AddressInfo = tuple[int, int, int, str, SocketAddress]


async def _race(waiting: list[AddressInfo]) -> socket.socket:
    running: set[asyncio.Task[socket.socket]] = set()
    last: BaseException = OSError("no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(_connected(*waiting.pop(0))))
            patience_s = NEXT_ADDRESS_S if waiting else None
            done, _ = await asyncio.wait(running, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.discard(task)
                if (error := task.exception()) is None:
                    return task.result()
                last = error
        raise last
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_close_loser)


def _close_loser(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connected(family: int, kind: int, protocol: int, _: str, address: SocketAddress) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        made.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # a request is one write; nothing to gather
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made

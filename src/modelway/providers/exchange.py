"""One connection to a provider and the calls on it, one after another. Opens nothing: `upstream.py` does.

During a call the transport speaks straight to its `Upstream`; between calls to its `Connection`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import httptools

from modelway.conversation.errors import CallError
from modelway.providers.http1 import HEAD_BYTES_MAX, Origin, Response, reason_of

# Bodies read whole. Anthropic's requests end at 32 MB; twice that leaves room for images in answers.
REPLY_BYTES_MAX = 64 * 1024 * 1024
# Bytes that wait for a reader before the provider is made to wait, and below which it may go on: enough for
# a second of the fastest model, so small that 4096 slow readers hold no more than 1 GiB.
BUFFER_BYTES_MAX = 256 * 1024
# After an answer's last event the connection may end at once and be used again; else it is closed.
LINGER_S = 0.05


class Connection(asyncio.Protocol):
    """A connection between two calls. What the provider says now was not asked for, and ends it."""

    def __init__(
        self,
        origin: Origin,
        rested: Callable[[Connection], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.origin = origin
        self.upstream: Upstream | None = None
        self.idle_since_s = 0.0
        self.rested, self.lost = rested, lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a stream, always

    def data_received(self, data: bytes) -> None:
        self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost(self)

    def rest(self) -> None:
        """The call is over and the connection fit for another."""
        self.upstream = None
        self.transport.set_protocol(self)
        self.rested(self)


class Upstream(asyncio.Protocol):
    """An open connection to a provider that has begun to answer. Whoever opens it closes it."""

    __slots__ = (
        "_bodiless_bytes",
        "_buffered_bytes",
        "_connection",
        "_ended",
        "_fault",
        "_feed",
        "_pieces",
        "_response",
        "_take",
        "_transport",
        "_waiter",
        "failure",
        "headers",
        "heard",
        "heard_s",
        "is_paused",
        "status",
        "was_dropped",
    )

    def __init__(self, connection: Connection, request: bytes) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.failure: CallError | None = None
        self.was_dropped = False  # the connection ended without a byte of an answer
        self.heard = True  # anything since the silence watch last looked; it resets this
        self.heard_s = 0.0
        self.is_paused = False
        self._connection, self._transport = connection, connection.transport
        self._response = Response()
        self._feed, self._pieces = self._response.feed, self._response.pieces
        self._buffered_bytes = self._bodiless_bytes = 0
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], bool] | None = None  # who gets the bytes, while `forward` waits
        self._fault: Exception | None = None  # what that raised
        connection.upstream = self
        self._transport.set_protocol(self)
        self._transport.write(request)

    async def begun(self) -> None:
        """Wait for the head. Raises the CallError that says why there is none."""
        response = self._response
        while not response.has_head:
            if self._ended:
                raise self.failure or _cut_short()
            await self._change()
        self.status, self.headers = response.status, response.headers

    @property
    def has_arrived(self) -> bool:
        """Whether `read` has something to give at once."""
        return bool(self._pieces)

    async def read(self) -> bytes:
        """All bytes that have arrived since the last read, at least one; b"" at the end. A connection that
        breaks ends the stream too: `failure` says why.
        """
        pieces = self._pieces
        while not pieces:
            if self._ended:
                return b""
            await self._change()
        return self._taken()

    async def forward(self, take: Callable[[bytes], bool]) -> bool:
        """Hand what arrives to `take` in that very moment, without a turn of the event loop: until it says
        that it has enough (True), or to the end (False; `failure` says if it broke). What it raises is
        raised here.
        """
        if self._pieces and take(self._taken()):
            return True
        if self._ended:
            return False
        self._take = take
        try:
            await self._change()
        finally:
            has_enough, self._take = self._take is None, None
        if self._fault is not None:
            raise self._fault
        return has_enough

    async def read_all(self, limit: int = REPLY_BYTES_MAX) -> bytes:
        """The whole body; raises 502 if it is cut short or larger than `limit` bytes, 504 after a silence."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read():
            size += len(piece)
            if size > limit:
                raise CallError.upstream(f"The provider's answer is larger than {limit} bytes")
            pieces.append(piece)
        if self.failure is not None:
            raise self.failure
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def finish(self) -> None:
        """The answer is whole: wait a moment for the connection's end, so that it can be used again."""
        if self._ended:
            return
        try:
            async with asyncio.timeout(LINGER_S):
                while await self.read():
                    pass
        except TimeoutError:
            self.close()

    def close(self) -> None:
        """Hang up now, unless the answer has come to its end: then the connection is kept for reuse."""
        if not self._ended:
            self._hang_up()

    def abort(self, failure: CallError) -> None:
        """Hang up from outside a read that waits: it ends, and `failure` says why."""
        self.failure = failure
        self._pieces.clear()
        if not self._ended:
            self._hang_up()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._misunderstood(error)
        pieces, take = self._pieces, self._take
        if pieces:
            self._bodiless_bytes = 0
        else:
            self._bodiless(len(data))
        if self._response.is_complete and not self._ended:
            self._complete()
        if take is None:
            self._hold(len(data))
        elif pieces:
            whole = b"".join(pieces)  # of one, that one
            pieces.clear()
            try:
                if not take(whole):
                    return
            except Exception as error:  # `forward` raises it; the loop would only log it
                self._fault = error
            self._take = None
            self._wake()

    def eof_received(self) -> None:
        if self._response.has_head and self._response.ends_with_connection:
            self.close()
        else:
            self._drop()

    def connection_lost(self, error: Exception | None) -> None:
        if error is None:
            self.eof_received()
        else:
            self._drop()
        self._connection.upstream = None
        self._connection.lost(self._connection)

    def fall_silent(self) -> None:
        """The provider has not sent a byte for too long."""
        what = "fell silent in the middle of its answer" if self.status else "did not begin to answer in time"
        self._fail(CallError("upstream_timeout", f"The provider {what}"))

    def _taken(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._buffered_bytes = 0
        if self.is_paused:
            self._resume()
        return data

    def _hold(self, size: int) -> None:
        """Keep what has come until somebody reads it."""
        if self._pieces:
            self._buffered_bytes += size
            if self._buffered_bytes > BUFFER_BYTES_MAX:
                self._pause()
        self._wake()

    def _change(self) -> asyncio.Future[None]:
        """Done when more has arrived or nothing will."""
        waiter = self._waiter = self._connection.loop.create_future()
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _bodiless(self, size: int) -> None:
        self._bodiless_bytes += size
        if self._bodiless_bytes > HEAD_BYTES_MAX and not self._response.is_complete:
            message = f"The provider sent {HEAD_BYTES_MAX} bytes without a byte of an answer"
            self._fail(CallError.upstream(message))

    def _misunderstood(self, error: httptools.HttpParserError) -> None:
        if self._response.is_complete:  # bytes after the end are dropped, and the connection with them
            self._response.keeps_alive = False
        else:
            message = f"The provider's answer cannot be read as HTTP: {reason_of(error)}"
            self._fail(CallError.upstream(message))

    def _drop(self) -> None:
        """The connection ended before the answer did."""
        if self._ended:
            return
        if self._response.has_head or self._bodiless_bytes:
            self._fail(_cut_short())
        else:
            self.was_dropped = True
            message = "The provider closed the connection without an answer"
            self._fail(CallError.upstream(message, code="upstream_unreachable"))

    def _fail(self, failure: CallError) -> None:
        if not self._ended:
            self.failure = failure
            self._hang_up()

    def _hang_up(self) -> None:
        self._end()
        self._transport.abort()
        self._wake()

    def _complete(self) -> None:
        """The last byte is here; the connection is free although nobody may have read the answer yet."""
        self._end()
        if self.is_paused:
            self._resume()
        # An answer that came before its question was sent leaves the connection in the middle of it.
        if self._response.keeps_alive and not self._transport.get_write_buffer_size():
            self._connection.rest()
        else:
            self._transport.abort()
        self._wake()

    def _end(self) -> None:
        self._ended = True
        self._response.forget()
        self._feed = self._response.feed

    def _pause(self) -> None:
        if not self.is_paused and not self._ended:
            self.is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        self.is_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()


def _cut_short() -> CallError:
    return CallError.upstream("The provider's answer was cut short", code="upstream_truncated")

"""One request and its answer, as ASGI's `receive` and `send`. Both give a future, and it is often done
already: nothing waits when there is nothing to wait for. A stream has hundreds of pieces, and for those there
is `write`, which is `send` without a message around each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from modelway.server.connection import Connection

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], asyncio.Future[Message]]
Send: TypeAlias = "Exchange"  # its own `send`
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}
BODILESS = frozenset({204, 304})
DISCONNECT: Message = {"type": "http.disconnect"}


class Exchange:
    """A request while it is read, and the answer while it is written. `run` serves it."""

    __slots__ = (
        "_app",
        "_connection",
        "_end_is_told",
        "_flows",
        "_head",
        "_is_chunked",
        "_is_gone",
        "_is_headed",
        "_keeps",
        "_pieces",
        "_receiver",
        "_remaining",
        "_scope",
        "awaits_continue",
        "buffered_bytes",
        "is_answered",
        "is_whole",
        "task",
    )
    task: asyncio.Task[None]  # that runs it, once its turn has come

    def __init__(self, connection: Connection, scope: Scope, app: App) -> None:
        self._connection, self._scope, self._app = connection, scope, app
        self.is_whole = False  # the request is here to its last byte
        self.is_answered = False
        self.awaits_continue = False
        self.buffered_bytes = 0
        self._pieces: list[bytes] = []
        self._receiver: asyncio.Future[Message] | None = None
        self._end_is_told = self._is_gone = self._is_headed = self._is_chunked = self._keeps = False
        self._head = b""  # goes out together with the first of the body
        self._flows = False  # the head is out, the body is sent in chunks, and nobody has left
        self._remaining: int | None = None  # of the length that was promised

    async def run(self) -> None:
        """Let the application answer; what it leaves unfinished ends the connection."""
        try:
            await self._app(self._scope, self.receive, self)
        except Exception as error:  # the edge: the application tells its own failures, so this is a bug
            context = {"message": "The application failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        finally:
            self._receiver = None
            if not self.is_answered:
                self._connection.transport.abort()
            self._connection.ended(self)

    # --- the request --------------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        """More of the body."""
        self._pieces.append(data)
        self.buffered_bytes += len(data)
        self._tell()

    def end(self) -> None:
        """That was all of it."""
        self.is_whole = True
        self._tell()

    def leave(self) -> None:
        """No more will come: the client has hung up, or its body cannot be read."""
        self._is_gone, self._flows = True, False
        self._tell()

    def receive(self) -> asyncio.Future[Message]:
        """What came of the body since the last time; after its end, the client's hang-up."""
        future: asyncio.Future[Message] = self._connection.loop.create_future()
        self._receiver = future
        self._tell()
        if self.awaits_continue and not (future.done() or self.is_whole or self._is_headed):
            self.awaits_continue = False
            self._connection.transport.write(CONTINUE)
        return future

    def _tell(self) -> None:
        receiver = self._receiver
        if receiver is None or receiver.done():
            return
        if self._pieces or (self.is_whole and not self._end_is_told):
            body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            self._end_is_told = self.is_whole
            receiver.set_result({"type": "http.request", "body": body, "more_body": not self.is_whole})
            self.buffered_bytes = 0
            if self._connection.is_paused:
                self._connection.pace()
        elif self._is_gone:
            receiver.set_result(DISCONNECT)

    # --- the answer ---------------------------------------------------------------------------------

    def __call__(self, message: Message) -> asyncio.Future[None]:
        """ASGI's `send`. Done when the client has taken enough for more to follow. After its hang-up nothing
        is sent, and that is no error.
        """
        if message["type"] == "http.response.start":
            self._begin(message["status"], message["headers"])
            return self._connection.sent
        self._write(message.get("body", b""), message.get("more_body", False))
        return self._connection.drained()

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        """More of the body, and there is more to come. None when nothing needs to be waited for."""
        connection = self._connection
        if self._flows and data:
            connection.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._write(data, True)
        return connection.drained() if connection.is_stuck else None

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if self._is_headed:
            raise RuntimeError("an answer begins once")
        connection, told = self._connection, dict(headers)
        lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status, *map(b": ".join, headers)]
        is_old = self._scope["http_version"] == "1.0"
        keeps = self.is_whole and connection.goes_on
        if self._scope["method"] == "HEAD" or status in BODILESS:
            self._remaining = 0
        elif (length := told.get(b"content-length")) is not None:
            self._remaining = int(length)
        elif is_old:
            keeps = False  # its end is the connection's
        else:
            self._is_chunked = True
            lines.append(b"transfer-encoding: chunked")
        if not keeps:
            lines.append(b"connection: close")
        elif is_old:
            lines.append(b"connection: keep-alive")
        lines.append(connection.date_line)
        head = b"\r\n".join(lines) + b"\r\n"
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
            raise ValueError("a header of the answer holds a line break or NUL; it is not sent")
        self._head, self._is_headed, self._keeps = head + b"\r\n", True, keeps

    def _write(self, body: bytes, has_more: bool) -> None:
        connection = self._connection
        if not self._is_headed or self.is_answered:
            raise RuntimeError("a body comes after its head and before its end")
        if self._is_chunked:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not has_more:
                data += LAST_CHUNK
        else:
            data = self._counted(body, has_more)
        if self._head:
            data, self._head = self._head + data, b""
            self._flows = self._is_chunked and not self._is_gone
        if data and not connection.is_lost:
            connection.transport.write(data)
        if not has_more:
            self.is_answered, self._flows = True, False
            connection.answered(self, self._keeps)

    def _counted(self, body: bytes, has_more: bool) -> bytes:
        """`body` as far as it is meant to be seen: not after a HEAD, and never more than was promised."""
        if self._scope["method"] == "HEAD":
            return b""
        if self._remaining is not None:
            self._remaining -= len(body)
            if self._remaining < 0 or (self._remaining and not has_more):
                raise RuntimeError(f"an answer differs from its content-length by {-self._remaining} bytes")
        return body

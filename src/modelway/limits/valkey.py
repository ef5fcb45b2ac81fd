"""One connection to Valkey (or Redis): commands go out as they come, answers come back in their order.

Hand-written, because all that is needed is one kind of command on the path of every call: 11 µs of
processor time under load where the usual client takes 70 (docs/decisions).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote, urlsplit

ANSWER_TIMEOUT_S = 0.05  # an answer takes 0.1 ms; a call shall not wait longer for its counter than this
CONNECT_TIMEOUT_S = 1.0
# One more look at the socket, for when it was this process that was held up.
GRACE_S = 0.002
DEFAULT_PORT = 6379
DATABASE_MAX = 65_535
BUFFER_BYTES_MAX = 1024 * 1024  # an answer is a hundred bytes; this much is not one of ours
SCHEMES = {"valkey": False, "redis": False, "valkeys": True, "rediss": True}
RIGHT = "valkey://127.0.0.1:6379, valkeys://user:password@host:6379/0 or env:NAME is right"

Reply = int | bytes | None | list["Reply"] | Exception


class Away(Exception):
    """The server does not answer, or not as it should; says why, without its address' secrets."""


class AddressError(ValueError):
    """Not the address of a Valkey."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how it is entered."""

    host: str
    port: int = DEFAULT_PORT
    database: int = 0
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """`valkey://[[user]:password@]host[:port][/database]`. Raises AddressError, which shows nothing of it."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port or DEFAULT_PORT
        database = int(parts.path.strip("/") or 0)
    except ValueError:
        raise AddressError(f"the port or the number of the database is none; {RIGHT}") from None
    if parts.scheme not in SCHEMES or not parts.hostname or parts.query or parts.fragment:
        raise AddressError(f"it is no address of a Valkey; {RIGHT}")
    if not 0 <= database <= DATABASE_MAX:
        raise AddressError(f"the number of the database is not 0 to {DATABASE_MAX}; {RIGHT}")
    return Address(
        parts.hostname,
        port,
        database,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
        SCHEMES[parts.scheme],
    )


def written(words: tuple[bytes, ...]) -> bytes:
    """A command on the wire."""
    pieces = [b"*%d\r\n" % len(words)]
    for word in words:
        pieces.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(pieces)


class _Partial(Exception):
    """The answer goes on in bytes that are not here yet."""


def read_reply(data: bytes, start: int) -> tuple[Reply, int]:
    """The answer that begins at `start`, and where the next one does. Raises _Partial, or Away for bytes
    that are no answer at all.
    """
    end = data.find(b"\r\n", start)
    if end < 0:
        raise _Partial
    kind, text, after = data[start : start + 1], data[start + 1 : end], end + 2
    try:
        if kind == b":":
            return int(text), after
        if kind == b"+":
            return text, after
        if kind == b"-":
            return Away(text.decode("utf-8", "replace")[:200]), after
        if kind == b"$":
            return _read_bulk(data, int(text), after)
        if kind == b"*":
            replies: list[Reply] = []
            for _ in range(int(text)):
                reply, after = read_reply(data, after)
                replies.append(reply)
            return replies, after
    except ValueError:
        pass
    raise Away(f"it answers {data[start : start + 20]!r}, which is not Valkey's protocol")


def _read_bulk(data: bytes, length: int, start: int) -> tuple[Reply, int]:
    if length < 0:
        return None, start
    if len(data) < start + length + 2:
        raise _Partial
    return data[start : start + length], start + length + 2


class Connection(asyncio.Protocol):
    """What `connect` makes. Used on one loop; `lost` is called once, when it has ended."""

    def __init__(self, lost: Callable[[Away], None], answer_timeout_s: float) -> None:
        self._lost, self._answer_timeout_s = lost, answer_timeout_s
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[asyncio.Future[Reply], float]] = deque()
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None
        self._suspect: asyncio.Future[Reply] | None = None
        self._ended: Away | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        start = 0
        try:
            while start < len(self._data):
                reply, start = read_reply(self._data, start)
                waiting, _ = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_result(reply)
        except _Partial:
            if len(self._data) - start > BUFFER_BYTES_MAX:
                self.close(Away("its answer is larger than any of ours"))
        except IndexError:
            self.close(Away("it answers what was not asked"))
        except Away as error:
            self.close(error)
        self._data = self._data[start:]

    def connection_lost(self, error: Exception | None) -> None:
        self.close(Away(f"the connection ended{f': {error}' if error else ''}"))

    def send(self, *words: bytes) -> asyncio.Future[Reply]:
        """The answer to come: a value, or `Away` as a value for a command that was refused. Raises Away in
        the future when there is none in time; the connection is over then.
        """
        waiting: asyncio.Future[Reply] = self._loop.create_future()
        if self._ended is not None or self._transport is None:
            waiting.set_exception(self._ended or Away("it is not connected"))
            waiting.exception()  # heard: not everyone who sends waits for the answer
            return waiting
        self._waiting.append((waiting, self._loop.time() + self._answer_timeout_s))
        self._transport.write(written(words))
        if self._timer is None:
            self._timer = self._loop.call_later(self._answer_timeout_s, self._look)
        return waiting

    def _look(self) -> None:
        """One timer for all that wait: their answers come in order, so the first is the latest."""
        self._timer = None
        if not self._waiting:
            return
        first, until_s = self._waiting[0]
        left_s = until_s - self._loop.time()
        if left_s <= 0:
            if self._suspect is first:
                self.close(Away(f"no answer within {self._answer_timeout_s * 1000:g} ms"))
                return
            self._suspect, left_s = first, GRACE_S
        self._timer = self._loop.call_later(left_s, self._look)

    def close(self, why: Away | None = None) -> None:
        """End it: whoever waits is told why."""
        if self._ended is not None:
            return
        self._ended = why or Away("the gateway has closed the connection")
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        for waiting, _ in self._waiting:
            if not waiting.done():
                waiting.set_exception(self._ended)
                waiting.exception()  # heard: not everyone who sends waits for the answer
        self._waiting.clear()
        self._lost(self._ended)


async def connect(
    address: Address, lost: Callable[[Away], None], answer_timeout_s: float = ANSWER_TIMEOUT_S
) -> Connection:
    """A connection that has entered. Raises Away."""
    context = ssl.create_default_context() if address.tls else None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(lost, answer_timeout_s), address.host, address.port, ssl=context
            )
    except TimeoutError:
        raise Away(f"no connection within {CONNECT_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise Away(f"no connection: {error.strerror or error}") from None
    try:
        if address.password is not None:
            user = (address.user.encode(),) if address.user else ()
            await ask(connection, b"AUTH", *user, address.password.encode())
        if address.database:
            await ask(connection, b"SELECT", b"%d" % address.database)
    except BaseException:
        connection.close()
        raise
    return connection


async def ask(connection: Connection, *words: bytes) -> Reply:
    """The answer to a command. Raises Away, for a refusal too."""
    reply = await connection.send(*words)
    if isinstance(reply, Exception):
        raise reply
    return reply

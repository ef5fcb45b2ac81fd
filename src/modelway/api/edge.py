"""Where HTTP becomes a call and a call becomes HTTP: headers, bodies, the client that may hang up.

Plain ASGI callables; no framework object is made for a call.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec
import zstandard

from modelway.calls.call import header_value
from modelway.conversation.errors import CallError

# ASGI's, but for one thing: our server's `receive` and `send` give futures, which are mostly done already.
Scope = dict[str, Any]
Receive = Callable[[], asyncio.Future[dict[str, Any]]]
RawHeaders = list[tuple[bytes, bytes]]

# A decoded body may be this many times its wire size before it is taken for a bomb.
INFLATION_MAX = 100
# A client that has not taken the end of its answer after this long does not read; proxies wait as long.
END_STALL_S = 60.0
_HOST = re.compile(r"[A-Za-z0-9.\-_~%]+(:\d{1,5})?|:\d{1,5}|\[[0-9A-Fa-f:.]+\](:\d{1,5})?", re.ASCII)
# A value given twice would be read differently by different programs.
_ONCE = frozenset({"authorization", "x-api-key", "host", "content-type", "content-length", "idempotency-key"})

_encode = msgspec.json.Encoder().encode


class Send(Protocol):
    """ASGI's, and besides a short form of the message for a piece of a stream, which has hundreds of them."""

    def __call__(self, message: dict[str, Any], /) -> asyncio.Future[None]: ...

    def write(self, data: bytes, /) -> asyncio.Future[None] | None: ...


def read_headers(raw: RawHeaders) -> dict[str, str]:
    """Lower-case names to values; repeats are joined by commas. Raises 400 for what no honest client sends:
    two of what there can be one of, a Host that is no host. How many and how long the server has judged.
    """
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    if len(headers) < len(raw) or "_" in "".join(headers):
        headers = _sorted_out(raw)
    if not _is_host(headers.get("host", "")):
        raise CallError.invalid("The Host header is missing or names no host", param="host")
    return headers


def _sorted_out(raw: RawHeaders) -> dict[str, str]:
    """Headers of which some are given more than once, or have names that are not to be trusted."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if "_" in name and name != "session_id":
            continue  # `X_Api_Key` is not `X-Api-Key`, though some servers read it so
        if name in headers:
            if name in _ONCE:
                raise CallError.invalid(f"The header {name} is given twice", param=name)
            value = f"{headers[name]},{value}"
        headers[name] = value
    return headers


@lru_cache(maxsize=64)  # a gateway is known by few names
def _is_host(host: str) -> bool:
    return _HOST.fullmatch(host) is not None


class BodyLimits(NamedTuple):
    """What a path takes of a request's body: bytes, seconds of silence inside it, seconds for all of it."""

    bytes_max: int
    idle_s: float
    total_s: float


class Body:
    """A request's body, read once, within its limits."""

    def __init__(self, receive: Receive, headers: Mapping[str, str], limits: BodyLimits) -> None:
        self._receive, self._headers = receive, headers
        self._bytes_max, self._idle_s, self._total_s = limits
        self._expired = False

    async def read(self) -> bytes:
        """The body, decoded. Raises 413, 408 (silence), 415 (not JSON) or 400."""
        length = self._headers.get("content-length", "")
        if length.isdigit() and int(length) > self._bytes_max:
            raise self._too_large(int(length))
        kind = self._headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise CallError("media_type", f"The body is {kind!r}; it must be application/json")
        body = await self._gather()
        if not body:
            raise CallError.invalid("The body is empty; it must be JSON")
        encoding = self._headers.get("content-encoding", "identity").strip().lower()
        return body if encoding == "identity" else self._decoded(body, encoding)

    async def skip(self) -> None:
        """Take a body that says nothing here. Raises 413, 408."""
        await self._gather()

    async def _gather(self) -> bytes:
        message = await self._next(self._idle_s)
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > self._bytes_max:
                raise self._too_large(len(body))
            return body
        pieces, size = [body], len(body)
        now = asyncio.get_running_loop().time
        ends_s = now() + self._total_s
        while message.get("more_body"):
            message = await self._next(min(self._idle_s, max(0.0, ends_s - now())))
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self._bytes_max:
                raise self._too_large(size)
        return b"".join(pieces)

    async def _next(self, patience_s: float) -> dict[str, Any]:
        coming = self._receive()
        message = coming.result() if coming.done() else await self._patiently(coming, patience_s)
        if message["type"] == "http.disconnect":
            raise CallError.invalid("The request ended before its body was whole")
        return message

    async def _patiently(self, coming: asyncio.Future[dict[str, Any]], patience_s: float) -> dict[str, Any]:
        # No server of this language ends a connection whose body never ends, so this does. A plain timer:
        # `asyncio.timeout` costs five times as much.
        task = asyncio.current_task()
        assert task is not None
        timer = coming.get_loop().call_later(patience_s, self._expire, task)
        try:
            return await coming
        except asyncio.CancelledError:
            if not self._expired:
                raise
            task.uncancel()
            raise CallError("timeout", self._too_slow(patience_s)) from None
        finally:
            timer.cancel()

    def _too_slow(self, waited_s: float) -> str:
        if waited_s < self._idle_s:
            return f"The body was not whole after {self._total_s:g} s"
        return f"No more of the body came for {self._idle_s:g} s"

    def _expire(self, task: asyncio.Task[Any]) -> None:
        self._expired = True
        task.cancel()

    def _too_large(self, size: int) -> CallError:
        return CallError("too_large", f"The body is {size} bytes or more; at most {self._bytes_max} are read")

    def _decoded(self, body: bytes, encoding: str) -> bytes:
        decode = DECODERS.get(encoding)
        if decode is None:
            raise CallError(
                "media_type",
                f"The content-encoding {encoding!r} is not read; send {', '.join(DECODERS)} or none",
                details={"error_code": "request_body_encoding_unsupported"},
            )
        limit = min(self._bytes_max, max(len(body) * INFLATION_MAX, 65536))
        try:
            decoded = decode(body, limit + 1)
        except (zlib.error, zstandard.ZstdError, EOFError):
            details: dict[str, object] = {"error_code": "request_body_encoding_invalid"}
            raise CallError(
                "invalid", f"The body is not valid {encoding}", param="content-encoding", details=details
            ) from None
        if len(decoded) > limit:
            details = {"error_code": "request_body_too_large_after_decoding"}
            message = f"The body decodes to more than {limit} bytes"
            raise CallError("too_large", message, details=details)
        return decoded


def _inflate(window: int) -> Callable[[bytes, int], bytes]:
    def decode(body: bytes, limit: int) -> bytes:
        inflater = zlib.decompressobj(window)
        decoded = inflater.decompress(body, limit)
        if len(decoded) < limit and not inflater.eof:
            raise EOFError
        return decoded

    return decode


def _unzstd(body: bytes, limit: int) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024).stream_reader(body) as reader:
        return reader.read(limit)


DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _inflate(31),
    "deflate": _inflate(15),
    "zstd": _unzstd,
}


class AsgiClient:
    """Whoever called. Once the body is read, its hang-up cancels the task that serves it, at once."""

    def __init__(self, request_id: str, receive: Receive, send: Send) -> None:
        self.gone = False
        self.begun = False
        encoded = request_id.encode()
        # Of every answer; a call adds to it what is known before it begins.
        self.headers: RawHeaders = [
            (b"request-id", encoded),
            (b"x-request-id", encoded),
            (b"x-inference-id", encoded),
        ]
        self._receive, self._send = receive, send
        self.write = send.write
        self._task: asyncio.Task[Any] | None = None
        self._listening: asyncio.Future[dict[str, Any]] | None = None

    def listen(self) -> None:
        """Cancel the running task when the client hangs up."""
        self._task, self._listening = asyncio.current_task(), self._receive()
        self._listening.add_done_callback(self._left)

    def hush(self) -> None:
        """The call is over; what the client does now is its own affair."""
        if self._listening is not None:
            self._listening.remove_done_callback(self._left)

    def _left(self, listening: asyncio.Future[dict[str, Any]]) -> None:
        assert self._task is not None
        if not listening.cancelled() and not listening.exception():
            self.gone = True
            self._task.cancel()

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": self.headers + headers})
        self.begun = True

    async def end(self, data: bytes = b"") -> None:
        taken = self._send({"type": "http.response.body", "body": data})
        if taken.done():
            return
        # Nobody watches a call any more that has only this left to say: a client that does not take it
        # would hold its task for as long as it likes.
        task = asyncio.current_task()
        assert task is not None
        timer = taken.get_loop().call_later(END_STALL_S, self._let_go, task)
        try:
            await taken
        finally:
            timer.cancel()

    def _let_go(self, task: asyncio.Task[Any]) -> None:
        self.gone = True
        task.cancel()

    async def answer(self, status: int, body: object, headers: RawHeaders | None = None) -> None:
        """A whole JSON answer."""
        data = body if isinstance(body, bytes) else _encode(body)
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
        await self.begin(status, head + (headers or []))
        await self.end(data)

    async def fail(self, error: CallError, protocol: str, request_id: str) -> None:
        """The one place where an error becomes HTTP."""
        headers: RawHeaders = []
        if error.should_retry is not None:
            headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
        if error.retry_after_s is not None:
            # Whole seconds for everyone, milliseconds for the SDKs; above 60 s one vendor's SDK ignores it.
            wait_s = min(60.0, max(0.0, error.retry_after_s))
            headers.append((b"retry-after", str(max(1, -int(-wait_s // 1))).encode()))
            headers.append((b"retry-after-ms", str(round(wait_s * 1000)).encode()))
        headers.extend((name.encode(), header_value(value)) for name, value in error.headers)
        await self.answer(error.status_on(protocol), error.body(request_id), headers)

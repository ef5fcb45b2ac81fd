"""One client's connection: bytes in, requests out, answered one after another in their order.

llhttp (Node's parser, by httptools) reads the wire, and in its strict mode: what two servers could read in
two ways it refuses. What it leaves open is decided here: limits, deadlines, trailers, what a hang-up means.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httptools

from modelway.conversation.errors import CallError
from modelway.server.exchange import App, Exchange, Scope

if TYPE_CHECKING:
    from modelway.server.listener import Listener

# Apache and nginx allow 8 KiB a line; clients with long beta lists and traces stay far below four of them.
HEADER_BYTES_MAX = 32 * 1024
HEADERS_MAX = 100  # as nginx and hyper count
# Bytes that bring neither the end of a head nor a piece of a body: a head's line still on its way (whole ones
# are counted above), empty lines before it, extensions of chunks, trailers.
BARREN_BYTES_MAX = 64 * 1024
# Of bodies that nobody reads yet; then their sender has to wait. One read may bring 256 KiB more.
BODY_BUFFER_BYTES_MAX = 64 * 1024
# Requests sent before their turn; after so many the connection answers them and takes no more.
PIPELINED_MAX = 64
# What decides how a request is framed or begun; kept apart while the headers pass.
_SPECIAL = frozenset({b"transfer-encoding", b"expect"})


class Connection(asyncio.Protocol):
    """What a client says and is told. Its `Listener` keeps it in sight and holds what all share."""

    __slots__ = (
        "_app",
        "_barren_bytes",
        "_client",
        "_drains",
        "_headers",
        "_is_last",
        "_listener",
        "_offers",
        "_parsed",
        "_parser",
        "_pieces",
        "_server",
        "_special",
        "_target",
        "_waiting",
        "exchange",
        "has_asked",
        "is_leaving",
        "is_lost",
        "is_paused",
        "is_reading_head",
        "is_stuck",
        "is_welcome",
        "loop",
        "on_body",
        "sent",
        "since_s",
        "transport",
        "unsent_bytes",
    )

    def __init__(self, listener: Listener, app: App) -> None:
        self.loop, self.sent = listener.loop, listener.sent
        self.since_s = self.loop.time()  # when it last began to wait, for a request, its head or an end
        self.unsent_bytes = 0  # as the watch over its deadlines saw it last
        self.is_lost = self.is_leaving = self.is_reading_head = False
        self.is_paused = False  # it is not read for now
        self.is_welcome = False  # it has a place among those that may be open
        self.has_asked = False  # a whole head has come
        self.exchange: Exchange | None = None  # the one whose turn it is
        self._listener, self._app = listener, app
        self._waiting: deque[Exchange] = deque()
        self._parsed: Exchange | None = None  # the one whose body is being read
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # no call into Python for a piece of a body
        self._headers: list[tuple[bytes, bytes]] = []
        self._special: dict[bytes, bytes] = {}
        self._offers: list[tuple[bytes, bytes]] = []  # of another protocol, by the head that comes again
        self._target = b""
        self._barren_bytes = 0
        self._is_last = False  # no request is taken after those that are here
        self._drains: list[asyncio.Future[None]] = []
        self.is_stuck = False  # the client does not take what is written
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)

    @property
    def goes_on(self) -> bool:
        """Whether another request may follow the one whose turn it is."""
        return (not self._is_last or bool(self._waiting)) and not self._listener.is_draining

    @property
    def is_deaf(self) -> bool:
        """Whether nothing of what the client says now is listened to."""
        return self._is_last and self._parsed is None

    @property
    def date_line(self) -> bytes:
        return self._listener.date_line

    # --- the transport ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a stream, always
        peer = transport.get_extra_info("peername")
        if peer is None:  # reset before it was accepted
            self.transport.abort()
            return
        self._client, self._server = peer[:2], transport.get_extra_info("sockname")[:2]
        if not self._listener.welcomes(self):
            self.refuse(CallError("overloaded", "Too many connections here; try again in a moment"))

    def data_received(self, data: bytes) -> None:
        if self.is_deaf:
            return
        self._barren_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._misunderstood(error)
        if self._pieces:
            self._hand_over()
        if self.is_reading_head and self._header_bytes() > HEADER_BYTES_MAX and not self.is_deaf:
            self._refuse_rest(_too_large(f"over {HEADER_BYTES_MAX} bytes"))
        elif self._barren_bytes > BARREN_BYTES_MAX and not self.is_deaf:
            self._refuse_rest(
                _too_large(f"{BARREN_BYTES_MAX} bytes and neither the head's end nor more of a body")
            )
        elif self._parsed is not None or self._waiting:
            self.pace()

    def pace(self) -> None:
        """Read on, or let the client wait until what is here has been read, and what is written taken."""
        here = (self.exchange, *self._waiting)
        unread_bytes = sum(each.buffered_bytes for each in here if each is not None)
        pauses = unread_bytes > BODY_BUFFER_BYTES_MAX or (self.is_stuck and bool(self._waiting))
        if pauses != self.is_paused and not self.transport.is_closing():
            self.is_paused = pauses
            (self.transport.pause_reading if pauses else self.transport.resume_reading)()

    def eof_received(self) -> bool:
        """A client that says no more counts as gone: most have closed both ways, and it looks the same. What
        does not listen for that (a page, a list of models) is still answered.
        """
        self._is_last = True
        self._leave_all()
        return self.exchange is not None or bool(self._waiting)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = self._is_last = True
        self._leave_all()
        self._waiting.clear()
        self.resume_writing()
        self._parser = None  # it and this object hold each other, which would leave them to the collector
        self._listener.lost(self)

    def pause_writing(self) -> None:
        self.is_stuck = True
        self.pace()

    def resume_writing(self) -> None:
        self.is_stuck = False
        if self.exchange is None and self._waiting:
            self._enqueue(self._waiting.popleft())
        self.pace()
        drains, self._drains = self._drains, []
        for each in drains:
            if not each.done():
                each.set_result(None)

    def drained(self) -> asyncio.Future[None]:
        """Done when the client has taken what was written, or nearly."""
        if not self.is_stuck:
            return self.sent
        drain: asyncio.Future[None] = self.loop.create_future()
        self._drains.append(drain)
        return drain

    # --- the parser ---------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        """Let llhttp read `data`. With the head of a request that asks for another protocol it stops; what
        asked is left out then, and the request begins anew as one that did not (RFC 9110, 7.8). Only the
        application still sees the offer: some programs wait to hear that it is declined.
        """
        while True:
            assert self._parser is not None
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as stop:
                if self._parser.get_method() == b"CONNECT":
                    self._is_last = True  # what follows is not HTTP
                    return
                data = self._head_without_upgrade() + data[stop.args[0] :]
                self._parser = httptools.HttpRequestParser(self)

    def _head_without_upgrade(self) -> bytes:
        """Its `Connection` stays: alone it asks for nothing, and may say `close` too."""
        assert self._parser is not None
        start = (self._parser.get_method(), self._target, self._parser.get_http_version().encode())
        lines = [b"%b: %b\r\n" % header for header in self._headers if header[0] != b"upgrade"]
        self._offers = [header for header in self._headers if header[0] == b"upgrade"]
        return b"%b %b HTTP/%b\r\n" % start + b"".join(lines) + b"\r\n"

    def on_message_begin(self) -> None:
        if self._is_last:
            raise CallError.invalid("This connection takes no further request")
        if not self.is_stuck:  # or asking would be as good as taking
            self.since_s = self.loop.time()
        self.is_reading_head = True
        self._headers, self._special, self._target = [], {}, b""
        self._barren_bytes = 0

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_reading_head:
            return  # a trailer: read as a header it could say who asks
        if len(self._headers) == HEADERS_MAX:
            raise _too_large(f"over {HEADERS_MAX} headers")
        name = name.lower()
        if name in _SPECIAL:
            self._special[name] = value.lower() if name not in self._special else b"twice"
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        if parser.should_upgrade() and parser.get_method() != b"CONNECT":
            return  # `_feed` brings it again
        if self._offers:
            self._headers, self._offers = self._headers + self._offers, []
        if self._header_bytes() > HEADER_BYTES_MAX:
            raise _too_large(f"over {HEADER_BYTES_MAX} bytes")
        version = parser.get_http_version()
        self._check(version)
        scope = self._scope(parser.get_method().decode("ascii"), version, self._target)
        exchange = self._parsed = Exchange(self, scope, self._app)
        exchange.awaits_continue = b"expect" in self._special and version == "1.1"
        self.is_reading_head, self.has_asked, self._barren_bytes = False, True, 0
        if not parser.should_keep_alive() or len(self._waiting) == PIPELINED_MAX:
            self._is_last = True
        self._enqueue(exchange)

    def _header_bytes(self) -> int:
        return sum(map(len, chain.from_iterable(self._headers)))

    def on_message_complete(self) -> None:
        if self._pieces:
            self._hand_over()
        if self._parsed is not None:
            self._parsed.end()
            self._parsed = None

    def _check(self, version: str) -> None:
        """What llhttp lets pass and we do not."""
        if version not in ("1.0", "1.1"):
            raise CallError.invalid(f"HTTP/{version} is not spoken here; 1.0 and 1.1 are")
        transfer = self._special.get(b"transfer-encoding", b"chunked")
        if transfer != b"chunked" or (version == "1.0" and b"transfer-encoding" in self._special):
            raise CallError.invalid("Transfer-Encoding may only be `chunked`, and only in HTTP/1.1")
        if self._special.get(b"expect", b"100-continue") != b"100-continue":
            raise CallError("expectation", "Expect may only be `100-continue`")

    def _scope(self, method: str, version: str, target: bytes) -> Scope:
        raw_path, _, query = (target if target.startswith(b"/") else _origin_form(target)).partition(b"?")
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": method,
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": self._client,
            "server": self._server,
        }

    def _hand_over(self) -> None:
        """One piece of what came together: ten million chunks of a byte are not ten million objects."""
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._barren_bytes = 0
        if self._parsed is not None:
            self._parsed.take(data)

    def _misunderstood(self, error: Exception) -> None:
        """Not HTTP, against a rule, or after the last request that is taken."""
        inner = error.__context__
        if self.is_deaf:
            return
        if isinstance(inner, CallError):
            self._refuse_rest(inner)
        elif isinstance(error, httptools.HttpParserInvalidMethodError):
            self._refuse_rest(_unknown_method())
        else:
            self._refuse_rest(CallError.invalid(f"The request cannot be read as HTTP/1.1: {error}"))

    # --- whose turn it is ---------------------------------------------------------------------------

    def refuse(self, error: CallError) -> None:
        """Answer with `error`, when its turn comes, and take nothing after it."""
        self._is_last = True
        self._enqueue(Exchange(self, self._scope("GET", "1.1", b"/"), self._listener.refuse(error)))

    def _refuse_rest(self, error: CallError) -> None:
        """Take no more. A request whose head was good hears that its body ended; another gets `error`."""
        self._is_last = True
        parsed, self._parsed = self._parsed, None
        self._pieces.clear()
        if parsed is None:
            self.refuse(error)
        else:
            parsed.leave()

    def _enqueue(self, exchange: Exchange) -> None:
        if self.exchange is None and not self.is_stuck:
            self.exchange = exchange
            self._listener.start(exchange)
        else:
            self._waiting.append(exchange)

    def ended(self, exchange: Exchange) -> None:
        """The application is done with it."""
        self._listener.ended(exchange)

    def answered(self, exchange: Exchange, keeps: bool) -> None:
        """The answer is written; the next, once the client takes it, or the end."""
        self.exchange, self.since_s = None, self.loop.time()
        if not keeps or not self.goes_on:
            self.close(lingers=not exchange.is_whole)
        elif self._waiting and not self.is_stuck:
            self._enqueue(self._waiting.popleft())
        if self.is_paused:
            self.pace()

    def close(self, *, lingers: bool = False) -> None:
        """Hang up once all is written. Who is still sending would not see the answer: the system drops it
        for what nobody reads. So `lingers` only says that this was all, and reads on for a while.
        """
        if self.is_lost:
            return
        self._is_last = self.is_leaving = True
        self._waiting.clear()
        self.since_s = self.loop.time()
        if lingers:
            self._parsed = None
            self.pace()
            with contextlib.suppress(OSError):  # it has been reset, and the loop does not know yet
                self.transport.write_eof()
        else:
            self.transport.close()

    def _leave_all(self) -> None:
        self._parsed = None
        for each in (self.exchange, *self._waiting):
            if each is not None:
                each.leave()


def _origin_form(target: bytes) -> bytes:
    """Path and query of a target that names a host too (RFC 9112, 3.2.2); which host is not ours to judge."""
    if not target.lower().startswith((b"http://", b"https://")):
        return target if target == b"*" else b"/" + target  # leads nowhere: OPTIONS *, CONNECT host:port
    parts = urlsplit(target)
    return (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")


def _too_large(what: str) -> CallError:
    return CallError("header_too_large", f"The request's headers are too large: {what}")


def _unknown_method() -> CallError:
    error = CallError("method", "The request's method is none that is known here")
    error.headers.append(("allow", "GET, HEAD, POST, PUT, PATCH, DELETE"))
    return error

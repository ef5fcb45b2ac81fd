"""HTTP/1.1 as bytes: a provider's address, the head of a request, what a response says. No socket here."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import chain
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import httptools

from modelway.conversation.errors import CallError

# What a provider may send without a byte of the body: its head, the heads of 1xx, trailers, extensions of
# chunks. nginx takes 4 or 8 KiB for a whole head from what it proxies; this leaves room for many cookies.
HEAD_BYTES_MAX = 64 * 1024
# Headers of one answer, and again of its trailers; nobody reads 200.
HEADERS_MAX = 200
# Interim responses (100, 102, 103) before the answer; a proxy or two may add one each.
INTERIM_MAX = 16
# Addresses kept parsed: every provider times a few paths, and the local engine's port of each start.
ADDRESSES_MAX = 1024

SWITCHING_PROTOCOLS = 101


class Origin(NamedTuple):
    """Who a connection goes to; connections to the same one are shared."""

    is_tls: bool
    host: str
    port: int


class Address(NamedTuple):
    """A URL, taken apart once: whom to connect to, and the lines that begin every request."""

    origin: Origin
    opening: str
    authorization: str


class Refusal(Exception):
    """Why a response is not read on; the message is for people and shows nothing of its content."""


@lru_cache(maxsize=ADDRESSES_MAX)
def address_of(url: str) -> Address:
    """`https://api.example.com/v1/messages` as its parts. Raises CallError (502) if it is no such URL."""
    try:
        parts = urlsplit(url)
        is_tls = {"http": False, "https": True}[parts.scheme]
        host = parts.hostname or ""
        if ":" not in host:
            host = host.encode("idna").decode("ascii")
        port = parts.port or (443 if is_tls else 80)
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        path.encode("ascii")
    except (KeyError, ValueError):
        host = path = ""
    if not host or any(character <= " " for character in path):
        message = "The provider cannot be reached: its base_url is not a valid http:// or https:// address"
        raise CallError.upstream(message, code="upstream_unreachable")
    name = f"[{host}]" if ":" in host else host
    told = name if parts.port is None else f"{name}:{port}"
    opening = f"POST {path} HTTP/1.1\r\nhost: {told}\r\n"
    return Address(Origin(is_tls, host, port), opening, _basic(parts.username, parts.password))


def _basic(user: str | None, password: str | None) -> str:
    """What a URL's `user:password@` means (RFC 7617)."""
    if user is None:
        return ""
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def request_head(address: Address, headers: Mapping[str, str], body_bytes: int) -> bytes:
    """The head of a POST. Raises CallError (400) for a header that would end its line."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers) or "\0" in lines:
        raise CallError.invalid("A header for the provider holds a line break or NUL; it is not sent")
    if address.authorization and "authorization" not in headers:
        lines += f"authorization: {address.authorization}\r\n"
    try:
        return f"{address.opening}{lines}content-length: {body_bytes}\r\n\r\n".encode("latin-1")
    except UnicodeEncodeError:
        message = "A header for the provider holds a character beyond Latin-1; it is not sent"
        raise CallError.invalid(message) from None


class Response:
    """One response, from the bytes fed to it. Each part of its body lands in `pieces` as it was sent.

    `feed` raises `httptools.HttpParserError` for what is not HTTP/1.1, or more than the limits here, and for
    bytes after the end: then `is_complete` is true all the same. Call `forget` when no more will be fed.
    """

    __slots__ = (
        "_interim_count",
        "_parser",
        "_raw",
        "ends_with_connection",
        "feed",
        "has_head",
        "headers",
        "is_complete",
        "keeps_alive",
        "on_body",
        "pieces",
        "status",
    )

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.has_head = self.is_complete = self.keeps_alive = self.ends_with_connection = False
        self._interim_count = 0
        self._raw: list[tuple[bytes, bytes]] = []  # headers as they came, until they are read; trailers
        self.on_body = self.pieces.append  # no call into Python for a piece of the body
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self.feed: Callable[[bytes], None] = self._parser.feed_data

    def forget(self) -> None:
        """Let the parser go. It and this object hold each other, which would leave them to the collector."""
        self._parser = None
        self.feed = _take_no_more

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.keeps_alive = False
            raise Refusal("more bytes than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self._raw) == HEADERS_MAX:
            raise Refusal(f"more than {HEADERS_MAX} headers")
        self._raw.append((name, value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self._skip_interim()
            return
        headers = self.headers = self._read_headers()
        transfer = headers.get("transfer-encoding", "chunked").lower()
        if transfer != "chunked":
            raise Refusal(f"transfer-encoding {transfer[:40]!r}, which was not asked for")
        content = headers.get("content-encoding", "identity").lower()
        if content not in ("identity", ""):
            raise Refusal(
                f"status {self.status} in content-encoding {content[:40]!r}; identity was asked for"
            )
        self.has_head = True
        self.keeps_alive = self._parser.should_keep_alive()
        self.ends_with_connection = "content-length" not in headers and "transfer-encoding" not in headers

    def on_message_complete(self) -> None:
        self.is_complete = self.has_head

    def _skip_interim(self) -> None:
        self._interim_count += 1
        if self.status == SWITCHING_PROTOCOLS:
            raise Refusal("a change of protocol (101), which was not asked for")
        if self._interim_count > INTERIM_MAX:
            raise Refusal(f"more than {INTERIM_MAX} interim responses before the answer")
        self._raw.clear()

    def _read_headers(self) -> dict[str, str]:
        """Lower-case names to values; repeats are joined by commas."""
        if sum(map(len, chain.from_iterable(self._raw))) > HEAD_BYTES_MAX:
            raise Refusal(f"headers larger than {HEAD_BYTES_MAX} bytes")
        headers: dict[str, str] = {}
        for raw_name, raw_value in self._raw:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self._raw.clear()  # as long as a stream lives they would be there twice
        return headers


def _take_no_more(data: bytes) -> None:
    """Fed after the end: dropped."""


def reason_of(error: httptools.HttpParserError) -> str:
    """What was wrong with a response, in words."""
    inner = error.__context__
    return str(inner) if isinstance(inner, Refusal) else str(error) or type(error).__name__

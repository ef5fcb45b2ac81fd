"""What the bytes of a response say, however they were cut on the way, and how a request begins."""

from __future__ import annotations

from itertools import pairwise

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.conversation.errors import CallError
from modelway.providers.http1 import (
    ADDRESSES_MAX,
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    INTERIM_MAX,
    Origin,
    Response,
    address_of,
    reason_of,
    request_head,
)

CHUNKED = (
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Twice: a\r\nx-twice: b\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
    b"7;name=value\r\ndata: a\r\n2\r\n\n\n\r\n10\r\ndata: [DONE]\n\n\r\n\r\n0\r\nx-trailer: 1\r\n\r\n"
)
CHUNKED_BODY = b"data: a\n\ndata: [DONE]\n\n\r\n"
LENGTH = b"HTTP/1.1 429 Too Many\r\ncontent-length: 5\r\nretry-after: 3\r\n\r\nhello"
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\n\r\nuntil the end"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def fed(*parts: bytes) -> Response:
    response = Response()
    for part in parts:
        response.feed(part)
    return response


@given(st.lists(st.integers(0, 1000), max_size=40))
def test_a_chunked_answer_is_the_same_however_it_is_cut(places: list[int]) -> None:
    response = fed(*cut(CHUNKED, places))

    assert (response.status, b"".join(response.pieces)) == (200, CHUNKED_BODY)
    assert response.headers == {
        "content-type": "text/event-stream",
        "x-twice": "a, b",
        "transfer-encoding": "chunked",
    }
    assert response.is_complete
    assert response.keeps_alive


@given(st.lists(st.integers(0, 1000), max_size=40))
def test_an_answer_with_a_length_is_the_same_however_it_is_cut(places: list[int]) -> None:
    response = fed(*cut(LENGTH, places))

    assert (response.status, b"".join(response.pieces), response.is_complete) == (429, b"hello", True)
    assert response.headers["retry-after"] == "3"


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_an_answer_without_a_length_ends_with_its_connection(places: list[int]) -> None:
    response = fed(*cut(UNTIL_CLOSE, places))

    assert b"".join(response.pieces) == b"until the end"
    assert response.ends_with_connection
    assert not response.is_complete
    assert not response.keeps_alive


@given(st.binary(max_size=300), st.lists(st.integers(0, 1000), max_size=10))
def test_random_bytes_raise_only_the_parsers_error(noise: bytes, places: list[int]) -> None:
    response, reasons = Response(), []
    for part in cut(LENGTH[:30] + noise, places):
        try:
            response.feed(part)
        except httptools.HttpParserError as error:
            reasons.append(reason_of(error))
            break

    assert "" not in reasons


HEAD = b"HTTP/1.1 200 OK\r\n"
REFUSED = [
    ("many headers", HEAD + b"a: b\r\n" * (HEADERS_MAX + 1) + b"\r\n", "more than 200 headers"),
    ("large headers", HEAD + (b"a: " + b"b" * 9000 + b"\r\n") * 8 + b"\r\n", "larger than 65536 bytes"),
    ("many trailers", CHUNKED[:-2] + b"a: b\r\n" * (HEADERS_MAX + 1), "more than 200 headers"),
    ("early hints for ever", b"HTTP/1.1 103 E\r\n\r\n" * (INTERIM_MAX + 1), "more than 16 interim"),
    ("gzip", HEAD + b"content-encoding: gzip\r\ncontent-length: 9\r\n\r\n", "'gzip'"),
    ("gzip on the way", HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n", "'gzip, chunked'"),
    ("two lengths", HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n", "Content-Length"),
    (
        "length and chunks",
        HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
        "Content-Length",
    ),
    ("a negative length", HEAD + b"content-length: -1\r\n\r\n", "Content-Length"),
    ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n", "HTTP/"),
    (
        "a websocket",
        b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "change of protocol",
    ),
    ("a size that is none", HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n", "chunk size"),
]


@pytest.mark.parametrize(("data", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_an_answer_beyond_the_limits_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(httptools.HttpParserError) as caught:
        fed(data)

    assert reason in reason_of(caught.value)


@pytest.mark.parametrize("more", [b"extra", b"H", LENGTH])
def test_bytes_after_the_end_are_dropped_and_end_the_connection(more: bytes) -> None:
    response = Response()

    with pytest.raises(httptools.HttpParserError):
        response.feed(LENGTH + more)

    assert (b"".join(response.pieces), response.is_complete, response.keeps_alive) == (b"hello", True, False)


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_whether_a_connection_may_be_used_again_is_the_providers_word(head: bytes, keeps: bool) -> None:
    response = fed(head)

    assert response.is_complete
    assert response.keeps_alive is keeps


def test_a_request_has_its_path_host_headers_and_length() -> None:
    address = address_of("https://api.example.com/v1/messages?beta=true")

    head = request_head(address, {"content-type": "application/json", "x-api-key": "k"}, 12)

    assert address.origin == Origin(True, "api.example.com", 443)
    assert head == (
        b"POST /v1/messages?beta=true HTTP/1.1\r\nhost: api.example.com\r\n"
        b"content-type: application/json\r\nx-api-key: k\r\ncontent-length: 12\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("http://127.0.0.1:8080/v1", Origin(False, "127.0.0.1", 8080), "127.0.0.1:8080"),
        ("http://[::1]:99", Origin(False, "::1", 99), "[::1]:99"),
        ("https://Bücher.example/", Origin(True, "xn--bcher-kva.example", 443), "xn--bcher-kva.example"),
    ],
)
def test_a_host_is_told_as_the_standard_wants_it(url: str, origin: Origin, host: str) -> None:
    address = address_of(url)

    assert address.origin == origin
    assert f"\r\nhost: {host}\r\n" in address.opening


@pytest.mark.parametrize(
    "url", ["ftp://a/b", "http://", "http://a:port/", "http://a/b c", "https://a/\r\nx: y", "nonsense", ""]
)
def test_an_address_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(CallError) as caught:
        address_of(url)

    assert caught.value.code == "upstream_unreachable"


def test_a_password_in_a_url_becomes_a_header_and_nothing_else() -> None:
    address = address_of("https://me:p%40ss@example.com/v1")

    head = request_head(address, {}, 0)

    assert b"authorization: Basic bWU6cEBzcw==\r\n" in head
    assert b"host: example.com\r\n" in head
    assert b"authorization: Bearer" in request_head(address, {"authorization": "Bearer k"}, 0)
    assert b"Basic" not in request_head(address, {"authorization": "Bearer k"}, 0)


@pytest.mark.parametrize("value", ["a\r\nx-injected: 1", "a\nb", "a\rb", "a\0b", "日本"])
def test_a_header_that_would_end_its_line_is_never_sent(value: str) -> None:
    with pytest.raises(CallError) as caught:
        request_head(address_of("http://a/"), {"anthropic-beta": value}, 0)

    assert caught.value.kind.name == "invalid"
    assert value not in caught.value.message


def test_the_memory_of_addresses_is_bounded() -> None:
    assert address_of.cache_info().maxsize == ADDRESSES_MAX
    assert HEAD_BYTES_MAX == 64 * 1024

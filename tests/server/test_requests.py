"""How a request is read: what is one, what is refused, and that nothing can be read in two ways."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.server.connection import (
    BARREN_BYTES_MAX,
    BODY_BUFFER_BYTES_MAX,
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    PIPELINED_MAX,
)
from modelway.server.exchange import Receive, Scope, Send
from tests.server.served import CHUNKED, answer, body_of, deaf, get, mirror, post, run, served, until

BODY = b"0123456789"


def framed(*lines: str, body: bytes = BODY) -> bytes:
    return get("/", *lines, method="POST") + body


# Requests that two servers could read in two ways, or that are no HTTP.
REFUSED: dict[str, bytes] = {
    "length and chunked": framed("content-length: 10", "transfer-encoding: chunked"),
    "chunked and length": framed("transfer-encoding: chunked", "content-length: 10"),
    "two lengths": framed("content-length: 10", "content-length: 3"),
    "two equal lengths": framed("content-length: 10", "content-length: 10"),
    "a list of lengths": framed("content-length: 10, 10"),
    **{f"length {v!r}": framed(f"content-length: {v}") for v in ("+3", "-1", "1_0", "", "0x3", "9" * 20)},
    **{
        f"encoding {v!r}": framed(f"transfer-encoding: {v}", body=b"0\r\n\r\n")
        for v in ("xchunked", "chunked, identity", "gzip, chunked", "\x0bchunked", "identity", "", "gzip")
    },
    "two encodings": framed("transfer-encoding: gzip", "transfer-encoding: chunked", body=b"0\r\n\r\n"),
    "chunks in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nhost: here\n\n",
    "a bare line feed after a header": b"GET / HTTP/1.1\r\nhost: here\nx: y\r\n\r\n",
    "a bare line feed at the end": b"GET / HTTP/1.1\r\nhost: here\r\n\n",
    "a bare carriage return": get("/", "x: a\rb"),
    "a NUL": get("/", "x: a\0b"),
    "a NUL in a name": get("/", "x\0: a"),
    "a NUL in the path": get("/\0"),
    "a folded header": get("/", "x: a", " b"),
    "a folded first header": b"GET / HTTP/1.1\r\n x: y\r\nhost: here\r\n\r\n",
    "a space before the colon": get("/", "x : a"),
    "no colon": get("/", "x"),
    "no name": get("/", ": x"),
    "a space in the path": get("/a b"),
    "a path beyond ASCII": get("/\xe9"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2": get("/", version="2.0"),
    "HTTP/1.2": get("/", version="1.2"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED.keys())
def test_what_can_be_read_in_two_ways_is_a_400_and_the_end(sent: bytes) -> None:
    async def test() -> None:
        async with served(mirror) as server:
            client = await server.client(sent, get("/second"))
            reply = await client.reply()

            assert (reply.status, reply.headers["connection"]) == (400, "close")
            assert await client.is_hung_up_on()

    run(test())


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_is_told_in_the_one_envelope_unless_an_application_had_the_word(sent: bytes) -> None:
    async def test() -> None:
        async with served(deaf) as server:
            reply = await server.ask(sent)

            # Where the head was good and the body is not, the application may have answered already.
            assert reply.status == 401 or (reply.status, reply.code) == (400, "invalid_value")

    run(test())


BAD_CHUNKS = {
    "a negative size": b"-1\r\na",
    "a prefix": b"0x3\r\nabc\r\n",
    "seventeen digits": b"1" * 17 + b"\r\na",
    "no end of the chunk": b"3\r\nabcX",
    "a line feed alone after the size": b"3\nabc\r\n",
    "a line feed alone after the chunk": b"3\r\nabc\n0\r\n\r\n",
    "a line feed in an extension": b"3;a\nb\r\nabc\r\n",
    "a line feed alone at the end": b"3\r\nabc\r\n0\n\n",
    "a NUL in an extension": b"3;\0\r\nabc\r\n",
    "a space after the size": b"3 \r\nabc\r\n",
    "an endless extension": b"3;" + b"x" * 4 * BARREN_BYTES_MAX,
    "an endless trailer": b"3\r\nabc\r\n0\r\nx: " + b"x" * 4 * BARREN_BYTES_MAX,
}


@pytest.mark.parametrize("sent", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
def test_chunks_that_are_none_end_the_body_and_the_connection(sent: bytes) -> None:
    async def test() -> None:
        async with served(mirror) as server:
            client = await server.client(CHUNKED, sent)
            reply = await client.reply()

            assert (reply.status, reply.body) == (400, b"the body ended early")
            assert reply.headers["connection"] == "close"
            assert await client.is_hung_up_on()

    run(test())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=12))
def test_requests_are_the_same_however_they_are_cut(places: list[int]) -> None:
    chunked = CHUNKED + b"3;name=value\r\nabc\r\n1\r\nd\r\n0\r\nx-trailer: 1\r\n\r\n"
    sent = (
        post(b"hello", "/a%20b?c=d", "x-twice: 1", "x-twice: 2") + chunked + get("/end", "connection: close")
    )
    edges = [0, *sorted(place % len(sent) for place in places), len(sent)]

    async def test() -> None:
        async with served(mirror) as server:
            client = await server.client()
            for start, end in pairwise(edges):
                client.say(sent[start:end])
                await asyncio.sleep(0)
            first, second, third = [json.loads((await client.reply()).body) for _ in range(3)]

            assert (first["method"], first["path"], first["raw_path"]) == ("POST", "/a b", "/a%20b")
            assert (first["query"], first["body"]) == ("c=d", "hello")
            assert first["headers"][-2:] == [["x-twice", "1"], ["x-twice", "2"]]
            assert (second["body"], second["version"]) == ("abcd", "1.1")
            assert (third["path"], third["client"]) == ("/end", "127.0.0.1")
            assert await client.is_hung_up_on()

    run(test())


def test_a_trailer_is_no_header() -> None:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)
        await mirror(scope, receive_nothing, send)

    def receive_nothing() -> asyncio.Future[dict[str, Any]]:
        nothing: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        nothing.set_result({"type": "http.request", "body": b"", "more_body": False})
        return nothing

    async def test() -> None:
        async with served(late) as server:
            sent = CHUNKED + b"1\r\nx\r\n0\r\nAuthorization: Bearer forged\r\n\r\n"
            names = [name for name, _ in json.loads((await server.ask(sent)).body)["headers"]]

            assert names == ["host", "transfer-encoding"]

    run(test())


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([f"x-{n}: v" for n in range(HEADERS_MAX - 1)], 200),
        ([f"x-{n}: v" for n in range(HEADERS_MAX)], 431),
        (["x: " + "a" * (HEADER_BYTES_MAX - 9)], 200),
        (["x: " + "a" * (HEADER_BYTES_MAX - 8)], 431),
        (["x: " + "a" * 500_000], 431),
    ],
    ids=["100", "101", "32 KiB", "a byte more", "500 KB"],
)
def test_headers_have_limits(lines: list[str], status: int) -> None:
    async def test() -> None:
        async with served(mirror) as server:
            reply = await server.ask(get("/", *lines))

            assert reply.status == status
            assert status == 200 or reply.code == "header_too_large"

    run(test())


@pytest.mark.parametrize("beginning", [b"GET /", b"GET / HTTP/1.1\r\nx: ", b"\r\n"])
def test_a_head_that_never_ends_is_a_431(beginning: bytes) -> None:
    async def test() -> None:
        async with served(mirror) as server:
            client = await server.client(beginning)
            more = b"\r\n" * 8192 if beginning == b"\r\n" else b"x" * 16384
            for _ in range(2 * BARREN_BYTES_MAX // len(more)):
                client.say(more)
                await asyncio.sleep(0.001)

            assert (await client.reply()).code == "header_too_large"

    run(test())


def test_headers_that_are_too_large_are_refused_before_their_end() -> None:
    async def test() -> None:
        async with served(mirror) as server:
            lines = [f"x-{n}: {'a' * 4096}" for n in range(HEADER_BYTES_MAX // 4096 + 1)]
            client = await server.client(get("/", *lines).removesuffix(b"\r\n"))

            assert (await client.reply()).code == "header_too_large"

    run(test())


@pytest.mark.parametrize("method", ["BREW", "get", "G"])
def test_a_method_nobody_knows_is_a_405(method: str) -> None:
    async def test() -> None:
        async with served(mirror) as server:
            reply = await server.ask(get("/", method=method))

            assert (reply.status, reply.code) == (405, "method_not_allowed")
            assert {"POST", "PUT", "PATCH", "DELETE"} <= set(reply.headers["allow"].split(", "))

    run(test())


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://other:1/v1/models?a=b", "/v1/models", "a=b"),
        ("HTTP://other", "/", ""),
        ("/v1%2fmodels", "/v1%2fmodels", ""),
        ("//v1/models", "//v1/models", ""),
        ("/a?b?c", "/a", "b?c"),
    ],
)
def test_a_target_leads_by_its_path_alone(target: str, path: str, query: str) -> None:
    async def test() -> None:
        async with served(mirror) as server:
            asked = json.loads((await server.ask(get(target))).body)

            assert (asked["raw_path"], asked["query"]) == (path, query)

    run(test())


UPGRADES = {
    "curl --http2": ["connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQ"],
    "the other way round": ["Upgrade: h2c", "Connection: upgrade"],
    "a websocket": ["connection: upgrade", "upgrade: websocket"],
    "of one word only": ["upgrade: websocket"],
}


@pytest.mark.parametrize("lines", UPGRADES.values(), ids=UPGRADES.keys())
def test_who_asks_for_an_upgrade_is_answered_as_if_it_had_not(lines: list[str]) -> None:
    chunked = get("/chunks", "transfer-encoding: chunked", *lines, method="POST")
    sent = (
        get("/get?a=b", *lines)
        + post(b"body", "/post", *lines)
        + chunked
        + b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"
        + post(b"last", "/last", "connection: close", *lines)
    )

    async def test() -> None:
        async with served(mirror) as server:
            for size in (1, 50, len(sent)):
                client = await server.client()
                for start in range(0, len(sent), size):
                    client.say(sent[start : start + size])
                    await asyncio.sleep(0)
                asked = [json.loads((await client.reply()).body) for _ in range(4)]

                assert [(each["method"], each["path"], each["body"]) for each in asked] == [
                    ("GET", "/get", ""),
                    ("POST", "/post", "body"),
                    ("POST", "/chunks", "abcd"),
                    ("POST", "/last", "last"),
                ]
                assert asked[0]["query"] == "a=b"
                assert await client.is_hung_up_on()

    run(test())


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED.keys())
def test_an_upgrade_opens_no_second_way_to_read_a_request(sent: bytes) -> None:
    first, line, rest = sent.partition(b"\r\n")

    async def test() -> None:
        async with served(deaf) as server:
            asks = first + line + b"connection: upgrade\r\nupgrade: h2c\r\n" + rest
            client = await server.client(asks, get("/second"))
            said = await client.rest()

            assert said.count(b"HTTP/1.1 ") == 1
            assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401"))
            assert b"connection: close" in said

    run(test())


def test_what_follows_a_CONNECT_is_not_read() -> None:
    async def test() -> None:
        async with served(mirror) as server:
            client = await server.client(get("there:1", method="CONNECT"), get("/second"))

            assert json.loads((await client.reply()).body)["path"] == "/there:1"
            assert await client.is_hung_up_on()

    run(test())


def test_requests_sent_at_once_are_answered_in_their_order() -> None:
    async def slow_first(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/0":
            await asyncio.sleep(0.02)
        await mirror(scope, receive, send)

    async def test() -> None:
        async with served(slow_first) as server:
            client = await server.client(b"".join(post(b"%d" % n, f"/{n}") for n in range(10)))
            asked = [json.loads((await client.reply()).body) for _ in range(10)]

            assert [(each["path"], each["body"]) for each in asked] == [(f"/{n}", str(n)) for n in range(10)]

    run(test())


def test_one_bad_request_among_many_does_not_touch_those_before_it() -> None:
    async def test() -> None:
        async with served(mirror) as server:
            client = await server.client(get("/0"), get("/1"), REFUSED["two lengths"], get("/3"))

            assert [(await client.reply()).status for _ in range(3)] == [200, 200, 400]
            assert await client.is_hung_up_on()

    run(test())


def test_more_requests_at_once_than_may_wait_are_not_taken() -> None:
    async def test() -> None:
        async with served(mirror) as server:
            client = await server.client(get() * 10 * PIPELINED_MAX)
            replies = (await client.rest()).count(b"HTTP/1.1 200 OK")

            assert PIPELINED_MAX <= replies <= PIPELINED_MAX + 2

    run(test())


def test_a_body_that_nobody_reads_stops_coming() -> None:
    reads = asyncio.Event()

    async def later(scope: Scope, receive: Receive, send: Send) -> None:
        await reads.wait()
        await answer(send, str(len(await body_of(receive))).encode())

    async def test() -> None:
        async with served(later) as server:
            size = 16 * 1024 * 1024
            client = await server.client(post(b"x" * size))
            transport, before = client.writer.transport, -1
            while (left := transport.get_write_buffer_size()) != before:
                before = left
                await asyncio.sleep(0.05)
            assert left > size // 4, "the server went on reading"
            reads.set()

            assert (await client.reply()).body == str(size).encode()

    run(test())


def test_bodies_that_wait_for_their_turn_stop_coming_together() -> None:
    goes_on = asyncio.Event()

    async def later(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/first":
            await goes_on.wait()
        await answer(send, str(len(await body_of(receive))).encode())

    async def test() -> None:
        async with served(later) as server:
            size, count = 60_000, 60
            client = await server.client(get("/first"), *[post(b"x" * size) for _ in range(count)])
            transport, before = client.writer.transport, -1
            while (left := transport.get_write_buffer_size()) != before:
                before = left
                await asyncio.sleep(0.05)
            (connection,) = server.listener.connections
            held = sum(each.buffered_bytes for each in connection._waiting)
            assert held < 512 * 1024, "64 KiB and what one read brings"
            goes_on.set()

            assert (await client.reply()).body == b"0"
            for _ in range(count):
                assert (await client.reply()).body == str(size).encode()

    run(test())


def test_a_body_that_nobody_ever_reads_is_forgotten_with_its_answer() -> None:
    goes_on = asyncio.Event()

    async def deaf_after_a_while(scope: Scope, receive: Receive, send: Send) -> None:
        await goes_on.wait()
        await answer(send, b"no")

    async def test() -> None:
        async with served(deaf_after_a_while) as server:
            sent = get() + post(b"x" * (BODY_BUFFER_BYTES_MAX + 1))
            client = await server.client(sent[:-1])
            await asyncio.sleep(0.05)
            client.say(sent[-1:])  # so the request is whole, and more than may wait
            await until(lambda: any(each.is_paused for each in server.listener.connections))
            goes_on.set()
            client.say(get())

            assert [(await client.reply()).body for _ in range(3)] == [b"no"] * 3

    run(test())


def test_a_body_of_single_bytes_is_one_piece_for_each_time_that_some_came() -> None:
    messages = 0

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal messages
        has_more, size = True, 0
        while has_more:
            message = await receive()
            messages += 1
            size, has_more = size + len(message["body"]), message["more_body"]
        await answer(send, str(size).encode())

    async def test() -> None:
        async with served(counting) as server:
            reply = await server.ask(CHUNKED, b"1\r\nx\r\n" * 100_000, b"0\r\n\r\n")

            assert reply.body == b"100000"
            assert messages < 1000

    run(test())


def test_who_expects_a_100_gets_it_only_when_the_body_is_wanted() -> None:
    async def test() -> None:
        expecting = get("/", "content-length: 4", "expect: 100-continue", method="POST")
        async with served(mirror) as server:
            client = await server.client(expecting)
            assert (await client.reply()).status == 100
            client.say(b"body")
            assert json.loads((await client.reply()).body)["body"] == "body"

            at_once = await server.client(expecting + b"body")
            assert (await at_once.reply()).status == 200
            assert (await server.ask(get("/", "expect: 200-ok"))).code == "expectation_failed"
        async with served(deaf) as server:
            assert (await server.ask(expecting)).status == 401

    run(test())


def test_who_expects_a_100_and_sends_all_at_once_gets_none() -> None:
    async def listening(scope: Scope, receive: Receive, send: Send) -> None:
        body = await body_of(receive)
        receive()  # for the hang-up
        await answer(send, body)

    async def test() -> None:
        expecting = get("/", "content-length: 4", "expect: 100-continue", method="POST")
        async with served(listening) as server:
            assert (await server.ask(expecting + b"body")).body == b"body"
            assert (await server.ask(get("/", "expect: 100-continue"))).status == 200

    run(test())

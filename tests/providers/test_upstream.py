"""The client of providers, against real servers on loopback that answer well, slowly or not at all."""

from __future__ import annotations

import asyncio
import socket

import pytest

from modelway.conversation.errors import CallError
from modelway.providers import upstream as upstream_module
from modelway.providers.exchange import BUFFER_BYTES_MAX
from tests.providers.raw_provider import (
    JSON,
    OK,
    WAIT_S,
    Line,
    Provider,
    a_client,
    answering,
    ask,
    ask_once,
    run,
    saying,
)

CHUNKS = OK + b"transfer-encoding: chunked\r\n\r\n"


def error_of(handler: object, **timeouts: float) -> CallError:
    """How one call to this provider fails."""
    with pytest.raises(CallError) as caught:
        run(ask_once(handler, **timeouts))  # type: ignore[arg-type]  # any of the handlers below
    return caught.value


def test_a_request_arrives_whole_and_its_answer_too() -> None:
    body = b"x" * 3_000_000
    got: list[bytes] = []

    async def handler(line: Line) -> None:
        got.append(await line.request())
        await line.send(JSON)

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            upstream = await client.open(provider.url, body, {"x-api-key": "k"})
            assert upstream.status == 200
            assert upstream.headers["content-type"] == "application/json"
            assert await upstream.read_all() == b"{}"
            assert upstream.failure is None
            upstream.close()
        head, _, rest = got[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:")
        assert b"\r\nx-api-key: k\r\ncontent-length: 3000000" in head
        assert rest == body

    run(work())


def test_chunks_are_read_as_they_arrive() -> None:
    go = asyncio.Event()

    async def handler(line: Line) -> None:
        await line.request()
        await line.send(CHUNKS + b"3\r\none\r\n")
        await go.wait()
        await line.send(b"3\r\ntwo\r\n0\r\n\r\n")

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            upstream = await client.open(provider.url, b"", {})
            assert await upstream.read() == b"one"
            go.set()
            assert await upstream.read() == b"two"
            assert await upstream.read() == b""
            assert await upstream.read() == b""

    run(work())


def test_a_body_without_a_length_ends_with_its_connection() -> None:
    assert run(ask_once(saying(b"HTTP/1.0 200 OK\r\n\r\nall of it"))) == b"all of it"


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async def work() -> None:
        moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
        async with Provider(answering(moved)) as provider, a_client() as client:
            upstream = await client.open(provider.url, b"", {})
            assert upstream.status == 302
            upstream.close()

    run(work())


def test_early_hints_are_skipped() -> None:
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"

    assert run(ask_once(answering(hints + JSON))) == b"{}"


@pytest.mark.parametrize("body", [b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n", b"a\r\nhelloworld\r\n0\r\n\r\n"])
def test_an_answer_cut_after_any_byte_is_never_whole(body: bytes) -> None:
    answer = CHUNKS + body

    async def work() -> None:
        async with a_client() as client:
            for end in range(len(answer)):
                async with Provider(saying(answer[:end])) as provider:
                    with pytest.raises(CallError) as caught:
                        await ask(client, provider.url)
                    assert caught.value.code == ("upstream_truncated" if end else "upstream_unreachable")

    run(work())


def test_a_stream_that_breaks_gives_what_came_and_says_why_it_ended() -> None:
    async def work() -> None:
        async with Provider(saying(CHUNKS + b"3\r\none\r\n")) as provider, a_client() as client:
            upstream = await client.open(provider.url, b"", {})
            assert await upstream.read() == b"one"
            assert await upstream.read() == b""
            assert upstream.failure is not None
            assert upstream.failure.code == "upstream_truncated"

    run(work())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (OK + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}", "gzip"),
        (OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}", "Content-Length"),
        (OK + b"a: b\r\n" * 1000 + b"\r\n", "200 headers"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000, "16 interim"),
        (OK + b"a: " + b"b" * 100_000, "65536 bytes without"),
        (CHUNKS + b"1\r\nx\r\n0\r\na: " + b"b" * 200_000, ""),
        (b"<html>no HTTP at all</html>", "cannot be read as HTTP"),
        (CHUNKS + b"1\r\nx\r\nno size\r\n", "chunk size"),
    ],
)
def test_what_is_not_http_within_limits_is_a_502_that_says_so(answer: bytes, words: str) -> None:
    error = error_of(saying(answer))

    assert error.kind.name == "upstream"
    assert words in error.message
    assert "bbbb" not in error.message
    assert "html" not in error.message


def test_an_answer_larger_than_its_limit_is_a_502() -> None:
    async def work() -> None:
        async with Provider(answering(OK + b"content-length: 99\r\n\r\n" + b"x" * 99)) as provider:
            async with a_client() as client:
                upstream = await client.open(provider.url, b"", {})
                with pytest.raises(CallError, match="larger than 98 bytes"):
                    await upstream.read_all(98)
                upstream.close()

    run(work())


def test_a_provider_that_never_answers_is_a_504() -> None:
    async def handler(line: Line) -> None:
        await line.request()
        await line.left()

    error = error_of(handler, silence_timeout_s=0.2)

    assert (error.kind.name, error.message) == (
        "upstream_timeout",
        "The provider did not begin to answer in time",
    )


def test_a_provider_that_falls_silent_is_a_504_but_one_that_drips_is_not() -> None:
    async def drips_then_is_silent(line: Line) -> None:
        await line.request()
        await line.send(CHUNKS)
        for _ in range(12):
            await line.send(b"1\r\nx\r\n")
            await asyncio.sleep(0.05)
        await line.left()

    async def work() -> None:
        async with Provider(drips_then_is_silent) as provider, a_client(silence_timeout_s=0.4) as client:
            upstream = await client.open(provider.url, b"", {})
            heard = b""
            while piece := await upstream.read():
                heard += piece
            assert heard == b"x" * 12
            assert upstream.failure is not None
            assert upstream.failure.kind.name == "upstream_timeout"
            with pytest.raises(CallError, match="silent in the middle"):
                await upstream.read_all()

    run(work())


def test_a_refused_connection_is_a_502_that_names_the_reason_only() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def work() -> None:
        async with a_client() as client:
            await ask(client, f"http://me:secret@127.0.0.1:{port}/")

    with pytest.raises(CallError) as caught:
        run(work())
    assert caught.value.code == "upstream_unreachable"
    assert caught.value.message == "The provider cannot be reached: the connection was refused"


def test_a_name_without_an_address_is_a_502() -> None:
    async def work() -> None:
        async with a_client() as client:
            await ask(client, "http://nothing.invalid/")

    with pytest.raises(CallError) as caught:
        run(work())
    assert caught.value.code == "upstream_unreachable"
    assert "invalid" not in caught.value.message


def test_a_name_with_addresses_of_both_families_reaches_the_one_that_listens() -> None:
    async def work() -> None:
        async with Provider(answering(JSON)) as provider, a_client() as client:
            assert await ask(client, f"http://localhost:{provider.port}/") == b"{}"

    run(work())


def test_the_next_address_is_tried_while_the_first_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "NEXT_ADDRESS_S", 0.01)

    async def work() -> None:
        async with Provider(answering(JSON)) as provider:
            deaf = socket.socket()
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            queued = [socket.socket() for _ in range(3)]  # fill its queue: it answers no more
            for each in queued:
                each.setblocking(False)
                each.connect_ex(deaf.getsockname())
            where = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
            good = ("127.0.0.1", provider.port)
            connected = await upstream_module._race([(*where, deaf.getsockname()), (*where, good)])
            assert connected.getpeername() == good
            for each in (connected, deaf, *queued):
                each.close()

    run(work())


def test_a_slow_reader_makes_the_provider_wait() -> None:
    size = 20_000_000
    sent = 0

    async def handler(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.send(OK + b"content-length: %d\r\n\r\n" % size)
        for _ in range(size // 100_000):
            await line.send(b"x" * 100_000)
            sent += 100_000
        await line.left()

    async def work() -> None:
        async with Provider(handler) as provider, a_client(silence_timeout_s=0.1) as client:
            upstream = await client.open(provider.url, b"", {})
            await asyncio.sleep(0.5)  # many times the silence allowed: a wait of ours is not the provider's
            assert upstream.is_paused
            assert sent < size
            first = await upstream.read()
            assert len(first) < BUFFER_BYTES_MAX + 512 * 1024  # one read of the loop may come on top
            assert len(first) + len(await upstream.read_all()) == size
            assert upstream.failure is None

    run(work())


def test_a_hang_up_reaches_the_provider() -> None:
    left = asyncio.Event()

    async def handler(line: Line) -> None:
        await line.request()
        await line.send(CHUNKS + b"1\r\nx\r\n")
        await line.left()
        left.set()

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            upstream = await client.open(provider.url, b"", {})
            upstream.close()
            async with asyncio.timeout(WAIT_S):
                await left.wait()
            assert not client._idle

    run(work())


def test_a_task_cancelled_before_the_answer_hangs_up() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def handler(line: Line) -> None:
        await line.request()
        asked.set()
        await line.left()
        left.set()

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            task = asyncio.create_task(client.open(provider.url, b"", {}))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(WAIT_S):
                await left.wait()

    run(work())


def test_a_reader_that_waits_is_woken_by_an_abort_with_its_reason() -> None:
    async def handler(line: Line) -> None:
        await line.request()
        await line.send(CHUNKS)
        await line.left()

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            upstream = await client.open(provider.url, b"", {})
            asyncio.get_running_loop().call_later(
                0.01, upstream.abort, CallError("upstream_timeout", "too long")
            )
            assert await upstream.read() == b""
            assert upstream.failure is not None
            assert upstream.failure.message == "too long"

    run(work())


@pytest.mark.parametrize("ends", [True, False])
def test_after_the_last_event_the_connection_is_kept_if_it_ends_soon(ends: bool) -> None:
    async def handler(line: Line) -> None:
        while await line.request():
            await line.send(CHUNKS + b"1\r\nx\r\n")
            if ends:
                await asyncio.sleep(0.001)
                await line.send(b"0\r\n\r\n")

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            upstream = await client.open(provider.url, b"", {})
            assert await upstream.read() == b"x"
            await upstream.finish()
            upstream.close()
            assert bool(client._idle) == ends

    run(work())


def test_a_reader_that_gave_up_may_read_again() -> None:
    go = asyncio.Event()

    async def handler(line: Line) -> None:
        await line.request()
        await line.send(CHUNKS)
        await go.wait()
        await line.send(b"1\r\nx\r\n0\r\n\r\n")

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            upstream = await client.open(provider.url, b"", {})
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await upstream.read()
            go.set()
            assert await upstream.read_all() == b"x"

    run(work())


def test_what_is_forwarded_goes_on_in_the_order_it_came_until_it_is_enough() -> None:
    async def handler(line: Line) -> None:
        await line.request()
        await line.send(CHUNKS)
        for letter in b"abcdef":
            await line.send(b"1\r\n%c\r\n" % letter)
            await asyncio.sleep(0.002)
        await line.send(b"0\r\n\r\n")

    async def work(last: bytes) -> bytes:
        heard: list[bytes] = []

        def take(data: bytes) -> bool:
            heard.append(data)
            return last in data

        async with Provider(handler) as provider, a_client() as client:
            upstream = await client.open(provider.url, b"", {})
            await upstream.forward(take)
            told = b"".join(heard)
            rest = await upstream.read_all()
            assert told + rest == b"abcdef"
            assert upstream.failure is None
            upstream.close()
        return told

    assert run(work(b"d")).endswith(b"d")
    assert run(work(b"z")) == b"abcdef"


def test_what_is_forwarded_from_a_stream_that_breaks_ends_with_the_reason() -> None:
    async def work() -> None:
        async with Provider(saying(CHUNKS + b"3\r\none\r\n")) as provider, a_client() as client:
            upstream = await client.open(provider.url, b"", {})
            await upstream.forward(lambda data: len(data) > 3)
            assert upstream.failure is not None
            assert upstream.failure.code == "upstream_truncated"

    run(work())


def test_an_error_in_what_takes_a_stream_is_raised_where_it_was_asked_for() -> None:
    async def handler(line: Line) -> None:
        await line.request()
        await line.send(CHUNKS)
        for _ in range(3):
            await asyncio.sleep(0.002)
            await line.send(b"1\r\nx\r\n")
        await line.left()

    def take(data: bytes) -> bool:
        raise ZeroDivisionError(data)

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            upstream = await client.open(provider.url, b"", {})
            with pytest.raises(ZeroDivisionError):
                await upstream.forward(take)
            upstream.close()

    run(work())

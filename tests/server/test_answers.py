"""How an answer is written: framing, kept connections, and what an application may not do."""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from modelway.server.exchange import Receive, Scope, Send
from tests.server.served import UNHURRIED, App, answer, get, mirror, post, run, served

Headers = list[tuple[bytes, bytes]]


def answering(*parts: bytes, status: int = 200, headers: Headers | None = None) -> App:
    """An application that streams `parts`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": status, "headers": headers or []})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    return app


def test_an_answer_of_unknown_length_comes_in_chunks_and_the_connection_stays() -> None:
    async def test() -> None:
        async with served(answering(b"one", b"", b"two")) as server:
            client = await server.client()
            for _ in range(2):
                client.say(get())
                reply = await client.reply()
                assert (reply.status, reply.body) == (200, b"onetwo")
                assert reply.headers["transfer-encoding"] == "chunked"
                assert "connection" not in reply.headers

    run(test())


def test_each_part_is_one_chunk_and_the_head_comes_with_the_first() -> None:
    async def test() -> None:
        async with served(answering(b"x" * 26, headers=[(b"content-type", b"text/plain")])) as server:
            client = await server.client(get("/", "connection: close"))
            head, _, body = (await client.rest()).partition(b"\r\n\r\n")

            assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n")
            assert body == b"1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n"

    run(test())


def test_every_answer_has_a_date() -> None:
    async def test() -> None:
        async with served(mirror) as server:
            assert parsedate_to_datetime((await server.ask(get())).headers["date"]).tzinfo is not None

    run(test())


@pytest.mark.parametrize(("lines", "kept"), [((), False), (("connection: keep-alive",), True)])
def test_HTTP_1_0_keeps_its_connection_only_when_it_asks(lines: tuple[str, ...], kept: bool) -> None:
    async def test() -> None:
        async with served(mirror, deadlines=UNHURRIED._replace(idle_s=0.1)) as server:
            client = await server.client(get("/", *lines, version="1.0"))
            reply = await client.reply()

            assert reply.headers["connection"] == ("keep-alive" if kept else "close")
            client.say(get())
            assert (await client.rest() == b"") != kept

    run(test())


def test_HTTP_1_0_gets_no_chunks_but_the_end_of_the_connection() -> None:
    async def test() -> None:
        async with served(answering(b"one", b"two")) as server:
            reply = await server.ask(get("/", "connection: keep-alive", version="1.0"))

            assert reply.body == b"onetwo"
            assert reply.headers["connection"] == "close"
            assert "transfer-encoding" not in reply.headers

    run(test())


def test_HEAD_has_the_head_of_GET_and_no_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"a body")

    async def test() -> None:
        async with served(app) as server:
            client = await server.client(get("/", method="HEAD"), get("/", "connection: close"))
            headed, got = await client.reply(to_head=True), await client.reply()

            assert (headed.headers["content-length"], got.body) == ("6", b"a body")
            assert await client.is_hung_up_on()

    run(test())


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_no_framing_of_one(status: int) -> None:
    async def test() -> None:
        async with served(answering(status=status)) as server:
            client = await server.client(get(), get())
            for _ in range(2):
                reply = await client.reply()
                assert reply.status == status
                assert not {"content-length", "transfer-encoding"} & reply.headers.keys()

    run(test())


FORGED: list[tuple[bytes, bytes]] = [
    (b"x", b"a\r\nset-cookie: forged"),
    (b"x", b"a\nb"),
    (b"x", b"a\rb"),
    (b"x", b"a\0b"),
    (b"x\r\ny", b"a"),
]


@pytest.mark.parametrize("header", FORGED)
def test_a_header_that_would_end_its_line_is_not_sent(header: tuple[bytes, bytes]) -> None:
    async def careless(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ValueError, match="line break or NUL"):
            await answer(send, b"", headers=(header,))
        await answer(send, b"told instead", 500)

    async def test() -> None:
        async with served(careless) as server:
            reply = await server.ask(get())

            assert (reply.status, reply.body) == (500, b"told instead")

    run(test())


WRONG: dict[str, tuple[dict[str, Any], ...]] = {
    "more than was promised": ({"body": b"12345"},),
    "less than was promised": ({"body": b"123"},),
    "a second head": ({"type": "http.response.start", "status": 200, "headers": []},),
    "more after the end": ({"body": b"1234"}, {"body": b"5"}),
}


@pytest.mark.parametrize("messages", WRONG.values(), ids=WRONG.keys())
def test_an_application_that_breaks_its_word_is_told(messages: tuple[dict[str, Any], ...]) -> None:
    told: list[BaseException] = []

    async def liar(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        try:
            for message in messages:
                await send({"type": "http.response.body", **message})
        except RuntimeError as error:
            told.append(error)

    async def test() -> None:
        async with served(liar) as server:
            client = await server.client(get("/", "connection: close"))
            assert b"12345" not in await client.rest()

    run(test())
    assert told


@pytest.mark.parametrize("begins", [False, True])
def test_an_application_that_fails_ends_the_connection_and_nothing_else(begins: bool) -> None:
    logged: list[dict[str, Any]] = []

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        if begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        raise LookupError("a bug")

    async def test() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
        async with served(failing) as server:
            for _ in range(2):
                said = await (await server.client(get())).rest()
                assert b"0\r\n\r\n" not in said, "an answer cut short must not look whole"

    run(test())
    assert [type(each["exception"]) for each in logged] == [LookupError] * 2


def test_an_answer_before_the_body_is_read_reaches_who_is_still_sending() -> None:
    async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"too large", 413)

    async def test() -> None:
        async with served(hasty) as server:
            client = await server.client(post(b"x" * 8 * 1024 * 1024))
            reply = await client.reply()

            assert (reply.status, reply.body, reply.headers["connection"]) == (413, b"too large", "close")
            assert await client.is_hung_up_on()

    run(test())

"""How a connection lives and ends: deadlines, hang-ups, readers that are slow, and the end of the server."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import cast

import pytest

from modelway.server.exchange import Receive, Scope, Send
from modelway.server.listener import Deadlines
from tests.server.served import (
    CHUNKED,
    UNHURRIED,
    App,
    answer,
    body_of,
    get,
    mirror,
    post,
    run,
    served,
    until,
)

SOON = Deadlines(head_s=0.2, idle_s=0.2, linger_s=0.2, stall_s=0.2)


class Listening:
    """An application like those that call models: reads the body, begins a stream, waits for the hang-up."""

    def __init__(self, *, begins: bool) -> None:
        self.begins = begins
        self.is_waiting, self.is_over = asyncio.Event(), asyncio.Event()
        self.heard = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)
        listening = cast("asyncio.Future[dict[str, str]]", receive())
        if self.begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        self.is_waiting.set()
        try:
            self.heard = (await listening)["type"]
        finally:
            self.is_over.set()


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_a_hang_up_is_heard_at_once(begins: bool, how: str) -> None:
    async def test() -> None:
        app = Listening(begins=begins)
        async with served(app) as server:
            client = await server.client(post(b"body"))
            await app.is_waiting.wait()
            match how:
                case "close":
                    client.writer.close()
                case "reset":
                    client.writer.transport.abort()
                case "half-close":
                    client.writer.write_eof()
            await app.is_over.wait()

            assert app.heard == "http.disconnect"

    run(test())


def test_who_stops_talking_still_gets_what_does_not_listen_for_that() -> None:
    async def test() -> None:
        async with served(mirror) as server:
            client = await server.client(get("/0"), get("/1"))
            client.writer.write_eof()

            assert [(await client.reply()).status for _ in range(2)] == [200, 200]
            assert await client.is_hung_up_on()

    run(test())


@pytest.mark.parametrize("sent", [CHUNKED + b"3\r\nab", get("/", "content-length: 9", method="POST") + b"ab"])
def test_a_hang_up_inside_a_body_ends_the_body(sent: bytes) -> None:
    async def test() -> None:
        async with served(mirror) as server:
            client = await server.client(sent)
            client.writer.write_eof()

            assert (await client.reply()).body == b"the body ended early"

    run(test())


def test_after_the_answer_a_hang_up_is_nobodys_affair() -> None:
    is_over, is_gone = asyncio.Event(), asyncio.Event()
    listening: list[asyncio.Future[dict[str, str]]] = []

    async def settling(scope: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)
        listening.append(cast("asyncio.Future[dict[str, str]]", receive()))
        await answer(send, b"whole")
        await is_gone.wait()
        await asyncio.sleep(0.02)
        is_over.set()

    async def test() -> None:
        async with served(settling) as server:
            client = await server.client(post(b"body"))
            await client.reply()
            client.writer.transport.abort()
            is_gone.set()
            await is_over.wait()

            assert not listening[0].done()

    run(test())


def test_a_reader_that_is_slow_makes_the_application_wait_and_gets_it_all() -> None:
    size, count = 100_000, 120
    written = 0

    async def generous(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal written
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(count):
            await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
            written += 1
        await send({"type": "http.response.body"})

    async def test() -> None:
        async with served(generous) as server:
            client = await server.client(get())
            before = -1
            while written != before:
                before = written
                await asyncio.sleep(0.05)
            assert written < count, "nobody reads, and all was written"

            assert len((await client.reply()).body) == size * count

    run(test())


def endless(chunk: bytes = b"x" * 100_000) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, chunk * 200)

    return app


def test_who_never_takes_the_end_of_an_answer_is_let_go() -> None:
    async def test() -> None:
        async with served(endless(), deadlines=SOON) as server:
            client = await server.client(get())
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a stream, it can
            await until(lambda: not server.listener.connections)

    run(test())


class Counting:
    """Counts the requests it is asked; its answers are too large for what is written ahead."""

    def __init__(self, size: int = 1_000_000) -> None:
        self.asked, self._answer = 0, b"x" * size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        await answer(send, self._answer)


def test_who_takes_no_answer_is_read_no_further_and_given_none_beside_it() -> None:
    async def test() -> None:
        app = Counting()
        async with served(app) as server:
            client = await server.client()
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a stream, it can
            for _ in range(600):
                client.say(get("/", "x: " + "y" * 30_000))
                await asyncio.sleep(0)
            left = -1
            while (unsaid := client.writer.transport.get_write_buffer_size()) != left:
                left = unsaid
                await asyncio.sleep(0.05)
            (connection,) = server.listener.connections
            begun = app.asked

            assert begun <= 30, "more than both ends' systems hold"
            assert connection.transport.get_write_buffer_size() <= 2_000_000
            assert left > 0, "the server went on reading"
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
            for _ in range(begun + 20):
                assert len((await client.reply()).body) == 1_000_000
            assert app.asked > begun

    run(test())


def test_asking_for_more_does_not_keep_a_connection_that_takes_nothing() -> None:
    async def test() -> None:
        app = Counting(20_000_000)
        async with served(app, deadlines=UNHURRIED._replace(stall_s=0.3)) as server:
            client = await server.client(get())
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a stream, it can
            await until(lambda: app.asked == 1)
            while server.listener.connections:
                client.say(get())
                await asyncio.sleep(0.05)

            assert app.asked == 1

    run(test())


def test_who_reset_the_connection_before_it_was_taken_leaves_nothing_behind() -> None:
    logged: list[dict[str, object]] = []

    async def test() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
        async with served(mirror) as server:
            assert (await server.ask(get())).status == 200
            files = len(os.listdir("/dev/fd"))
            for _ in range(50):  # in one turn of the loop, so none of them is accepted yet
                with socket.create_connection(("127.0.0.1", server.port)) as hasty:
                    hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert (await server.ask(get())).status == 200

            await until(lambda: len(server.listener.connections) <= 2)
            await until(lambda: len(os.listdir("/dev/fd")) <= files + 2)

    run(test())
    assert not logged


def test_who_resets_the_connection_in_the_middle_of_an_early_answer_is_no_fault_of_ours() -> None:
    logged: list[dict[str, object]] = []

    async def test() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))

        async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
            raw.close()
            await answer(send, b"too large", 413)

        async with served(hasty) as server:
            raw = socket.create_connection(("127.0.0.1", server.port))
            raw.sendall(post(b"x" * 1024)[:-1])
            await until(lambda: raw.fileno() == -1 and not server.listener.connections)

    asyncio.run(test())  # uvloop writes later, and says nothing of it
    assert not logged


def test_who_takes_an_answer_slowly_but_takes_it_is_not_let_go() -> None:
    async def test() -> None:
        async with served(endless(), deadlines=SOON) as server:
            client = await server.client(get("/", "connection: close"))
            head = await client.reader.readuntil(b"\r\n\r\n")
            size = 0
            while data := await client.reader.read(500_000):
                size += len(data)
                await asyncio.sleep(0.02)  # in all, several times what an idle client has

            assert b"content-length: 20000000" in head
            assert size == 20_000_000

    run(test())


@pytest.mark.parametrize("sent", [b"GET / HT", b"GET / HTTP/1.1\r\nhost: here\r\n", b"GET / HTTP/1.1\r\nx"])
def test_half_a_head_is_a_408_when_its_time_is_up(sent: bytes) -> None:
    async def test() -> None:
        async with served(mirror, deadlines=SOON._replace(idle_s=60)) as server:
            fresh = await server.client(sent)
            kept = await server.client(get() + sent)
            assert (await kept.reply()).status == 200

            for client in (fresh, kept):
                assert (await client.reply()).code == "request_timeout"
                assert await client.is_hung_up_on()

    run(test())


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_a_connection_that_asks_nothing_is_let_go_without_a_word(sent: bytes) -> None:
    async def test() -> None:
        async with served(mirror, deadlines=SOON._replace(idle_s=60)) as server:
            assert await (await server.client(sent)).is_hung_up_on()

    run(test())


def test_a_kept_connection_may_be_idle_for_longer_but_not_for_ever() -> None:
    async def test() -> None:
        async with served(
            mirror, deadlines=Deadlines(head_s=0.1, idle_s=0.5, linger_s=0.1, stall_s=60)
        ) as server:
            client = await server.client(get())
            await client.reply()
            await asyncio.sleep(0.3)
            client.say(get())
            assert (await client.reply()).status == 200
            assert await client.is_hung_up_on()

    run(test())


def test_a_call_may_take_longer_than_any_deadline_here() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(4 * SOON.idle_s)
        await answer(send, b"late")

    async def test() -> None:
        async with served(slow, deadlines=SOON) as server:
            assert (await server.ask(get())).body == b"late"

    run(test())


def test_one_connection_too_many_is_told_so() -> None:
    async def test() -> None:
        async with served(mirror, connections_max=2) as server:
            kept = [await server.client(get()) for _ in range(2)]
            assert [(await client.reply()).status for client in kept] == [200, 200]

            client = await server.client(get())
            refused = await client.reply()
            assert (refused.status, refused.code) == (503, "server_is_overloaded")
            client.writer.close()
            kept[0].writer.close()
            await until(lambda: len(server.listener.connections) == 1)
            assert (await server.ask(get())).status == 200

    run(test())


def test_a_drain_lets_idle_connections_go_and_live_ones_finish() -> None:
    proceeds = asyncio.Event()

    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await proceeds.wait()
            await send({"type": "http.response.body", "body": b"two"})
        else:
            await answer(send, b"short")

    async def test() -> None:
        async with served(streaming) as server:
            idle, live = await server.client(get()), await server.client(get("/stream"))
            silent = await server.client()
            await idle.reply()
            await live.reader.readuntil(b"one\r\n")
            server.listener.drain()

            assert await idle.is_hung_up_on()
            for client in (silent, await server.client()):
                client.say(get())
                assert (await client.reply()).headers["connection"] == "close"
                assert await client.is_hung_up_on()
            proceeds.set()
            assert await live.rest() == b"3\r\ntwo\r\n0\r\n\r\n"

    run(test())


def test_at_the_end_answers_are_delivered_and_what_still_runs_is_ended() -> None:
    cancelled = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    async def test() -> None:
        async with served(endless, deadlines=SOON) as server:
            client = await server.client(get())
            await asyncio.sleep(0.02)
        assert cancelled.is_set()
        assert await client.is_hung_up_on()
        with pytest.raises(ConnectionRefusedError):
            await server.client()

    run(test())


def test_two_listeners_share_a_port() -> None:
    async def test() -> None:
        async with served(mirror) as first, first.listener.opened("127.0.0.1", first.port) as port:
            assert port == first.port

    run(test())


@pytest.mark.parametrize(("host", "asks"), [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")])
def test_IPv6_is_served_and_every_address_means_both(host: str, asks: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")

    async def test() -> None:
        async with served(mirror, host=host) as server:
            server.host = asks
            assert (await server.ask(get())).status == 200

    run(test())


def test_small_writes_are_not_held_back() -> None:
    async def test() -> None:
        async with served(mirror) as server:
            await server.ask(get())
            connection = next(iter(server.listener.connections))
            made = connection.transport.get_extra_info("socket")

            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(test())

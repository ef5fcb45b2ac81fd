"""A provider made of plain sockets: the test writes each connection as a coroutine, byte for byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import uvloop

from modelway.providers.upstream import UpstreamClient

WAIT_S = 20  # for what happens within milliseconds; long enough for a machine with other work
OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"

T = TypeVar("T")
Handler = Callable[["Line"], Awaitable[None]]


class Line:
    """One connection as the provider sees it; `number` counts from 1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader, self.writer, self.number = reader, writer, number

    async def request(self) -> bytes:
        """The next whole request; b"" when the other side has left."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return head + await self.reader.readexactly(int(length))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def left(self) -> None:
        """Wait until the other side hangs up."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        self.writer.transport.abort()


class Provider:
    """The server; `async with` it. `requests` are (connection's number, bytes) as they came."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._handler, self._tls, self._host = handler, tls, host
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    async def __aenter__(self) -> Provider:
        self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._tls else ''}://{self._host}:{self.port}/v1/chat/completions"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._handler(Line(reader, writer, self.connections))
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


def answering(*answers: bytes) -> Handler:
    """Every connection gives these answers to its requests in turn, the last one for ever."""

    async def handler(line: Line) -> None:
        for count in range(1_000_000):
            if not await line.request():
                return
            await line.send(answers[min(count, len(answers) - 1)])

    return handler


def saying(answer: bytes) -> Handler:
    """Every connection gives this answer to its first request and is closed."""

    async def handler(line: Line) -> None:
        if await line.request():
            await line.send(answer)

    return handler


def a_client(*, connect_timeout_s: float = WAIT_S, silence_timeout_s: float = WAIT_S) -> UpstreamClient:
    return UpstreamClient(connect_timeout_s=connect_timeout_s, silence_timeout_s=silence_timeout_s)


async def ask(client: UpstreamClient, url: str, body: bytes = b"{}") -> bytes:
    """One call, read to its end."""
    upstream = await client.open(url, body, {"content-type": "application/json"})
    try:
        return await upstream.read_all()
    finally:
        upstream.close()


async def ask_once(handler: Handler, **timeouts: float) -> bytes:
    """One call to a provider of its own."""
    async with Provider(handler) as provider, a_client(**timeouts) as client:
        return await ask(client, provider.url)


def run(work: Coroutine[Any, Any, T]) -> T:
    async def limited() -> T:
        async with asyncio.timeout(WAIT_S * 2):
            return await work

    return uvloop.run(limited())

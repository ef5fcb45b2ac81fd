"""A listener on loopback with an application of the test's own, and clients that speak raw bytes to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop

from modelway.api.routes import Router
from modelway.server.exchange import Message, Receive, Scope, Send
from modelway.server.listener import Deadlines, Listener

PATIENCE_S = 10
UNHURRIED = Deadlines(head_s=60, idle_s=60, linger_s=5, stall_s=60)  # a test that needs a deadline sets it
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code in our error envelope."""
        envelope = json.loads(self.body)
        assert set(envelope) == {"type", "error", "request_id"}, envelope
        assert envelope["request_id"] == self.headers["request-id"]
        code: str = envelope["error"]["code"]
        return code


@dataclass
class Client:
    """One connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def say(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)

    async def reply(self, *, to_head: bool = False) -> Reply:
        """The next answer on this connection."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip("\r\n").split("\r\n")
            headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
            status = int(first.split(" ")[1])
            body = b"" if to_head or status in (100, 204, 304) else await self._body(headers)
        return Reply(status, headers, body)

    async def _body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.read()
        pieces = []
        while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
            pieces.append(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return b"".join(pieces)

    async def rest(self) -> bytes:
        """Everything until the server hangs up; a reset ends it too."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def is_hung_up_on(self) -> bool:
        return await self.rest() == b""


@dataclass
class Served:
    """The running server: its port, and what its application was asked."""

    listener: Listener
    port: int
    host: str = "127.0.0.1"
    clients: list[Client] = field(default_factory=list)

    async def client(self, *parts: bytes) -> Client:
        """A new connection that begins by saying `parts`."""
        made = Client(*await asyncio.open_connection(self.host, self.port))
        self.clients.append(made)
        made.say(*parts)
        return made

    async def ask(self, *parts: bytes) -> Reply:
        """The first answer on a new connection."""
        return await (await self.client(*parts)).reply()


def minted(prefix: str) -> str:
    return f"{prefix}1"


@asynccontextmanager
async def served(
    app: App,
    *,
    host: str = "127.0.0.1",
    deadlines: Deadlines = UNHURRIED,
    connections_max: int = 100,
) -> AsyncIterator[Served]:
    listener = Listener(app, Router([], minted).refuse, connections_max, deadlines)
    async with listener.opened(host, 0) as port:
        made = Served(listener, port, "127.0.0.1" if host == "::" else host)
        try:
            yield made
        finally:
            for client in made.clients:
                client.writer.transport.abort()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110  # what changes has no event of its own
            await asyncio.sleep(0.005)


def run(test: Coroutine[Any, Any, None]) -> None:
    """A test to its end, in a loop like the gateway's."""

    async def within() -> None:
        async with asyncio.timeout(3 * PATIENCE_S):
            await test

    uvloop.run(within())


# --- applications ---------------------------------------------------------------------------------


async def body_of(receive: Receive) -> bytes:
    body, has_more = b"", True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the body ended early")
        body += message["body"]
        has_more = message["more_body"]
    return body


async def answer(
    send: Send, data: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    head = [(b"content-length", str(len(data)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": data})


async def mirror(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it was asked, as JSON."""
    try:
        body = await body_of(receive)
    except ConnectionError as error:
        await answer(send, str(error).encode(), 400)
        return
    asked = {
        "method": scope["method"],
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "version": scope["http_version"],
        "client": scope["client"][0],
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": body.decode(),
    }
    await answer(send, json.dumps(asked).encode())


async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers without reading what it was asked."""
    await answer(send, b"no", 401)


def get(path: str = "/", *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "host: here", *lines, "", ""]).encode("latin-1")


def post(body: bytes, path: str = "/", *lines: str) -> bytes:
    return get(path, f"content-length: {len(body)}", *lines, method="POST") + body


CHUNKED = get("/", "transfer-encoding: chunked", method="POST")

__all__ = [
    "CHUNKED",
    "App",
    "Message",
    "Reply",
    "Served",
    "answer",
    "body_of",
    "deaf",
    "get",
    "mirror",
    "post",
]
